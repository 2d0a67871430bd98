"""Every kind of frame, and plaintexts that are none."""

from typing import Any

from protocol import attest, cbor, crypto, frames, waveform
from protocol.errors import FrameError
from tools.vectors import bodies
from tools.vectors.codecs import ecg
from tools.vectors.keys import AGENT, BOOT_ID, NODE, OLD_BOOT_ID, secret, tagged

BOOT_BODY = {
    frames.BOOT_FIRMWARE: "0.1.0",
    frames.BOOT_BOARD: "virtual",
    frames.BOOT_RESET_CAUSE: frames.RESET_POWER_ON,
    frames.BOOT_KEYS: [NODE.ed_pub, NODE.x_pub],
    frames.BOOT_INPUT: "MIT-BIH 119 (replay), synthetic pulse wave",
    frames.BOOT_PREVIOUS: [OLD_BOOT_ID, 4711, False, 30],
    frames.BOOT_CHANNELS: [
        [frames.CH_ECG, "MAX30003", 4_000_000, 3050],
        [frames.CH_PPG_RED, "MAX30102", 10_000_000, 62],
        [frames.CH_PPG_IR, "MAX30102", 10_000_000, 62],
    ],
    frames.BOOT_ENTROPY: 0,
}
# Boots that died before any frame of theirs arrived: two, and before them as many as no boot frame takes.
OLDER_BOOTS = [(counter).to_bytes(4, "big") + secret(f"older boot {counter}", 8) for counter in (4, 5)]
EARLIER = [[1, 3, 61, 71], [OLDER_BOOTS[0], 0, False, 35], [OLDER_BOOTS[1], 12, True, 0]]
WAVE_SAMPLES = ecg(100)
WAVE_BODY = {
    frames.WAVE_CHANNEL: frames.CH_ECG,
    frames.WAVE_COUNT: len(WAVE_SAMPLES),
    frames.WAVE_PERIOD_NS: 4_000_000,
    frames.WAVE_LSB: 3050,
    frames.WAVE_CODEC: waveform.CODEC,
    frames.WAVE_DATA: waveform.encode(WAVE_SAMPLES, len(WAVE_SAMPLES), 16),
    frames.SOURCE: frames.SRC_REPLAY,
}
VITALS_BODY = {
    frames.VITALS_HR: 653,
    frames.VITALS_RR: [912, 918, 925],
    frames.VITALS_SPO2: 974,
    frames.VITALS_PULSE: 651,
    frames.VITALS_PI: 210,
    frames.VITALS_ECG_QUALITY: 96,
    frames.VITALS_PPG_QUALITY: 88,
    frames.VITALS_FLAGS: frames.VITALS_UNCALIBRATED,
    frames.SOURCE: frames.SRC_REPLAY,
    frames.SOURCE_PPG: frames.SRC_SYNTHETIC,
}
STATUS_BODY = {
    frames.STATUS_HEAP_FREE: 61_440,
    frames.STATUS_HEAP_LOW: 40_960,
    frames.STATUS_LATE: 0,
    frames.STATUS_MISSED: 3,
    frames.STATUS_JITTER_US: 812,
    frames.STATUS_RESET_CAUSE: 1,
    frames.STATUS_UPTIME_S: 4_294_967_295,
    frames.STATUS_OUTBOX_FRAMES: 12,
    frames.STATUS_OUTBOX_BYTES: 5210,
    frames.STATUS_EVICTED: 0,
    frames.STATUS_REJECTED: 1,
    frames.STATUS_RESENT: 2,
    frames.STATUS_BUS_ERRORS: 0,
    frames.STATUS_NEXT_SEQ: 65_536,
}

FRAMES: list[tuple[str, str, int, int, Any]] = [
    ("boot", "boot-frame", frames.KIND_BOOT, 0, BOOT_BODY),
    ("wave, ECG", "wave-frame", frames.KIND_WAVE, 1_000_000, WAVE_BODY),
    (
        "wave, with all that may go wrong",
        "wave-frame",
        frames.KIND_WAVE,
        (1 << 53) - 1,
        {
            **WAVE_BODY,
            frames.WAVE_FLAGS: 7,
            frames.WAVE_LATE: 2,
            frames.WAVE_MISSED: 1 << 20,
            frames.SOURCE: 2,
        },
    ),
    ("vitals", "vitals-frame", frames.KIND_VITALS, 5_000_000, VITALS_BODY),
    ("vitals, nothing measured", "vitals-frame", frames.KIND_VITALS, 1_000_000, {frames.VITALS_FLAGS: 3}),
    (
        "event, lead off",
        "event-frame",
        frames.KIND_EVENT,
        70_000_000,
        {frames.EVENT_CODE: frames.EVENT_LEAD_OFF, frames.EVENT_PRIORITY: frames.PRIORITY_MEDIUM},
    ),
    (
        "event, sensor fault",
        "event-frame",
        frames.KIND_EVENT,
        70_000_001,
        {
            frames.EVENT_CODE: frames.EVENT_SENSOR_FAULT,
            frames.EVENT_PRIORITY: 1,
            3: -19,
            4: "MAX30003: ENODEV",
        },
    ),
    ("status", "status-frame", frames.KIND_STATUS, 1 << 32, STATUS_BODY),
    ("loss", "loss-frame", frames.KIND_LOSS, 9, {frames.LOSS_RANGES: [[3, 17, 1], [40, 1, 1]]}),
    (
        "time",
        "time-frame",
        frames.KIND_TIME,
        2_000_100,
        {frames.TIME_TOKEN: 77, frames.TIME_RECEIVED_US: 2_000_000},
    ),
    ("ack", "ack-frame", frames.KIND_ACK, 12, [0, [[0, 64], [66, 1]]]),
    ("ack of nothing", "ack-frame", frames.KIND_ACK, 12, [1, []]),
    ("time, downlink", "time-down-frame", frames.KIND_TIME_DOWN, 11, {frames.TIME_TOKEN: 77}),
    ("a kind that is not known", "other-frame", 99, 1, ["whatever", {"it": b"holds"}]),
    (
        "boot, after boots that nobody heard of",
        "boot-frame",
        frames.KIND_BOOT,
        0,
        {**BOOT_BODY, frames.BOOT_EARLIER: EARLIER},
    ),
    (
        "boot, of a device that seals nothing itself",
        "boot-frame",
        frames.KIND_BOOT,
        1_760_000_000_000_000,
        {
            frames.BOOT_FIRMWARE: "1.2.0",
            frames.BOOT_BOARD: "Blood pressure monitor",
            frames.BOOT_RESET_CAUSE: 0,
            frames.BOOT_KEYS: BOOT_BODY[frames.BOOT_KEYS],
            frames.BOOT_CHANNELS: [],
            frames.BOOT_ENTROPY: 1,
            frames.BOOT_READ_BY: AGENT.id,
        },
    ),
    *bodies.UP,
    *bodies.DOWN,
]

BAD_FRAMES: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("not an array", cbor.dumps({1: 2})),
    ("two items", cbor.dumps([3, 0])),
    ("four items", cbor.dumps([3, 0, {}, 0])),
    ("a negative kind", cbor.dumps([-1, 0, {}])),
    ("t_us 2^53", cbor.dumps([3, 1 << 53, {}])),
    ("t_us true", cbor.dumps([3, True, {}])),
    ("a body that is no map", cbor.dumps([3, 0, []])),
    ("a text key", cbor.dumps([3, 0, {"hr": 653}])),
    ("a float", bytes.fromhex("830300a101fb4050533333333333")),
    *(
        ("boot with " + name, cbor.dumps([1, 0, {**BOOT_BODY, frames.BOOT_EARLIER: earlier}]))
        for name, earlier in (
            ("no earlier boots", []),
            ("a boot stated twice", [EARLIER[1], EARLIER[1]]),
            ("statements newest first", EARLIER[::-1]),
            ("boots stated alone and together", [EARLIER[1], [4, 6, 1, 1]]),
            ("a summary of no boots", [[3, 2, 0, 0]]),
            ("a summary from boot 0", [[0, 2, 0, 0]]),
            ("a bound that is true", [[1, 3, 61, True]]),
            ("a number for a boot", [[1, 3, 61]]),
            ("65 earlier boots", [[n, n, 0, 0] for n in range(1, 66)]),
        )
    ),
    ("boot with a statement of boot 0", cbor.dumps([1, 0, {**BOOT_BODY, 6: [bytes(12), 1, True, 0]}])),
    (
        "boot with the previous boot among the earlier ones",
        cbor.dumps([1, 0, {**BOOT_BODY, frames.BOOT_EARLIER: [BOOT_BODY[frames.BOOT_PREVIOUS]]}]),
    ),
    ("wave without data", cbor.dumps([2, 0, bodies.without(WAVE_BODY, frames.WAVE_DATA)])),
    ("wave of no samples", cbor.dumps([2, 0, {**WAVE_BODY, 2: 0}])),
    ("wave with a text as data", cbor.dumps([2, 0, {**WAVE_BODY, 6: "data"}])),
    ("vitals with SpO2 100.1 %", cbor.dumps([3, 0, {3: 1001}])),
    ("event of priority 4", cbor.dumps([5, 0, {1: 1, 2: 4}])),
    ("event with a long text", cbor.dumps([5, 0, {1: 1, 2: 0, 4: "x" * 65}])),
    ("status without its last key", cbor.dumps([6, 0, bodies.without(STATUS_BODY, frames.STATUS_NEXT_SEQ)])),
    ("loss of overlapping ranges", cbor.dumps([7, 0, {1: [[0, 5, 1], [4, 1, 1]]}])),
    ("loss of nothing", cbor.dumps([7, 0, {1: []}])),
    ("losses of a short boot id", cbor.dumps([12, 0, {1: [[bytes(11), 0, 5, 1]]}])),
    ("losses of no earlier boot", cbor.dumps([12, 0, {1: []}])),
    ("attest with a short root", cbor.dumps([8, 0, {1: 0, 2: 1, 3: bytes(31), 4: bytes(64)}])),
    ("ack beyond 32 bits", cbor.dumps([32, 0, [0, [[0xFFFFFFFF, 2]]]])),
    ("ack of an empty range", cbor.dumps([32, 0, [0, [[5, 0]]]])),
    ("time without a token", cbor.dumps([33, 0, {}])),
    *((name, cbor.dumps([kind, 0, body])) for name, kind, body in bodies.BAD),
]


def frame_vectors() -> Any:
    """The content of frames.json."""
    good: list[Any] = []
    for name, rule, kind, t_us, body in [
        *FRAMES,
        ("attest", "attest-frame", frames.KIND_ATTEST, 30_000_000, attestation()),
    ]:
        one = {"name": name, "rule": rule, "kind": kind, "t_us": t_us, "body": tagged(body)}
        good.append(
            {**one, "lane": frames.lane(kind, body), "plaintext": frames.pack(kind, t_us, body).hex()}
        )
    return {
        "frames": good,
        "malformed": [_refused(name, data) for name, data in BAD_FRAMES],
    }


def _refused(name: str, data: bytes) -> "dict[str, Any]":
    """A frame that is none: layer, cause, and the offset that our decoder names (None: it names none)."""
    try:
        frames.unpack(data)
    except FrameError as e:
        where = {"layer": e.layer, "cause": e.cause, "offset": e.offset}
        return {"name": name, "plaintext": data.hex(), **where}
    raise AssertionError(f"{name} is a frame")


def plaintexts() -> list[bytes]:
    """The first frames of the example boot."""
    return [frames.pack(kind, t_us, body) for _, _, kind, t_us, body in FRAMES[:7]]


def attestation() -> dict[int, int | bytes]:
    """The body of an attest frame over `plaintexts`."""
    attester = attest.Attester(NODE, BOOT_ID)
    for seq, plaintext in enumerate(plaintexts()):
        attester.add(seq, plaintext)
    return crypto.run(attester.sign_steps(0))

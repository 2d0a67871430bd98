"""What the body of each known kind of frame must hold: keys, types, ranges (docs/wire-protocol.md §8).

Tables, kept apart from frames.py because a node only makes these frames and has no memory to spare for
checking them. Numbers whose list of meanings may grow (reset cause, event code, source, …) are only held to
a size.
"""

from protocol import frames as f
from protocol.checks import is_bytes, is_bytes_list, is_list, is_map, is_ranges
from protocol.errors import FrameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Rule = tuple[str, bool, str, int, int]

U8 = 0xFF
U16 = 0xFFFF
U32 = 0xFFFFFFFF
U53 = (1 << 53) - 1
I63 = (1 << 63) - 1

MAX_RR = 64
MAX_CHANNELS = 16
MAX_EARLIER = 64

_COUNTERS = (
    (f.STATUS_HEAP_FREE, "heap free"),
    (f.STATUS_HEAP_LOW, "heap free low-water"),
    (f.STATUS_LATE, "late samples"),
    (f.STATUS_MISSED, "missed samples"),
    (f.STATUS_JITTER_US, "worst jitter"),
    (f.STATUS_RESET_CAUSE, "reset cause"),
    (f.STATUS_UPTIME_S, "uptime"),
    (f.STATUS_OUTBOX_FRAMES, "outbox frames"),
    (f.STATUS_OUTBOX_BYTES, "outbox bytes"),
    (f.STATUS_EVICTED, "frames evicted"),
    (f.STATUS_REJECTED, "downlink messages rejected"),
    (f.STATUS_RESENT, "frames sent again"),
    (f.STATUS_BUS_ERRORS, "bus errors"),
    (f.STATUS_NEXT_SEQ, "next sequence number"),
)

# key: (name, required, type, least, most); for bytes and text the bounds are of the length in bytes
BODIES: "dict[int, dict[int, Rule]]" = {
    f.KIND_BOOT: {
        f.BOOT_FIRMWARE: ("firmware", True, "text", 0, 64),
        f.BOOT_BOARD: ("board", True, "text", 0, 64),
        f.BOOT_RESET_CAUSE: ("reset cause", True, "int", 0, U8),
        f.BOOT_KEYS: ("public keys", True, "keys", 0, 0),
        f.BOOT_INPUT: ("input label", False, "text", 0, 200),
        f.BOOT_PREVIOUS: ("previous boot", False, "previous", 0, 0),
        f.BOOT_CHANNELS: ("channels", True, "channels", 0, MAX_CHANNELS),
        f.BOOT_ENTROPY: ("entropy", True, "int", 0, 1),
        f.BOOT_EARLIER: ("earlier boots", False, "earlier", 1, MAX_EARLIER),
    },
    f.KIND_WAVE: {
        f.WAVE_CHANNEL: ("channel", True, "int", 0, U8),
        f.WAVE_COUNT: ("number of samples", True, "int", 1, U16),
        f.WAVE_PERIOD_NS: ("period", True, "int", 1, U32),
        f.WAVE_LSB: ("LSB", True, "int", 1, U32),
        f.WAVE_CODEC: ("codec", True, "int", 1, U8),
        f.WAVE_DATA: ("data", True, "bytes", 1, f.MAX_PLAINTEXT),
        f.WAVE_FLAGS: ("flags", False, "int", 0, U16),
        f.WAVE_LATE: ("late samples", False, "int", 0, U32),
        f.WAVE_MISSED: ("missed samples", False, "int", 0, U32),
        f.SOURCE: ("source", False, "int", 1, U8),
    },
    f.KIND_VITALS: {
        f.VITALS_HR: ("heart rate", False, "int", 0, U16),
        f.VITALS_RR: ("RR intervals", False, "rr", 0, MAX_RR),
        f.VITALS_SPO2: ("SpO2", False, "int", 0, 1000),
        f.VITALS_PULSE: ("pulse rate", False, "int", 0, U16),
        f.VITALS_PI: ("perfusion index", False, "int", 0, U16),
        f.VITALS_ECG_QUALITY: ("ECG quality", False, "int", 0, 100),
        f.VITALS_PPG_QUALITY: ("PPG quality", False, "int", 0, 100),
        f.VITALS_FLAGS: ("flags", False, "int", 0, U16),
        f.SOURCE: ("source of the ECG values", False, "int", 1, U8),
        f.SOURCE_PPG: ("source of the PPG values", False, "int", 1, U8),
    },
    f.KIND_EVENT: {
        f.EVENT_CODE: ("code", True, "int", 0, U16),
        f.EVENT_PRIORITY: ("priority", True, "int", 0, 3),
        f.EVENT_VALUE: ("value", False, "int", -I63 - 1, I63),
        f.EVENT_TEXT: ("text", False, "text", 0, 64),
    },
    f.KIND_STATUS: {key: (name, True, "int", 0, U32) for key, name in _COUNTERS},
    f.KIND_LOSS: {f.LOSS_RANGES: ("ranges", True, "losses", 0, 0)},
    f.KIND_ATTEST: {
        f.ATTEST_FIRST: ("first", True, "int", 0, U32),
        f.ATTEST_COUNT: ("count", True, "int", 1, U32),
        f.ATTEST_ROOT: ("root", True, "bytes", 32, 32),
        f.ATTEST_SIGNATURE: ("signature", True, "bytes", 64, 64),
    },
    f.KIND_TIME: {
        f.TIME_TOKEN: ("token", True, "int", 0, I63),
        f.TIME_RECEIVED_US: ("time of receipt", True, "int", 0, U53),
    },
}


def check(kind: int, body: "Any") -> None:
    """FrameError unless `body` holds what `kind` requires; a kind without a table passes."""
    table = BODIES.get(kind)
    if table is None:
        return
    name = f.KIND_NAMES[kind]
    if not is_map(body):
        raise FrameError(f"{name}: the body is not a map")
    for key in body:
        if isinstance(key, bool) or not isinstance(key, int) or key < 0:
            raise FrameError(f"{name}: key {key!r} is not an unsigned integer")
    for key in sorted(table):
        what, required, kind_of, least, most = table[key]
        if key not in body:
            if required:
                raise FrameError(f"{name}: key {key} ({what}) is missing")
        elif not _fits(body[key], kind_of, least, most):
            raise FrameError(f"{name}: key {key} ({what}) is not {_wanted(kind_of, least, most)}")


def _wanted(kind_of: str, least: int, most: int) -> str:
    if kind_of == "int":
        return f"an integer from {least} to {most}"
    if kind_of in ("bytes", "text"):
        return f"{kind_of} of {least} to {most} bytes"
    return {
        "keys": "two public keys of 32 bytes",
        "previous": "[boot id, known_next, clean, bound_s]",
        "earlier": f"{least} to {most} statements, each of one boot or of several, oldest first",
        "channels": f"at most {most} of [channel, part, period_ns, lsb]",
        "rr": f"at most {most} intervals in ms",
        "losses": "ascending [first, count, reason]",
    }[kind_of]


def _fits(value: "Any", kind_of: str, least: int, most: int) -> bool:
    if kind_of == "int":
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    if kind_of == "bytes":
        return isinstance(value, bytes) and least <= len(value) <= most
    if kind_of == "text":
        return isinstance(value, str) and least <= len(value.encode()) <= most
    if kind_of == "keys":
        return is_bytes_list(value, (32, 32))
    if kind_of == "losses":
        return is_ranges(value, 3) and len(value) > 0
    if not is_list(value):
        return False
    if kind_of == "rr":
        return len(value) <= most and all(_fits(item, "int", 1, U16) for item in value)
    if kind_of == "channels":
        return len(value) <= most and all(_is_channel(item) for item in value)
    if kind_of == "earlier":
        return least <= len(value) <= most and _are_statements(value)
    return _is_statement(value)


def _is_statement(item: "Any") -> bool:
    return (
        is_list(item)
        and len(item) == 4
        and is_bytes(item[0], 12)
        and _fits(item[1], "int", 0, U32)
        and isinstance(item[2], bool)
        and _fits(item[3], "int", 0, U32)
    )


def _are_statements(items: "Any") -> bool:
    """Of one boot or of several in a row each, and of every boot once."""
    reached = 0
    for item in items:
        if _is_statement(item):
            first = last = int.from_bytes(item[0][:4], "big")
        elif is_list(item) and len(item) == 4 and all(_fits(number, "int", 0, U32) for number in item):
            first, last = item[0], item[1]
        else:
            return False
        if not reached < first <= last:
            return False
        reached = last
    return True


def _is_channel(item: "Any") -> bool:
    return (
        is_list(item)
        and len(item) == 4
        and _fits(item[0], "int", 0, U8)
        and _fits(item[1], "text", 0, 32)
        and _fits(item[2], "int", 1, U32)
        and _fits(item[3], "int", 1, U32)
    )

"""CBOR items, COBS messages and waveform blocks, good and bad."""

from typing import Any

from protocol import cbor, cobs, waveform
from protocol.errors import CborError, CobsError, CodecError
from tools.vectors.keys import tagged

_VALUES: list[Any] = [
    *(0, 23, 24, 255, 256, 65_535, 65_536, (1 << 30) - 1, 1 << 30, (1 << 31) - 1, 1 << 31),
    *((1 << 32) - 1, 1 << 32, (1 << 53) - 1, (1 << 63) - 1),
    *(
        -1,
        -24,
        -25,
        -256,
        -257,
        -65_536,
        -65_537,
        -(1 << 31),
        -(1 << 31) - 1,
        -(1 << 32),
        -(1 << 32) - 1,
        -(1 << 63),
    ),
    *(True, False, None, b"", b"\0\xff", bytes(24), bytes(256), "", "lead I", "SpO₂ ∣ 𝄞", "x" * 24),
    *([], [[]], [1, [2, [3]], "x"], {}, {1: 2}),
    {24: 0, 23: 1, -1: 2, "": 3, "b": 4, "aa": 5, 256: 6},
    {b"z": 0, b"": 1, b"aa": 2, -500: 3},
    [[[[[[[[]]]]]]]],
]

_BAD_CBOR = {
    "empty": "",
    "an array one item short": "8201",
    "a string cut off": "43ffff",
    "a length of 2^63 - 1": "5b7fffffffffffffff",
    "an array of 2^31 items": "9a80000000",
    "a map of 2^31 pairs": "ba80000000",
    "two items": "0001",
    "23 in two bytes": "1817",
    "255 in three bytes": "1900ff",
    "65535 in five bytes": "1a0000ffff",
    "2^32 - 1 in nine bytes": "1b00000000ffffffff",
    "a length not in the shortest form": "5801ff",
    "2^63": "1b8000000000000000",
    "-2^63 - 1": "3b8000000000000000",
    "a reserved initial byte": "1c",
    "an indefinite array": "9fff",
    "an indefinite byte string": "5f41ffff",
    "a break alone": "ff",
    "a half float": "f93c00",
    "a double": "fb3ff0000000000000",
    "undefined": "f7",
    "a simple value": "f0",
    "a simple value in two bytes": "f820",
    "true in two bytes": "f815",
    "a tag": "c11a514b67b0",
    "a big number": "c249010000000000000000",
    "map keys out of order": "a202000100",
    "a map key twice": "a201000101",
    "a text key before a byte string": "a261610041ff00",
    "an array as a map key": "a18000",
    "true as a map key": "a1f500",
    "nine arrays within each other": "818181818181818180",
    "text that is not UTF-8": "61ff",
    "an overlong text": "62c080",
    "a surrogate": "63eda080",
    "beyond Unicode": "64f4908080",
    "text cut inside a character": "61c3",
}

_BAD_COBS = {
    "a block longer than what is left": "05010203",
    "only a length": "02",
    "full block cut off": "ff" + "11" * 253,
}


def cbor_vectors() -> Any:
    """The content of cbor.json."""
    bad: list[Any] = []
    for name, encoded in _BAD_CBOR.items():
        try:
            cbor.loads(bytes.fromhex(encoded))
        except CborError as error:
            bad.append({"name": name, "encoded": encoded, "offset": error.offset})
            continue
        raise AssertionError(f"{name} decodes")
    good = [{"value": tagged(value), "encoded": cbor.dumps(value).hex()} for value in _VALUES]
    return {"items": good, "malformed": bad}


def cobs_vectors() -> Any:
    """The content of cobs.json."""
    run = bytes(range(1, 255))
    sent = [b"\0", b"\0\0", b"\x01", b"11\0" + b"3", b"1111", b"1\0\0\0", run, b"\0" + run, run + b"\xff"]
    sent += [run + b"\0", run[1:] + b"\xff\0", run[1:] + b"\0\x01", run + run, bytes(300), run[:253]]
    bad: list[Any] = []
    for name, encoded in _BAD_COBS.items():
        try:
            cobs.decode(bytes.fromhex(encoded))
        except CobsError:
            bad.append({"name": name, "encoded": encoded})
            continue
        raise AssertionError(f"{name} decodes")
    return {
        "messages": [{"message": one.hex(), "encoded": cobs.encode(one).hex()} for one in sent],
        "malformed": bad,
    }


def ecg(n: int) -> list[int]:
    """A made-up heartbeat of `n` samples at 16 bits: a slow wave, a spike, a little noise."""
    noise = 12345
    out: list[int] = []
    for i in range(n):
        noise = (noise * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        slow = 400 - abs(i % 80 - 40) * 10
        spike = max(0, 2400 - abs(i % 50 - 25) * 800)
        out.append(slow + spike + noise // (1 << 27) - 8)
    return out


def _blocks() -> list[tuple[str, int, list[int]]]:
    noise = [7]
    for _ in range(39):
        noise.append((noise[-1] * 1_103_515_245 + 12_345) & 0x7FFFFFFF)
    jump = [0] * 20 + [131_071] * 3 + [-131_072] * 3 + [0] * 14
    return [
        ("the worked example of the specification", 18, [1000, 1001, 1006, 1030, 1024, 1010, 1009]),
        ("one sample", 18, [-131_072]),
        ("two samples", 16, [32_767, 32_766]),
        ("silence", 18, [0] * 40),
        ("silence at the upper end", 16, [32_767] * 40),
        ("a ramp", 18, list(range(-600, 600, 40))),
        ("an ECG", 16, ecg(120)),
        ("a pulse wave", 18, [100_000 + 3 * (i % 60) * (60 - i % 60) for i in range(100)]),
        ("full-scale jumps, escaped", 18, jump),
        ("full-scale square wave", 18, [131_071 if i & 1 else -131_072 for i in range(40)]),
        ("full-scale square wave of period 6", 18, [131_071 if i % 6 < 3 else -131_072 for i in range(60)]),
        ("noise, so raw", 18, [(one >> 8) % 262_144 - 131_072 for one in noise]),
        ("noise of 2 bits, raw with padding", 2, [(one >> 8) % 4 - 2 for one in noise[:33]]),
    ]


def waveform_vectors() -> Any:
    """The content of waveform.json."""
    blocks: list[Any] = []
    for name, bits, samples in _blocks():
        block = waveform.encode(samples, len(samples), bits)
        blocks.append({"name": name, "bits": bits, "samples": samples, "block": block.hex()})
    return {"blocks": blocks, "malformed": _bad_blocks()}


def _flipped(samples: list[int], detail: str) -> bytes:
    """A block of `samples` with the first bit changed that makes it wrong in this way."""
    good = waveform.encode(samples, len(samples), 18)
    for bit in range(8 * len(good)):
        changed = bytearray(good)
        changed[bit >> 3] ^= 0x80 >> (bit & 7)
        try:
            waveform.decode(changed, len(samples))
        except CodecError as error:
            if detail in error.detail:
                return bytes(changed)
    raise AssertionError("no such bit")


def _bad_blocks() -> list[Any]:
    ramp = list(range(-600, 600, 40))
    good = waveform.encode(ramp, 30, 18)
    raw = waveform.encode([-131_072, 131_071], 2, 18)
    candidates = [
        ("empty", 30, b""),
        ("unknown mode", 30, b"\x52" + good[1:]),
        ("19 bits", 30, b"\x13" + good[1:]),
        ("1 bit", 30, b"\x01" + good[1:]),
        ("one byte short", 30, good[:-1]),
        ("one byte too many", 30, good + b"\0"),
        ("too few samples asked for", 9, good),
        ("too many samples asked for", 65_535, good),
        ("no samples asked for", 0, good),
        ("k0 of 31", 30, good[:2] + bytes([good[2] | 31]) + good[3:]),
        ("padding that is not zero", 30, good[:-1] + bytes([good[-1] | 1])),
        ("wider than its samples need", 12, _flipped([-520 - i % 3 for i in range(12)], "needs less")),
        ("raw, one byte short", 2, raw[:-1]),
        ("raw, padding that is not zero", 2, raw[:-1] + bytes([raw[-1] | 1])),
        ("raw, wider than its samples need", 2, b"\x23\x90"),
        ("all zeros, so escaped without need", 30, good[:1] + bytes(len(good) - 1)),
        ("beyond its width", 12, _flipped([131_071 - i % 3 for i in range(12)], "beyond 18 bits")),
    ]
    bad: list[Any] = []
    for name, n, data in candidates:
        try:
            waveform.decode(data, n)
        except CodecError as error:
            bad.append(
                {"name": name, "n": n, "block": data.hex(), "offset": error.offset, "detail": error.detail}
            )
            continue
        raise AssertionError(f"{name} decodes")
    return bad

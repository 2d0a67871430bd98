"""The same content in other forms than ours: packed binary, SenML in CBOR and in JSON (RFC 8428).

One payload for each of our frames. SenML is given every advantage that the RFC allows: base name, base time
and base unit once a pack, no name on samples, whole numbers as integers, and else the shortest float from
which the sample's count (its time, to the period) follows exactly again.
"""

import json
import struct
from collections.abc import Callable
from decimal import Decimal

from protocol import cbor, frames
from tools.bench.minute import Reading, Wave

# SenML labels in CBOR (RFC 8428 §6) and, beside them, in JSON (§5).
BN, BT, BU, N, U, V, T = -2, -3, -4, 0, 1, 2, 6
JSON_LABELS = {BN: "bn", BT: "bt", BU: "bu", N: "n", U: "u", V: "v", T: "t"}
NAME = "urn:dev:mac:7de116fffe1f591a:"
UNIX_S = 1_700_000_000
SAMPLE_BITS = 18

# Signal: name, unit (RFC 8798 §2), and how many LSB units (nV, pA) are one of it.
SIGNALS = {
    frames.CH_ECG: ("ecg", "mV", 10**6),
    frames.CH_PPG_RED: ("red", "mA", 10**9),
    frames.CH_PPG_IR: ("infrared", "mA", 10**9),
}
# Reading: name, unit (RFC 8428 §12.1, RFC 8798 §2), and how many of ours are one of it.
READINGS: "dict[int, dict[int, tuple[str, str, int]]]" = {
    frames.KIND_VITALS: {
        frames.VITALS_HR: ("hr", "beat/min", 10),
        frames.VITALS_RR: ("rr", "ms", 1),
        frames.VITALS_SPO2: ("spo2", "/100", 10),
        frames.VITALS_PULSE: ("pulse", "beat/min", 10),
        frames.VITALS_PI: ("pi", "/100", 100),
        frames.VITALS_ECG_QUALITY: ("ecg_quality", "/100", 1),
        frames.VITALS_PPG_QUALITY: ("ppg_quality", "/100", 1),
        frames.VITALS_FLAGS: ("flags", "", 1),
    },
    frames.KIND_STATUS: {
        key: (f"s{key}", {1: "B", 2: "B", 7: "s", 9: "B"}.get(key, ""), 1) for key in range(1, 15)
    },
}

Record = dict[int, "str | Decimal"]


def raw(item: "Wave | Reading") -> bytes:
    """Packed integers, no names: 18 bits a sample as the sensors' FIFOs have them, behind 12 bytes."""
    if isinstance(item, Wave):
        bits = 0
        for sample in item.samples:
            bits = bits << SAMPLE_BITS | sample & (1 << SAMPLE_BITS) - 1
        count = len(item.samples)
        return struct.pack(">BQHB", 2, item.t_us, count, item.channel) + bits.to_bytes(
            (count * SAMPLE_BITS + 7) // 8, "big"
        )
    out = struct.pack(">BQ", item.kind, item.t_us)
    if item.kind == frames.KIND_STATUS:
        return out + struct.pack(">14I", *(item.body[key] for key in range(1, 15)))
    rr = item.body.get(frames.VITALS_RR, [])
    assert isinstance(rr, list)
    numbers = [item.body.get(key, 0) for key in (1, 3, 4, 5, 6, 7, 8)]
    return out + struct.pack(f">4H2BHB{len(rr)}H", *numbers, len(rr), *rr)


def records(item: "Wave | Reading") -> "list[Record]":
    """The SenML pack of an item, with exact decimal values."""
    time = UNIX_S + Decimal(item.t_us) / 1_000_000
    pack: list[Record] = []
    if isinstance(item, Wave):
        name, unit, per = SIGNALS[item.channel]
        for i, sample in enumerate(item.samples):
            at: Record = {T: i * Decimal(item.period_ns) / 10**9} if i else {}
            pack.append({**at, V: Decimal(sample * item.lsb) / per})
        pack[0] = {BN: NAME + name, BT: time, BU: unit, **pack[0]}
        return pack
    for key, value in sorted(item.body.items()):
        name, unit, per = READINGS[item.kind][key]
        label: Record = {N: name, U: unit} if unit else {N: name}
        pack += [{**label, V: Decimal(one) / per} for one in (value if isinstance(value, list) else [value])]
    pack[0] = {BN: NAME, BT: time, **pack[0]}
    return pack


def senml_json(item: "Wave | Reading") -> bytes:
    """The pack in JSON, without a space; decimals as they are."""
    written = [
        "{"
        + ",".join(
            f'"{JSON_LABELS[label]}":{json.dumps(value) if isinstance(value, str) else _decimal(value)}'
            for label, value in record.items()
        )
        + "}"
        for record in records(item)
    ]
    return f"[{','.join(written)}]".encode()


def senml_cbor(item: "Wave | Reading") -> bytes:
    """The pack in CBOR."""
    restores = _restores(item)
    pack = records(item)
    out = [cbor.head(4, len(pack))]
    for record in pack:
        out.append(cbor.head(5, len(record)))
        for label, value in record.items():
            out.append(cbor.dumps(label))
            out.append(cbor.dumps(value) if isinstance(value, str) else _number(value, restores[label]))
    return b"".join(out)


def _restores(item: "Wave | Reading") -> "dict[int, Callable[[float, Decimal], bool]]":
    """By label: whether a float is as good as the exact value."""
    wave = isinstance(item, Wave)
    value_step = Decimal(item.lsb) / SIGNALS[item.channel][2] if wave else Decimal("0.01")
    time_step = Decimal(item.period_ns) / 10**9 if wave else Decimal(1)

    def to(step: Decimal) -> "Callable[[float, Decimal], bool]":
        return lambda rough, exact: round(Decimal(rough) / step) == round(exact / step)

    return {V: to(value_step), T: to(time_step), BT: to(Decimal("0.000001"))}


def _number(value: Decimal, good: "Callable[[float, Decimal], bool]") -> bytes:
    if value == int(value):
        return cbor.dumps(int(value))
    for initial, form in ((0xF9, ">e"), (0xFA, ">f")):
        packed = struct.pack(form, value)
        if good(struct.unpack(form, packed)[0], value):
            return bytes((initial,)) + packed
    return b"\xfb" + struct.pack(">d", value)


def _decimal(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

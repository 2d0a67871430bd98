"""Bytes a second on the wire, ours beside packed binary, SenML-CBOR and SenML-JSON of the same content.

    python -m tools.bench overhead [--db DIR] [--records 100,101] [--seconds 60] [--json FILE]

The content: ECG at 250 Hz, red and infrared at 100 Hz each, vitals every second, status every ten, of the
model patient or of the beginning of recordings (tools/bench/minute.py). Ours is framed, sealed and numbered
as a node does it, with its attestations and time echoes, and what the agent sends back; the others
(tools/bench/renderings.py) are counted as they are, and again in our seal and framing. They attest nothing
and compress nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from protocol import attest, cobs, crypto, frames, messages, seal, waveform
from protocol.identity import generate_steps
from tools.bench import minute, records, renderings, report
from tools.bench.minute import Content, Reading, Wave

SECONDS = 60
MAX_SECONDS = 3600
ECHO_EVERY_S = 10
WAVE_BITS = 18
BOOT_ID = bytes(3) + b"\x01" + bytes(range(8))
OTHERS = {"raw": renderings.raw, "senml_cbor": renderings.senml_cbor, "senml_json": renderings.senml_json}
TITLES = {"raw": "packed binary", "senml_cbor": "SenML-CBOR", "senml_json": "SenML-JSON"}


class _Wire:
    """A node's uplink: seals frames in order; counts by kind of byte."""

    def __init__(self) -> None:
        identity = crypto.run(generate_steps(bytes(64)))
        self._keys = seal.SealingKeys(bytes(16), seal.BootKeys(bytes(16), BOOT_ID))
        self._attester = attest.Attester(identity, BOOT_ID)
        self.seq = 0
        self.bytes = dict.fromkeys(("samples", "fields", "attestation", "seal", "framing"), 0)

    def frame(self, kind: int, t_us: int, body: "dict[int, Any]") -> None:
        """One frame, and the attestation that is due after it."""
        plaintext = frames.pack(kind, t_us, body)
        message = messages.data(0, self._keys.seal(self.seq, plaintext))
        samples = len(body[frames.WAVE_DATA]) if kind == frames.KIND_WAVE else 0
        rest = "attestation" if kind == frames.KIND_ATTEST else "fields"
        self.bytes["samples"] += samples
        self.bytes[rest] += len(plaintext) - samples
        self.bytes["seal"] += len(message) - len(plaintext)
        self.bytes["framing"] += len(cobs.encode(message)) - len(message)
        self._attester.add(self.seq, plaintext)
        self.seq += 1
        if kind != frames.KIND_ATTEST and self._attester.due(t_us // 1000):
            self.frame(frames.KIND_ATTEST, t_us, crypto.run(self._attester.sign_steps(t_us // 1000)))


def measure(content: Content) -> "dict[str, Any]":
    """Bytes a second: `ours` in all and split, `downlink`, and of each other form alone and sealed."""
    wire, answers = _Wire(), seal.Downlink(bytes(32), BOOT_ID, bytes(16))
    downlink, acked, second = 0, 0, 1
    for item in [*content.items, None]:
        ends_us = item.t_us + _length_us(item) if item else (content.seconds + 1) * minute.US
        if ends_us >= (second + 1) * minute.US:
            # All of a second is in one commit of the agent's, and in one ack.
            replies = [frames.pack(frames.KIND_ACK, second * minute.US, [0, [[acked, wire.seq - acked]]])]
            acked = wire.seq
            if second % ECHO_EVERY_S == 0:
                replies.append(frames.pack(frames.KIND_TIME_DOWN, second * minute.US, {1: 1 << 47}))
                echo = {frames.TIME_TOKEN: 1 << 47, frames.TIME_RECEIVED_US: second * minute.US}
                wire.frame(frames.KIND_TIME, second * minute.US, echo)
            downlink += sum(len(cobs.encode(answers.seal(reply))) for reply in replies)
            second += 1
        if item is not None:
            wire.frame(*_ours(item, content.source))
    others: dict[str, dict[str, float]] = {}
    for name, render in OTHERS.items():
        payloads = [render(item) for item in content.items]
        others[name] = {
            "alone": sum(len(payload) for payload in payloads) / content.seconds,
            "sealed": sum(sealed_bytes(payload, seq) for seq, payload in enumerate(payloads))
            / content.seconds,
        }
    split = {name: count / content.seconds for name, count in wire.bytes.items()}
    return {
        "content": content.label,
        "seconds": content.seconds,
        "frames": wire.seq,
        "ours": sum(split.values()),
        "split": split,
        "downlink": downlink / content.seconds,
        "others": others,
    }


def sealed_bytes(plaintext: bytes, seq: int) -> int:
    """Bytes on the wire of a plaintext, sealed under that number and framed."""
    return len(cobs.encode(sealed_message(plaintext, seq)))


def sealed_message(plaintext: bytes, seq: int, boot_index: int = 0) -> bytes:
    """The data message of a plaintext under that number, as any node would make it."""
    keys = seal.SealingKeys(bytes(16), seal.BootKeys(bytes(16), BOOT_ID))
    return messages.data(boot_index, keys.seal(seq, plaintext))


def _length_us(item: "Wave | Reading") -> int:
    return len(item.samples) * item.period_ns // 1000 if isinstance(item, Wave) else 0


def _ours(item: "Wave | Reading", source: int) -> "tuple[int, int, dict[int, Any]]":
    if isinstance(item, Reading):
        vitals = item.kind == frames.KIND_VITALS
        sources = {frames.SOURCE: source, frames.SOURCE_PPG: frames.SRC_SYNTHETIC} if vitals else {}
        return item.kind, item.t_us, {**item.body, **sources}
    body = {
        frames.WAVE_CHANNEL: item.channel,
        frames.WAVE_COUNT: len(item.samples),
        frames.WAVE_PERIOD_NS: item.period_ns,
        frames.WAVE_LSB: item.lsb,
        frames.WAVE_CODEC: waveform.CODEC,
        frames.WAVE_DATA: waveform.encode(item.samples, len(item.samples), WAVE_BITS),
        frames.SOURCE: source if item.channel == frames.CH_ECG else frames.SRC_SYNTHETIC,
    }
    return frames.KIND_WAVE, item.t_us, body


def seal_extremes() -> "dict[str, int]":
    """What a seal adds to a plaintext at least and at most, in bytes: header, boot index, number, tag."""
    sizes = [
        len(sealed_message(bytes(size), seq)) - size
        for size in (4, 15, 16, 247, 248, frames.MAX_PLAINTEXT)
        for seq in (0, 0xFF, 0x100, 0xFFFF, 0x10000, 0xFFFFFF, 0x1000000, 0xFFFFFFFF)
    ]
    return {"least": min(sizes), "most": max(sizes)}


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench overhead", description="Bytes a second on the wire, ours and others'."
    )
    records.add_options(parser)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of each (%(default)s)")
    report.add_option(parser)
    options = parser.parse_args(argv)
    if not 2 <= options.seconds <= MAX_SECONDS:
        parser.error(f"--seconds {options.seconds}: from 2 to {MAX_SECONDS}, all of which is held at once")
    if options.seconds % 2:
        parser.error(f"--seconds {options.seconds}: an even number, for a frame of the oximeter's has two")
    chosen: list[Path | None] = [None]
    if options.db or options.records:
        chosen = [*records.chosen(parser, options)]
    measured = [measure(minute.content(record, options.seconds)) for record in chosen]
    found = {"seal_bytes": seal_extremes(), "measured": measured}
    for line in _lines(found):
        print(line)
    report.write(options.json, found)
    return 0


def _lines(found: "dict[str, Any]") -> "list[str]":
    lines = [f"a seal adds {found['seal_bytes']['least']} to {found['seal_bytes']['most']} bytes to a frame"]
    for one in found["measured"]:
        lines += ["", f"{one['content']}; {one['seconds']} s, {one['frames']} frames; bytes a second"]
        lines.append(f"{'':20}{'alone':>10}{'sealed, framed':>16}{'of ours':>10}")
        plain = one["ours"] - one["split"]["seal"] - one["split"]["framing"]
        lines.append(f"{'ours':20}{plain:10.0f}{one['ours']:16.0f}{1:10.1f}")
        for name, row in one["others"].items():
            times = row["sealed"] / one["ours"]
            lines.append(f"{TITLES[name]:20}{row['alone']:10.0f}{row['sealed']:16.0f}{times:10.1f}")
        parts = ", ".join(f"{name} {count:.1f}" for name, count in one["split"].items())
        lines.append(f"ours: {parts}; back to the node {one['downlink']:.1f}")
    return lines


if __name__ == "__main__":
    sys.exit(main())

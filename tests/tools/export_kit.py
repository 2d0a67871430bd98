"""A collector's store with a morning of a person's measurements, and what went into it; other frames."""

import random
from collections.abc import Sequence

from click.testing import CliRunner

from edge_agent import keys
from edge_agent.keys import PublicKeys
from protocol import batch, frames, waveform
from tests.tools.collector_rig import (
    BOOT,
    COLLECTOR,
    NODE,
    NODE_KEYS,
    PERSON,
    Chain,
    Rig,
    assign,
    believe,
    clock,
)
from tools.collector.commands import command
from tools.vectors.frames import BOOT_BODY

DAY_MS = 1_763_769_600_000  # 2025-11-22, midnight UTC
BEGIN_MS = DAY_MS + 8 * 3_600_000
ECG_NS, ECG_LSB, ECG_EACH = 3_906_250, 3052, 256
PPG_NS, PPG_LSB, PPG_EACH = 10_000_000, 7813, 100
MISSING = range(5, 9)
"""Seconds without ECG."""
SECONDS = 20
END_US = BEGIN_MS * 1000 + SECONDS * 1_000_000 + 20_000
"""The person's node until then: a little after the last sample."""


def wave(channel: int, t_us: int, samples: list[int], period_ns: int, lsb: int, **more: int) -> bytes:
    body = {
        frames.WAVE_CHANNEL: channel,
        frames.WAVE_COUNT: len(samples),
        frames.WAVE_PERIOD_NS: period_ns,
        frames.WAVE_LSB: lsb,
        frames.WAVE_CODEC: waveform.CODEC,
        frames.WAVE_DATA: waveform.encode(samples, len(samples)),
    }
    if "source" in more:
        body[frames.SOURCE] = more["source"]
    if "flags" in more:
        body[frames.WAVE_FLAGS] = more["flags"]
    if "missed" in more:
        body[frames.WAVE_MISSED] = more["missed"]
    return frames.pack(frames.KIND_WAVE, t_us, body)


def ecg(t_us: int, value: int = 5, **more: int) -> bytes:
    """A second of it, by its nominal period."""
    return wave(frames.CH_ECG, t_us, [value] * ECG_EACH, ECG_NS, ECG_LSB, **more)


def boot_frame(source: str | None = None) -> bytes:
    """What a start begins with. `source`: its input in the place of sensors."""
    body = {key: value for key, value in BOOT_BODY.items() if key != frames.BOOT_INPUT}
    if source is not None:
        body[frames.BOOT_INPUT] = source
    return frames.pack(frames.KIND_BOOT, 0, body)


def vitals(t_us: int, **more: object) -> bytes:
    """`more`: keys as _3."""
    body: dict[int, object] = {frames.VITALS_HR: 724, frames.VITALS_SPO2: 971, frames.VITALS_FLAGS: 0}
    body.update({int(key[1:]): value for key, value in more.items()})
    return frames.pack(frames.KIND_VITALS, t_us, body)


def mark(t_us: int, text: str) -> bytes:
    body = {frames.EVENT_CODE: frames.EVENT_MARK, frames.EVENT_PRIORITY: 0, frames.EVENT_TEXT: text}
    return frames.pack(frames.KIND_EVENT, t_us, body)


def stored(
    rig: Rig, plaintexts: Sequence[bytes], fits: Sequence[tuple[int, int]] = (), to_ms: int = 0
) -> None:
    """A boot of these frames, the person's from its beginning (until `to_ms`). `fits`: (node time, how far
    the agent's clock is ahead of BEGIN_MS + node time), us.
    """
    entries = [NODE_KEYS]
    for t_us, ahead_us in fits or [(0, 0)]:
        entries.append(batch.clock_entry(NODE.id, BOOT, t_us, BEGIN_MS * 1000 + t_us + ahead_us, 0, 1500))
    entries.append(assign(PERSON, BEGIN_MS - 10_000, to_ms or None, BEGIN_MS - 10_000))
    entries += [batch.frame_entry(NODE.id, BOOT, seq, one, BEGIN_MS) for seq, one in enumerate(plaintexts)]
    rig.receipt(Chain().make(entries))


class Morning:
    """`ecg` and `ppg`: second → samples; `plaintexts` in the order of their numbers."""

    def __init__(self, ppg_bits: int = 18, seed: int = 1):
        dice = random.Random(seed)
        self.ecg = {
            s: [dice.randint(-9000, 9000) for _ in range(ECG_EACH)]
            for s in range(SECONDS)
            if s not in MISSING
        }
        high = 1 << (ppg_bits - 1)
        self.ppg = {s: [dice.randint(0, high - 1) for _ in range(PPG_EACH)] for s in range(SECONDS)}
        self.plaintexts = [boot_frame()]
        for s in range(SECONDS):
            t_us = s * 1_000_000
            if s in self.ecg:
                self.plaintexts.append(wave(frames.CH_ECG, t_us, self.ecg[s], ECG_NS, ECG_LSB))
            # 3 ms of jitter are no gap.
            jitter = dice.randint(0, 3000)
            self.plaintexts.append(wave(frames.CH_PPG_RED, t_us + jitter, self.ppg[s], PPG_NS, PPG_LSB))
        self.plaintexts.append(vitals(10_000_000))
        self.plaintexts.append(mark(12_500_000, "Anna felt dizzy"))

    def store(self, rig: Rig, assigned: bool = True) -> Chain:
        chain = Chain()
        entries = [NODE_KEYS, clock(BEGIN_MS, 1500)]
        if assigned:
            entries.append(assign(PERSON, BEGIN_MS - 10_000, END_US // 1000, BEGIN_MS - 10_000))
        for seq, plaintext in enumerate(self.plaintexts):
            entries.append(batch.frame_entry(NODE.id, BOOT, seq, plaintext, BEGIN_MS + seq))
        rig.receipt(chain.make(entries))
        return chain


def make_empty(tmp_path, place=None) -> Rig:
    rig = Rig(tmp_path, place)
    keys.write_public(tmp_path / "collector.pub", "collector", PublicKeys(*COLLECTOR.public()))
    believe(tmp_path)
    return rig


def make(tmp_path, place=None, **more) -> tuple[Rig, Morning]:
    rig, morning = make_empty(tmp_path, place), Morning(**more)
    morning.store(rig)
    return rig, morning


def run(rig: Rig, *arguments: str, code: int = 0) -> str:
    where = ["--state", str(rig.folder)]
    if isinstance(rig.place, str):
        where += ["--database", rig.place]
    result = CliRunner().invoke(command, [arguments[0], *where, *arguments[1:]])
    assert result.exit_code == code, result.output
    return result.output


def export(rig: Rig, form: str, *more: str, code: int = 0) -> list:
    out = rig.folder / f"out-{form}-{len(list(rig.folder.glob('out-*')))}"
    run(rig, "export", "--person", PERSON.hex(), "--format", form, str(out), *more, code=code)
    return sorted(out.iterdir()) if out.exists() else []

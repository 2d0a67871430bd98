"""A collector's store with a morning of a person's measurements, and what went into it."""

import os
import random

from protocol import batch, frames, records, waveform
from tests.tools.collector_rig import BOOT, NODE, NODE_KEYS, Chain, Rig, make_identity

OPERATOR, PERSON, OTHER = make_identity(31), b"person-number-01", b"person-number-02"
DAY_MS = 1_763_769_600_000  # 2025-11-22, midnight UTC
BEGIN_MS = DAY_MS + 8 * 3_600_000
ECG_NS, ECG_LSB, ECG_EACH = 3_906_250, 3052, 256
PPG_NS, PPG_LSB, PPG_EACH = 10_000_000, 7813, 100
MISSING = range(5, 9)
"""Seconds without ECG."""
SECONDS = 20
END_US = BEGIN_MS * 1000 + SECONDS * 1_000_000


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
    return frames.pack(frames.KIND_WAVE, t_us, body)


class Morning:
    """`ecg` and `ppg`: second → samples; `plaintexts` in the order of their numbers."""

    def __init__(self, ppg_bits: int = 18, seed: int = 1, boot_input: bool = False):
        dice = random.Random(seed)
        self.ecg = {
            s: [dice.randint(-9000, 9000) for _ in range(ECG_EACH)]
            for s in range(SECONDS)
            if s not in MISSING
        }
        high = 1 << (ppg_bits - 1)
        self.ppg = {s: [dice.randint(0, high - 1) for _ in range(PPG_EACH)] for s in range(SECONDS)}
        self.plaintexts: list[bytes] = []
        boot = {frames.BOOT_FIRMWARE: "v", frames.BOOT_BOARD: "b", frames.BOOT_RESET_CAUSE: 1}
        boot.update({frames.BOOT_KEYS: [], frames.BOOT_CHANNELS: [], frames.BOOT_ENTROPY: 1})
        for s in range(SECONDS):
            t_us = s * 1_000_000
            if s in self.ecg:
                self.plaintexts.append(wave(frames.CH_ECG, t_us, self.ecg[s], ECG_NS, ECG_LSB))
            # 3 ms of jitter are no gap.
            jitter = dice.randint(0, 3000)
            self.plaintexts.append(wave(frames.CH_PPG_RED, t_us + jitter, self.ppg[s], PPG_NS, PPG_LSB))
        vitals = {frames.VITALS_HR: 724, frames.VITALS_SPO2: 971, frames.VITALS_FLAGS: 0}
        self.plaintexts.append(frames.pack(frames.KIND_VITALS, 10_000_000, vitals))
        event = {
            frames.EVENT_CODE: frames.EVENT_MARK,
            frames.EVENT_PRIORITY: 0,
            frames.EVENT_TEXT: "Anna felt dizzy",
        }
        self.plaintexts.append(frames.pack(frames.KIND_EVENT, 12_500_000, event))

    def store(self, rig: Rig, assign: bool = True) -> Chain:
        chain = Chain()
        entries = [NODE_KEYS, batch.clock_entry(NODE.id, BOOT, 0, BEGIN_MS * 1000, 0, 1500)]
        if assign:
            made = BEGIN_MS - 10_000
            record = records.make_assignment(
                OPERATOR, NODE.id, PERSON, made, made, os.urandom(8), END_US // 1000
            )
            entries.append(batch.assignment_entry(record))
        for seq, plaintext in enumerate(self.plaintexts):
            entries.append(batch.frame_entry(NODE.id, BOOT, seq, plaintext, BEGIN_MS + seq))
        rig.receipt(chain.make(entries))
        return chain

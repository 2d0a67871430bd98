"""What a node has to say in a while: the samples and readings themselves, before anything encodes them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from boards.virtual.patient import make_patient
from protocol import frames

ECG_PERIOD_NS, ECG_LSB_NV = 4_000_000, 3052
PPG_PERIOD_NS, PPG_LSB_PA = 10_000_000, 62
ECG_FRAME, PPG_FRAME = 250, 200
"""Samples of a wave frame: of the ECG a second, of each colour two."""
STATUS_EVERY_S = 10
US = 1_000_000


@dataclass(frozen=True)
class Wave:
    """A stretch of one channel: `samples` are counts of `lsb` (nV or pA), `period_ns` apart."""

    channel: int
    t_us: int
    period_ns: int
    lsb: int
    samples: "list[int]"


@dataclass(frozen=True)
class Reading:
    """A vitals or a status frame's body, by the keys of protocol.frames."""

    kind: int
    t_us: int
    body: "dict[int, int | list[int]]"


@dataclass
class Content:
    """`seconds` of a patient, in the order in which a node would send it. `label`: whose."""

    label: str
    seconds: int
    source: int
    items: "list[Wave | Reading]" = field(default_factory=list["Wave | Reading"])


def content(record: "Path | None", seconds: int) -> Content:
    """`seconds` of a recording, or of the model patient. RecordError."""
    patient = make_patient(record)
    made = Content(patient.label, seconds, patient.source_ecg)
    ecg = [
        round(uv * 1000 / ECG_LSB_NV)
        for uv in patient.ecg_uv(0, ECG_PERIOD_NS / 1000, seconds * US * 1000 // ECG_PERIOD_NS)
    ]
    colours = patient.ppg_na(0, PPG_PERIOD_NS / 1000, seconds * US * 1000 // PPG_PERIOD_NS)
    red, infrared = ([round(na * 1000 / PPG_LSB_PA) for na in colour] for colour in colours)
    spo2_x10 = round(10 * patient.spo2_pct)
    for second in range(1, seconds + 1):
        made.items += _waves(frames.CH_ECG, ECG_PERIOD_NS, ECG_LSB_NV, ecg, ECG_FRAME, second)
        made.items += _waves(frames.CH_PPG_RED, PPG_PERIOD_NS, PPG_LSB_PA, red, PPG_FRAME, second)
        made.items += _waves(frames.CH_PPG_IR, PPG_PERIOD_NS, PPG_LSB_PA, infrared, PPG_FRAME, second)
        made.items.append(_vitals(patient.beats_s(max(0, second - 8), second), second, spo2_x10))
        if second % STATUS_EVERY_S == 0:
            made.items.append(_status(second))
    return made


def _waves(
    channel: int, period_ns: int, lsb: int, samples: "list[int]", size: int, second: int
) -> "Iterator[Wave]":
    """The frame that is full at the end of that second, if one is."""
    taken = second * US * 1000 // period_ns
    if taken % size == 0:
        yield Wave(channel, (taken - size) * period_ns // 1000, period_ns, lsb, samples[taken - size : taken])


def _vitals(beats_s: "list[float]", second: int, spo2_x10: int) -> Reading:
    """What a node would read from these beats, the last of which are of this second."""
    rr = [(end, round(1000 * (end - begin))) for begin, end in pairwise(beats_s)]
    body: dict[int, int | list[int]] = {frames.VITALS_FLAGS: frames.VITALS_UNCALIBRATED}
    if rr:
        rate = round(600_000 * len(rr) / sum(ms for _, ms in rr))
        newest = [ms for end, ms in rr if end >= second - 1]
        body |= {frames.VITALS_HR: rate, frames.VITALS_PULSE: rate}
        body |= {frames.VITALS_RR: newest} if newest else {}
        body |= {frames.VITALS_SPO2: spo2_x10, frames.VITALS_PI: 201}
    body |= {frames.VITALS_ECG_QUALITY: 96, frames.VITALS_PPG_QUALITY: 88}
    return Reading(frames.KIND_VITALS, second * US, body)


def _status(second: int) -> Reading:
    body: dict[int, int | list[int]] = dict.fromkeys(range(1, 15), 0)
    body |= {
        frames.STATUS_HEAP_FREE: 61_440,
        frames.STATUS_HEAP_LOW: 40_960,
        frames.STATUS_JITTER_US: 812,
        frames.STATUS_RESET_CAUSE: frames.RESET_POWER_ON,
        frames.STATUS_UPTIME_S: second,
        frames.STATUS_OUTBOX_FRAMES: 3,
        frames.STATUS_OUTBOX_BYTES: 700,
        frames.STATUS_NEXT_SEQ: 4 * second,
    }
    return Reading(frames.KIND_STATUS, second * US, body)

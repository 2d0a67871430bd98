"""What the agent's store says of each node, read as it grows: the strip, the values, and the node's own
status.
"""

import time
from array import array
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.readable import printable
from edge_agent.store.database import Database, open_file
from edge_agent.store.rows import journal_rows
from protocol import frames, waveform
from protocol.errors import CodecError, FrameError
from protocol.frame_names import BP_RESULT_NAMES

STRIP_S = 6
SETTLED_US = 20_000_000
"""From this node time on heart rates count for the mean: the detector has settled."""
READ_AT_ONCE = 2000
PA_PER_MMHG = 133.322
SIGNALS = {frames.CH_ECG: "ECG", frames.CH_CUFF: "blood pressure"}
STALE_S = 5.0
"""Wall seconds after which a reading that nothing has followed is shown no longer."""


@dataclass(frozen=True)
class BloodPressure:
    """How one measurement ended: pressures in mmHg and the pulse in 1/min, or why there are none.

    `refused`: the reason, None when it was measured.
    """

    sys: float | None = None
    dia: float | None = None
    map: float | None = None
    pulse: float | None = None
    confidence: int | None = None
    refused: str | None = None

    def summary(self) -> dict[str, Any]:
        """For the end summary."""
        if self.refused is not None:
            return {"refused": self.refused}
        return {
            "sys": self.sys,
            "dia": self.dia,
            "map": self.map,
            "pulse": self.pulse,
            "confidence": self.confidence,
        }


@dataclass
class NodeReadings:
    """One node. Rates in 1/min, SpO2 in percent, ECG in microvolts, the cuff in mmHg; None where nothing was
    measured yet. `bp`: the last measurement; `cuff_mmhg`: in one that is not over.

    `unread`: frames and blocks that are damaged, and blocks of a codec that is not read here.
    """

    node: bytes
    label: str | None = None
    board: str = ""
    has_cuff: bool = False
    sources: dict[str, int | None] = field(default_factory=dict)
    fs_hz: float = 250.0
    ecg_uv: "deque[float]" = field(default_factory=deque)
    hr: float | None = None
    spo2: float | None = None
    pulse: float | None = None
    uncalibrated: bool = False
    flags: int = 0
    t_us: int = 0
    bp: BloodPressure | None = None
    cuff_mmhg: float | None = None
    bp_number: int = 0
    """Of the last measurement in this boot that is over."""
    bp_entry: int | None = None
    """The last measurement's place in the agent's store."""
    bp_receipted: bool = False
    heap_low: int | None = None
    frames: int = 0
    unread: int = 0
    measured_s: float | None = None
    """When its last reading came, on the clock of whoever reads."""
    hr_sum: float = 0.0
    hr_count: int = 0
    spo2_sum: float = 0.0
    spo2_count: int = 0

    @property
    def hr_mean(self) -> float | None:
        """Of the readings from t = 20 s on."""
        return self.hr_sum / self.hr_count if self.hr_count else None

    @property
    def spo2_mean(self) -> float | None:
        """Mean of the readings in percent; None without one."""
        return self.spo2_sum / self.spo2_count if self.spo2_count else None

    @property
    def synthetic(self) -> tuple[str, ...]:
        """Which signals are not a body's and not a recording's."""
        return tuple(name for name, source in self.sources.items() if source == frames.SRC_SYNTHETIC)

    def take(self, plaintext: bytes, now_s: float = 0.0) -> None:
        """One more frame, in the order in which the agent stored them, read at `now_s`."""
        self.frames += 1
        try:
            kind, t_us, body = frames.unpack(plaintext)
        except FrameError:
            self.unread += 1
            return
        self.t_us = max(self.t_us, t_us)
        if kind == frames.KIND_BOOT:
            label = body.get(frames.BOOT_INPUT)
            self.label = None if label is None else printable(label)
            self.board = printable(body[frames.BOOT_BOARD])
            self.has_cuff = any(channel[0] == frames.CH_CUFF for channel in body[frames.BOOT_CHANNELS])
            self.t_us, self.bp_number = t_us, 0
        elif kind == frames.KIND_WAVE:
            self._take_wave(body)
        elif kind == frames.KIND_VITALS:
            self._take_vitals(t_us, body)
            self.measured_s = now_s
        elif kind == frames.KIND_BP:
            self._take_bp(body)
        elif kind == frames.KIND_STATUS:
            low = body[frames.STATUS_HEAP_LOW]
            self.heap_low = low if self.heap_low is None else min(self.heap_low, low)

    def age(self, now_s: float, stale_s: float = STALE_S) -> None:
        """Drop a reading that has become too old to be called present."""
        if self.measured_s is not None and now_s - self.measured_s > stale_s:
            self.hr = self.spo2 = self.pulse = self.measured_s = None
            self.flags = 0

    def _take_wave(self, body: dict[int, Any]) -> None:
        channel = body[frames.WAVE_CHANNEL]
        self.sources[SIGNALS.get(channel, "pulse wave")] = body.get(frames.SOURCE)
        if channel not in SIGNALS:
            return
        samples = _samples(body)
        if channel == frames.CH_CUFF:
            # Its result goes first on the link: the end of the wave comes after it.
            if samples and body.get(frames.WAVE_MEASUREMENT) != self.bp_number:
                self.cuff_mmhg = samples[-1] * body[frames.WAVE_LSB] / PA_PER_MMHG
            return
        if samples is None:
            # What came before does not join what comes after.
            self.unread += 1
            self.ecg_uv.clear()
            return
        self.fs_hz = 1e9 / body[frames.WAVE_PERIOD_NS]
        lsb_uv = body[frames.WAVE_LSB] / 1000
        self.ecg_uv.extend(sample * lsb_uv for sample in samples)
        while len(self.ecg_uv) > STRIP_S * self.fs_hz:
            self.ecg_uv.popleft()

    def _take_bp(self, body: dict[int, Any]) -> None:
        def value(key: int) -> float | None:
            return body[key] / 10 if key in body else None

        self.sources["blood pressure"] = body.get(frames.SOURCE)
        self.cuff_mmhg, self.bp_number = None, body[frames.BP_NUMBER]
        result = body[frames.BP_RESULT]
        if result != frames.BP_MEASURED:
            self.bp = BloodPressure(refused=BP_RESULT_NAMES.get(result, f"reason {result}"))
            return
        self.bp = BloodPressure(
            value(frames.BP_SYSTOLIC),
            value(frames.BP_DIASTOLIC),
            value(frames.BP_MEAN),
            value(frames.BP_PULSE),
            body.get(frames.BP_CONFIDENCE),
        )

    def _take_vitals(self, t_us: int, body: dict[int, Any]) -> None:
        def value(key: int) -> float | None:
            return body[key] / 10 if key in body else None

        self.hr, self.spo2, self.pulse = (
            value(key) for key in (frames.VITALS_HR, frames.VITALS_SPO2, frames.VITALS_PULSE)
        )
        self.flags = body.get(frames.VITALS_FLAGS, 0)
        self.sources["ECG"] = body.get(frames.SOURCE)
        self.sources["pulse wave"] = body.get(frames.SOURCE_PPG)
        if self.hr is not None and t_us >= SETTLED_US:
            self.hr_sum, self.hr_count = self.hr_sum + self.hr, self.hr_count + 1
        if self.spo2 is not None:
            self.spo2_sum, self.spo2_count = self.spo2_sum + self.spo2, self.spo2_count + 1


def _samples(body: dict[int, Any]) -> "array[int] | None":
    """None: of another codec, by whose rules alone the block may be read, or damaged."""
    if body[frames.WAVE_CODEC] != waveform.CODEC:
        return None
    try:
        return waveform.decode(body[frames.WAVE_DATA], body[frames.WAVE_COUNT])
    except CodecError:
        return None


def _receipted(db: Database, entry: int) -> bool:
    """Whether the batch that holds this entry of the store has a verified receipt."""
    sql = "SELECT 1 FROM batches WHERE ? BETWEEN first_id AND last_id AND delivered"
    return db.execute(sql, (entry,)).fetchone() is not None


class Readings:
    """Every node in the agent's store at `path`; `update()` reads what came since the last time.

    `speed`: how much faster than the wall the nodes' time runs; slower nodes are given longer to follow up.
    """

    def __init__(self, path: Path, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic):
        self.path = path
        self._stale_s = STALE_S / min(1.0, speed)
        self._monotonic = monotonic
        self.nodes: dict[bytes, NodeReadings] = {}
        self._last = 0

    def update(self) -> None:
        """Read on. Before the agent has made its store there is nothing to read."""
        if not self.path.exists():
            return
        with closing(open_file(self.path)) as db:
            while True:
                newest = db.value("SELECT coalesce(max(id), 0) FROM journal")
                upto = min(newest, self._last + READ_AT_ONCE)
                now_s = self._monotonic()
                for row in journal_rows(db, self._last + 1, upto):
                    if row.node is None or row.data is None:
                        continue
                    reading = self.nodes.setdefault(row.node, NodeReadings(row.node))
                    bp = reading.bp
                    reading.take(row.data, now_s)
                    if reading.bp is not bp:
                        reading.bp_entry, reading.bp_receipted = row.id, False
                self._last = upto
                if upto == newest:
                    break
            for reading in self.nodes.values():
                if reading.bp_entry is not None and not reading.bp_receipted:
                    reading.bp_receipted = _receipted(db, reading.bp_entry)
        for reading in self.nodes.values():
            reading.age(now_s, self._stale_s)

"""Whom the chips are attached to: a recording, or a model. What it is can be asked, and goes with the data as
label and source.
"""

from pathlib import Path

import numpy as np

from boards.virtual.arm import BabbsArm
from boards.virtual.ecgsyn import ModelHeart
from boards.virtual.ppg import PulseWave, ratio_for
from boards.virtual.recording import RecordedHeart, find_record

# the wire protocol's key 15: where a signal comes from
SOURCE_REPLAY = 1
SOURCE_SYNTHETIC = 2
USUAL_BP = (120.0, 80.0)


class Patient:
    """A person on the sensors. Times are world microseconds.

    `lead_off`, `finger_off` and `spo2_pct` may be changed at any time, and so may the pressures of `arm`, the
    one in the cuff. `label` says in a few words what the input is; `source_ecg`, `source_ppg` and
    `source_cuff` are 1 (replay of a recording) or 2 (synthetic).
    """

    source_cuff = SOURCE_SYNTHETIC

    def __init__(
        self,
        heart: ModelHeart | RecordedHeart,
        spo2_pct: float = 97.0,
        pi_pct: float = 2.0,
        bp_mmhg: tuple[float, float] = USUAL_BP,
    ) -> None:
        self.heart = heart
        recorded = isinstance(heart, RecordedHeart)
        own_pulse = heart.pulse if recorded and heart.has_pulse else None
        self.pulse = PulseWave(heart.beats, spo2_pct, pi_pct, own_pulse)
        self.spo2_pct = spo2_pct
        self.arm = BabbsArm(*bp_mmhg, beats=heart.beats)
        self.lead_off = False
        self.finger_off = False
        self.source_ecg = SOURCE_REPLAY if recorded else SOURCE_SYNTHETIC
        self.source_ppg = SOURCE_SYNTHETIC
        if not recorded:
            self.label = "synthetic: ECG, pulse wave and arm from models"
        elif own_pulse:
            self.label = (
                f"replay of {heart.name}; its pulse wave, synthetic in two colours and SpO2; synthetic arm"
            )
        else:
            self.label = (
                f"replay of {heart.name}; synthetic pulse wave and arm from its beats ({heart.beats_from})"
            )

    @property
    def spo2_pct(self) -> float:
        """Oxygen saturation that the pulse wave shows, in percent."""
        return self.pulse.spo2_pct

    @spo2_pct.setter
    def spo2_pct(self, value: float) -> None:
        ratio_for(value)
        self.pulse.spo2_pct = value

    def ecg_uv(self, start_us: float, period_us: float, n: int) -> list[float]:
        """`n` samples of the ECG from `start_us` on, in microvolts."""
        t = (start_us + period_us * np.arange(n)) / 1e6
        return self.heart.ecg_uv(t, 1e6 / period_us).tolist()

    def ppg_na(self, start_us: float, period_us: float, n: int) -> tuple[list[float], list[float]]:
        """`n` samples of red and infrared photocurrent from `start_us` on, in nA at 7.2 mA a LED."""
        t = (start_us + period_us * np.arange(n)) / 1e6
        red, infrared = self.pulse.dark_na(t) if self.finger_off else self.pulse.photocurrents_na(t)
        return red.tolist(), infrared.tolist()

    def beats_s(self, start_s: float, end_s: float) -> list[float]:
        """True times of the R peaks in [start_s, end_s), in world seconds."""
        return self.heart.beats(start_s, end_s)


def make_patient(
    record: str | Path | None = None,
    hr_bpm: float = 72.0,
    spo2_pct: float = 97.0,
    seed: int = 1,
    lead: int | None = None,
    bp_mmhg: tuple[float, float] = USUAL_BP,
) -> Patient:
    """A patient from a recording (path, or a name such as mitdb/100), or a model when there is none. Raises
    RecordError.
    """
    if record is None:
        return Patient(ModelHeart(hr_bpm, seed=seed), spo2_pct, bp_mmhg=bp_mmhg)
    return Patient(RecordedHeart(find_record(str(record)), lead), spo2_pct, bp_mmhg=bp_mmhg)

"""Waveforms other than recorded ECG, as a node would send them: what the codec benchmark also measures.

`ppg`: red and infrared of the virtual patient's pulse-wave model (boards/virtual/ppg.py, 0.4 nA of noise) as
a MAX30102 counts them, 18 bits of 62.5 pA at 100 Hz. Synthetic.

`max30003`: the virtual patient's ECG model (boards/virtual/ecgsyn.py: 4 uV rms of noise from the electrodes,
8 uV of mains, wandering) at 250 Hz through a MAX30003: 16 bits over 1 V at a gain of 20, so 1.53 uV a unit.
Its own noise is assumed white and 0.9 uV rms: the 3.1 uV peak to peak, typical, of the data sheet taken as
0.47 uV rms within 40 Hz, and widened to 150 Hz. Synthetic.

`cuff`: real deflations of a cuff at 1 kHz, in volts ((V - 0.710) * 937.575 mmHg), averaged over 10 ms to
100 Hz and rounded to 1 Pa, as a pressure sensor would give them. Recordings, where there are any.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from boards.virtual.ecgsyn import ModelHeart
from boards.virtual.ppg import PulseWave

SECONDS = 120
PPG_HZ, ECG_HZ, CUFF_HZ = 100, 250, 100
NA_PER_COUNT = 0.0625
UV_PER_COUNT = 1e6 / 20 / (1 << 15)
FRONT_END_UV = 0.9
CUFF_ZERO_V, MMHG_PER_V, PA_PER_MMHG = 0.710, 7.5006 * 50 * 2.5, 133.322
CUFF_OVER = 10

Array = np.ndarray


class Source(NamedTuple):
    """Signals of one kind, in the units that go on the wire."""

    name: str
    rate_hz: int
    synthetic: bool
    signals: "list[Array]"


def ppg(seconds: int = SECONDS) -> "list[Array]":
    """Red and infrared counts."""
    t = np.arange(seconds * PPG_HZ) / PPG_HZ
    currents = PulseWave(ModelHeart().beats).photocurrents_na(t)
    return [np.round(current / NA_PER_COUNT).astype(np.int32) - (1 << 17) for current in currents]


def max30003(seconds: int = SECONDS) -> "list[Array]":
    """One lead's codes."""
    t = np.arange(seconds * ECG_HZ) / ECG_HZ
    noise = np.random.default_rng(3).normal(0.0, FRONT_END_UV, len(t))
    return [np.round((ModelHeart().ecg_uv(t, ECG_HZ) + noise) / UV_PER_COUNT).astype(np.int32)]


def cuff(folder: Path) -> "list[Array]":
    """Pressures in Pa of every `sample_*.dat` (time and volts, in columns) of a folder, one array a file."""
    return [_pascals(path) for path in sorted(folder.glob("sample_*.dat"))]


def _pascals(path: Path) -> Array:
    volts = np.loadtxt(path, usecols=1)
    volts = volts[: len(volts) // CUFF_OVER * CUFF_OVER].reshape(-1, CUFF_OVER).mean(axis=1)
    return np.round((volts - CUFF_ZERO_V) * MMHG_PER_V * PA_PER_MMHG).astype(np.int32)


def all_of(folder: "Path | None") -> "Iterator[Source]":
    """Each source; the cuff's where `folder` has some."""
    yield Source("ppg", PPG_HZ, True, ppg())
    yield Source("max30003", ECG_HZ, True, max30003())
    waves = cuff(folder) if folder is not None else []
    if waves:
        yield Source("cuff", CUFF_HZ, False, waves)

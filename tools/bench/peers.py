"""Well-known QRS detectors, on the samples that the firmware's chain was given.

Both look ahead without limit, which a node cannot: XQRS filters the whole record forwards and backwards and
learns its levels from it; `pantompkins1985` filters so, too, and searches back through all.
"""

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

LOOK_AHEAD = {
    "xqrs": "wfdb XQRS: off-line, sees the whole record (learns from it, zero-phase filters)",
    "pantompkins1985": "neurokit2 pantompkins1985: off-line, sees the whole record (zero-phase filters)",
}
PACKAGES = {"xqrs": "wfdb", "pantompkins1985": "neurokit2"}


def xqrs(millivolts: np.ndarray, fs_hz: int) -> list[int]:
    """Beats (indices) by wfdb's XQRS with its defaults."""
    processing: Any = importlib.import_module("wfdb.processing")
    detector = processing.XQRS(sig=millivolts, fs=fs_hz)
    detector.detect(verbose=False)
    return [int(i) for i in detector.qrs_inds]


def pantompkins1985(millivolts: np.ndarray, fs_hz: int) -> list[int]:
    """Beats (indices) by neurokit2's version of Pan and Tompkins, with its own cleaning."""
    neurokit: Any = importlib.import_module("neurokit2")
    clean = neurokit.ecg_clean(millivolts, sampling_rate=fs_hz, method="pantompkins1985")
    _, found = neurokit.ecg_peaks(clean, sampling_rate=fs_hz, method="pantompkins1985")
    return [int(i) for i in found["ECG_R_Peaks"]]


DETECTORS: dict[str, Callable[[np.ndarray, int], list[int]]] = {
    "xqrs": xqrs,
    "pantompkins1985": pantompkins1985,
}


def available() -> list[str]:
    """Those whose package is there; of the others it is said that they are left out."""
    found: list[str] = []
    for name, package in PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            print(f"{name} is left out: pip install {package}")
        else:
            found.append(name)
    return found


def detect(names: Sequence[str], samples: np.ndarray, lsb_nv: int, fs_hz: int) -> dict[str, list[float]]:
    """Beat times in seconds by each of `names`; none where a detector fails, as on a flat line."""
    beats: dict[str, list[float]] = {}
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = DETECTORS[name](samples.astype(float) * (lsb_nv / 1e6), fs_hz)
            except (ValueError, IndexError, ZeroDivisionError):
                found = []
        beats[name] = sorted(i / fs_hz for i in found)
    return beats

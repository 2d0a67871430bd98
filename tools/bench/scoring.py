"""How well detected beats agree with annotated ones, and readings of the rate with the annotated rate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TOLERANCE_S = 0.15

Times = Sequence[float]


@dataclass(frozen=True)
class Score:
    """Beats matched, missed and false, and how far matched beats lie from their annotation."""

    tp: int
    fn: int
    fp: int
    missed_s: list[float]
    false_s: list[float]
    offset_ms: float
    jitter_ms: float
    rr_ms: float = 0.0
    """Mean absolute error of the RR intervals between beats that are matched both and next to each other."""

    @property
    def f1_pct(self) -> float:
        """Harmonic mean of sensitivity and positive predictive value; 100 without any beat."""
        whole = 2 * self.tp + self.fn + self.fp
        return 200 * self.tp / whole if whole else 100.0

    @property
    def se_pct(self) -> float:
        """Sensitivity; 100 without reference beats."""
        return 100 * self.tp / (self.tp + self.fn) if self.tp + self.fn else 100.0

    @property
    def ppv_pct(self) -> float:
        """Positive predictive value; 100 without detections."""
        return 100 * self.tp / (self.tp + self.fp) if self.tp + self.fp else 100.0


def pair(reference: Times, detected: Times, tolerance_s: float) -> list[tuple[int, int]]:
    """Pairs (reference, detected) of two ascending series, one to one: as many as can be."""
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(reference) and j < len(detected):
        gap = detected[j] - reference[i]
        if gap < -tolerance_s:
            j += 1
        elif gap > tolerance_s:
            i += 1
        else:
            # a later detection may be the better partner, if that leaves no later reference without one
            while (
                j + 1 < len(detected)
                and abs(detected[j + 1] - reference[i]) < abs(detected[j] - reference[i])
                and (i + 1 == len(reference) or reference[i + 1] - detected[j + 1] > tolerance_s)
            ):
                j += 1
            pairs.append((i, j))
            i += 1
            j += 1
    return pairs


def score(
    reference: Times,
    detected: Times,
    exclude: Sequence[tuple[float, float]] = (),
    tolerance_s: float = TOLERANCE_S,
) -> Score:
    """Compare detected with reference beats (ascending, seconds), without what lies in `exclude`."""

    def kept(times: Times) -> list[float]:
        return [t for t in times if not any(a - tolerance_s <= t <= b + tolerance_s for a, b in exclude)]

    wanted, found = kept(reference), kept(detected)
    pairs = pair(wanted, found, tolerance_s)
    matched = {i for i, _ in pairs}
    used = {j for _, j in pairs}
    offsets = np.array([found[j] - wanted[i] for i, j in pairs]) * 1000
    neighbours = [
        k for k in range(1, len(pairs)) if pairs[k][0] - pairs[k - 1][0] == 1 == pairs[k][1] - pairs[k - 1][1]
    ]
    return Score(
        tp=len(pairs),
        fn=len(wanted) - len(pairs),
        fp=len(found) - len(pairs),
        missed_s=[round(t, 2) for i, t in enumerate(wanted) if i not in matched],
        false_s=[round(t, 2) for j, t in enumerate(found) if j not in used],
        offset_ms=float(offsets.mean()) if len(offsets) else 0.0,
        jitter_ms=float(offsets.std()) if len(offsets) else 0.0,
        rr_ms=float(np.mean([abs(offsets[k] - offsets[k - 1]) for k in neighbours])) if neighbours else 0.0,
    )


def mean_rate(beats: Times, start_s: float, end_s: float) -> float:
    """Beats a minute of the beats in [start_s, end_s): intervals by the time they take; 0 below two beats."""
    inside = [t for t in beats if start_s <= t < end_s]
    return 60 * (len(inside) - 1) / (inside[-1] - inside[0]) if len(inside) > 1 else 0.0


def mean_reading(hr_bpm: Sequence[float], start_s: int, end_s: int) -> float:
    """Mean of the readings made after `start_s` up to `end_s` seconds, without those that say "none"."""
    readings = [hr for hr in hr_bpm[start_s:end_s] if hr > 0]
    return sum(readings) / len(readings) if readings else 0.0

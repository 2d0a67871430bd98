"""Arms under a cuff, for whoever models the cuff: the volume by which artery and tissue fill it.

Two generators of different make, so that no method of measuring is judged by the model that it was made from:

  BabbsArm              compliance exponential on both sides of its peak; a pulse of three harmonics
  ExponentialLinearArm  exponential below its peak, a straight line down to a rest above; a systolic and a
                        reflected wave, then an exponential decay

Both peak at a transmural pressure of 0. Babbs: doi 10.1186/1475-925X-11-56; compliance curves of people, of
which a line above the peak is as good a description as any: doi 10.1109/TBME.2022.3201433.
"""

import math
import random
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence

ARRIVAL_S = 0.15  # from the R peak to the upper arm
BREATH_HZ = 0.23
LONGEST_S = 2.5  # a pulse wave is over after that, whenever the next beat comes
_POINTS = 512

Beats = Callable[[float, float], "list[float]"]


class RegularHeart:
    """Beats at `rate` a minute from time 0 on. `jitter`: SD of the intervals by their mean; `ectopic`: the
    share of beats that come early, a compensatory pause after each.
    """

    def __init__(self, rate: float, jitter: float = 0.0, ectopic: float = 0.0, seed: int = 1) -> None:
        if not 20 <= rate <= 300:
            raise ValueError(f"a heart beats 20 to 300 times a minute here, not {rate}")
        self._mean = 60.0 / rate
        self._jitter = jitter
        self._ectopic = ectopic
        self._random = random.Random(seed)
        self._times = [0.0]

    def beats(self, start_s: float, end_s: float) -> "list[float]":
        """Times of the R peaks in [start_s, end_s)."""
        times = self._times
        while times[-1] < end_s:
            whole = self._mean * max(0.3, 1 + self._jitter * self._random.gauss(0, 1))
            if self._ectopic and self._random.random() < self._ectopic:
                times.append(times[-1] + 0.6 * whole)
                whole *= 1.4
            times.append(times[-1] + whole)
        return [t for t in times[bisect_right(times, start_s - 1e-9) :] if t < end_s]


class _Arm(ABC):
    """What both generators share: beats, breathing, tremor, movement.

    sys_mmhg, dia_mmhg: changeable at any time; beats: a rate (/min), or R times (s) in [start, end);
    breath_mmhg: swing of both pressures with breathing, from the middle; tremor_ml: height of a muscle's
    tremor of 5 to 7 Hz; moves: (begin s, seconds, ml), each a bulge of the tissue under the cuff. Beats after
    a short interval are weaker, after a long one stronger, by `filling` of their relative difference.
    """

    def __init__(
        self,
        sys_mmhg: float = 120.0,
        dia_mmhg: float = 80.0,
        beats: "Beats | float" = 72.0,
        breath_mmhg: float = 0.0,
        tremor_ml: float = 0.0,
        moves: "Sequence[tuple[float, float, float]]" = (),
        filling: float = 0.6,
    ) -> None:
        self.sys_mmhg = sys_mmhg
        self.dia_mmhg = dia_mmhg
        self.breath_mmhg = breath_mmhg
        self.tremor_ml = tremor_ml
        self.moves = list(moves)
        self.filling = filling
        self._beats: Beats = beats if callable(beats) else RegularHeart(float(beats)).beats
        self._shape, self._shape_mean = _normalised([self._pulse(i / _POINTS) for i in range(_POINTS + 1)])
        self._span = (0.0, -1.0)  # the beats at hand cover that
        self._times: list[float] = []

    @property
    def map_mmhg(self) -> float:
        """Mean of the pressure wave over a beat."""
        return self.dia_mmhg + self._shape_mean * (self.sys_mmhg - self.dia_mmhg)

    def pressure_mmhg(self, t_s: float) -> float:
        """Arterial pressure at the time `t_s`."""
        at = t_s - ARRIVAL_S
        if not self._span[0] + 6 <= at <= self._span[1] - 6:
            self._span = (at - 12, at + 30)
            self._times = self._beats(*self._span)
        times = self._times
        k = bisect_right(times, at) - 1
        pulse = self.sys_mmhg - self.dia_mmhg
        level = self.dia_mmhg + self.breath_mmhg * math.sin(2 * math.pi * BREATH_HZ * t_s)
        if not 0 <= k < len(times) - 1:
            return level
        interval = min(times[k + 1] - times[k], LONGEST_S)
        if k > 1:
            before, usual = times[k] - times[k - 1], (times[k + 1] - times[k - 2]) / 3
            pulse *= 1 + self.filling * max(-0.6, min(0.4, before / usual - 1))
        place = (at - times[k]) / interval * _POINTS
        i = int(place)
        if i >= _POINTS:
            return level
        return level + pulse * (self._shape[i] + (place - i) * (self._shape[i + 1] - self._shape[i]))

    def volume_ml(self, cuff_mmhg: float, t_s: float) -> float:
        """Volume that artery and tissue take of the cuff's at its pressure and the world's time."""
        volume = self._artery_ml(self.pressure_mmhg(t_s) - cuff_mmhg)
        if self.tremor_ml:
            swing = math.sin(2 * math.pi * 6.1 * t_s + 2.2 * math.sin(2.9 * t_s))
            volume += self.tremor_ml * 0.5 * swing * (1 + 0.5 * math.sin(1.7 * t_s))
        for begin, seconds, ml in self.moves:
            if begin <= t_s < begin + seconds:
                volume += ml * math.sin(math.pi * (t_s - begin) / seconds) ** 2
        return volume

    @abstractmethod
    def _pulse(self, phase: float) -> float: ...

    @abstractmethod
    def _artery_ml(self, transmural: float) -> float: ...


class BabbsArm(_Arm):
    """Babbs 2012: volume va0_ml at no transmural pressure; compliance falls by e in 1/a mmHg below and 1/b
    mmHg above. Keywords as of every arm.
    """

    def __init__(self, *args, a: float = 0.11, b: float = 0.03, va0_ml: float = 0.3, **more) -> None:  # type: ignore[no-untyped-def]
        self.a, self.b, self.va0_ml = a, b, va0_ml
        super().__init__(*args, **more)

    def _pulse(self, phase: float) -> float:
        x = 2 * math.pi * phase
        return math.sin(x) + math.sin(2 * x) / 2 + math.sin(3 * x) / 4

    def _artery_ml(self, transmural: float) -> float:
        if transmural < 0:
            return self.va0_ml * math.exp(self.a * transmural)
        return self.va0_ml * (1 + self.a / self.b * (1 - math.exp(-self.b * transmural)))


class ExponentialLinearArm(_Arm):
    """Compliance `peak_ml` per mmHg at most, falling by e in `below` mmHg under it, and over it in a straight
    line to the share `rest` of it at `above` mmHg. `reflected`: height of the second wave by the first;
    `late`: when it comes, as a share of the beat. Keywords as of every arm.
    """

    def __init__(  # type: ignore[no-untyped-def]
        self,
        *args,
        peak_ml: float = 0.03,
        below: float = 11.0,
        above: float = 70.0,
        rest: float = 0.08,
        reflected: float = 0.4,
        late: float = 0.42,
        **more,
    ) -> None:
        self.peak_ml, self.below, self.above, self.rest = peak_ml, below, above, rest
        self.reflected, self.late = reflected, late
        super().__init__(*args, **more)

    def _pulse(self, phase: float) -> float:
        def wave(middle: float, width: float) -> float:
            return math.exp(-(((phase - middle) / width) ** 2))

        decay = math.exp(-2.2 * phase) * (1 - math.exp(-phase / 0.05))
        back = math.exp(-phase * phase / 0.02)  # the last beat's end, so that beats join
        return wave(0.17, 0.10) + self.reflected * wave(self.late, 0.13) + 0.7 * decay + 0.08 * back

    def _artery_ml(self, transmural: float) -> float:
        if transmural < 0:
            return self.peak_ml * self.below * math.exp(transmural / self.below)
        x = min(transmural, self.above)
        slope = (1 - self.rest) / self.above
        line = x - slope * x * x / 2
        return self.peak_ml * (self.below + line + self.rest * max(0.0, transmural - self.above))


def _normalised(values: "list[float]") -> "tuple[list[float], float]":
    """From the lowest value on: so that the foot is at phase 0, between 0 and 1; and their mean."""
    foot = values.index(min(values[:-1]))
    turned = values[foot:-1] + values[:foot] + [values[foot]]
    low, high = min(turned), max(turned)
    scaled = [(v - low) / (high - low) for v in turned]
    return scaled, sum(scaled[:-1]) / (len(scaled) - 1)

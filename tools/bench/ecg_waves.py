"""Generated ECGs of known size, rate and disturbance, and the front end through which a node would see them.

The waves are drawn at 8000 a second after the published descriptions of the test signals of IEC 60601-2-27
and ANSI/AAMI EC13: QRS complexes of straight lines (seven eighths of the height up, one eighth below the
line), T waves as half a sine of 180 ms ending 350 ms after the QRS began, pace pulses with edges of one step.

The front end is a model of the MAX30003 as the driver sets it: the converter clips at 50 mV, a linear-phase
low-pass of 100 Hz follows, then every 4 ms a sample is rounded to 3.052 uV.
"""

from collections.abc import Sequence

import numpy as np

RATE_HZ = 8000
FS_HZ = 250
LSB_MV = 0.003052
CLIP_MV = 50.0
CUTOFF_HZ = 100.0
TAPS = 321
S_SHARE = 0.125
T_END_S, T_WIDTH_S = 0.35, 0.18

Wave = np.ndarray


def silence(seconds: float) -> Wave:
    """Nothing, in mV."""
    return np.zeros(round(seconds * RATE_HZ))


def _add(wave: Wave, start_s: float, piece: Wave) -> None:
    at = round(start_s * RATE_HZ)
    end = min(len(wave), at + len(piece))
    if 0 <= at < end:
        wave[at:end] += piece[: end - at]


def qrs(wave: Wave, start_s: float, height_mv: float, width_s: float) -> float:
    """Draw a complex that begins at `start_s`; height from peak to peak, negative upside down. Time of its
    peak.
    """
    shape_t = np.array([0, 0.4, 0.8, 0.9, 1]) * width_s
    shape = np.array([0, 1 - S_SHARE, 0, -S_SHARE, 0]) * height_mv
    _add(wave, start_s, np.interp(np.arange(round(width_s * RATE_HZ)) / RATE_HZ, shape_t, shape))
    return start_s + float(shape_t[1])


def t_wave(wave: Wave, qrs_start_s: float, height_mv: float) -> None:
    """Draw the T wave of a complex that began at `qrs_start_s`."""
    n = round(T_WIDTH_S * RATE_HZ)
    _add(wave, qrs_start_s + T_END_S - T_WIDTH_S, height_mv * np.sin(np.pi * np.arange(n) / n))


def ventricular(wave: Wave, start_s: float, height_mv: float, width_s: float = 0.14) -> float:
    """Draw a wide complex with its T wave the other way round. Time of its peak."""
    n = round(width_s * RATE_HZ)
    _add(wave, start_s, height_mv * np.sin(np.pi * np.arange(n) / n))
    n = round(T_WIDTH_S * RATE_HZ)
    _add(wave, start_s + width_s + 0.02, -0.35 * height_mv * np.sin(np.pi * np.arange(n) / n))
    return start_s + width_s / 2


def pace(
    wave: Wave, start_s: float, height_mv: float, width_s: float, tail_mv: float = 0.0, tail_s: float = 0.0
) -> None:
    """Draw a pace pulse; `tail_mv`: overshoot of the other sign after it, which decays with `tail_s`."""
    _add(wave, start_s, np.full(max(1, round(width_s * RATE_HZ)), height_mv))
    if tail_mv:
        t = np.arange(round(6 * tail_s * RATE_HZ)) / RATE_HZ
        _add(wave, start_s + width_s, -np.sign(height_mv) * tail_mv * np.exp(-t / tail_s))


def mains(wave: Wave, hz: float, height_mv: float) -> None:
    """Add mains hum, `height_mv` from peak to peak."""
    wave += height_mv / 2 * np.sin(2 * np.pi * hz * np.arange(len(wave)) / RATE_HZ)


def drift(wave: Wave, hz: float, height_mv: float) -> None:
    """Add a triangular drift, `height_mv` from peak to peak."""
    phase = (np.arange(len(wave)) / RATE_HZ * hz) % 1
    wave += height_mv * (np.abs(2 * phase - 1) - 0.5)


def every(first_s: float, interval_s: float, end_s: float) -> Sequence[float]:
    """Times from `first_s` on, as long as a beat fits before `end_s`."""
    return [float(t) for t in np.arange(first_s, end_s - 0.5, interval_s)]


def sampled(wave: Wave) -> Wave:
    """What the front end makes of `wave`: 16-bit samples, 250 a second, without the filter's delay."""
    t = (np.arange(TAPS) - TAPS // 2) / RATE_HZ
    taps = np.sinc(2 * CUTOFF_HZ * t) * np.blackman(TAPS)
    taps /= taps.sum()
    size = 1 << int(np.ceil(np.log2(len(wave) + 3 * TAPS)))
    spectrum = np.fft.rfft(np.pad(np.clip(wave, -CLIP_MV, CLIP_MV), TAPS, mode="edge"), size) * np.fft.rfft(
        taps, size
    )
    low = np.fft.irfft(spectrum, size)[TAPS + TAPS // 2 :][: len(wave)]
    return np.round(low[:: RATE_HZ // FS_HZ] / LSB_MV).clip(-32768, 32767).astype("<i2")

"""What the QRS detector must not take for a beat: pacing spikes, smooth waves, what comes early in noise."""

from array import array

from firmware.dsp.ecg import EcgChain
from firmware.dsp.ecg_kernel import BAND_DELAY
from firmware.dsp.qrs import QrsDetector
from tests.both.test_dsp_ecg import MV, compare, known, noise, play, rhythm

RR = 200


def spikes(signal, at, height_mv, pattern=(100, 35)):
    """Pulses of one or two samples, as a low-pass of 100 Hz leaves them, with its ringing."""
    for r in at:
        for i, share in enumerate((3, -8) + pattern + (-8, 3)):
            if r + i < len(signal):
                signal[r + i] = max(-16383, min(16383, signal[r + i] + height_mv * MV * share // 100))


def test_spikes_alone_are_no_beats():
    for height in (-45, -8, -3, -1, 1, 2, 5, 12, 45):
        for pattern in ((100,), (100, 35), (80, 80)):
            signal = [0] * 5000
            spikes(signal, range(300, 4900, RR), height, pattern)
            assert play(EcgChain(), signal) == [], (height, pattern)


def test_spikes_before_beats_change_nothing():
    for height in (-45, -2, 2, 45):
        signal, at = rhythm(14, RR)
        spikes(signal, [r - 40 for r in at], height)
        compare(play(EcgChain(), signal), known(at, 14), 2)


def test_a_narrow_tall_qrs_is_no_spike():
    """5 mV, 40 ms: the steepest that a monitor must take (IEC 60601-2-27)."""
    signal = [0] * 3500
    at = list(range(300, 3300, RR))
    for r in at:
        for i in range(-4, 6):
            signal[r + i] += 35 * MV * (12 + 3 * i if i < 0 else 12 - 2 * i) // 96
    compare(play(EcgChain(), signal), known(at, 14), 2)


def test_smooth_waves_between_beats_are_no_beats():
    """1.5 mV in 360 ms, as electrodes that move make them: tall, but without a QRS complex's corners."""
    signal, at = rhythm(20, RR)
    for r in at[3:]:
        for i in range(90):
            if r + 70 + i < len(signal):
                signal[r + 70 + i] += 3 * MV * min(i, 90 - i) * min(i, 90 - i) // (2 * 45 * 45)
    noise(signal, 4)
    compare(play(EcgChain(), signal), known(at, 20), 2)


def test_what_comes_early_must_be_greater_in_noise():
    """One beat a second and, in the middle between, noise that grows to seven tenths of a beat's energy."""
    detector = QrsDetector(100)
    found = []
    at = 0
    for i in range(40):
        for energy in (10000, 1000 if i < 12 else 4000 if i < 24 else 7000):
            at += 125
            for k in range(detector.candidate(at, energy, energy)):
                found.append(detector.found[k])
    assert len(found) >= 39 and all([f % 250 == 125 for f in found])


def test_what_comes_early_in_a_clean_signal_is_a_beat():
    detector = QrsDetector(100)
    at = 0
    found = 0
    for i in range(60):
        at += 125 if i % 7 == 5 else 250
        found += detector.candidate(at, 10000, 10000)
    assert found >= 59


def test_fiducial_is_the_peak_whatever_stands_before_it():
    """The whole delay of the detection path is taken off again."""
    assert BAND_DELAY == 5 + 3 + 4 + 2 + 16
    signal, at = rhythm(12, RR)
    found = play(EcgChain(), signal)
    assert len(found) > 8 and all([min([abs(f - r) for r in at]) <= 1 for f in found])


def test_the_threshold_of_early_ones_is_a_small_integer():
    detector = QrsDetector(1)
    detector.noise_level = (1 << 28) - 1
    detector.qrs_level = 1
    detector._beat_known = True
    for since in (60, 100, 200):
        assert 0 < detector._too_early(since) < 1 << 30
    assert detector._too_early(240) == 0
    assert array("i", [detector._too_early(60)])[0] > 0


def test_after_noise_a_fast_rhythm_is_found_again():
    """Noise as high as the beats leaves a level that refuses half of them, which keeps it there."""
    detector = QrsDetector(100)
    at = 0
    for i in range(200):
        at += 90
        energy = 10000 if i < 60 or i > 120 else (4000, 13000, 7000, 17000, 9500, 5000, 21000)[i % 7]
        found = detector.candidate(at, energy + i % 5 * 100, energy)
        if i > 150:
            assert found == 1, i
    assert detector.quality() > 50

"""Noise gives no heart rate, a failed contact no hasty asystole; beats after a standstill are not lost."""

from array import array

from firmware.dsp.ecg import NOISE, EcgChain
from firmware.dsp.rate import RateWindow
from tests.both.test_dsp_ecg import MV, compare, noise, play, rhythm
from tests.both.test_dsp_qrs import spikes
from tests.both.test_dsp_rhythm import watch


def standstill(seconds, times=1):
    """10 s of beats, the last at sample 2350, then none."""
    signal = array("h", [times * x for x in rhythm(10, 200)[0]])
    signal.extend(array("h", bytes(500 * seconds)))
    return signal


def test_noise_of_millivolts_gives_no_rate_and_no_asystole():
    """White noise which the removal of pacing spikes breaks into what looks like QRS complexes."""
    for height in (3, 5):
        for with_beats in (False, True):
            signal = rhythm(25, 200)[0] if with_beats else [0] * 6250
            noise(signal, height * MV, 11)
            seen, _, _ = watch(signal)
            assert not any(seen.rate[7:]) and not any(seen.asystole), (height, seen.rate)
            assert seen.why[8:] == [NOISE] * 17, (height, seen.why)


def test_pacing_is_no_noise():
    """Three pulses a beat at 95 beats a minute; of three times as many that is not believed."""
    signal, at = rhythm(20, 158)
    spikes(signal, [r - d for r in at for d in (75, 52, 36)], 20)
    seen, found, _ = watch(signal)
    compare(found, [r for r in at if r + 120 <= 5000], 2)
    assert not any(seen.why) and all(seen.rate[5:])
    spikes(signal, range(2600, 4900, 26), 20)
    seen, _, _ = watch(signal)
    assert seen.why[13:19] == [NOISE] * 6


def test_false_beats_among_true_ones_cost_quality():
    """Something like a beat, as great as one, in every fourth pause."""
    qualities = []
    for false in (0, MV):
        signal, at = rhythm(25, 200)
        for r in at[1:-1:4]:
            extra = r + 70 + r * 7 % 60
            for i in range(-6, 7):
                signal[extra + i] += false * (6 - abs(i)) // 6
        noise(signal, MV // 5, 3)
        qualities.append(watch(signal)[2].quality)
    assert qualities[0] - 15 > qualities[1] > 15, qualities


def test_quality_comes_back_slowly():
    """A second of noise like beats costs the rate for some seconds, no longer."""
    signal, _ = rhythm(30, 200)
    burst = [0] * 1000
    noise(burst, MV, 5)
    for i in range(1000):
        signal[3000 + i] += burst[i]
    seen, _, _ = watch(signal)
    assert all(seen.rate[5:12]) and 0 in seen.rate[13:17], seen.rate
    assert all([abs(rate - 750) < 40 for rate in seen.rate[24:]]), seen.rate


def test_spread_of_the_intervals():
    for pattern, least, most in (((200, 200), 0, 0), ((160, 240), 18, 20), ((150, 150, 300), 30, 36)):
        window = RateWindow(250, 2000, 1000)
        at = 0
        for i in range(24):
            at += pattern[i % len(pattern)]
            window.add(at)
        window.rate_x10(at)
        assert least <= window.spread <= most, (pattern, window.spread)
    for i in range(4):
        window.add(at + 100 * i)
    window.rate_x10(at + 300)
    assert window.spread == 0  # only the new rate counts


def jump(signal, start, height):
    """The line jumps and comes back within some seconds, as an amplifier's does that lost its patient."""
    level = height
    for i in range(start, len(signal)):
        signal[i] += min(height, height * (i - start) // 50) if i < start + 50 else level
        if i >= start + 50:
            level -= level // 128 if level >= 128 else 1 if level else 0


def test_a_line_that_jumps_as_the_beats_end_is_doubted_for_two_seconds():
    signal = standstill(12)
    jump(signal, 2400, 3 * MV)
    seen, found, _ = watch(signal)
    last = max(found)
    told = seen.asystole.index(True) + 1
    assert 6 <= told - last / 250 <= 7.5, (told, last)
    assert seen.why[told - 2] == NOISE and all(seen.asystole[told - 1 :])
    for times in (1, 2):
        seen, _, _ = watch(standstill(12, times))
        assert 4 <= seen.asystole.index(True) + 1 - 2350 / 250 <= 5.5


def test_beats_after_a_standstill_are_found_from_the_first_on():
    for pause in (6, 11, 20):
        signal = standstill(pause, 3)
        begin = len(signal)
        more, at = rhythm(10, 200, scale=300)
        signal.extend(array("h", more))
        found = play(EcgChain(), signal)
        compare([f for f in found if f > begin], [begin + r for r in at if r + 120 <= 2500])

"""The ECG chain on constructed rhythms: beats, rate, quality, settling, leads, gaps."""

from array import array

from firmware.dsp.ecg import BEATS_KEPT, LATENCY, EcgChain
from firmware.dsp.ecg_kernel import INDEX_MASK
from firmware.dsp.qrs import QrsDetector

MV = 328  # counts a millivolt at 3.052 uV


def wave(signal, middle, half, height):
    """Add a triangle."""
    for i in range(max(0, middle - half), min(len(signal), middle + half + 1)):
        signal[i] += height * (half - abs(i - middle)) // half


def beat(signal, r, scale=100, t=25):
    """P, QRS and T around the R peak at sample `r`; `scale` in % of 1 mV, `t`: T wave, in % of that."""
    wave(signal, r - 42, 12, MV * scale * 12 // 10000)
    wave(signal, r - 8, 4, -MV * scale * 12 // 10000)
    wave(signal, r, 6, MV * scale // 100)
    wave(signal, r + 9, 5, -MV * scale * 25 // 10000)
    wave(signal, r + 70, 20, MV * scale * t // 10000)


def ectopic(signal, r, scale=150):
    """A premature ventricular beat: no P, wide, inverted T."""
    wave(signal, r, 18, MV * scale // 100)
    wave(signal, r + 75, 30, -MV * scale * 4 // 1000)


def noise(signal, top, seed=5):
    for i in range(len(signal)):
        seed = (seed * 75 + 74) % 65537
        signal[i] += seed * 2 * top // 65537 - top


def rhythm(seconds, rr=200, first=150, **shape):
    signal = [0] * (seconds * 250)
    at = list(range(first, len(signal), rr))
    for r in at:
        beat(signal, r, **shape)
    noise(signal, 4)
    return signal, at


def play(chain, signal, size=25, lead_off=False, each=None):
    """Feed the signal; the beats found. `each(chain)` is called after each second."""
    found = []
    block = array("i", [0] * size)
    for at in range(0, len(signal), size):
        n = min(size, len(signal) - at)
        for i in range(n):
            block[i] = signal[at + i]
        chain.process(block, n, lead_off)
        found += chain.take_beats()
        if each and (at + n) % 250 == 0:
            each(chain)
    return found


def compare(found, wanted, within=1):
    """Every wanted beat is found at its place, and no other."""
    assert len(found) == len(wanted), (found, wanted)
    for f, w in zip(found, wanted):
        assert abs(f - w) <= within, (f, w)


def known(at, seconds):
    """The beats of a list that are known when `seconds` have passed."""
    return [r for r in at if r + LATENCY <= seconds * 250]


def test_finds_every_beat_at_its_sample_and_from_the_first_on():
    for rr in (75, 120, 200, 300, 500):
        signal, at = rhythm(20, rr, t=15)
        found = play(EcgChain(), signal + [0] * 250)
        compare(found, [r for r in at if r < 4990])


def test_heart_rate_of_regular_rhythms():
    for rr in (75, 120, 200, 300):
        chain = EcgChain()
        play(chain, rhythm(15, rr, t=15)[0])
        assert abs(chain.hr_x10 - 150000 // rr) <= 2, (rr, chain.hr_x10)


def test_rr_intervals():
    chain = EcgChain()
    signal, at = rhythm(12, 210)
    block = array("i", signal[:2500])
    for i in range(0, 2500, 50):
        chain.process(block[i : i + 50], 50)
    n = chain.n_beats
    assert n == len(known(at, 10)) and chain.rr_ms == [840] * (n - 1)
    assert list(chain.beats[:n]) == chain.take_beats()
    assert chain.n_beats == 0 and chain.rr_ms == [] and chain.take_beats() == []


def test_blocks_do_not_matter():
    signal, _ = rhythm(16, 190)
    noise(signal, 60, 9)
    results = []
    for size in (1, 3, 25, 64):
        chain = EcgChain()
        readings = []
        found = play(chain, signal, size)
        readings.append((chain.hr_x10, chain.quality, chain.settling, chain.index))
        filtered = list(chain.filtered[:1])
        results.append((found, readings, len(filtered)))
    assert results[0] == results[1] == results[2] == results[3]
    assert len(results[0][0]) > 15


def test_bigeminy_is_counted_as_it_is():
    """Every second beat ventricular, after 0.5 s, then 1.1 s: 75 a minute on the mean."""
    signal = [0] * 7500
    at = []
    r = 200
    while r < 7400:
        beat(signal, r)
        ectopic(signal, r + 125)
        at += [r, r + 125]
        r += 400
    noise(signal, 4)
    rates = []
    found = play(EcgChain(), signal, each=lambda chain: rates.append(chain.hr_x10))
    assert len(found) == len(known(at, 30))
    assert abs(sum(rates[15:]) / len(rates[15:]) - 750) < 20


def test_tall_t_waves_are_not_beats():
    """T waves of 80 % of the R wave's height."""
    signal, at = rhythm(15, 230, t=80)
    compare(play(EcgChain(), signal), known(at, 15))


def test_search_back_finds_a_small_beat():
    signal, at = rhythm(14, 200)
    for r in (at[8], at[12]):
        for i in range(r - 20, r + 20):
            signal[i] = signal[i] * 30 // 100
    compare(play(EcgChain(), signal), known(at, 14), 2)


def test_low_voltage_is_found_and_noise_without_beats_is_not():
    signal, at = rhythm(12, 200, scale=20)
    compare(play(EcgChain(), signal), known(at, 12), 2)
    quiet = [0] * 5000
    noise(quiet, 8)  # 0.05 mV peak to peak
    chain = EcgChain()
    assert play(chain, quiet) == []
    assert chain.hr_x10 == 0 and chain.quality == 0


def test_lsb_sets_the_least_qrs():
    """The same counts are 0.02 mV at a tenth of the LSB: nothing."""
    signal, _ = rhythm(8, 200, scale=60)
    assert len(play(EcgChain(), signal)) > 5
    assert play(EcgChain(lsb_nv=305), signal) == []


def test_amplitude_falls_to_a_fifth():
    signal, at = rhythm(30, 200)
    for i in range(3750, len(signal)):
        signal[i] //= 5
    found = play(EcgChain(), signal)
    late = [r for r in found if r > 3750 + 6 * 250]
    compare(late, [r for r in known(at, 30) if r > 3750 + 6 * 250], 2)


def test_artefact_costs_a_beat_at_most_and_no_level():
    """A 15 mV electrode pop between beats, and baseline steps of 5 mV."""
    signal, at = rhythm(30, 200)
    for i in range(3030, 3042):
        signal[i] += 15 * MV
    for i in range(4530, len(signal)):
        signal[i] += 5 * MV
    found = play(EcgChain(), signal)
    wanted = known(at, 30)
    assert len([f for f in found if min([abs(f - w) for w in wanted]) > 20]) <= 1
    assert len([w for w in wanted if min([abs(f - w) for f in found]) > 3]) <= 2


def test_pause_and_asystole():
    signal, _ = rhythm(20, 200)
    signal += [0] * 2500
    rates = []
    chain = EcgChain()
    play(chain, signal, each=lambda c: rates.append(c.hr_x10))
    assert rates[19] == 750
    assert 0 < rates[23] < 700
    assert rates[26:] == [0] * 4
    assert chain.quality == 0


def test_settling():
    states = []
    chain = EcgChain()
    assert chain.settling and chain.hr_x10 == 0 and chain.quality == 0
    play(chain, rhythm(8)[0], each=lambda c: states.append((c.settling, c.hr_x10 > 0)))
    assert states[1] == (True, False) and states[2] == (True, False)
    assert states[4:] == [(False, True)] * 4
    flat = EcgChain()
    play(flat, [100] * 1500)
    assert not flat.settling and flat.hr_x10 == 0  # nothing to wait for: there is no signal


def test_lead_off_and_on():
    signal, at = rhythm(10, 200)
    chain = EcgChain()
    play(chain, signal)
    assert chain.hr_x10 == 750
    found = play(chain, [32767] * 1250, lead_off=True)
    assert found == [] and chain.lead_off and chain.settling
    assert chain.hr_x10 == 0 and chain.quality == 0 and chain.index == 3750
    assert max(chain.filtered) == 0
    states = []
    found = play(chain, signal, each=lambda c: states.append((c.settling, c.hr_x10)))
    compare(found, [r + 3750 for r in known(at, 10)])
    assert states[2] == (True, 0) and not chain.lead_off
    assert states[5:] == [(False, 750)] * 5


def test_gap_keeps_time_and_spans_no_interval():
    signal, at = rhythm(20, 200)
    chain = EcgChain()
    first = play(chain, signal[:2500])
    chain.gap(730)
    block = array("i", [0] * 25)
    rr = []
    second = []
    for i in range(3230, 5000, 25):
        n = min(25, 5000 - i)
        for k in range(n):
            block[k] = signal[i + k]
        chain.process(block, n)
        rr += chain.rr_ms
        second += chain.take_beats()
    assert chain.index == 5000
    wanted = [r for r in at if r < 2500 - LATENCY] + [r for r in at if r > 3260 and r + LATENCY <= 5000]
    compare([f for f in first + second if not 3200 < f < 3260], wanted)
    assert rr and set(rr) == {800}
    assert chain.hr_x10 == 750 and not chain.settling
    chain.gap(-1)
    assert chain.index == 5000 and chain.hr_x10 == 0


def test_quality_falls_with_noise():
    qualities = []
    for top in (4, 60, 160):
        signal, _ = rhythm(20, 200)
        noise(signal, top, 77)
        chain = EcgChain()
        play(chain, signal)
        qualities.append(chain.quality)
    assert qualities[0] > 80 and qualities[0] > qualities[1] > qualities[2]


def test_mains_hum_does_not_matter():
    for mains, cycle in ((50, (0, 95, 59, -59, -95)), (60, (0, 100, 13, -98, -25, 95, 37, -90, -48, 84))):
        signal, at = rhythm(12, 200)
        for i in range(len(signal)):
            signal[i] += cycle[i % len(cycle)] * 2  # 0.6 mV: as high as the QRS
        compare(play(EcgChain(mains_hz=mains), signal), known(at, 12), 2)


def test_index_wraps_without_a_beat_lost():
    signal, at = rhythm(20, 200)
    chain = EcgChain()
    chain.gap(INDEX_MASK - 2499)
    found = play(chain, signal)
    compare([(f + 2500) & INDEX_MASK for f in found], known(at, 20))
    assert chain.hr_x10 == 750


def test_beats_that_nobody_takes():
    signal, at = rhythm(40, 200)
    chain = EcgChain()
    block = array("i", [0] * 50)
    for i in range(0, len(signal), 50):
        for k in range(50):
            block[k] = signal[i + k]
        chain.process(block, 50)
    assert chain.n_beats == BEATS_KEPT
    compare(chain.take_beats(), known(at, 40)[-BEATS_KEPT:])


def test_filtered_holds_the_display_signal():
    signal, at = rhythm(4, 200)
    for i in range(len(signal)):
        signal[i] += 3000
    chain = EcgChain()
    out = []
    for i in range(0, 1000, 50):
        chain.process(array("i", signal[i : i + 50]), 50)
        out += list(chain.filtered[:50])
    for r in at[:4]:
        peak = max(out[r - 10 : r + 20])
        assert 0.75 * MV < peak < 1.1 * MV
        assert 0 <= out.index(peak, r - 10) - r <= 3


def test_bad_arguments():
    for kwargs in ({"fs_hz": 360}, {"mains_hz": 55}, {"lsb_nv": 0}):
        try:
            EcgChain(**kwargs)
        except ValueError:
            pass
        else:
            assert False, kwargs
    chain = EcgChain()
    for samples, n, error in (
        (array("h", [0] * 10), 10, TypeError),
        (array("i", [0] * 65), 65, ValueError),
        (array("i", [0] * 5), 6, ValueError),
        (array("i", [0] * 5), -1, ValueError),
    ):
        try:
            chain.process(samples, n)
        except error:
            pass
        else:
            assert False, n
    chain.process(array("i", [0] * 5), 0)
    assert chain.index == 0 and chain.settling


def test_detector_takes_anything():
    """Extremes of energy, slope and time: no error, at most what fits is found."""
    detector = QrsDetector(1)
    at = 0
    seed = 1
    for i in range(3000):
        seed = (seed * 75 + 74) % 65537
        energy = (0, 1, seed, seed << 12, (1 << 29) - 1)[seed % 5]
        at = (at + 61 + (seed if i % 50 == 0 else 0) + ((1 << 28) if i % 500 == 0 else 0)) & INDEX_MASK
        n = detector.candidate(at, energy, energy >> 1)
        assert 0 <= n <= len(detector.found)
        assert 0 <= detector.quality() <= 100
        assert 0 <= detector.qrs_level < 1 << 30 and 0 <= detector.noise_level < 1 << 30

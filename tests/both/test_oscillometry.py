"""Blood pressure from a cuff's pulses, and every refusal by its name."""

from array import array
from math import exp, pi, sin

from firmware.dsp.artery import falling
from firmware.dsp.oscillometry import BEATS_MAX, Oscillometer
from protocol import frames

PA = 133.322
SYSTOLIC, DIASTOLIC, RATE = 120, 80, 72


def volume(transmural):
    """Babbs 2012."""
    if transmural < 0:
        return 0.3 * exp(0.11 * transmural)
    return 0.3 * (1 + 0.11 / 0.03 * (1 - exp(-0.03 * transmural)))


def arterial(t, systolic=SYSTOLIC, diastolic=DIASTOLIC, rate=RATE):
    x = 2 * pi * t * rate / 60
    wave = 0.5 + 0.36 * (sin(x) + sin(2 * x) / 2 + sin(3 * x) / 4)
    return diastolic + (systolic - diastolic) * wave


def cuff(start, speed, seconds, pulse=arterial, strength=1.0):
    """Pa of each sample: from `start` mmHg down by `speed` mmHg/s, with what the artery does to it."""
    samples = array("i", [0] * int(seconds * 100))
    for i in range(len(samples)):
        base = max(start - speed * i / 100, 0)
        samples[i] = int((base + strength * 4 * volume(pulse(i / 100) - base)) * PA)
    return samples


def listen(samples, deflating=True, block=20):
    listener = Oscillometer()
    listener.begin(deflating)
    given = array("i", [0] * block)
    for i in range(0, len(samples) - block + 1, block):
        for j in range(block):
            given[j] = samples[i + j]
        if not listener.done:
            listener.process(given, block)
    return listener


def refusal(samples):
    found = listen(samples).result()
    assert found[0] == 0 or found[1:6] == (0, 0, 0, 0, 0)
    return found[0]


def test_measured():
    for systolic, diastolic, rate in ((120, 80, 72), (160, 95, 55), (95, 60, 110)):

        def pulse(t, s=systolic, d=diastolic, r=rate):
            return arterial(t, s, d, r)

        listener = listen(cuff(systolic + 35, 3, 50, pulse))
        found = listener.result()
        assert found[0] == frames.BP_MEASURED and listener.done
        assert abs(found[1] - 10 * systolic) <= 50 and abs(found[2] - 10 * diastolic) <= 50
        assert found[2] < found[3] < found[1]
        assert abs(found[4] - 10 * rate) <= 20
        assert found[5] > 60 and found[6] == 0


def test_blocks_do_not_matter():
    samples = cuff(155, 3, 30)
    assert listen(samples, block=1).result() == listen(samples, block=5).result()


def test_in_small_steps():
    samples = cuff(155, 3, 30)
    listener = listen(samples)
    steps = sum(1 for _ in listener.solve())
    assert steps > 20
    assert listener.result() == listen(samples).result()


def test_begin_forgets():
    samples = cuff(155, 3, 30)
    listener = listen(samples)
    first = listener.result()
    listener.begin(True)
    assert not listener.done and listener.pulses == 0
    for i in range(0, len(samples) - 19, 20):
        if not listener.done:
            listener.process(samples[i : i + 20], 20)
    assert listener.result() == first


def test_inflation():
    """Pulses come and vanish above the systolic pressure."""
    listener = listen(cuff(40, -5, 18), deflating=False)
    assert listener.pulses > 5 and 700 < listener.period_ms < 1000
    assert not listener.gone
    assert listen(cuff(40, -5, 26), deflating=False).gone


def test_never_deflates():
    assert refusal(cuff(150, 0.1, 40)) == frames.BP_TIMEOUT


def test_ends_too_early():
    assert refusal(cuff(155, 3, 18)) == frames.BP_TIMEOUT


def test_leak():
    assert refusal(cuff(160, 45, 10)) == frames.BP_LEAK


def test_no_cuff():
    assert refusal(cuff(10, 0.2, 20)) == frames.BP_NO_CUFF


def test_no_pulse():
    assert refusal(cuff(160, 4, 38, strength=0)) == frames.BP_NO_PULSE


def test_inflated_too_low():
    assert refusal(cuff(105, 3, 25)) == frames.BP_NO_PULSE


def test_motion():
    """An arm that is shaken all the time."""
    samples = cuff(155, 3, 40)
    for i in range(len(samples)):
        samples[i] += int(2500 * sin(i * 0.31) * sin(i * 0.013))
    assert refusal(samples) in (frames.BP_MOTION, frames.BP_IRREGULAR)


def test_one_movement_is_left_out():
    samples = cuff(155, 3, 40)
    for i in range(700, 760):
        samples[i] += int(4000 * sin((i - 700) * pi / 60))
    found = listen(samples).result()
    assert found[0] == 0 and found[6] & frames.BP_MOTION_LEFT_OUT
    assert abs(found[1] - 1200) <= 80 and abs(found[2] - 800) <= 80


def test_two_beats_left_out_do_not_end_the_flank():
    for begins in (16.2, 17.9):

        def pulse(t, begins=begins):
            full = arterial(t)
            return DIASTOLIC + (full - DIASTOLIC) / 2 if begins < t < begins + 1.7 else full

        found = listen(cuff(SYSTOLIC + 35, 3, 50, pulse)).result()
        assert found[0] == 0, found
        assert abs(found[1] - 10 * SYSTOLIC) <= 50 and abs(found[2] - 10 * DIASTOLIC) <= 50, found


def test_extremes_end():
    """Whatever comes, there is a result, and all numbers are inside their frames' fields."""
    for samples in (
        array("i", [0] * 3000),
        array("i", [50000, 0] * 1500),
        array("i", [(i * 7919) % 50000 for i in range(3000)]),
        array("i", [-100000] * 1000 + [100000] * 1000),
    ):
        assert refusal(samples) != 0
    assert listen(array("i", [])).result()[0] != 0


def test_many_beats_end_it():
    def fast(t):
        return arterial(t, rate=180)

    listener = listen(cuff(150, 0.6, 110, fast))
    assert listener.done and listener.artery.count <= BEATS_MAX


def test_falling():
    for x in range(0, 4000, 37):
        assert abs(falling(x) - 4096 * exp(-x / 256)) <= 14

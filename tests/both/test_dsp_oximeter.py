"""The PPG chain's states, its calibration, and the steps of its LEDs."""

from array import array

from firmware.dsp import oximetry
from firmware.dsp.ppg import QUALITY_FLOOR, PpgChain

TABLE = [(400, 1000), (800, 880), (1600, 600)]


def play(chain, seconds, scale=8, start=0, ambient=False, each=None):
    """Pulses of R 0.8 at 75 a minute, brightness in eighths."""
    red, ir = array("i", [0] * 20), array("i", [0] * 20)
    for b in range(seconds * 5):
        for k in range(20):
            p = (start + b * 20 + k) % 80
            v = max(0, 14 - abs(p - 16)) * 160 + max(0, 18 - abs(p - 44)) * 30
            red[k] = min(262143, (90000 - v * 8 // 10 * 90 // 112) * scale // 8)
            ir[k] = min(262143, (112000 - v) * scale // 8)
        chain.process(red, ir, 20, ambient)
        states = (chain.no_finger, chain.settling, chain.bad, chain.spo2_x10 > 0)
        assert sum([1 for s in states if s]) == 1, states
        assert (chain.quality >= QUALITY_FLOOR) == states[3]
        if each:
            each()


def test_one_state_at_a_time_through_light_saturation_and_darkness():
    chain = PpgChain()
    play(chain, 20)
    assert abs(chain.spo2_x10 - 900) <= 10
    play(chain, 1, ambient=True)
    assert chain.ambient and chain.bad
    play(chain, 16)
    assert not chain.ambient and chain.spo2_x10
    play(chain, 2, 30)
    assert chain.saturated and chain.bad and chain.spo2_x10 == 0
    dark = array("i", [700] * 50)
    chain.process(dark, dark, 50)
    assert chain.no_finger and not chain.bad and not chain.settling


def test_a_table_calibrates():
    chain = PpgChain(table=TABLE)
    assert chain.calibrated and not PpgChain().calibrated
    play(chain, 20)
    assert abs(chain.spo2_x10 - 880) <= 12
    unit = oximetry.UNIT
    for r, spo2 in ((400, 1000), (600, 940), (1600, 600), (2000, 460), (200, 1000)):
        assert abs(oximetry.spo2_x10(r * unit // 1000, TABLE) - spo2) <= 2, r
    for bad in ([(400, 1000)], [(400, 900), (300, 800)], [(400, 900), (500, 950)], [(0, 900), (500, 800)]):
        try:
            PpgChain(table=bad)
        except ValueError:
            pass
        else:
            assert False, bad


def test_a_dim_finger_gets_more_current_up_to_the_cap_and_no_reading_spans_a_step():
    chain = PpgChain(led=40, led_cap=60)
    steps = []

    def steer():
        step = chain.led_step()
        if step:
            steps.append(step)
            assert chain.settling and chain.spo2_x10 == 0

    play(chain, 12, 3, each=steer)
    assert sum(steps) == 20 and chain.led == 60
    count = len(steps)
    play(chain, 14, 3, each=steer)
    assert len(steps) == count and abs(chain.spo2_x10 - 900) <= 12  # at the cap it stays


def test_full_scale_gets_less_current_and_darkness_the_usual():
    chain = PpgChain()
    play(chain, 3, 30)
    assert chain.led_step() == -18 and chain.led == 18 and chain.settling
    dark = array("i", [700] * 50)
    chain.process(dark, dark, 50)
    chain.process(dark, dark, 50)
    assert chain.no_finger and chain.led_step() == 18 and chain.led_step() == 0


def test_a_rest_counts_by_height_above_what_is_usual():
    assert oximetry.by_height(300, 30) == oximetry.by_height(300, oximetry.PI_STRICT) == 300
    assert 1195 <= oximetry.by_height(300, 2 * oximetry.PI_STRICT) <= 1200
    top = oximetry.by_height(300, oximetry.PI_STRICTEST)
    assert top == oximetry.by_height(300, 10 * oximetry.PI_STRICTEST) < 300 * 26
    assert 0 < oximetry.by_height(1 << 29, 1 << 20) < 1 << 24


def test_a_ratio_that_leaves_its_line_is_seen_and_one_that_falls_steadily_is_not():
    assert oximetry.bent(4000, 4100, 4200) == oximetry.bent(4000, 4000, 4000) == 0
    assert oximetry.bent(0, 1, 1) == oximetry.bent(1, 0, 1) == oximetry.bent(1, 1, 0) == 0
    # 2 % of the ratio, squared, twice what the variance of each would give
    found = oximetry.bent(4000, 4040, 4000)
    assert abs(found - (0.02 * 1024) ** 2 / 3) < 15, found
    top = oximetry.QUOTIENT_MAX
    for a in (1, top):
        for b in (1, top):
            for c in (1, top):
                assert 0 <= oximetry.bent(a, b, c) < 1 << 25


def test_what_is_known_of_a_second_is_forgotten_with_the_next_samples():
    chain = PpgChain()
    play(chain, 20)
    assert chain.quality >= QUALITY_FLOOR and chain.spo2_x10
    chain.gap(-1)
    assert chain.quality == 0 and chain.spo2_x10 == 0 and chain.bad
    play(chain, 8, start=2000)
    assert chain.spo2_x10
    red = array("i", [80000])
    chain.process(red, red, 1, True)
    assert chain.quality == 0 and chain.bad

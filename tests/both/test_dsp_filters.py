"""What the ECG filters do to sines, steps and constants, measured through the chain."""

import math
from array import array

from firmware.dsp import ecg_kernel
from firmware.dsp.ecg import EcgChain

AMPLITUDE = 2000


def response(hz, mains_hz=50, seconds=8, settle=6):
    """(gain in dB, delay in ms) at `hz`, by correlation over whole periods after `settle` seconds."""
    chain = EcgChain(mains_hz=mains_hz)
    block = array("i", [0] * 50)
    re = im = 0.0
    for at in range(0, seconds * 250, 50):
        for i in range(50):
            block[i] = round(AMPLITUDE * math.sin(2 * math.pi * hz * (at + i) / 250))
        chain.process(block, 50)
        if at < settle * 250:
            continue
        for i in range(50):
            phase = 2 * math.pi * hz * (at + i) / 250
            re += chain.filtered[i] * math.sin(phase)
            im += chain.filtered[i] * math.cos(phase)
    gain = 2 * math.sqrt(re * re + im * im) / ((seconds - settle) * 250) / AMPLITUDE
    return 20 * math.log(max(gain, 1e-6)) / math.log(10), -math.atan2(im, re) / (2 * math.pi * hz) * 1000


def near(value, wanted, within):
    assert abs(value - wanted) <= within, (value, wanted)


def test_pass_band_is_flat():
    for hz in (2, 5, 10, 20):
        near(response(hz)[0], 0, 0.3)


def test_corners():
    near(response(0.5)[0], -3, 0.2)  # high-pass: at most 0.67 Hz
    near(response(40)[0], -3.1, 0.2)
    near(response(40, 60)[0], -3, 0.2)
    assert response(0.1, seconds=30, settle=20)[0] < -13
    assert response(100)[0] < -20


def test_notch_takes_its_mains_only():
    assert response(50)[0] < -50 and response(60, 60)[0] < -50
    # Only the low-pass is left; soon after, the notch goes to what hums.
    near(response(60, 50, 4, 2)[0], -9.9, 0.3)
    near(response(50, 60, 4, 2)[0], -6.2, 0.3)
    assert response(60, 50, 14, 12)[0] < -50 and response(50, 60, 14, 12)[0] < -50
    assert response(49.5)[0] < -15  # mains may stray by half a hertz


def test_phase_delay_where_a_qrs_lives():
    """Between 10 and 20 Hz a QRS comes out 5 to 6 ms late (docs/dsp.md tabulates the group delay)."""
    for hz in (10, 15, 20):
        near(response(hz)[1], 5.3, 1.0)


def test_constant_gives_zero():
    for level in (0, 1, -1, 1234, -32768, 32767):
        chain = EcgChain()
        block = array("i", [level] * 64)
        for _ in range(20):
            chain.process(block, 64)
            assert max(chain.filtered) == 0 and min(chain.filtered) == 0


def test_step_is_gone_in_two_seconds():
    """10 mV of electrode offset: below 0.05 mV after 2 s, and it never comes back as a wave."""
    chain = EcgChain()
    chain.process(array("i", [0] * 50), 50)
    block = array("i", [3277] * 50)
    for _ in range(10):
        chain.process(block, 50)
    for _ in range(50):
        chain.process(block, 50)
        assert max(chain.filtered[:50]) < 16 and min(chain.filtered[:50]) > -16


def test_step_ends_without_a_limit_cycle():
    chain = EcgChain()
    chain.process(array("i", [0] * 50), 50)
    for _ in range(200):
        chain.process(array("i", [-20000] * 50), 50)
    assert max(chain.filtered[:50]) <= 1 and min(chain.filtered[:50]) >= -1


def test_rails_are_limited_not_wrapped():
    """From one rail to the other: the output jumps the right way and stays within 16 bits and a half."""
    chain = EcgChain()
    chain.process(array("i", [-32768] * 50), 50)
    chain.process(array("i", [32767] * 50), 50)
    assert max(chain.filtered[:50]) > 15000
    assert min(chain.filtered[:50]) > -6000  # the notch rings
    assert max(chain.filtered[:50]) < 28000


def test_band_signal_is_delayed_by_what_it_says():
    """A symmetric wave keeps its symmetry about its middle, BAND_DELAY samples later."""
    st = array("i", [0] * ecg_kernel.STATE_SIZE)
    st[ecg_kernel.SPIKE] = 1638
    out = array("i", [0] * 64)
    block = array("i", [0] * 64)
    for i in range(11):
        block[2 + i] = 100 * (6 - abs(i - 5))  # its middle is sample 7
    ecg_kernel.ecg_block(block, st, out, 64)
    middle = 7 + ecg_kernel.BAND_DELAY
    band = st[ecg_kernel.RING_BAND : ecg_kernel.RING_BAND + 64]
    assert band[middle] == max(band) > 0
    for i in range(1, 25):
        assert band[middle - i] == band[middle + i]

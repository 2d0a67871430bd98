"""Which mains frequency hums, and that the notch follows it only when that is sure."""

import math
import sys
from array import array

from firmware.dsp.ecg import EcgChain
from firmware.dsp.mains import MainsWatch
from tests.both.test_dsp_ecg import MV, noise, play, rhythm


def hum(seconds, hz, height, n=None):
    out = array("h", bytes(2 * (n if n else round(seconds * 250))))
    for i in range(len(out)):
        out[i] = round(height * math.sin(2 * math.pi * hz * i / 250 + 1))
    return out


def add(signal, other):
    """`other` and what is added to it, in its place."""
    for i in range(len(other)):
        other[i] += signal[i]
    return other


def heard(signal, hz, size=25, lsb_nv=3052, mains=None):
    """The frequency after each second; `mains`: of a watch that has heard other things before."""
    mains = mains or MainsWatch(hz, lsb_nv)
    block = array("i", [0] * size)
    out = []
    done = 0
    for at in range(0, len(signal) - size + 1, size):
        for i in range(size):
            block[i] = signal[at + i]
        before = mains.hz
        assert mains.take(block, size) == (mains.hz != before)
        while done + 250 <= at + size:
            out.append(mains.hz)
            done += 250
    return out


def test_half_a_hertz_either_way_and_any_height():
    for hz, configured, told in (
        (49.5, 60, 50),
        (50, 60, 50),
        (50.5, 60, 50),
        (59.5, 50, 60),
        (60, 50, 60),
        (60.5, 50, 60),
    ):
        for height in (5, 40, 600):
            out = heard(hum(12, hz, height), configured)
            assert out[2] == configured and out[-1] == told, (hz, height, out)


def test_between_heartbeats():
    for rr in (100, 200, 300):
        signal, _ = rhythm(25, rr)
        assert heard(add(signal, hum(25, 60, 20)), 50)[-1] == 60, rr
        assert heard(add(signal, hum(25, 50, 20)), 60)[-1] == 50, rr


def test_nothing_is_told_of_what_is_no_hum():
    for configured in (50, 60):
        signal, _ = rhythm(40, 130)
        assert set(heard(signal, configured)) == {configured}
        signal = [0] * 10000
        noise(signal, MV)
        assert set(heard(signal, configured)) == {configured}
        assert set(heard(hum(20, 10, 3000), configured)) == {configured}
        assert set(heard(hum(20, 55, 300), configured)) == {configured}
        assert set(heard([20000 * (i // 9 % 2) for i in range(5000)], configured)) == {configured}


def test_a_change_takes_longer_after_a_lasting_hum():
    mains = MainsWatch(50, 3052)
    out = heard(hum(60, 60, 30), 50, mains=mains)
    out += heard(hum(25, 50, 30), 50, mains=mains)
    first = out.index(60)
    back = out.index(50, 60) - 60
    assert 4 <= first <= 7 and 2 * first < back <= 3 * first
    assert set(out[first:60]) == {60}


def test_blocks_do_not_matter():
    signal, _ = rhythm(12, 190)
    signal = add(signal, hum(12, 60, 15))
    assert heard(signal, 50, 1) == heard(signal, 50, 25) == heard(signal, 50, 50)
    assert heard(signal, 50)[-1] == 60


def test_the_notch_follows():
    signal, _ = rhythm(30, 200)
    chain = EcgChain(mains_hz=50)
    play(chain, add(signal, hum(30, 60, MV)))
    assert chain.mains_hz == 60 and chain.hr_x10 == 750
    block = array("i", hum(0, 60, MV, 250)[:50])
    quiet = EcgChain(mains_hz=50)
    for _ in range(300):
        quiet.process(block, 50)
    assert quiet.mains_hz == 60 and max(quiet.filtered[:50]) < 5


def test_every_intermediate_is_a_small_integer():
    if sys.implementation.name == "micropython":
        return
    from firmware.dsp import mains as module
    from tests.both.test_dsp_rhythm import checked

    scope, worst = checked(module.__file__, 1 << 30)
    watch = scope["MainsWatch"](50, 1)
    for hz in (50, 60, 10, 124):
        for at in range(0, 2000, 50):
            watch.take(array("i", hum(0, hz, 32767, 2000)[at : at + 50]), 50)
            watch.take(array("i", hum(0, hz, 4000, 2000)[at : at + 50]), 50)
    assert 1 << 24 < worst[0] < 1 << 30

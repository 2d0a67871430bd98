"""What the chain says of the rhythm: asystole, fibrillation, noise, saturation, irregular intervals."""

import gc
import math
import sys
from array import array

from firmware.dsp.ecg import LATENCY, NOISE, QUALITY_FLOOR, SATURATED, VF_LIKE, EcgChain
from firmware.dsp.rhythm import Fibrillation, Irregularity
from tests.both.test_dsp_ecg import MV, noise, play, rhythm, wave


class Seen:
    """Once a second: what the chain says."""

    def __init__(self):
        self.asystole = []
        self.why = []
        self.rate = []
        self.since = []

    def __call__(self, chain):
        self.asystole.append(chain.asystole)
        self.why.append(chain.cannot_analyse)
        self.rate.append(chain.hr_x10)
        self.since.append(chain.since_beat_ms)
        # What cannot be analysed has neither rate nor quality, and is no asystole.
        assert not (chain.cannot_analyse and (chain.asystole or chain.hr_x10 or chain.quality))
        assert not (chain.asystole and chain.hr_x10)


def watch(signal, chain=None, **options):
    seen = Seen()
    chain = chain or EcgChain()
    found = play(chain, signal, each=seen, **options)
    return seen, found, chain


def sine(signal, hz, height, start=0, depth=0):
    """Add a sine; `depth`: the frequency swings by so much, ten times slower than it is."""
    phase = 0.0
    for i in range(start, len(signal)):
        phase += 2 * math.pi * (hz + depth * math.sin(2 * math.pi * hz / 10 * i / 250)) / 250
        signal[i] += round(height * math.sin(phase))


def standstill(seconds=20):
    """10 s of beats, the last at sample 2350, then none."""
    return rhythm(10, 200)[0] + [0] * (seconds * 250)


def test_asystole_is_told_after_four_seconds_and_ends_with_a_beat():
    signal = standstill(10) + rhythm(8, 200)[0]
    seen, found, chain = watch(signal)
    last = max(r for r in found if r < 2500)
    told = seen.asystole.index(True) + 1
    assert 4 <= told - last / 250 <= 4 + (LATENCY + 250) / 250
    assert all(seen.asystole[told:20]) and seen.rate[told - 1 : 20] == [0] * (21 - told)
    assert seen.since[19] == (5000 - last) * 4
    back = seen.asystole.index(False, told) + 1
    assert back <= 22 and not any(seen.asystole[back:]) and not any(seen.why[24:])
    assert chain.hr_x10 == 750


def test_asystole_without_a_beat_before():
    seen, found, _ = watch([100] * 2500)
    assert found == [] and seen.since == [-1] * 10
    assert seen.asystole == [False] * 4 + [True] * 6


def test_p_waves_wander_and_hum_do_not_hide_asystole():
    for what in ("p", "wander", "hum", "all"):
        signal = standstill()
        if what in ("p", "all"):
            for r in range(2600, len(signal) - 20, 190):
                wave(signal, r, 13, MV * 13 // 100)
        if what in ("wander", "all"):
            sine(signal, 0.3, MV)
        if what in ("hum", "all"):
            sine(signal, 50, MV // 10)
        noise(signal, 4)
        seen, found, _ = watch(signal)
        assert max(found) < 2500, (what, found)
        assert all(seen.asystole[15:]) and not any(seen.why), (what, seen.asystole)


def test_artefacts_of_a_tenth_of_a_millivolt_are_no_beats():
    """However long they go on, and whatever is learnt from them."""
    signal = array("h", standstill(0))
    signal.extend(array("h", bytes(2 * 60 * 250)))
    for r in range(2700, len(signal) - 20, 230):
        wave(signal, r + r * 7 % 90, 6, MV // 10)
    seen, found, _ = watch(signal)
    assert max(found) < 2500 and all(seen.asystole[15:])


def test_p_waves_like_small_beats_give_no_rate():
    signal = standstill(30)
    for r in range(2600, len(signal) - 20, 190):
        wave(signal, r, 13, MV * 22 // 100)
    seen, _, _ = watch(signal)
    assert not any(seen.rate[15:])
    for asystole, why in zip(seen.asystole[15:], seen.why[15:]):
        assert asystole or why == NOISE


def test_noise_is_no_asystole():
    signal = standstill(30)
    noise(signal, MV * 6 // 10, 3)
    seen, _, _ = watch(signal)
    assert not any(seen.asystole) and seen.why.count(NOISE) > 20
    assert sum(1 for rate in seen.rate[18:] if rate) <= 2


def test_a_lead_that_is_off_is_no_asystole():
    chain = EcgChain()
    watch(standstill(10), chain)
    assert chain.asystole
    seen, _, _ = watch([0] * 2500, chain, lead_off=True)
    assert not any(seen.asystole) and not any(seen.why) and seen.since == [-1] * 10
    seen, _, _ = watch([0] * 2500, chain)
    assert seen.asystole == [False] * 4 + [True] * 6


def test_a_small_gap_is_counted_and_a_large_one_begins_anew():
    for missed, asystole in ((20, True), (500, False), (-1, False)):
        chain = EcgChain()
        watch(standstill(8), chain)
        assert chain.asystole
        since = chain.since_beat_ms
        chain.gap(missed)
        assert chain.asystole is asystole
        assert chain.since_beat_ms == (since + 4 * missed if asystole else -1)


def test_fibrillation_of_every_pace_and_height():
    for hz, height, depth in ((3, MV, 0.5), (4, MV // 5, 1), (5, MV // 2, 1), (6, MV, 0), (8, MV // 3, 1)):
        signal, _ = rhythm(12, 200)
        signal += [0] * 3000
        sine(signal, hz, height, 3000, depth)
        noise(signal, 4)
        seen, _, chain = watch(signal + rhythm(12, 200)[0])
        told = seen.why.index(VF_LIKE) + 1
        assert 13 < told <= 18, (hz, height, told)
        assert seen.why[told:24] == [VF_LIKE] * (24 - told)
        assert not any(seen.why[32:]) and chain.hr_x10 == 750


def test_no_rhythm_with_qrs_complexes_is_fibrillation():
    for rr in (75, 83, 100, 150, 300):
        for t in (10, 40):
            seen, _, _ = watch(rhythm(20, rr, t=t)[0])
            assert VF_LIKE not in seen.why, (rr, t)


def test_slow_waves_and_hum_are_no_fibrillation():
    for hz in (0.3, 0.5, 1, 50, 60):
        signal = standstill()
        sine(signal, hz, MV)
        seen, _, _ = watch(signal)
        assert VF_LIKE not in seen.why, hz


def test_saturation_is_said_and_forgotten():
    signal, _ = rhythm(15, 200)
    back = rhythm(12, 200)[0]
    seen, _, chain = watch(signal + [16383] * 2000 + back)
    assert seen.why[17:23] == [SATURATED] * 6 and not any(seen.asystole)
    assert not any(seen.why[26:]) and chain.hr_x10 == 750
    low = EcgChain(full_scale=2000)
    seen, _, _ = watch([-2000] * 2000, low)
    assert seen.why[2:] == [SATURATED] * 6


def test_quality_of_noise_alone_gives_no_rate():
    """Whatever is taken for beats in it, and however alike they are."""
    for top in (60, 120, 300, 1000):
        signal = [0] * 7500
        noise(signal, top, 11)
        seen, _, chain = watch(signal)
        assert chain.quality < QUALITY_FLOOR
        assert sum(1 for rate in seen.rate[10:] if rate) <= 2, (top, seen.rate)


def intervals(kind, n=120):
    """RR intervals in samples."""
    out = []
    seed = 7
    t = 0.0
    for i in range(n):
        seed = (seed * 75 + 74) % 65537
        jitter = seed % 5 - 2
        if kind == "regular":
            rr = 200 + jitter
        elif kind == "bigeminy":
            rr = (130, 270)[i % 2] + jitter
        elif kind == "trigeminy":
            rr = (200, 130, 270)[i % 3] + jitter
        elif kind == "breathing":
            rr = 200 + round(40 * math.sin(2 * math.pi * t / 4)) + jitter
        elif kind == "drift":
            rr = 250 - i + jitter
        elif kind == "ectopic":
            rr = (130, 270, 200, 200, 200, 200, 200)[i % 7] + jitter
        else:  # fibrillation
            rr = 100 + seed % 181
        t += rr / 250
        out.append(rr)
    return out


def judged(series):
    irregularity = Irregularity()
    seen = []
    for interval in series:
        irregularity.add(interval)
        seen.append(irregularity.irregular)
    return seen


def test_random_intervals_are_irregular_and_ordered_ones_are_not():
    for kind in ("regular", "bigeminy", "trigeminy", "breathing", "drift", "ectopic"):
        assert not any(judged(intervals(kind))), kind
    seen = judged(intervals("fibrillation"))
    assert not any(seen[:31]) and all(seen[48:])


def test_irregular_needs_twenty_seconds_and_known_intervals():
    fast = [60 + (rr - 100) // 3 for rr in intervals("fibrillation", 200)]  # 160 a minute
    seen = judged(fast)
    assert seen[-1] and sum(fast[: seen.index(True) + 1]) >= 5000
    series = intervals("fibrillation")
    assert not any(judged(series[:28] + [0] + series[:28])[28:])
    irregularity = Irregularity()
    for rr in series:
        irregularity.add(rr)
    assert irregularity.irregular
    irregularity.add(0)
    assert not irregularity.irregular
    for rr in intervals("fibrillation") + intervals("regular"):
        irregularity.add(rr)
    assert not irregularity.irregular


def test_an_irregular_heart_through_the_chain():
    from tests.both.test_dsp_ecg import beat

    signal = [0] * (60 * 250)
    r = 150
    for rr in intervals("fibrillation"):
        if r + 100 < len(signal):
            beat(signal, r)
        r += rr
    noise(signal, 4)
    seen = []
    chain = EcgChain()
    play(chain, signal, each=lambda c: seen.append(c.irregular))
    assert not any(seen[:20]) and all(seen[45:])
    chain.gap(1)
    assert not chain.irregular


def test_no_heap_a_sample():
    if sys.implementation.name != "micropython":
        return
    chain = EcgChain()
    signal, _ = rhythm(20, 200)
    block = array("i", [0] * 50)
    most = 0
    for at in range(0, len(signal), 50):
        for i in range(50):
            block[i] = signal[at + i]
        gc.collect()
        before = gc.mem_alloc()
        chain.process(block, 50)
        if at > 1000:
            most = max(most, gc.mem_alloc() - before)
        chain.take_beats()
    assert most < 600, most


def checked(path, limit):
    """The module at `path` with every arithmetic result asserted to lie in [-limit, limit), and the worst."""
    import ast

    worst = [0]

    def _checked(value):
        if isinstance(value, int):
            worst[0] = max(worst[0], abs(value))
            assert -limit <= value < limit, value
        return value

    class Check(ast.NodeTransformer):
        def visit_BinOp(self, node):
            self.generic_visit(node)
            return ast.Call(ast.Name("_checked", ast.Load()), [node], [])

        def visit_AugAssign(self, node):
            self.generic_visit(node)
            read = ast.parse(ast.unparse(node.target), mode="eval").body
            value = ast.Call(ast.Name("_checked", ast.Load()), [ast.BinOp(read, node.op, node.value)], [])
            return ast.Assign([node.target], value)

    with open(path) as f:
        tree = ast.fix_missing_locations(Check().visit(ast.parse(f.read())))
    scope = {"_checked": _checked, "__name__": "checked"}
    exec(compile(tree, path, "exec"), scope)
    return scope, worst


def test_every_intermediate_is_a_small_integer():
    """Below 2**30 with the greatest signals that the display path can give."""
    if sys.implementation.name == "micropython":
        return
    from firmware.dsp import rhythm as module

    scope, worst = checked(module.__file__, 1 << 30)
    for hz in (1, 5, 31, 62):
        fibrillation = scope["Fibrillation"](16383, 1)
        for at in range(0, 3000, 50):
            values = [28000 if math.sin(2 * math.pi * hz * (at + i) / 250) > 0 else -28000 for i in range(50)]
            fibrillation.take(array("i", values), array("i", values), 50)
    irregularity = scope["Irregularity"]()
    for i in range(200):
        irregularity.add(1000 - i * 37 % 900)
    assert 1 << 24 < worst[0] < 1 << 30


def test_fibrillation_says_when_a_period_is_over():
    fibrillation = Fibrillation(16383, 33)
    block = array("i", [0] * 25)
    periods = sum(fibrillation.take(block, block, 25) for _ in range(100))
    assert periods == 2500 // 252 and not fibrillation.likely and fibrillation.full == 0


def test_twenty_and_thirty_a_minute_are_read_and_steadily():
    for rr, tenths in ((750, 200), (500, 300)):
        seen, _, _ = watch(rhythm(30, rr)[0])
        assert not any(seen.asystole)
        for rate in seen.rate[14:]:
            assert abs(rate - tenths) <= 5, (tenths, seen.rate)

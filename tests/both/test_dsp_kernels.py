"""The sample loops: native and pure twins give the same words, inside 32 bits, without heap."""

import gc
import sys
from array import array

from firmware.dsp import ecg_kernel, kernels, ppg_kernel

MICROPYTHON = sys.implementation.name == "micropython"
NOTCH_50 = (7797, -4819, 4810, -7393)
# Checksums of the whole state and all output after the signals below: any change of arithmetic shows here, as
# does any difference between interpreters or word sizes.
ECG_SUM = 11492975
PPG_SUM = 5600215


def noise(seed, n, top):
    """`n` integers from -top to top - 1, the same everywhere."""
    out = []
    for _ in range(n):
        seed = (seed * 75 + 74) % 65537
        out.append(seed * 2 * top // 65537 - top)
    return out


def ecg_signal():
    """Beats, mains, a rail-to-rail square wave, noise, silence: 16 bits."""
    out = []
    for i, r in enumerate(noise(3, 1500, 12)):
        p = i % 180
        beat = 400 - abs(p - 70) * 40 if 60 < p < 80 else 0
        out.append(beat + r + (0, 48, 29, -29, -48)[i % 5])
    out += [32767 if i // 37 % 2 else -32768 for i in range(600)]
    out += noise(5, 600, 32768)
    out += [-32768] * 300
    return out


def ppg_signal():
    """(red, infrared): pulses, then noise over all 18 bits, then no finger, then pulses."""
    red, ir = [], []
    for i, r in enumerate(noise(7, 900, 20)):
        p = i % 83
        pulse = max(0, 12 - abs(p - 15)) * 180 + max(0, 20 - abs(p - 42)) * 40
        red.append(90000 - pulse // 2 + r)
        ir.append(120000 - pulse + r // 2)
    red += [x + 131072 for x in noise(11, 300, 131072)]
    ir += [x + 131072 for x in noise(13, 300, 131072)]
    red += [900] * 50 + red[:300]
    ir += [1100] * 50 + ir[:300]
    return red, ir


def ecg_state():
    st = array("i", [0] * ecg_kernel.STATE_SIZE)
    st[ecg_kernel.SHIFT] = kernels.WORD_SHIFT
    st[ecg_kernel.SPIKE] = 1638
    for i in range(4):
        st[ecg_kernel.NOTCH + i] = NOTCH_50[i]
    ecg_kernel.prime(st, 7)
    return st


def ppg_state():
    st = array("i", [0] * ppg_kernel.STATE_SIZE)
    st[ppg_kernel.SHIFT] = kernels.WORD_SHIFT
    st[ppg_kernel.FINGER_AT] = 30000
    st[ppg_kernel.FINGER_BELOW] = 20000
    return st


def fold(total, values):
    """A checksum below 2**30 of signed 32-bit words."""
    for v in values:
        total = (total * 31 + (v & 0xFFFF) + (v >> 16)) & 0xFFFFFF
    return total


def run_ecg(block, size, signal, st=None, out=None):
    """[output words], [candidates] and the state after the signal in blocks of `size`."""
    st = ecg_state() if st is None else st
    out = array("i", [0] * 64) if out is None else out
    filtered, candidates = [], []
    for at in range(0, len(signal), size):
        part = array("i", signal[at : at + size])
        block(part, st, out, len(part))
        filtered += list(out[: len(part)])
        for c in range(st[ecg_kernel.CANDIDATES]):
            at3 = ecg_kernel.FOUND + 3 * c
            candidates += [st[at3], st[at3 + 1], st[at3 + 2]]
    return filtered, candidates, st


def ppg_pure():
    """(block, moments, curved, shape)."""
    return ppg_kernel.ppg_block, ppg_kernel.ppg_moments, ppg_kernel.ppg_curved, ppg_kernel.ppg_shape


def ppg_in_use():
    return kernels.ppg_block, kernels.ppg_moments, kernels.ppg_curved, kernels.ppg_shape


def run_ppg(loops, size, red, ir, st=None):
    """[candidates, and what is measured of each beat] and the state after the signals in blocks of `size`."""
    block, moments, curved, shape = loops
    st = ppg_state() if st is None else st
    results = []
    last = 0
    for at in range(0, len(ir), size):
        r = array("i", red[at : at + size])
        i = array("i", ir[at : at + size])
        st[ppg_kernel.FROM] = 0
        while st[ppg_kernel.FROM] < len(i):
            finger = st[ppg_kernel.FINGER]
            block(r, i, st, len(i))
            if st[ppg_kernel.FINGER] and not finger:
                used = st[ppg_kernel.FROM] - 1
                ppg_kernel.prime(st, r[used], i[used])
                st[ppg_kernel.CANDIDATES] = 0
                last = st[ppg_kernel.T]
            if st[ppg_kernel.CANDIDATES]:
                top = st[ppg_kernel.FOUND]
                results += [top, st[ppg_kernel.FOUND + 1], st[ppg_kernel.RED_DC], st[ppg_kernel.IR_DC]]
                if 0 < top - last <= ppg_kernel.BEAT_MAX:
                    moments(st, last, top - last)
                    results += list(st[ppg_kernel.RED_PP : ppg_kernel.RED_IR + 1])
                    shape(st, last, min(32, (top - last) // 3))
                    results += list(st[ppg_kernel.SHAPE : ppg_kernel.STATE_SIZE])
                    for lag in (6, 22):
                        curved(st, lag)
                        results += list(st[ppg_kernel.CURVED : ppg_kernel.CURVED + 5])
                last = top
    return results, st


def ecg_sum(block, size):
    filtered, candidates, st = run_ecg(block, size, ecg_signal())
    st[ecg_kernel.SHIFT] = 0
    for i in range(ecg_kernel.CANDIDATES, ecg_kernel.CANDIDATES + 1):
        st[i] = 0
    for i in range(ecg_kernel.FOUND, ecg_kernel.SPIKE):
        st[i] = 0
    return fold(fold(fold(0, filtered), candidates), st)


def ppg_sum(loops, size):
    results, st = run_ppg(loops, size, *ppg_signal())
    for i in (ppg_kernel.SHIFT, ppg_kernel.CANDIDATES, ppg_kernel.FROM):
        st[i] = 0
    for i in range(ppg_kernel.FOUND, ppg_kernel.FULL):
        st[i] = 0
    return fold(fold(0, results), st)


def constants(path):
    """name -> value as written, of the lines `NAME = const(value)` of a source."""
    found = {}
    with open(path) as f:
        for line in f:
            name, mark, rest = line.partition(" = const(")
            if mark:
                found[name] = rest[: rest.index(")")]
    return found


def test_layouts_of_the_twins_agree():
    for module in (ecg_kernel, ppg_kernel):
        pure = constants(module.__file__)
        fast = constants(module.__file__[:-3] + "_fast.py")
        assert len(fast) > 20
        for name in fast:
            assert fast[name] == pure[name], name


def test_state_regions_do_not_overlap():
    k = ecg_kernel
    assert k.FOUND + 6 <= k.SPIKE and k.SHARP < k.RING_RAW and k.RING_RAW + 8 == k.RING7
    assert k.RING7 + 8 == k.SORTED7 and k.SORTED7 + 8 <= k.RING4 and k.RING4 + 16 <= k.RING9
    assert k.RING9 + 16 <= k.RING5 and k.RING5 + 8 <= k.RING33 and k.RING33 + 64 <= k.RING_ENERGY
    assert k.RING_ENERGY + 32 <= k.RING_SHARP and k.RING_SHARP + 64 <= k.RING_BAND
    assert k.RING_BAND + 128 <= k.STATE_SIZE
    k = ppg_kernel
    assert k.FOUND + 2 <= k.FULL < k.RED_PP and k.RED_IR < k.CURVED and k.CURVED + 5 <= k.RING_RED_5
    assert k.RING_IR_4 + 8 <= k.RING_RED and k.RING_IR + 128 <= k.RED_AC and k.IR_AC + 256 <= k.SHAPE
    assert k.SHAPE + k.POINTS <= k.REST and k.REST + k.POINTS <= k.BENT and k.BENT + 2 * k.POINTS <= k.ALIKE
    assert k.ALIKE + 7 <= k.NOISE and k.NOISE + 2 <= k.STATE_SIZE
    # what is asked of the AC rings is still in them, and not yet overwritten, when the next beat is found
    assert k.BEAT_MAX + k.HOLD + 7 + k.BEFORE + k.BEND < 256 and k.BEND < k.BEFORE + k.HOLD
    assert k.CURVED_N + 2 * k.LAG_MAX < 256


def test_pure_gives_the_known_words_whatever_the_blocks():
    for size in (1, 7, 64):
        assert ecg_sum(ecg_kernel.ecg_block, size) == ECG_SUM, ecg_sum(ecg_kernel.ecg_block, size)
    for size in (1, 13, 64):
        total = ppg_sum(ppg_pure(), size)
        assert total == PPG_SUM, total


def test_the_loops_in_use_give_the_known_words():
    assert ecg_sum(kernels.ecg_block, 25) == ECG_SUM
    total = ppg_sum(ppg_in_use(), 10)
    assert total == PPG_SUM, total


def test_native_twins_are_in_use_where_they_compile():
    compiles = False
    if MICROPYTHON:
        try:
            exec("import micropython\n@micropython.viper\ndef f(x: int) -> int:\n    return x\n", {})
            compiles = True
        except SyntaxError:
            pass
    assert compiles == kernels.NATIVE
    assert (kernels.ecg_block is ecg_kernel.ecg_block) == (not compiles)


def test_without_native_code_the_pure_twins_serve():
    """As on a port that refuses the native files (here: CPython, which has no `micropython`)."""
    if MICROPYTHON:
        return
    with open(kernels.__file__) as f:
        source = f.read().replace('sys.implementation.name == "micropython"', "True")
    scope = {"__name__": "kernels"}
    exec(source, scope)
    assert scope["NATIVE"] is False and scope["ecg_block"] is ecg_kernel.ecg_block
    assert scope["ppg_block"] is ppg_kernel.ppg_block and scope["ppg_moments"] is ppg_kernel.ppg_moments


def test_index_wraps_like_any_other_sample():
    early = run_ecg(kernels.ecg_block, 25, ecg_signal()[:1500])
    st = ecg_state()
    st[ecg_kernel.T] = ecg_kernel.INDEX_MASK - 699
    late = run_ecg(kernels.ecg_block, 25, ecg_signal()[:1500], st)
    assert early[0] == late[0] and len(early[1]) > 10
    for i in range(0, len(early[1]), 3):
        assert (late[1][i] - early[1][i]) & ecg_kernel.INDEX_MASK == ecg_kernel.INDEX_MASK - 699
        assert late[1][i + 1 : i + 3] == early[1][i + 1 : i + 3]


def test_no_heap_per_sample():
    if not MICROPYTHON:
        return
    samples = array("i", ecg_signal()[300:364])
    out = array("i", [0] * 64)
    st = ecg_state()
    red = array("i", ppg_signal()[0][:64])
    ir = array("i", ppg_signal()[1][:64])
    st2 = ppg_state()
    st2[ppg_kernel.FINGER] = 1
    ppg_kernel.prime(st2, red[0], ir[0])
    for block in (kernels.ecg_block, ecg_kernel.ecg_block):
        block(samples, st, out, 64)
        gc.collect()
        before = gc.mem_alloc()
        for _ in range(8):
            block(samples, st, out, 64)
        assert gc.mem_alloc() - before < 64
    for block, moments, curved, shape in (ppg_in_use(), ppg_pure()):
        gc.collect()
        before = gc.mem_alloc()
        for _ in range(8):
            st2[ppg_kernel.FROM] = 0
            block(red, ir, st2, 64)
            moments(st2, 0, 64)
            curved(st2, 6)
            shape(st2, 0, 32)
        assert gc.mem_alloc() - before < 64


def checked(module, limit):
    """The module with every arithmetic result and every word stored asserted to lie in [-limit, limit)."""
    import ast

    class Check(ast.NodeTransformer):
        def visit_BinOp(self, node):
            self.generic_visit(node)
            return ast.Call(ast.Name("_checked", ast.Load()), [node], [])

        def visit_AugAssign(self, node):
            self.generic_visit(node)
            read = ast.Name(node.target.id, ast.Load())
            value = ast.Call(ast.Name("_checked", ast.Load()), [ast.BinOp(read, node.op, node.value)], [])
            return ast.Assign([node.target], value)

    worst = [0]

    def _checked(value):
        worst[0] = max(worst[0], abs(value))
        assert -limit <= value < limit, value
        return value

    with open(module.__file__) as f:
        tree = Check().visit(ast.parse(f.read()))
    scope = {"_checked": _checked, "__name__": "checked"}
    exec(compile(ast.fix_missing_locations(tree), module.__file__, "exec"), scope)
    return scope, worst


def worst_ecg():
    """What drives the filters to their extremes: the signs of the impulse response, reversed; and rails."""
    pulse = [20000] + [0] * 599
    st = array("i", [0] * ecg_kernel.STATE_SIZE)
    st[ecg_kernel.SPIKE] = 1638
    for i in range(4):
        st[ecg_kernel.NOTCH + i] = NOTCH_50[i]
    response = run_ecg(ecg_kernel.ecg_block, 50, pulse, st)[0]
    worst = [32767 if v > 0 else -32768 for v in response]
    worst.reverse()
    step = 3
    for period in (2, 5, 9, 13, 18, 25, 33, 41, 66):
        step += 1
        worst += [32767 if i // period % 2 else -32768 for i in range(400 + step)]
    return worst


def test_every_intermediate_is_a_small_integer():
    """Below 2**30 even at the rails: no heap on a 32-bit port, no overflow in native code."""
    if MICROPYTHON:
        return
    ecg, worst = checked(ecg_kernel, 1 << 30)
    run_ecg(ecg["ecg_block"], 50, ecg_signal() + worst_ecg())
    assert worst[0] > 1 << 28  # the test reaches what it is about
    ppg, worst = checked(ppg_kernel, 1 << 30)
    red, ir = ppg_signal()
    rails = [262143 if i // 60 % 2 else 30000 for i in range(900)]
    rails += [262143 if i // 110 % 2 else 30000 for i in range(900)]
    loops = ppg["ppg_block"], ppg["ppg_moments"], ppg["ppg_curved"], ppg["ppg_shape"]
    run_ppg(loops, 50, red + rails, ir + rails)
    run_ppg(loops, 50, rails, [292143 - x for x in rails])
    assert worst[0] > 1 << 27


def test_a_second_costs_a_few_per_cent_of_its_budget():
    """2.5 ms of CPU for a second of ECG, 1.5 ms for one of PPG: an ESP32 takes some 55 times as long."""
    if not MICROPYTHON:
        return
    import time

    samples = array("i", ecg_signal()[:50])
    out = array("i", [0] * 64)
    st = ecg_state()
    red = array("i", ppg_signal()[0][:50])
    ir = array("i", ppg_signal()[1][:50])
    st2 = ppg_state()
    st2[ppg_kernel.FINGER] = 1
    ppg_kernel.prime(st2, red[0], ir[0])
    best = [1 << 20, 1 << 20]
    for _ in range(5):
        start = time.ticks_us()
        for _ in range(5):
            kernels.ecg_block(samples, st, out, 50)
        middle = time.ticks_us()
        for _ in range(2):
            st2[ppg_kernel.FROM] = 0
            kernels.ppg_block(red, ir, st2, 50)
        end = time.ticks_us()
        best[0] = min(best[0], time.ticks_diff(middle, start))
        best[1] = min(best[1], time.ticks_diff(end, middle))
    assert best[0] < 2500 and best[1] < 1500, best

"""The waveform codec: lossless, bounded, strict; and a slow twin that checks every intermediate's range."""

from array import array

from protocol import waveform
from protocol.errors import CodecError, LocalError

SMALL_INT = 1 << 30
"""Beyond this, an integer of a 32-bit MicroPython is an object on the heap."""


def noise(seed=1):
    while True:
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        yield seed >> 8


def signals(bits, n):
    """Name and samples of signals that are hard in different ways."""
    half = 1 << (bits - 1)
    random = noise(bits)
    walk = [0]
    for _ in range(n - 1):
        walk.append(max(-half, min(half - 1, walk[-1] + next(random) % 9 - 4)))
    return (
        ("zeros", [0] * n),
        ("lowest", [-half] * n),
        ("highest", [half - 1] * n),
        ("square 1", [half - 1 if i & 1 else -half for i in range(n)]),
        ("square 2", [half - 1 if i & 2 else -half for i in range(n)]),
        ("square 3", [half - 1 if i % 6 < 3 else -half for i in range(n)]),
        ("steps", [half - 1 if i % 40 < 20 else -half for i in range(n)]),
        ("spikes", [-half if i % 23 == 0 else half - 1 if i % 37 == 0 else 0 for i in range(n)]),
        ("saw", [(i * (2 * half) // 7) % (2 * half) - half for i in range(n)]),
        ("noise", [next(random) % (2 * half) - half for _ in range(n)]),
        ("small noise", [next(random) % min(9, half) for _ in range(n)]),
        ("walk", walk),
    )


def int_samples(values):
    return array("i", values)


def loops():
    """The pure loop, and the native one where there is one."""
    from firmware.dsp import kernels

    return (waveform.predicted, kernels.wave_predicted) if kernels.NATIVE else (waveform.predicted,)


def test_the_native_loop_makes_the_same_blocks():
    for loop in loops():
        for bits in (2, 3, 8, 11, 12, 16, 17, 18):
            for n in (1, 2, 3, 8, 9, 10, 64, 300):
                for name, samples in signals(bits, n):
                    words = int_samples(samples)
                    block = waveform.encode(words, n, bits, loop)
                    assert block == waveform.encode(words, n, bits), (bits, n, name)
            half = 1 << (bits - 1)
            for at in (0, 1, 3, 63):
                for wrong in (half, -half - 1, 1 << 30, -(1 << 30)):
                    words = int_samples([0] * 64)
                    words[at] = wrong
                    try:
                        waveform.encode(words, 64, bits, loop)
                        raise AssertionError((bits, at, wrong))
                    except LocalError:
                        pass


def test_every_sample_comes_back_and_the_size_is_bounded():
    for bits in (2, 3, 8, 11, 12, 16, 17, 18):
        for n in (1, 2, 3, 8, 9, 10, 64):
            for name, samples in signals(bits, n):
                block = waveform.encode(int_samples(samples), n, bits)
                assert list(waveform.decode(block, n)) == samples, (bits, n, name)
                assert len(block) <= 1 + (n * bits + 7) // 8, (bits, n, name)


def test_a_block_may_be_shorter_than_the_buffer_and_of_any_sequence():
    samples = [5, -7, 300, 12, 0, 1]
    expected = waveform.encode(samples, 4, 16)
    for other in (tuple(samples), array("h", samples), array("i", samples)):
        assert waveform.encode(other, 4, 16) == expected
    assert list(waveform.decode(memoryview(expected), 4)) == samples[:4]


def test_blocks_are_independent():
    first = waveform.encode([1, 2, 3], 3)
    waveform.encode([131071, -131072, 77], 3)
    assert waveform.encode([1, 2, 3], 3) == first


def test_smooth_signals_shrink():
    ramp = [100000 + 3 * (i % 60) * (60 - i % 60) for i in range(200)]
    assert len(waveform.encode(ramp, 200)) * 8 < 7 * 200


def test_what_cannot_be_encoded():
    for samples, n, bits in (
        ([1 << 17], 1, 18),
        ([-(1 << 17) - 1], 1, 18),
        ([0, 0, 1 << 15], 3, 16),
        ([131071 if i & 1 else -131072 for i in range(50)] + [1 << 17], 51, 18),
        ([], 0, 18),
        ([0], 1, 19),
        ([0], 1, 1),
    ):
        try:
            waveform.encode(samples, n, bits)
        except LocalError:
            continue
        raise AssertionError((samples[:3], n, bits))


def refused(block, n):
    try:
        samples = waveform.decode(block, n)
    except CodecError as error:
        assert error.offset is None or 0 <= error.offset <= len(block)
        return True
    assert len(samples) == n
    return False


def test_truncated_at_every_offset():
    for name, samples in signals(18, 24):
        block = waveform.encode(int_samples(samples), 24)
        for end in range(len(block)):
            assert refused(block[:end], 24), (name, end)
        assert refused(block + b"\0", 24), name


def test_another_number_of_samples():
    """Every code holds a one and padding does not, so a wrong count never passes."""
    for name, samples in signals(16, 24):
        block = waveform.encode(int_samples(samples), 24, 16)
        for n in list(range(50)) + [200, 65535, 65536, 1 << 40, -1]:
            assert n == 24 or refused(block, n), (name, n)


def test_every_bit_flipped():
    """Never a crash; what decodes is within its width."""
    for _, samples in signals(18, 16):
        block = waveform.encode(int_samples(samples), 16)
        for bit in range(8 * len(block)):
            changed = bytearray(block)
            changed[bit >> 3] ^= 0x80 >> (bit & 7)
            try:
                decoded = waveform.decode(changed, 16)
            except CodecError:
                continue
            half = 1 << ((changed[0] & 31) - 1)
            assert min(decoded) >= -half and max(decoded) < half


def test_random_bytes():
    random = noise(99)
    for size in range(1, 40):
        block = bytearray([next(random) & 255 for _ in range(size)])
        for first in (0x12, 0x10, 0x02, 0x32):
            block[0] = first
            for n in (1, 5, 30, 8 * size):
                refused(block, n)


# The twin: every operation's result is checked. It writes what encode writes.


def r(value):
    """`value`, which must be a small integer of a 32-bit MicroPython (31 bits signed, so within int32)."""
    assert -SMALL_INT <= value < SMALL_INT, value
    return value


class Bits:
    """The bit accumulator."""

    def __init__(self, first):
        self.out = bytearray((first,))
        self.acc = 0
        self.free = 0

    def put(self, value, width):
        self.acc = r(r(self.acc << width) | r(value))
        self.free = r(self.free + width)
        while self.free >= 8:
            self.free -= 8
            self.out.append(r(self.acc >> self.free) & 0xFF)
        self.acc &= r(1 << self.free) - 1

    def finish(self):
        if self.free:
            self.out.append(r(self.acc << (8 - self.free)) & 0xFF)
        return bytes(self.out)


def moved(weight, e, d):
    if e == 0 or d == 0:
        return weight
    return min(512, weight + 8) if (e > 0) == (d > 0) else max(-512, weight - 8)


def twin(samples, n, bits):
    half = 1 << (bits - 1)
    bit = Bits(bits)
    k0 = waveform.first_k(samples, n)
    total = 0
    for i in range(1, min(n, 9)):
        total = r(total + abs(r(samples[i] - samples[i - 1])))
    r(5 * total)
    bit.put(r(r(samples[0] + half) << 5) | k0, bits + 5)
    a = r(21 << k0)
    w1, w2, d1, d2 = 192, 0, 0, 0
    for i in range(1, n):
        d = r(samples[i] - samples[i - 1])
        p = r(r(r(r(w1 * d1) + r(w2 * d2)) + 128) >> 8)
        e = r(d - p)
        u = r(r(e << 1) if e >= 0 else r(-1 - r(e << 1)))
        k = 0
        while a >= r(28 << k):
            k += 1
        r(28 << (k + 1))
        q = r(u >> k)
        if q < 16:
            zeros, width, code = q, k + 1, r(1 << k) | u & (r(1 << k) - 1)
        else:
            zeros, width, code = 16, bits + 4, u
        assert width <= 23 and code >> width == 0
        if zeros + width > 22:
            bit.put(0, zeros)
            zeros = 0
        bit.put(code, zeros + width)
        a = r(r(a + r(u << 2)) - r(a >> 2))
        w1, w2 = moved(w1, e, d1), moved(w2, e, d2)
        d1, d2 = d, d1
    return bit.finish()


def test_every_intermediate_is_a_small_integer_even_at_full_scale():
    for bits in (16, 18):
        for name, samples in signals(bits, 300):
            by_twin = twin(samples, 300, bits)
            block = waveform.encode(int_samples(samples), 300, bits)
            if block[0] >> 5 == 0:
                assert block == by_twin, name
            else:
                assert len(by_twin) >= len(block), name


def test_the_worst_that_signs_can_do():
    """Each sample is chosen to make the prediction of the next as wrong as it can be."""
    for pull in (1, -1):
        samples = [0]
        w1, w2, d1, d2 = 192, 0, 0, 0
        for _ in range(400):
            p = (w1 * d1 + w2 * d2 + 128) >> 8
            x = 131071 if (p < 0) == (pull > 0) else -131072
            d = x - samples[-1]
            e = d - p
            w1, w2 = moved(w1, e, d1), moved(w2, e, d2)
            d1, d2 = d, d1
            samples.append(x)
        twin(samples, len(samples), 18)
        block = waveform.encode(int_samples(samples), len(samples))
        assert list(waveform.decode(block, len(samples))) == samples

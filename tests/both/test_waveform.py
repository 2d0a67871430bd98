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
        (
            "silence, then full scale",
            [0] * (n // 2) + [(half - 1) if i & 1 else -half for i in range(n - n // 2)],
        ),
        ("one jump", [half - 1 if i == n // 2 else 0 for i in range(n)]),
        ("top", [half - 1 - next(random) % 2 for _ in range(n)]),
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


def _bits(x):
    """How many bits a sample needs, signed."""
    x = x if x >= 0 else -1 - x
    width = 1
    while x:
        x >>= 1
        width += 1
    return width


def test_every_sample_comes_back_and_the_size_is_bounded():
    for bits in (2, 3, 8, 11, 12, 16, 17, 18):
        for n in (1, 2, 3, 8, 9, 10, 64):
            for name, samples in signals(bits, n):
                block = waveform.encode(int_samples(samples), n, bits)
                assert list(waveform.decode(block, n)) == samples, (bits, n, name)
                assert len(block) <= 1 + (n * bits + 7) // 8, (bits, n, name)
                width = block[0] & 31
                assert width == max(2, max(_bits(x) for x in samples)) <= bits, (bits, n, name)
                assert len(block) <= 1 + (n * width + 7) // 8, (bits, n, name)


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


def test_silence_costs_a_bit_a_sample():
    for level in (0, -1, 77, 131071, -131072):
        assert len(waveform.encode([level] * 250, 250)) <= 2 + (18 + 5 + 250 + 60) // 8


def test_smooth_signals_shrink():
    ramp = [100000 + 3 * (i % 60) * (60 - i % 60) for i in range(200)]
    assert len(waveform.encode(ramp, 200)) * 8 < 7 * 200


def test_what_cannot_be_encoded():
    for samples, n, bits in (
        ([1 << 17], 1, 18),
        ([-(1 << 17) - 1], 1, 18),
        ([0, 0, 1 << 15], 3, 16),
        ([131071 if i & 1 else -131072 for i in range(50)] + [1 << 17], 51, 18),
        ([0, 0, 2], 3, 2),
        ([0, 1 << 40], 2, 18),
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
            assert len(decoded) == 16 and min(decoded) >= -half and max(decoded) < half


def test_random_bytes():
    random = noise(99)
    for size in range(1, 40):
        block = bytearray([next(random) & 255 for _ in range(size)])
        for first in (0x12, 0x10, 0x02, 0x32, 0x22, 0x40, 0x13, 0xFF):
            block[0] = first
            for n in (1, 5, 30, 8 * size):
                refused(block, n)


# The model: the specification written down once more, as lists and loops, with every result checked.


def r(value):
    """`value`, which must be a small integer of a 32-bit MicroPython (31 bits signed, so within int32)."""
    assert -SMALL_INT <= value < SMALL_INT, value
    return value


def limited(value, limit):
    return max(-limit, min(limit, value))


class Bits:
    """A string of bits, written without haste."""

    def __init__(self):
        self.bits = []

    def put(self, value, width):
        assert value >> width == 0
        for i in range(width - 1, -1, -1):
            self.bits.append(value >> i & 1)

    def packed(self, first):
        while len(self.bits) & 7:
            self.bits.append(0)
        out = bytearray((first,))
        for at in range(0, len(self.bits), 8):
            byte = 0
            for bit in self.bits[at : at + 8]:
                byte = byte << 1 | bit
            out.append(byte)
        return bytes(out)


class Model:
    """What both sides know after each sample."""

    def __init__(self, width, first, k0):
        self.half = 1 << (width - 1)
        self.last = first
        self.weights = [1024, 0, 0, 0, 0, 0, -768, 0]
        self.differences = [0] * 6
        self.errors = [0] * 2
        self.a = r(21 << k0)
        self.spread = 0

    def expected(self):
        total = 0
        taps = self.differences + self.errors
        for i in range(8):
            total = r(total + r(self.weights[i] * taps[i]))
        return max(-self.half, min(self.half - 1, r(self.last + (r(total + 1024) >> 11))))

    def divisor(self):
        """m, and the bits of its longer remainders."""
        k = 0
        while self.a + 18 >= r(32 << k):
            k += 1
        if k >= 2 and self.a + 18 < r(23 << k):
            return r(3 << (k - 2)), k
        return 1 << k, k

    def take(self, x):
        """u, q and the divisor for the next sample; everything moves on."""
        m, k = self.divisor()
        e = r(x - self.expected())
        u = r(2 * e) if e >= 0 else r(-1 - 2 * e)
        q = u // m
        d = r(x - self.last)
        gain = (0x1C0000, 0x540000, 0x700000)[min(q, 2)]
        step = 0 if e == 0 else gain // r(self.spread + m) * (1 if e > 0 else -1)
        taps = self.differences + self.errors
        for i in range(8):
            self.weights[i] = limited(r(self.weights[i] + (r(step * taps[i]) >> 14)), 4096)
        self.differences = [limited(d, 16384)] + self.differences[:5]
        self.errors = [limited(e, 16384)] + self.errors[:1]
        self.spread = r(self.spread + abs(d) - (self.spread >> 3))
        self.a = r(self.a + r(4 * u) - (self.a >> 2))
        self.last = x
        return u, q, m, k


def by_the_model(samples, n):
    """The predicted block, which encode makes unless raw is as short."""
    width = max(2, max(_bits(x) for x in samples[:n]))
    count = min(n, 9) - 1
    k0 = 0
    if count:
        mean = 5 * sum(abs(samples[i + 1] - samples[i]) for i in range(count)) // (2 * count)
        while 2 << k0 <= mean:
            k0 += 1
    bits = Bits()
    bits.put(samples[0] + (1 << (width - 1)), width)
    bits.put(k0, 5)
    model = Model(width, samples[0], k0)
    for x in samples[1:n]:
        u, q, m, k = model.take(x)
        if q >= 16:
            bits.put(0, 16)
            bits.put(u, width + 1)
            continue
        bits.put(1, q + 1)
        rest, short = u % m, (1 << k) - m
        if rest < short:
            bits.put(rest, k - 1)
        else:
            bits.put(rest + short, k)
    return bits.packed(width)


def test_the_specification_written_down_twice():
    for bits in (2, 3, 7, 12, 16, 18):
        for n in (1, 2, 9, 10, 150):
            for name, samples in signals(bits, n):
                block = waveform.encode(int_samples(samples), n, bits)
                expected = by_the_model(samples, n)
                if block[0] >> 5 == 0:
                    assert block == expected, (bits, n, name)
                else:
                    assert len(expected) >= len(block), (bits, n, name)


def test_the_worst_that_a_signal_can_do():
    """Every so often a sample is as far from what is expected as it can be."""
    random = noise(5)
    for calm in (1, 3, 17):
        samples = [0]
        model = Model(18, 0, 0)
        for i in range(400):
            p = model.expected()
            x = 131071 if p < 0 else -131072
            if i % calm:
                x = limited(p + next(random) % 5 - 2, 131071)
            model.take(x)
            samples.append(x)
        block = waveform.encode(int_samples(samples), 401)
        assert list(waveform.decode(block, 401)) == samples
        assert len(block) <= 1 + (401 * 18 + 7) // 8

"""A decoder of waveforms as somebody elsewhere would write it: from docs/wire-protocol.md §8.3 alone."""


class Refused(Exception):
    """No encoder makes such a block."""


class Bits:
    """Bits of a block, the most significant first."""

    def __init__(self, data: bytes):
        self.all = "".join(f"{byte:08b}" for byte in data)
        self.at = 0

    def take(self, n: int) -> int:
        if n > len(self.all) - self.at:
            raise Refused("the block ends")
        self.at += n
        return int(self.all[self.at - n : self.at] or "0", 2)

    def end(self) -> None:
        rest = self.all[self.at :]
        if len(rest) > 7 or "1" in rest:
            raise Refused("more than the samples take")


def within(value: int, bound: int) -> int:
    return max(-bound, min(bound, value))


def decode(block: bytes, n: int) -> "list[int]":
    if not block:
        raise Refused("empty")
    mode, width = block[0] >> 5, block[0] & 31
    if mode > 1 or not 2 <= width <= 18:
        raise Refused("mode or width")
    half = 1 << (width - 1)
    bits = Bits(block[1:])
    samples = [bits.take(width) - half for _ in range(n)] if mode == 1 else predicted(bits, n, width, half)
    bits.end()
    if width > 2 and all(-half // 2 <= x < half // 2 for x in samples):
        raise Refused("wider than its samples")
    return samples


def predicted(bits: Bits, n: int, width: int, half: int) -> "list[int]":
    samples = [bits.take(width) - half]
    a, s = 21 << bits.take(5), 0
    if a > 21 << 19:
        raise Refused("k0")
    w, t = [1024, 0, 0, 0, 0, 0, -768, 0], [0] * 8
    for _ in range(n - 1):
        y = samples[-1]
        p = y + ((1024 + sum(wi * ti for wi, ti in zip(w, t, strict=True))) >> 11)
        p = max(-half, min(half - 1, p))
        k = 0
        while a + 18 >= 32 << k:
            k += 1
        m = 3 << (k - 2) if k >= 2 and a + 18 < 23 << k else 1 << k
        u, q = residual(bits, k, m, width)
        e = u >> 1 if u % 2 == 0 else -(u + 1) >> 1
        x = p + e
        if not -half <= x < half:
            raise Refused("beyond the width")
        if e:
            g = (1835008, 5505024, 7340032)[min(q, 2)] // (s + m) * (1 if e > 0 else -1)
            w = [within(wi + (g * ti >> 14), 4096) for wi, ti in zip(w, t, strict=True)]
        d = x - y
        s += abs(d) - (s >> 3)
        a += 4 * u - (a >> 2)
        t = [within(d, 16384), *t[:5], within(e, 16384), t[6]]
        samples.append(x)
    return samples


def residual(bits: Bits, k: int, m: int, width: int) -> "tuple[int, int]":
    """u and its quotient by m."""
    q = 0
    while q < 16 and bits.take(1) == 0:
        q += 1
    if q == 16:
        u = bits.take(width + 1)
        if u // m < 16:
            raise Refused("escaped without need")
        return u, u // m
    c = (1 << k) - m
    r = bits.take(k - 1) if c else bits.take(k)
    if c and r >= c:
        r = (r << 1 | bits.take(1)) - c
    return q * m + r, q

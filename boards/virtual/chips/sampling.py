"""The sample clock of a chip and what it samples.

A chip asks for the samples that have become due; they are computed a block ahead, because a patient computes
blocks well and single samples badly.
"""


class SampleClock:
    """Counts the sampling instants of one chip since `start_us`, with its own crystal's error.

    Integer arithmetic: instants lie exactly `period_ps` apart. `ppm` > 0 is a chip that samples too fast.
    """

    def __init__(self, start_us, period_ns, ppm=0):
        self.start_us = start_us
        self.period_ps = period_ns * 1_000_000_000 // (1_000_000 + ppm)
        self.taken = 0

    def due(self, now_us):
        """How many further samples have been taken up to `now_us`; they count as taken from then on."""
        total = (now_us - self.start_us) * 1_000_000 // self.period_ps
        n = total - self.taken
        if n <= 0:
            return 0
        self.taken = total
        return n


class Feed:
    """Samples of one signal at the instants of a clock, in order.

    `signal(start_us, period_us, n)` gives n values (a list, or a tuple of lists for several channels) at
    start_us, start_us + period_us ... (floats); `pack(values)` turns them into what the chip's FIFO stores.
    """

    def __init__(self, signal, pack, clock, block):
        self._signal = signal
        self._pack = pack
        self._clock = clock
        self._size = block
        self._block = []
        self._at = 0
        self._next = 0  # number of the sample that take() gives next

    def take(self, n):
        """The next `n` stored words."""
        at = self._at
        block = self._block
        if at + n <= len(block):
            self._at = at + n
            self._next += n
            return block[at : at + n]
        out = block[at:]
        self._next += len(out)
        while len(out) < n:
            self._fill()
            part = self._block[: n - len(out)]
            self._at = len(part)
            self._next += len(part)
            out = out + part
        return out

    def skip(self, n):
        """Pass over `n` samples without computing them all."""
        left = len(self._block) - self._at
        if n <= left:
            self._at += n
        else:
            self._block = []
            self._at = 0
        self._next += n

    def drop(self):
        """Compute anew what has not been taken yet."""
        self._block = []
        self._at = 0

    def _fill(self):
        period_us = self._clock.period_ps / 1_000_000
        start_us = self._clock.start_us + (self._next + 1) * period_us
        self._block = self._pack(self._signal(start_us, period_us, self._size))
        self._at = 0

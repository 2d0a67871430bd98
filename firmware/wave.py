"""Samples gathered into frames, in preallocated buffers with room for what comes while a frame is being
sealed.
"""

from array import array

# Samples that fit behind a complete frame: two drains of a full FIFO.
SLACK = 64


class Notes:
    """What a frame says of its samples: `n` of them, the first taken at `ticks`; `flags`, `late`, `missed` as
    in the wave frame (protocol.frames WAVE_…). `sealed`: channels that are in a frame already; `halved`: the
    samples of the next one are, for the codec.
    """

    def __init__(self):
        self.clear()

    def clear(self):
        """No samples, nothing to say."""
        self.n = 0
        self.ticks = 0
        self.flags = 0
        self.late = 0
        self.missed = 0
        self.sealed = 0
        self.halved = False


class WaveBuffer:
    """One sensor's waveform on its way into frames of `size` samples.

    `put` copies a drained block, all of it or, where `emit` raises, nothing. A complete frame waits as
    `ready` (its Notes; None: there is none) in `samples`, one array a channel, until `release`.
    `emit(notes)` is called only when room runs out before the frame was taken, so that no sample is ever
    dropped here.
    """

    def __init__(self, channels, size, emit):
        self.size = size
        self.samples = [array("i", bytes(4 * (size + SLACK))) for _ in range(channels)]
        self.ready: "Notes | None" = None
        self._emit = emit
        self._base = 0
        self._filling = Notes()
        self._spare = Notes()

    def put(self, blocks, n, clock, flags, late):
        """Take n <= SLACK samples of each channel; the first `late` of them were read late.

        `clock` is the sensor's SampleClock, whose newest sample is the last of these.
        """
        if self.ready is not None:
            gathered = self._filling.n + n
            if gathered >= self.size or self._base + gathered > self.size + SLACK:
                self._make_room()
        taken = 0
        while taken < n:
            frame = self._filling
            if frame.n == 0:
                frame.ticks = clock.before(n - 1 - taken)
            count = min(n - taken, self.size - frame.n)
            at = self._base + frame.n
            for channel in range(len(blocks)):
                block = blocks[channel]
                samples = self.samples[channel]
                for i in range(count):
                    samples[at + i] = block[taken + i]
            frame.flags |= flags
            frame.late += min(late, count)
            late -= min(late, count)
            frame.n += count
            taken += count
            if frame.n == self.size:
                self.close()

    def resize(self, size):
        """Gather `size` samples a frame from here on; nothing happens while that is not possible."""
        filling = self._filling.n
        if size == self.size or self.ready is not None or filling >= size:
            return
        wider = [array("i", bytes(4 * (size + SLACK))) for _ in self.samples]
        for channel in range(len(wider)):
            for i in range(filling):
                wider[channel][i] = self.samples[channel][i]
        self.samples = wider
        self.size = size

    def gap(self, overflowed, missed):
        """Samples are missing here: what was gathered is a frame of its own, and the next frame says what
        came before it.
        """
        self.close()
        self._filling.flags |= overflowed
        self._filling.missed += missed

    def close(self):
        """End the frame that is being filled, if it has any samples."""
        if self._filling.n == 0:
            return
        if self.ready is not None:
            self._make_room()
        self.ready = self._filling
        self._base = self._filling.n
        self._filling = self._spare

    def _make_room(self):
        self._emit(self.ready)
        self.release()

    def release(self):
        """The frame that was ready has been sealed; what came after it moves up."""
        ready = self.ready
        if ready is None:
            return
        for samples in self.samples:
            for i in range(self._filling.n):
                samples[i] = samples[ready.n + i]
        self._base = 0
        ready.clear()
        self._spare = ready
        self.ready = None

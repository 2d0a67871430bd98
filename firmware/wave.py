"""Samples gathered into frames: two sets of preallocated buffers a sensor, one filling, one waiting to be
encoded and sealed.
"""

from array import array


class WaveSet:
    """Buffers for the channels of one sensor, and what is to be said of the samples in them.

    `n` samples, the first of them at `ticks`; `flags` (protocol.frames WAVE_…), `late`, `missed` as in the
    wave frame.
    """

    def __init__(self, channels, samples):
        self.samples = [array("i", bytes(4 * samples)) for _ in range(channels)]
        self.clear()

    def clear(self):
        """Empty, with nothing to say."""
        self.n = 0
        self.ticks = 0
        self.flags = 0
        self.late = 0
        self.missed = 0


class WaveBuffer:
    """One sensor's waveform on its way into frames of `size` samples.

    `put` copies a drained block; when a frame is complete it waits as `ready` (else None) until `release`.
    `emit(ready)` is called only when a second frame is complete before the first was taken, so that no sample
    is ever dropped here.
    """

    def __init__(self, channels, size, emit):
        self.size = size
        self.ready = None
        self._emit = emit
        self._filling = WaveSet(channels, size)
        self._spare = WaveSet(channels, size)

    def put(self, blocks, n, clock, flags, late):
        """Take n samples of each channel; the first `late` of them were read late.

        `clock` is the sensor's SampleClock, whose newest sample is the last of these.
        """
        taken = 0
        while taken < n:
            frame = self._filling
            at = frame.n
            if at == 0:
                frame.ticks = clock.before(n - 1 - taken)
            count = min(n - taken, self.size - at)
            for channel in range(len(blocks)):
                block = blocks[channel]
                samples = frame.samples[channel]
                for i in range(count):
                    samples[at + i] = block[taken + i]
            frame.flags |= flags
            frame.late += min(late, count)
            late -= min(late, count)
            frame.n = at + count
            taken += count
            if frame.n == self.size:
                self.close()

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
            self._emit(self.ready)
            self.release()
        self.ready = self._filling
        self._filling = self._spare

    def release(self):
        """The frame that was ready has been sealed; its buffers are free."""
        self.ready.clear()
        self._spare = self.ready
        self.ready = None

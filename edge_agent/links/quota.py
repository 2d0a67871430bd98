"""How much one node may say: a bucket of frames that fills with time."""

# As long as a burst may be that was earned by being quiet before.
BURST_S = 4.0
# Bytes of which no message comes cost, too: a frame of waveforms has about 300.
BYTES_A_FRAME = 4096


class Quota:
    """`frames_s` a second on average. Whoever has none left waits; what was taken already is never undone."""

    def __init__(self, frames_s: float, now_s: float) -> None:
        self._frames_s = frames_s
        self._most = self._left = frames_s * BURST_S
        self._at_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until something may be taken; 0: now."""
        left = self._left + (now_s - self._at_s) * self._frames_s
        self._left = left = left if left < self._most else self._most
        self._at_s = now_s
        return 0.0 if left > 0 else (1.0 - left) / self._frames_s

    def spend(self, frames: int, nbytes: int) -> None:
        """So many messages, in so many bytes, were taken."""
        weight = nbytes / BYTES_A_FRAME
        self._left -= frames if frames > weight else weight

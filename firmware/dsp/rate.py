"""Mean rate of beats over the last seconds: beats per time, so that ectopic beats count."""

from array import array

from firmware.dsp.ecg_kernel import INDEX_MASK

_SLOTS = 64  # beats remembered, a power of two: 8 s at 480 a minute
_INTERVALS_MIN = 2  # fewer make no reading
_RUN = 4  # alike in a row, or one less in half a window, are a new rate, if the two before were both longer
# or both shorter
_RUN_MAX = 32


class RateWindow:
    """Intervals between beats and their mean rate; times are sample indices modulo INDEX_MASK + 1.

    fs_hz: sampling rate; window: samples to average over; silence: samples without a beat after which the
    rate is unknown. A slow rhythm stretches the window until it holds two intervals. `spread`: mean deviation
    of the intervals that the last `rate_x10` counted, in percent of their mean.
    """

    def __init__(self, fs_hz, window, silence):
        self._tenths = 600 * fs_hz
        self._window = window
        self._silence = silence
        self._at = array("i", [0] * _SLOTS)
        self._interval = array("i", [0] * _SLOTS)  # 0: nothing is known of the time before this beat
        self._next = 0
        self._joined = False
        self.spread = 0

    def gap(self):
        """The time before the next beat is unknown: samples were lost, or the signal was off. No rate."""
        self._joined = False

    def add(self, at):
        """Note a beat; the interval that it ends in samples, 0 if unknown."""
        last = (self._next - 1) & (_SLOTS - 1)
        interval = (at - self._at[last]) & INDEX_MASK if self._joined else 0
        if interval > self._silence:
            interval = 0
        self._at[self._next] = at
        self._interval[self._next] = interval
        self._next = (self._next + 1) & (_SLOTS - 1)
        self._joined = True
        return interval

    def _since(self, now):
        since = (now - self._at[(self._next - 1) & (_SLOTS - 1)]) & INDEX_MASK
        return since if since <= INDEX_MASK >> 1 else 0  # a beat may be newer than `now`

    def since(self, now):
        """Samples since the last beat; -1 where none is known."""
        return self._since(now) if self._joined else -1

    def silent(self, now):
        """True when the last beat is unknown or too long ago at the index `now`."""
        return not self._joined or self._since(now) > self._silence

    def rate_x10(self, now):
        """Mean rate in 0.1 a minute at the index `now`, 0 when there is none.

        A pause that outlasts every interval of the window counts as time without beats. After a step of the
        rate only what came since counts; single ectopic beats make none.
        """
        self.spread = 0
        if self.silent(now):
            return 0
        slot = (self._next - 1) & (_SLOTS - 1)
        since = self._since(now)
        total = longest = count = 0
        most = self._new_run()
        while count < most:
            interval = self._interval[slot]
            if interval == 0 or (count >= _INTERVALS_MIN and since + total + interval > self._window):
                break
            total += interval
            count += 1
            longest = max(longest, interval)
            slot = (slot - 1) & (_SLOTS - 1)
        if count < _INTERVALS_MIN:
            return 0
        off = 0
        for n in range(count):
            off += abs(self._before(n) * count - total)
        self.spread = off // count * 100 // total
        if since > longest:
            total += since
        return (count * self._tenths + total // 2) // total

    def _before(self, n):
        """The interval `n` beats before the newest one."""
        return self._interval[(self._next - 1 - n) & (_SLOTS - 1)]

    def _new_run(self):
        """How many of the newest intervals belong to a new rate; all of them if it is the old one."""
        least = most = total = self._before(0)
        n = 1
        while n < _RUN_MAX:
            interval = self._before(n)
            low = min(least, interval)
            high = max(most, interval)
            if (high - low) * 8 > low:
                break
            least = low
            most = high
            total += interval
            n += 1
        a = self._before(n)
        b = self._before(n + 1)
        if n < _RUN - (total * 2 >= self._window) or a == 0 or b == 0:
            return _SLOTS
        if min(a, b) * 8 > most * 9 or max(a, b) * 9 < least * 8:
            return n
        return _SLOTS

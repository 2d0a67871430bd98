"""When the frames of a store were measured: by the clock fits of their boot, which the agents signed.

A frame carries its node's time since boot. A boot that never met an agent lies between its neighbours, and
every date is an interval.
"""

from bisect import bisect_left

from edge_agent.people.clocks import PPB, Clock, Fit
from edge_agent.people.dates import ALWAYS_MS, Dated
from protocol import batch as batches
from protocol.errors import ProtocolError
from protocol.frames import T_END
from tools.collector.store import Store


class Dates:
    """Of one node; what it has read it remembers."""

    def __init__(self, store: Store, node: bytes):
        self._fits: dict[bytes, list[Fit]] = {}
        self._clocks: dict[bytes, Clock] = {}
        for (entry,) in store.db.execute(
            "SELECT entry FROM statements WHERE kind = ? AND node = ?", (batches.ENTRY_CLOCK, node)
        ).fetchall():
            try:
                _, _, boot, *fit = batches.parse_entry(entry)
            except ProtocolError:
                continue  # Damaged: verify says so.
            self._fits.setdefault(boot, []).append(Fit(*fit))
        for fits in self._fits.values():
            fits.sort()
        self._boots = sorted(self._fits)

    def fit(self, boot: bytes, t_us: int) -> Fit | None:
        """The clock fit that is nearest to that node time; None when the boot met no agent."""
        fits = self._fits.get(boot)
        if not fits:
            return None
        at = bisect_left(fits, (t_us,))
        return min(fits[max(0, at - 1) : at + 1], key=lambda fit: abs(fit.t_us - t_us))

    def of(self, boot: bytes, t_us: int, received_ms: int) -> Dated:
        """The interval in which a frame was measured: not after its agent received it, at the latest."""
        clock = self._clock(boot)
        if clock is not None:
            low_us, high_us = clock.at(t_us)
            return Dated(max(0, low_us // 1000), max(0, -(-high_us // 1000)))
        low, high = 0, min(ALWAYS_MS, received_ms)
        at = bisect_left(self._boots, boot)
        if at:
            clock = self._clock(self._boots[at - 1])
            low = 0 if clock is None else max(0, clock.at(clock.last_us)[0] // 1000)
        if at < len(self._boots):
            clock = self._clock(self._boots[at])
            high = high if clock is None else min(high, -(-clock.at(0)[1] // 1000))
        return Dated(low, high) if low <= high else Dated(0, received_ms)

    def _clock(self, boot: bytes) -> Clock | None:
        if boot not in self._clocks and boot in self._fits:
            self._clocks[boot] = Clock(self._fits[boot])
        return self._clocks.get(boot)

    def node_times(self, boot: bytes, low_ms: int, high_ms: int, slack_us: int) -> tuple[int, int] | None:
        """Node times between which lies all that was measured from `low_ms` to `high_ms`, and some more; None
        when the boot met no agent.
        """
        fits, clock = self._fits.get(boot), self._clock(boot)
        if not fits or clock is None:
            return None
        if clock.regimes > 1:
            # Its agent's clock was set: a moment may stand at several node times, or between two at none.
            return 0, T_END

        def at(unix_us: int) -> int:
            near = min(fits, key=lambda fit: abs(fit.unix_us - unix_us))
            away = unix_us - near.unix_us
            return near.t_us + away + away * near.rate_ppb // PPB

        drift = (high_ms - low_ms) * 1000 // 5000  # 200 ppm, a crystal's worst
        low, high = at(low_ms * 1000) - slack_us - drift, at(high_ms * 1000) + slack_us + drift
        return max(0, min(low, T_END)), max(0, min(high, T_END))

"""When the frames of a store were measured: by the clock fits of their boot, which the agents signed.

A frame carries its node's time since boot. A boot that never met an agent lies between its neighbours, and
every date is an interval.
"""

from bisect import bisect_left

from edge_agent.people_dates import ALWAYS_MS, PPB, Dated, Fit
from protocol import batch as batches
from protocol.errors import ProtocolError
from protocol.frames import T_END
from tools.collector.store import Store


class Dates:
    """Of one node; what it has read it remembers."""

    def __init__(self, store: Store, node: bytes):
        self._fits: dict[bytes, list[Fit]] = {}
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
        fit = self.fit(boot, t_us)
        if fit is not None:
            low_us, high_us = fit.at(t_us)
            return Dated(max(0, low_us // 1000), max(0, -(-high_us // 1000)))
        low, high = 0, min(ALWAYS_MS, received_ms)
        at = bisect_left(self._boots, boot)
        if at:
            last = self._fits[self._boots[at - 1]][-1]
            low = max(0, last.at(last.t_us)[0] // 1000)
        if at < len(self._boots):
            first = self._fits[self._boots[at]][0]
            high = min(high, -(-first.at(0)[1] // 1000))
        return Dated(low, high) if low <= high else Dated(0, received_ms)

    def node_times(self, boot: bytes, low_ms: int, high_ms: int, slack_us: int) -> tuple[int, int] | None:
        """Node times between which lies all that was measured from `low_ms` to `high_ms`, and some more; None
        when the boot met no agent.
        """
        fits = self._fits.get(boot)
        if not fits:
            return None

        def at(unix_us: int) -> int:
            near = min(fits, key=lambda fit: abs(fit.unix_us - unix_us))
            away = unix_us - near.unix_us
            return near.t_us + away + away * near.rate_ppb // PPB

        drift = (high_ms - low_ms) * 1000 // 5000  # 200 ppm, a crystal's worst
        low, high = at(low_ms * 1000) - slack_us - drift, at(high_ms * 1000) + slack_us + drift
        return max(0, min(low, T_END)), max(0, min(high, T_END))

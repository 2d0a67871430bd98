"""Whether the agent gets on: it beats while the event loop turns and the store's thread does its work.

systemd is told of each beat; without one for WatchdogSec it starts the agent anew. What counts is work that
gets done: a commit that never returns from the disk stops the heart, though the loop still turns.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from edge_agent.ops.measures import Durations
from edge_agent.ops.notify import Notifier

BEAT_S = 1.0
# How long without a beat is worth telling: longer than a slow disk's commit, shorter than WatchdogSec.
STUCK_S = 20.0


class Body(Protocol):
    """An agent as its heart knows it."""

    @property
    def working(self) -> bool:
        """Whether the store is open and everything runs; else its thread may take long, as for a check."""
        ...

    async def probe(self) -> None:
        """Return when the store's thread has done what it was given before."""
        ...


class Heart:
    """`beat_s`: the last beat, seconds of `clock`; `ready`: whether it ever worked."""

    def __init__(
        self, notifier: Notifier, lag: Durations, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.body: Body | None = None
        self.beat_s = clock()
        self.ready = False
        self._notifier = notifier
        self._lag = lag
        self._clock = clock
        wanted = notifier.watchdog_s
        self._every_s = BEAT_S if wanted is None else min(BEAT_S, wanted / 4)

    def stuck_s(self) -> float | None:
        """For how long it has not beaten, when that is worth telling. For any thread."""
        quiet = self._clock() - self.beat_s
        return quiet if quiet > STUCK_S else None

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            before = self._clock()
            await asyncio.sleep(self._every_s)
            self._lag.add(max(0.0, self._clock() - before - self._every_s))
            body = self.body
            if body is not None and body.working:
                await body.probe()
                if not self.ready:
                    self.ready = True
                    self._notifier.send("READY=1")
            self.beat_s = self._clock()
            self._notifier.send("WATCHDOG=1")

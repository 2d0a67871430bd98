"""Group commit: items gather for a few milliseconds, one transaction makes them durable, then each is
answered.

All work with the store happens in one worker thread, so a slow disk never holds up the links. While the disk
refuses, frames are let go (unacknowledged, so their node keeps them); what a node cannot say again is kept
and tried again.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from edge_agent.measures import COMMIT_BUCKETS, Durations
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.items import Frame, Item, Outcome
from edge_agent.store.store import Store

log = logging.getLogger("vitalwire.store")

T = TypeVar("T")
Done = Callable[[Outcome], None]


class FrameOwner(Protocol):
    """Who is told that a frame is durable."""

    def committed(self, item: Frame, outcome: Outcome, session: Any) -> None:
        """It is; `session`: what was given with it."""
        ...


MAX_PENDING = 20_000
# From here on links that can hold their senders up do so, before anything has to be let go.
STANDING_AT = 10_000
REFUSED_PAUSE_S = 0.5
# However slow the disk is, nothing waits longer than this for a commit to begin.
MAX_WINDOW_S = 0.25


class Worker:
    """The one thread that touches the store."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """The result of `work(*args)`, done in the thread, in the order of calls."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args))

    def close(self) -> None:
        """End the thread when what is begun is done."""
        self._pool.shutdown(wait=True)


class Ingest:
    """Takes items, commits them in groups every `commit_ms`, or as long as a commit takes; `problem` says
    why the disk refuses, None when it does not.
    """

    def __init__(self, store: Store, worker: Worker, commit_ms: int, took: Durations | None = None) -> None:
        self.problem: str | None = None
        self.stored = 0
        self.stored_bytes = 0
        self.refused = 0
        self._store = store
        self._worker = worker
        self._took = took or Durations(COMMIT_BUCKETS)
        self._commit_s = commit_ms / 1000
        self._last_s = 0.0
        self._pending: list[tuple[Item, Any, Any]] = []
        self._committing = 0
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, item: Item, done: Done | None = None) -> None:
        """Make `item` durable soon; `done` is called with its outcome after the commit has returned, or
        never.
        """
        if len(self._pending) >= MAX_PENDING and isinstance(item, Frame):
            self.refused += 1
            return
        self._pending.append((item, done, None))
        self._idle.clear()
        self._some.set()

    def frame(self, item: Frame, owner: FrameOwner, came_on: Any) -> None:
        """Make a frame durable soon; then `owner.committed(item, outcome, came_on)`, or never."""
        if len(self._pending) >= MAX_PENDING:
            self.refused += 1
            return
        self._pending.append((item, owner, came_on))
        if not self._some.is_set():
            self._idle.clear()
            self._some.set()

    @property
    def backlog(self) -> int:
        """How many items are not committed yet."""
        return len(self._pending) + self._committing

    @property
    def standing(self) -> bool:
        """Whether so much waits for the disk that no more should be read."""
        return len(self._pending) + self._committing >= STANDING_AT

    async def run(self) -> None:
        """Commit for ever. StoreCorrupt ends it: the store has to be opened anew."""
        while True:
            await self._some.wait()
            # A slow disk has at least half of its time for others: what comes meanwhile shares a commit.
            await asyncio.sleep(max(self._commit_s, min(self._last_s, MAX_WINDOW_S)))
            await self._commit()

    async def flush(self) -> None:
        """Wait until everything that was added is committed, or was refused."""
        await self._idle.wait()

    async def _commit(self) -> None:
        group, self._pending = self._pending, []
        self._some.clear()
        self._committing = len(group)
        began = time.perf_counter()
        try:
            outcomes = await self._worker.run(self._store.commit, [one[0] for one in group])
        except StoreUnwritable as e:
            if self.problem is None:
                log.error("%s; until then nothing is acknowledged", e)
            self.problem = str(e)
            kept = [one for one in group if not isinstance(one[0], Frame)]
            self.refused += len(group) - len(kept)
            self._pending = kept + self._pending
            self._idle.set()
            self._committing = 0
            await asyncio.sleep(REFUSED_PAUSE_S)
            if self._pending:
                self._some.set()
            return
        self._last_s = time.perf_counter() - began
        self._took.add(self._last_s)
        self._committing = 0
        if self.problem is not None:
            log.info("%s: the disk takes writes again", self._store.path)
        self.problem = None
        for (item, done, came_on), outcome in zip(group, outcomes, strict=True):
            if isinstance(item, Frame) and outcome is Outcome.STORED:
                self.stored += 1
                self.stored_bytes += len(item.plaintext)
            if came_on is not None:
                done.committed(item, outcome, came_on)
            elif done is not None:
                done(outcome)
        if not self._pending:
            self._idle.set()

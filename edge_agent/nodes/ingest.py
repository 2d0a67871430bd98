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
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from edge_agent.ops.measures import COMMIT_BUCKETS, Durations
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.items import Frame, Item, Outcome, Write
from edge_agent.store.store import Store

log = logging.getLogger("vitalwire.store")

T = TypeVar("T")
Done = Callable[[Outcome], None]


class FrameOwner(Protocol):
    """Who is told that a frame is durable."""

    def committed(self, item: Frame, outcome: Outcome, session: Any) -> None:
        """It is; `session`: what was given with it."""
        ...


# While the disk refuses, and nothing comes that would be tried, this is, so often: as much as some frames
# take, because what is small enough finds room in a page of a disk that is full; then when it was.
TRY_AGAIN_S = 1.5
TRIED_BYTES = 64 << 10
TRIED = "INSERT OR REPLACE INTO meta VALUES('disk_tried_ms', ?)"
MAX_PENDING = 20_000
# From here on links that can hold their senders up do so, before anything has to be let go.
STANDING_AT = 10_000
REFUSED_PAUSE_S = 0.5
# However slow the disk is, nothing waits longer than this for a commit to begin.
MAX_WINDOW_S = 0.25
# While nobody is in a hurry, frames gather for so many times `commit_ms`, less what the last commit took:
# where many nodes say little each, a commit, an acknowledgement and its write to a socket are then for more
# of them.
PATIENCE = 2.5
# So many are enough for one commit.
MANY = 400


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
    """Takes items, commits them in groups every `commit_ms`, or as long as a commit takes, or PATIENCE times
    as long when nobody waits for it; `problem` says why the disk refuses, None when it does not.
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
        self._wanted = asyncio.Event()
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
        if done is not None:
            self.hurry()

    def frame(self, item: Frame, owner: FrameOwner, came_on: Any) -> None:
        """Make a frame durable soon; then `owner.committed(item, outcome, came_on)`, or never."""
        if len(self._pending) >= MAX_PENDING:
            self.refused += 1
            return
        self._pending.append((item, owner, came_on))
        if not self._some.is_set():
            self._idle.clear()
            self._some.set()
        elif len(self._pending) >= MANY:
            self.hurry()

    def hurry(self) -> None:
        """Somebody can do nothing until the next commit: let it come after `commit_ms`."""
        self._wanted.set()

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
            # Nothing may ever come again, and then it would be full for ever to whoever asks.
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self.problem is None else TRY_AGAIN_S):
                    await self._some.wait()
            # A slow disk has at least half of its time for others: what comes meanwhile shares a commit.
            least_s = max(self._commit_s, min(self._last_s, MAX_WINDOW_S))
            await asyncio.sleep(least_s)
            more_s = PATIENCE * self._commit_s - self._last_s - least_s
            if more_s > 0 and not self._wanted.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(more_s):
                        await self._wanted.wait()
            await self._commit()

    async def flush(self) -> None:
        """Wait until everything that was added is committed, or was refused."""
        self.hurry()
        await self._idle.wait()

    async def _commit(self) -> None:
        group, self._pending = self._pending, []
        self._some.clear()
        self._wanted.clear()
        self._committing = len(group)
        began = time.perf_counter()
        try:
            items = [one[0] for one in group] or [
                Write(TRIED, (bytes(TRIED_BYTES),)),
                Write(TRIED, (time.time_ns() // 1_000_000,)),
            ]
            outcomes = await self._worker.run(self._store.commit, items)
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
        for (item, done, came_on), outcome in zip(group, outcomes, strict=False):
            if isinstance(item, Frame) and outcome is Outcome.STORED:
                self.stored += 1
                self.stored_bytes += len(item.plaintext)
            try:
                if came_on is not None:
                    done.committed(item, outcome, came_on)
                elif done is not None:
                    done(outcome)
            except Exception:
                # What follows from one item is not worth the others: they are durable, and to be answered.
                log.exception("what was to follow a commit failed")
        if not self._pending:
            self._idle.set()

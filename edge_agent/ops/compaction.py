"""The errand that gives the store's unused pages back while the agent runs (store/compacting.py)."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from edge_agent.nodes.errands import COMPACT, Errand, Errands, said
from edge_agent.nodes.ingest import Worker
from edge_agent.readable import counted
from edge_agent.store.compacting import EMPTY_LOG, PAGES, give_back, unused
from edge_agent.store.errors import StoreError
from edge_agent.store.portions import Portion
from edge_agent.store.store import Store
from edge_agent.tasks import end

log = logging.getLogger("vitalwire.errands")


class Compaction:
    """Answers such errands; a step at a time, so that commits come between. One that is taken back, or whose
    time is over, ends after its step.
    """

    def __init__(self, errands: Errands, worker: Worker, store: Store, unix_ms: Callable[[], int]) -> None:
        self._errands = errands
        self._worker = worker
        self._store = store
        self._unix_ms = unix_ms
        self._asked: dict[str, Errand] = {}
        self._work: asyncio.Task[None] | None = None
        self._problem = ""

    def step(self, waiting: Sequence[Errand]) -> None:
        """Take up what is new; call it a few times a second from the event loop."""
        self._asked = {errand.id: errand for errand in waiting if errand.what == COMPACT}
        if self._asked and (self._work is None or self._work.done()):
            self._work = asyncio.create_task(self._answer(next(iter(self._asked.values()))))

    async def stop(self) -> None:
        """End what is under way: the next agent takes it up again, and finds less to do."""
        if self._work is not None:
            await end(self._work)

    async def _answer(self, errand: Errand) -> None:
        try:
            good, text = True, await self._compact(errand)
        except StoreError as e:
            good, text = False, f"what was given back until then stays so: {e}"
        try:
            self._errands.answer(errand, good, text)
            self._problem = ""
        except OSError as e:
            # The next step takes it up again, and finds less to do.
            if self._problem != said(e):
                log.warning("errands: %s; trying again", said(e))
            self._problem = said(e)

    async def _compact(self, errand: Errand) -> str:
        run, db = self._worker.run, self._store.db
        given, portion = 0, Portion(*PAGES)
        left = await run(unused, db)
        while left and errand.id in self._asked and self._unix_ms() < errand.until_ms:
            with portion.taken() as some:
                await run(self._store.give_back, give_back(some))
            before, left = left, await run(unused, db)
            if left >= before:
                break
            given += before - left
        busy, *_ = await run(self._store.give_back, EMPTY_LOG)
        page = await run(db.value, "PRAGMA page_size")
        later = "; the file shortens once whoever reads the store has done" if busy else ""
        return f"{counted(given * page, 'byte')} given back, {left * page} unused{later}"

"""What commands ask of the agent about people: records to be taken, actions to be recorded.

A command signs with a key that the agent need not have; the agent verifies, records and does. An erasure that
was begun is finished by whichever agent runs next.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from edge_agent.config import Config
from edge_agent.custody import audit
from edge_agent.nodes.errands import ACTION, RECORD, Errand, Errands, said
from edge_agent.nodes.ingest import Worker
from edge_agent.people.erasure import Erasure
from edge_agent.people.records import People
from edge_agent.people.state import PeopleError
from edge_agent.readable import counted
from edge_agent.store import database
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.rows import SealBroken
from edge_agent.store.store import Store
from edge_agent.tasks import end
from protocol import cbor
from protocol.errors import CborError
from protocol.records import ERASURE

log = logging.getLogger("vitalwire.people")

# Spans begin and end, and late frames of the erased arrive, without anybody's asking.
EVERY_S = 1.0
LATE_COMERS_S = 3600.0


def note_config(store: Store, config: Config, now_ms: int) -> None:
    """State that the agent goes on with another configuration than before, durably; from the store's thread.
    StoreUnwritable: it may not.
    """
    now, before = audit.config_hash(config), store.meta("config")
    if now == before:
        return
    store.commit([audit.action("config", audit.AGENT, now, now_ms, before=before)])
    with store.transaction() as db:
        store.set_meta(db, "config", now)


class Desk:
    """Answers errands that are about no node. `consent_changed`: called from the event loop when a record was
    taken that may change who may have what; `forget`: from the store's thread when data was destroyed.
    """

    def __init__(
        self,
        errands: Errands,
        worker: Worker,
        store: Store,
        people: People,
        unix_ms: Callable[[], int],
        consent_changed: Callable[[], None],
        forget: Callable[[], None],
    ) -> None:
        self._errands = errands
        self._worker = worker
        self._store = store
        self._people = people
        self._consent_changed = consent_changed
        self._forget = forget
        self._unix_ms = unix_ms
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, tuple[bool, str]] = {}
        self._ended = False
        self.problem: str | None = None

    def step(self, waiting: list[Errand]) -> None:
        """Take up what is new; call it a few times a second from the event loop."""
        if self._ended:
            return
        self._at_work = {key: task for key, task in self._at_work.items() if not task.done()}
        there = {errand.id for errand in waiting}
        self._answers = {key: told for key, told in self._answers.items() if key in there}
        for errand in waiting:
            if errand.what in (ACTION, RECORD) and errand.id not in self._at_work:
                self._at_work[errand.id] = asyncio.create_task(self._serve(errand))

    async def run(self) -> None:
        """Begin new data keys when nodes change hands, finish erasures; for ever."""
        pause_s = 0.0
        while True:
            try:
                if pause_s <= 0:
                    pause_s = LATE_COMERS_S
                    # Records are taken in the store's thread.
                    for person in await self._worker.run(self._people.state.persons):
                        if self._people.state.erased_at(person) is not None:
                            await self._erase(person)
                await self._worker.run(self._people.rekey, self._unix_ms())
                self.problem = None
            except StoreUnwritable as e:
                self.problem, pause_s = str(e), 0.0
            except SealBroken as e:
                # Of an erasure: what can be read is gone, and its keys are not while one entry is damaged.
                self.problem = f"an erasure is not at its end: {e} (vitalwire verify says which entry)"
                log.error("%s", self.problem)
            await asyncio.sleep(EVERY_S)
            pause_s -= EVERY_S

    async def finish(self) -> None:
        """Wait for what is in hand, and take up nothing more."""
        self._ended = True
        await asyncio.gather(*self._at_work.values(), return_exceptions=True)

    async def stop(self) -> None:
        """End what is not finished: it is taken up anew by the next agent."""
        self._ended = True
        await end(*self._at_work.values())

    async def _serve(self, errand: Errand) -> None:
        # What was done is not done again because its answer could not be written.
        if errand.id not in self._answers:
            try:
                self._answers[errand.id] = await self._answer(errand)
            except StoreUnwritable as e:
                self._answers[errand.id] = False, f"{e}: nothing was recorded, so nothing was done"
            except (database.Error, ValueError) as e:
                told = f"the store is damaged: {e} (vitalwire verify says more)"
                self._answers[errand.id] = False, told
        try:
            self._errands.answer(errand, *self._answers[errand.id])
        except OSError as e:
            if self.problem != said(e):
                log.warning("errands: %s; trying again", said(e))
            self.problem = said(e)

    async def _answer(self, errand: Errand) -> tuple[bool, str]:
        if errand.until_ms < self._unix_ms():
            return False, "the time to ask was over before the agent could"
        try:
            asked = cbor.loads(bytes.fromhex(errand.data))
        except CborError:
            asked = None
        if not isinstance(asked, dict):
            return False, "the errand is not one that this version makes"
        told = cast("dict[str, Any]", asked)
        by = audit.by_user(told["uid"]) if type(told.get("uid")) is int else audit.AGENT
        if errand.what == ACTION:
            more = {str(key): value for key, value in told.items() if key not in ("what", "on", "uid")}
            await self._record(str(told.get("what")), by, told.get("on", b""), more)
            return True, "recorded"
        return await self._take(told.get("record"), by)

    async def _record(self, what: str, by: str, on: Any, more: dict[str, Any]) -> None:
        detail = {key: value for key, value in more.items() if isinstance(value, bytes | str | int)}
        items = audit.asked(what, by, on, self._unix_ms(), detail)
        await self._worker.run(self._store.commit, items)

    async def _take(self, record: Any, by: str) -> tuple[bool, str]:
        if not isinstance(record, bytes):
            return False, "the errand holds no record"
        try:
            fields = await self._worker.run(self._people.put, record, self._unix_ms(), by)
        except PeopleError as e:
            return False, str(e)
        person = fields["person"]
        self._consent_changed()
        if fields["record"] != ERASURE:
            return True, f"recorded and signed for: {fields['record_id'].hex()}"
        erased = await self._erase(person)
        return True, f"erased here: {counted(erased, 'entry')} of person {person.hex()}; hashes stay"

    async def _erase(self, person: bytes) -> int:
        erasure = await self._worker.run(Erasure, self._store, self._people.state, person)
        while await self._worker.run(erasure.step):
            await asyncio.sleep(0)
        await self._worker.run(self._forget)
        return erasure.erased

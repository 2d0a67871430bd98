"""What follows a commit: whatever it is, the agent goes on; and what follows a disk that refuses."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from edge_agent.nodes import ingest as ingest_module
from edge_agent.nodes.ingest import Ingest, Worker
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.items import Entry, Frame, Outcome
from edge_agent.store.opening import open_store
from edge_agent.store.schema import ENTRY_STATEMENT
from protocol import cbor, frames
from tests.edge_agent.command_world import AGENT, BOOT, NODE, UNIX_MS


def statement(code: str) -> Entry:
    return Entry(ENTRY_STATEMENT, cbor.dumps([ENTRY_STATEMENT, code, {}]), UNIX_MS)


def test_what_follows_from_one_item_ends_neither_the_agent_nor_the_answers_to_others(tmp_path: Path) -> None:
    store, _ = open_store(tmp_path / "agent.db", AGENT.id, UNIX_MS)
    worker = Worker()
    told: list[Any] = []

    class Owner:
        def committed(self, item: Frame, outcome: Outcome, session: Any) -> None:
            told.append(session)
            raise KeyError(session)

    def broken(outcome: Outcome) -> None:
        told.append("broken")
        raise ValueError("whatever it was")

    async def run() -> None:
        ingest = Ingest(store, worker, 1)
        running = asyncio.create_task(ingest.run())
        ingest.add(statement("first"), broken)
        ingest.frame(
            Frame(NODE.id, BOOT, 0, frames.pack(frames.KIND_VITALS, 1, {1: 720}), UNIX_MS), Owner(), "a"
        )
        ingest.add(statement("second"), told.append)
        await asyncio.wait_for(ingest.flush(), 10)
        ingest.add(statement("third"), told.append)
        await asyncio.wait_for(ingest.flush(), 10)
        assert not running.done()
        running.cancel()

    asyncio.run(run())
    assert told == ["broken", "a", Outcome.STORED, Outcome.STORED]
    worker.close()
    store.close()


def test_a_disk_that_takes_writes_again_is_found_out_though_nothing_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nodes have gone away meanwhile, or wait to be told that they may send again."""
    monkeypatch.setattr(ingest_module, "TRY_AGAIN_S", 0.05)
    monkeypatch.setattr(ingest_module, "REFUSED_PAUSE_S", 0.05)
    store, _ = open_store(tmp_path / "agent.db", AGENT.id, UNIX_MS)
    worker = Worker()

    async def until(holds: Any) -> None:
        end = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < end
            await asyncio.sleep(0.02)

    async def run() -> None:
        ingest = Ingest(store, worker, 1)
        running = asyncio.create_task(ingest.run())
        full = store.db.value("PRAGMA page_count")
        store.db.execute(f"PRAGMA max_page_count = {full}")
        vitals = frames.pack(frames.KIND_VITALS, 1, {1: 720}) + bytes(9000)
        ingest.frame(Frame(NODE.id, BOOT, 0, vitals, UNIX_MS), None, None)  # type: ignore[arg-type]
        await until(lambda: ingest.problem is not None)
        assert ingest.refused == 1 and ingest.backlog == 0
        refused, real = [], store.commit

        def commit(items: Any) -> Any:
            if len(refused) < 2:
                refused.append(items)
                raise StoreUnwritable(store.path, "database or disk is full", "make room")
            return real(items)

        store.commit = commit  # type: ignore[method-assign]
        store.db.execute("PRAGMA max_page_count = 100000")
        await until(lambda: ingest.problem is None)
        assert len(refused) == 2 and not running.done() and store.frames == 0
        tried = store.meta("disk_tried_ms")
        assert tried and ingest.backlog == 0
        ingest.add(statement("first"))
        await asyncio.wait_for(ingest.flush(), 10)
        assert store.meta("disk_tried_ms") == tried, "nothing is tried while all is well"
        running.cancel()

    asyncio.run(run())
    worker.close()
    store.close()

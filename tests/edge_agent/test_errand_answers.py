"""What an agent that runs answers to commands, on a disk that does not take the answer for a while."""

import asyncio
import errno
from types import SimpleNamespace
from typing import Any

from edge_agent.nodes.errands import COMMAND, COMPACT, Errand
from edge_agent.nodes.ingest import Worker
from edge_agent.ops.compaction import Compaction
from edge_agent.remote.reach import Remote
from edge_agent.store.opening import open_store
from tests.edge_agent.store_kit import AGENT

LOGGED = ["errands: errands: No space left on device; trying again"]


class Full:
    """A folder of errands that takes no answer a few times."""

    def __init__(self) -> None:
        self.refused = 0
        self.said = ""

    def answer(self, _errand: Errand, good: bool, text: str) -> None:
        if self.refused < 5:
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device", "errands")
        assert good
        self.said = text


def test_the_answer_of_a_compaction_is_one_line_in_the_log_and_comes_in_the_end(tmp_path, caplog):
    store, _ = open_store(tmp_path / "agent.db", AGENT, 1)
    folder, worker = Full(), Worker()
    compaction = Compaction(folder, worker, store, lambda: 1)  # type: ignore[arg-type]

    async def asked() -> None:
        while not folder.said:
            compaction.step([Errand("01" * 8, COMPACT, "", 1 << 50)])
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(asked(), 60))
    worker.close()
    store.close()
    assert folder.refused == 5 and "given back" in folder.said
    assert [one.getMessage() for one in caplog.records] == LOGGED


def test_so_is_the_answer_to_a_command_of_an_authority(caplog):
    folder: Any = Full()
    remote = Remote.__new__(Remote)
    remote.commander = SimpleNamespace(step=lambda: None, ask=lambda _: b"reply")  # type: ignore[assignment]
    remote.alarm_strips = SimpleNamespace(step=lambda: None)  # type: ignore[assignment]
    remote._answered, remote._problem = set(), ""
    for _ in range(7):
        remote.step(folder, [Errand("02" * 8, COMMAND, "", 1 << 50)])
    assert folder.refused == 5 and folder.said == b"reply".hex()
    assert [one.getMessage() for one in caplog.records] == LOGGED

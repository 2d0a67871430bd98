"""The errand that compacts the store of an agent that runs, on a disk that does not take its answer."""

import asyncio
import errno

from edge_agent.nodes.errands import COMPACT, Errand
from edge_agent.nodes.ingest import Worker
from edge_agent.ops.compaction import Compaction
from edge_agent.store.opening import open_store
from tests.edge_agent.store_kit import AGENT

ERRAND = Errand("01" * 8, COMPACT, "", 1 << 50)


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


def test_an_answer_that_cannot_be_written_is_one_line_in_the_log_and_comes_in_the_end(tmp_path, caplog):
    store, _ = open_store(tmp_path / "agent.db", AGENT, 1)
    folder, worker = Full(), Worker()
    compaction = Compaction(folder, worker, store, lambda: 1)  # type: ignore[arg-type]

    async def asked() -> None:
        while not folder.said:
            compaction.step([ERRAND])
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(asked(), 60))
    worker.close()
    store.close()
    assert folder.refused == 5 and "given back" in folder.said
    assert [one.getMessage() for one in caplog.records] == [
        "errands: errands: No space left on device; trying again"
    ]

"""A medium that is carried: a forwarder with batches of its own, and the collector's side of it."""

import asyncio
from pathlib import Path

from edge_agent.config import FileConfig
from edge_agent.forward.file import FileForwarder, FileOutlet
from edge_agent.store.chain import LIVE_PLACES
from protocol import batch as wire
from protocol import receipts
from tests.tools.collector_rig import AGENT, COLLECTOR, NODE_KEYS, Chain, Rig, frame
from tools.collector import stick


class Far:
    """The agent's store as the forwarder sees it: batches, and who takes the receipts."""

    def __init__(self, count: int) -> None:
        chain = Chain()
        self.messages = {n + 1: chain.make([NODE_KEYS, frame(n)]) for n in range(count)}
        self.receipted: set[int] = set()
        self.rejected: list[bytes] = []
        self.greeted = 0
        self.forwarder: FileForwarder | None = None

    async def unreceipted(self, name: str, limit: int) -> list[int]:
        found = [n for n in self.messages if n not in self.receipted]
        return found if len(found) <= limit else [*found[: limit - LIVE_PLACES], *found[-LIVE_PLACES:]]

    async def message(self, name: str, batch: int) -> bytes:
        return self.messages[batch]

    async def label(self, batch: int) -> tuple[bytes, int]:
        return b"chain--1", batch - 1

    async def newest(self) -> int:
        return len(self.messages)

    async def receipted_of(self, name: str, batches) -> set[tuple[bytes, int]]:
        return {one for one in batches if one[1] + 1 in self.receipted}

    def connected(self) -> None:
        self.greeted += 1
        assert self.forwarder is not None
        self.forwarder.connected()

    def disconnected(self) -> None:
        pass

    def received(self, message: bytes) -> None:
        try:
            receipt = receipts.verify_receipt(message, COLLECTOR.ed_pub)
        except wire.BatchError:
            self.rejected.append(message)
            return
        batch = (receipt.number or 0) + 1
        self.receipted.add(batch)
        assert self.forwarder is not None
        self.forwarder.receipted(batch)


class World:
    def __init__(self, folder: Path, count: int = 3) -> None:
        self.stick = folder / "stick"
        self.stick.mkdir()
        self.far = Far(count)
        self.restart()

    def restart(self) -> None:
        config = FileConfig(self.stick, self.stick)
        self.outlet = FileOutlet(config, AGENT.id, self.far)
        self.forwarder = self.far.forwarder = FileForwarder("file", self.far, self.outlet)

    def turn(self) -> None:
        """One look at the medium, and what follows from it."""

        async def both() -> None:
            await self.outlet.look()
            await self.forwarder.pump()

        asyncio.run(both())

    def names(self) -> list[str]:
        return sorted(one.name for one in self.stick.iterdir())


def batch_name(number: int) -> str:
    return f"{AGENT.id.hex()}-{b'chain--1'.hex()}-{number}.batch"


def carried(rig: Rig, folder: Path) -> stick.Summary:
    files, left = stick.candidates(folder)
    summary = stick.Summary(left=left)
    stick.take(files, folder, rig.intake.handle_all, summary)
    return summary

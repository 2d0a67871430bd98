"""Batches on their way: made in time, handed to every channel, and what the far ends answer is taken.

Each channel (forward/channels.py) has its own cursor and runs under a guard of its own, so that a dead one
holds up no other; only what is `required` holds up the freeing. Delivery is what channels read from.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from edge_agent import keys
from edge_agent.config import Config
from edge_agent.custody.custody import Custody, Verdict, Withhold
from edge_agent.custody.signing import load as load_signing
from edge_agent.forward.base import Channel
from edge_agent.forward.channels import BatchChannel, Guard, build
from edge_agent.nodes.ingest import Ingest, Worker
from edge_agent.ops.logs import about
from edge_agent.people.records import People
from edge_agent.store.chain import JournalRow
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.store import Store
from protocol.identity import Identity

log = logging.getLogger("vitalwire.custody")

Answer = TypeVar("Answer")

MAX_ANSWERS = 1000
# Nothing vouches for a refusal, and it is shown.
MAX_REFUSAL = 300
# What a sealed batch is longer than its entries: seal, head, hand-overs, and the entry that goes over.
MESSAGE_OVERHEAD = 8 * 1024
LEAST_BATCH = 4 * 1024
# Consents begin and end by themselves, too.
LOOK_AGAIN_S = 3600.0
ROWS_AT_ONCE = 500


class Delivery:
    """Custody and the channels that are configured. `problem`: why nothing is signed or noted, or None.

    `quiet`: no channel is opened. What a collector would have to be asked first is not signed, then.
    """

    def __init__(
        self,
        config: Config,
        custody: Custody,
        worker: Worker,
        ingest: Ingest,
        agent_id: bytes,
        quiet: bool = False,
    ) -> None:
        self.custody = custody
        self.problem: str | None = None
        self.overflow = 0
        # Set by the agent: what leaves as a person's needs to know whose it is.
        self.people: People | None = None
        self._config = config
        self._worker = worker
        self._ingest = ingest
        self._signed_bytes = 0
        self._full = asyncio.Event()
        self._consent = asyncio.Event()
        self._answers: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(MAX_ANSWERS)
        # Of channels that read entries: batches to be looked at again, and what was withheld of each.
        self._again: dict[str, list[int]] = {}
        self._withheld: dict[tuple[str, int], set[int]] = {}
        channels = [] if quiet else build(config, self, agent_id)
        self.guards = [Guard(channel) for channel in channels]

    @property
    def channels(self) -> list[Channel]:
        """Every forwarder that is configured; none of a quiet agent."""
        return [guard.channel for guard in self.guards]

    def channel(self, name: str) -> Channel | None:
        """The forwarder of that name, if it is configured."""
        return next((channel for channel in self.channels if channel.name == name), None)

    # What channels read from (forward.base.Source, forward.file.FileSource)

    async def unreceipted(self, forwarder: str, limit: int) -> list[int]:
        """Ids of the oldest batches without a receipt."""
        return await self._worker.run(self.custody.chain.unreceipted, forwarder, limit)

    async def lag_s(self, forwarder: str) -> float:
        """How long ago the oldest batch without a receipt was signed; 0 when there is none."""
        found = await self.unreceipted(forwarder, 1)
        if not found:
            return 0.0
        batch = await self._worker.run(self.custody.chain.batch, found[0])
        return max(0.0, time.time() - batch.made_ms / 1000)

    async def message(self, forwarder: str, batch: int) -> bytes:
        """A batch, sealed to that forwarder's far end."""
        return await self._worker.run(self.custody.message, forwarder, batch)

    async def label(self, batch: int) -> tuple[bytes, int]:
        """The chain and number of a batch."""
        found = await self._worker.run(self.custody.chain.batch, batch)
        return found.chain, found.number

    async def receipted_of(
        self, forwarder: str, batches: Sequence[tuple[bytes, int]]
    ) -> set[tuple[bytes, int]]:
        """Those of these batches, by chain and number, that have the receipt of that forwarder."""
        return await self._worker.run(self.custody.chain.receipted_of, forwarder, batches)

    async def newest(self) -> int:
        """The id of the newest batch; ids have no gaps."""
        return await self.ask(lambda store: store.last_batch)

    async def ask(self, question: Callable[[Store], Answer]) -> Answer:
        """What a channel wants to know of the store, asked in its thread: it must be quick."""
        return await self._worker.run(question, self.custody.store)

    async def batches_after(self, forwarder: str, limit: int) -> list[int]:
        """Ids of the oldest batches that it has not confirmed, and of those that hold more for it by now."""
        found = await self.unreceipted(forwarder, limit)
        return sorted({*found, *self._again.get(forwarder, [])[: limit - len(found)]})

    async def rows(self, forwarder: str, batch: int) -> list[JournalRow]:
        """The rows of a batch, without the data that the forwarder may not have."""
        rows, withheld = await self._worker.run(self.custody.rows, forwarder, batch)
        self._withheld[forwarder, batch] = withheld
        return rows

    async def confirm(self, forwarder: str, batch: int, evidence: bytes) -> None:
        """The far end has what rows() gave of this batch."""
        withheld = self._withheld.pop((forwarder, batch), set[int]())
        await self._worker.run(self.custody.confirm, forwarder, batch, evidence, withheld)
        again = self._again.get(forwarder, [])
        if batch in again:
            again.remove(batch)

    async def dead_letter(self, forwarder: str, batch: int, item: str, reason: str) -> None:
        """Keep what will never be taken, with the reason."""
        told = about(log, forwarder=forwarder)
        told.error("forwarder %s: %s of batch %d will never be taken: %s", forwarder, item, batch, reason)
        await self._worker.run(self.custody.dead_letter, forwarder, batch, item, reason)

    def received(self, forwarder: str, message: bytes) -> None:
        """An answer from a far end, to be verified in its turn."""
        try:
            self._answers.put_nowait((forwarder, message))
        except asyncio.QueueFull:
            self.overflow += 1
            if _worth_a_line(self.overflow):
                log.warning("more answers than can be verified [%d so far]", self.overflow)

    def consent_changed(self) -> None:
        """Whose data may go where has changed: what was withheld and need not be any more is sent."""
        self._consent.set()

    # Tasks

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run for ever."""
        if not self.guards:
            return [self.make_batches()]
        running = [guard.run() for guard in self.guards]
        return [self.make_batches(), *running, self.take_answers(), self.release()]

    async def stop(self) -> None:
        """Say goodbye to the far ends."""
        await asyncio.gather(*(guard.stop() for guard in self.guards))

    async def last_receipts(self, most_s: float) -> None:
        """Wait, `most_s` at most, until every connected channel has its receipts."""
        deadline = time.monotonic() + most_s
        waited = [one for one in self.channels if one.connected and not self.custody.asking]
        while waited and time.monotonic() < deadline:
            waited = [one for one in waited if await self.unreceipted(one.name, 1)]
            await asyncio.sleep(0.05 if waited else 0)

    def tick(self) -> None:
        """Look whether a batch is full before its time; call it every 50 ms or so."""
        if self._ingest.stored_bytes - self._signed_bytes >= self._config.batch_bytes:
            self._full.set()

    async def make_batches(self) -> None:
        """Sign what is stored, every `batch_s` or `batch_bytes`, for ever."""
        while True:
            # Not wait_for(): until Python 3.12 it can swallow a cancellation that comes with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.batch_s):
                    await self._full.wait()
            await self.make()

    async def make(self) -> None:
        """Sign everything that is stored now."""
        self._full.clear()
        self._signed_bytes = self._ingest.stored_bytes
        self.custody.batch_bytes = self._batch_bytes()
        try:
            while True:
                made = await self._worker.run(self.custody.make)
                self.problem = self.custody.problem
                if made is None:
                    break
                for channel in self.channels:
                    channel.wake()
                if not made[1]:
                    break
        except StoreUnwritable as e:
            self.problem = str(e)

    def _batch_bytes(self) -> int:
        """As configured, or what fits into every outlet's messages."""
        limits = [
            channel.outlet.max_message - MESSAGE_OVERHEAD
            for channel in self.channels
            if isinstance(channel, BatchChannel) and channel.outlet.max_message is not None
        ]
        return (
            max(LEAST_BATCH, min(self._config.batch_bytes, *limits)) if limits else self._config.batch_bytes
        )

    async def release(self) -> None:
        """Look, now and when a consent has changed, for what need not be withheld any more, for ever."""
        while True:
            self._consent.clear()
            for channel in self.channels:
                try:
                    await self._release(channel)
                except StoreUnwritable as e:
                    self.problem = str(e)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._consent.wait()

    async def _release(self, channel: Channel) -> None:
        after: int | None = 0
        while after is not None:
            # A piece at a time: whatever else wants the store comes in between.
            batches, after = await self._worker.run(self.custody.released, channel.name, after, ROWS_AT_ONCE)
            if isinstance(channel, BatchChannel):
                channel.forwarder.again(batches)
            else:
                again = self._again.setdefault(channel.name, [])
                again += [batch for batch in batches if batch not in again]
            if batches:
                channel.wake()

    async def take_answers(self) -> None:
        """Verify what far ends say, for ever."""
        while True:
            forwarder, message = await self._answers.get()
            channel = self.channel(forwarder)
            if not isinstance(channel, BatchChannel):
                continue
            try:
                self._act(channel, await self._worker.run(self.custody.take, message, forwarder))
            except StoreUnwritable as e:
                # As if it had not come: the batch is sent again, and gets its receipt again.
                self.problem = str(e)

    def _act(self, channel: BatchChannel, verdict: Verdict) -> None:
        if verdict.what == "receipt":
            assert verdict.batch is not None
            channel.receipts += verdict.new
            channel.forwarder.receipted(verdict.batch)
        elif verdict.what == "head":
            if verdict.new:
                level = logging.WARNING if verdict.alarming else logging.INFO
                log.log(level, "collector's head: %s", verdict.detail)
                channel.forwarder.again(verdict.resend)
                self._full.set()
        elif verdict.what == "refusal":
            channel.last_refusal = f"{verdict.cause}: {verdict.detail}"[:MAX_REFUSAL]
            channel.forwarder.refused(verdict.refused, verdict.cause)
            if _worth_a_line(sum(channel.forwarder.refusals.values())):
                told = about(log, forwarder=channel.name)
                told.warning("%s: the collector refuses: %s", channel.name, channel.last_refusal)
        else:
            count = channel.rejected[verdict.cause] = channel.rejected.get(verdict.cause, 0) + 1
            if _worth_a_line(count):
                what = f"an answer was not accepted ({verdict.cause}): {verdict.detail}"
                told = about(log, forwarder=channel.name)
                told.warning("%s: %s [%d so far]", channel.name, what, count)
            if verdict.cause in ("fork", "unknown_batch"):
                self._full.set()
        channel.wake()


def _far(path: Path, identity: Identity) -> keys.PublicKeys:
    """The public keys of whom batches are sealed to. KeyFileError."""
    found = keys.load_public(path, "collector")
    if found.id == identity.id:
        raise keys.KeyFileError(path, "it is this agent's own key", "name the collector's .pub")
    return found


def open_custody(
    config: Config,
    store: Store,
    identity: Identity,
    now_ms: Callable[[], int],
    withhold: Withhold | None = None,
) -> Custody:
    """The custody of this store for the forwarders that are configured; in the store's thread.

    KeyFileError: a key file is missing or none of ours. StoreUnwritable.
    """
    public = None if config.collector is None else _far(config.collector, identity)
    others: dict[str, keys.PublicKeys] = {}
    if config.file is not None:
        named = public if config.file.public is None else _far(config.file.public, identity)
        if named is None:
            raise keys.KeyFileError(
                config.key,
                "[file] has nobody to seal batches to",
                "name [collector] public, or [file] public",
            )
        others["file"] = named
    signing = load_signing(store, identity, config.key, now_ms())
    if signing.problem is not None:
        log.error("%s", signing.problem)
    live = public if config.mqtt is not None else None
    custody = Custody(
        store, identity, live, config.batch_bytes, now_ms, others, signing, withhold, config.key
    )
    there = {"mqtt": config.mqtt, "file": config.file, "fhir": config.fhir}
    names = frozenset(name for name, one in there.items() if one is not None)
    required = frozenset(name for name, one in there.items() if one is not None and one.required)
    custody.chain.decide(names, required)
    return custody


def _worth_a_line(count: int) -> bool:
    """The 1st, 2nd, 4th, 8th … of its kind: whoever floods us does not fill the log."""
    return count & (count - 1) == 0

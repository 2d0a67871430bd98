"""Batches on their way: makes them in time, hands them to the forwarder, takes what the collector answers."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from edge_agent.backoff import Backoff
from edge_agent.config import Config
from edge_agent.custody import Custody, Verdict
from edge_agent.forward.base import Forwarder
from edge_agent.ingest import Ingest, Worker
from edge_agent.store.errors import StoreUnwritable

log = logging.getLogger("vitalwire.custody")

NAME = "mqtt"
PUMP_EVERY_S = 0.5
# A collector that is restored from a backup need not break our connection to the broker.
ASK_EVERY_S = 60.0
MAX_ANSWERS = 1000


class Delivery:
    """Custody and, when a broker is configured, the MQTT forwarder.

    `rejected` counts answers not accepted, by cause.
    """

    def __init__(
        self, config: Config, custody: Custody, worker: Worker, ingest: Ingest, agent_id: bytes
    ) -> None:
        self.custody = custody
        self.rejected: dict[str, int] = {}
        self.receipts = 0
        self.problem: str | None = None
        self.last_refusal: str | None = None
        self.outlet: Any = None
        self.forwarder: Forwarder | None = None
        self._config = config
        self._worker = worker
        self._ingest = ingest
        self._signed_bytes = 0
        self._full = asyncio.Event()
        self._wake = asyncio.Event()
        self._answers: asyncio.Queue[bytes] = asyncio.Queue(MAX_ANSWERS)
        self._ask = _patience()
        self._asked_s = time.monotonic()
        if config.mqtt is not None:
            # paho is loaded only where it is used.
            from edge_agent.forward.mqtt import MqttOutlet

            self.outlet = MqttOutlet(config.mqtt, agent_id, self)
            self.forwarder = Forwarder(self, self.outlet, config.mqtt.receipt_timeout_s)

    # The outlet's owner

    def connected(self) -> None:
        """The broker is there: ask what the collector has, send again what may be lost."""
        self.custody.ask_again(same_connection=False)
        self._asked_s = time.monotonic()
        self._ask = _patience()
        if self.forwarder is not None:
            self.forwarder.connected()
        self._wake.set()

    def disconnected(self) -> None:
        """The broker is gone; everything waits in the store."""

    def received(self, message: bytes) -> None:
        """An answer from the collector, to be verified in its turn."""
        try:
            self._answers.put_nowait(message)
        except asyncio.QueueFull:
            self._reject("overflow", "more answers than can be verified")

    # The forwarder's source

    async def unreceipted(self, limit: int) -> list[int]:
        """Ids of the oldest batches without a receipt."""
        return await self._worker.run(self.custody.chain.unreceipted, NAME, limit)

    async def message(self, batch: int) -> bytes:
        """A batch, sealed to the collector."""
        return await self._worker.run(self.custody.message, batch)

    # Tasks

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run for ever."""
        if self.forwarder is None:
            return [self.make_batches()]
        return [self.make_batches(), self.send(self.forwarder), self.take_answers(self.forwarder)]

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
        try:
            while True:
                made = await self._worker.run(self.custody.make)
                if made is None:
                    break
                self.problem = None
                self._wake.set()
                if not made[1]:
                    break
        except StoreUnwritable as e:
            self.problem = str(e)

    async def send(self, forwarder: Forwarder) -> None:
        """Ask the collector while we have to, send what is due, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PUMP_EVERY_S):
                    await self._wake.wait()
            self._wake.clear()
            if time.monotonic() - self._asked_s >= ASK_EVERY_S and not self.custody.unanswered:
                self._asked_s = time.monotonic()
                self._ask = _patience()
                self.custody.ask_again(same_connection=True)
            if self.custody.unanswered and self.outlet.connected and not self._ask.wait_s():
                self._ask.failed()
                self.outlet.ask(self.custody.question())
            await forwarder.pump()

    async def take_answers(self, forwarder: Forwarder) -> None:
        """Verify what the collector says, for ever."""
        while True:
            message = await self._answers.get()
            try:
                self._act(forwarder, await self._worker.run(self.custody.take, message, NAME))
            except StoreUnwritable as e:
                # As if it had not come: the batch is sent again, and gets its receipt again.
                self.problem = str(e)

    def _act(self, forwarder: Forwarder, verdict: Verdict) -> None:
        if verdict.what == "receipt":
            assert verdict.batch is not None
            self.receipts += verdict.new
            forwarder.receipted(verdict.batch)
        elif verdict.what == "head":
            if verdict.new:
                level = logging.WARNING if verdict.alarming else logging.INFO
                log.log(level, "collector's head: %s", verdict.detail)
                forwarder.again(verdict.resend)
                self._full.set()
        elif verdict.what == "refusal":
            self.last_refusal = f"{verdict.cause}: {verdict.detail}"
            forwarder.refused(verdict.refused, verdict.cause)
            if _worth_a_line(sum(forwarder.refusals.values())):
                log.warning("the collector refuses: %s", self.last_refusal)
        else:
            self._reject(verdict.cause, verdict.detail)
            if verdict.cause in ("fork", "unknown_batch"):
                self._full.set()
        self._wake.set()

    def _reject(self, cause: str, detail: str) -> None:
        count = self.rejected[cause] = self.rejected.get(cause, 0) + 1
        if _worth_a_line(count):
            log.warning("an answer was not accepted (%s): %s [%d so far]", cause, detail, count)


def _patience() -> Backoff:
    return Backoff(first_s=2.0, max_s=10.0)


def _worth_a_line(count: int) -> bool:
    """The 1st, 2nd, 4th, 8th … of its kind: whoever floods us does not fill the log."""
    return count & (count - 1) == 0

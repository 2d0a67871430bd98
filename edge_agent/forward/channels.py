"""The forwarders that are configured, as channels: each with its own cursor, pace, back-off and misfortunes.

A BatchChannel sends whole batches through an outlet and takes signed receipts. One that reads entries (FHIR)
is a Channel of its own. A Guard runs a channel: what it raises is logged, told in its status, and it is begun
anew after a pause, while collecting, signing and the other channels go on.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from edge_agent.backoff import Backoff
from edge_agent.config import Config
from edge_agent.forward.base import BatchOutlet, Channel, Forwarder, OutletOwner, Sender
from edge_agent.ops.logs import about
from edge_agent.store import database
from edge_agent.store.errors import StoreCorrupt, StoreUnwritable
from edge_agent.tasks import end

if TYPE_CHECKING:
    from edge_agent.custody.delivery import Delivery

log = logging.getLogger("vitalwire.forward")

PUMP_EVERY_S = 0.5
LAG_EVERY_S = 1.0
# A collector that is restored from a backup need not break our connection to the broker.
ASK_EVERY_S = 60.0
DISK_S = 5.0


class BatchChannel:
    """One far end that takes sealed batches and gives signed receipts.

    `live`: it answers questions as well, so it decides whether a chain goes on (custody/custody.py).
    """

    def __init__(
        self,
        name: str,
        required: bool,
        delivery: "Delivery",
        make_outlet: Callable[[OutletOwner], BatchOutlet],
        receipt_timeout_s: float,
        live: bool = False,
    ) -> None:
        self.name = name
        self.required = required
        self.receipts = 0
        self.rejected: dict[str, int] = {}
        self.last_refusal: str | None = None
        self._delivery = delivery
        self._live = live
        self._wake = asyncio.Event()
        self._lag_s = 0.0
        self._lag_at_s = 0.0
        self._ask = _patience()
        self._asked_s = time.monotonic()
        self.outlet: Any = make_outlet(_Ears(self))
        self.forwarder: Sender = Forwarder(name, delivery, self.outlet, receipt_timeout_s)

    @property
    def connected(self) -> bool:
        """Whether the outlet can send now."""
        return self.outlet.connected

    def start(self) -> None:
        """Begin connecting."""
        self.outlet.start()

    async def stop(self) -> None:
        """Say goodbye to the far end."""
        await self.outlet.stop()

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run until it is cancelled."""
        return [self._send()]

    def status(self) -> dict[str, Any]:
        """For people and status.json."""
        forwarder = self.forwarder
        return {
            **self.outlet.status(),
            "in_flight": len(forwarder.flights),
            "sent": forwarder.sent,
            "resent": forwarder.resent,
            "sent_bytes": forwarder.sent_bytes,
            "receipts": self.receipts,
            "lag_s": round(self._lag_s, 1),
            "rejected": self.rejected,
            "refusals": forwarder.refusals,
            "last_refusal": self.last_refusal,
        }

    def greeted(self) -> None:
        """Connected: ask what the collector has, send again what may be lost."""
        if self._live:
            self._delivery.custody.ask_again(same_connection=False)
            self._asked_s = time.monotonic()
            self._ask = _patience()
        self.forwarder.connected()
        self.wake()

    def heard(self, message: bytes) -> None:
        """An answer of the far end, to be verified in its turn."""
        self._delivery.received(self.name, message)

    async def _send(self) -> None:
        """Ask the collector while we have to, send what is due, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PUMP_EVERY_S):
                    await self._wake.wait()
            self._wake.clear()
            if self._live:
                self._question()
            try:
                await self.forwarder.pump()
            except StoreUnwritable as e:
                # What is left out of a batch has to be noted before it goes.
                self._delivery.problem = str(e)
            if time.monotonic() - self._lag_at_s >= LAG_EVERY_S:
                self._lag_at_s = time.monotonic()
                self._lag_s = await self._delivery.lag_s(self.name)

    def _question(self) -> None:
        custody = self._delivery.custody
        if time.monotonic() - self._asked_s >= ASK_EVERY_S and not custody.unanswered:
            self._asked_s = time.monotonic()
            self._ask = _patience()
            custody.ask_again(same_connection=True)
        if custody.unanswered and self.outlet.connected and not self._ask.wait_s():
            self._ask.failed()
            self.outlet.ask(custody.question())


class _Ears:
    """What a BatchChannel's outlet talks to."""

    def __init__(self, channel: BatchChannel) -> None:
        self._channel = channel

    def connected(self) -> None:
        self._channel.greeted()

    def disconnected(self) -> None:
        """Everything waits in the store."""

    def received(self, message: bytes) -> None:
        self._channel.heard(message)


class Guard:
    """Runs a channel for ever, whatever it raises. `problem`: what it raised last, until it was well again
    for a while.
    """

    def __init__(self, channel: Channel, backoff: Backoff | None = None) -> None:
        self.channel = channel
        self.problem: str | None = None
        self.failures = 0
        self._backoff = backoff or Backoff(first_s=1.0, max_s=300.0, stable_s=60.0)
        self._started = False

    async def run(self) -> None:
        """Start the channel and its tasks; begin anew after each failure. A store that is damaged ends it."""
        while True:
            try:
                if not self._started:
                    self.channel.start()
                    self._started = True
                await self._serve()
                pause_s = self._backoff.failed()
            except Exception as e:
                pause_s = self._failed(e)
            await asyncio.sleep(pause_s)

    async def stop(self) -> None:
        """Stop the channel if it was started; what that raises is logged."""
        if self._started:
            try:
                await self.channel.stop()
            except Exception:
                log.exception("%s: stopping failed", self.channel.name)

    async def _serve(self) -> None:
        """Run the channel's tasks until one of them raises, and end the others.

        Not a TaskGroup: until Python 3.13 it swallows a cancellation that comes with a failure.
        """
        tasks = [asyncio.create_task(work) for work in (*self.channel.tasks(), self._well())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            await end(*tasks)

    async def _well(self) -> None:
        await asyncio.sleep(60.0)
        self._backoff.succeeded()
        self.problem = None
        await asyncio.Event().wait()

    def _failed(self, error: Exception) -> float:
        """Say so; seconds until the channel is begun anew."""
        causes = _causes(error)
        for cause in causes:
            if isinstance(cause, StoreCorrupt | database.Error):
                raise cause
        if all(isinstance(cause, StoreUnwritable) for cause in causes):
            # The disk's trouble: the channel goes on soon after the disk does.
            problem = str(causes[0])
            if self.problem != problem:
                about(log, forwarder=self.channel.name).warning(
                    "forwarder %s waits: %s", self.channel.name, problem
                )
            self.problem = problem
            return DISK_S
        self.failures += 1
        self.problem = "; ".join(f"{type(cause).__name__}: {cause}" for cause in causes)
        about(log, forwarder=self.channel.name).error(
            "forwarder %s failed (%s): it is begun anew; collecting goes on",
            self.channel.name,
            self.problem,
            exc_info=causes[0],
        )
        return self._backoff.failed()


def _causes(error: Exception) -> list[Exception]:
    """What a group of exceptions, or groups of them, is made of."""
    inner = cast("tuple[Exception, ...]", getattr(error, "exceptions", ()))
    return [cause for one in inner for cause in _causes(one)] or [error]


def build(config: Config, delivery: "Delivery", agent_id: bytes) -> list[Channel]:
    """The channels that the configuration names. What a channel needs is imported only where it is used."""
    channels: list[Channel] = []
    mqtt = config.mqtt
    if mqtt is not None:
        from edge_agent.forward.mqtt import MqttOutlet

        channels.append(
            BatchChannel(
                "mqtt",
                mqtt.required,
                delivery,
                lambda owner: MqttOutlet(mqtt, agent_id, owner),
                mqtt.receipt_timeout_s,
                live=True,
            )
        )
    if config.file is not None:
        from edge_agent.forward.file import FileChannel

        channels.append(FileChannel(config.file, delivery, agent_id))
    if config.fhir is not None:
        from edge_agent.forward.fhir import FhirChannel
        from edge_agent.forward.fhir_shelf import retry_file

        channels.append(FhirChannel(config.fhir, delivery, agent_id, retry_file(config.state_dir)))
    return channels


def _patience() -> Backoff:
    return Backoff(first_s=2.0, max_s=10.0)

"""A forwarder's state machine: which batches are on their way, when one is sent again, what has come back.

It knows neither a network nor a clock of its own. A batch is *due* when it was never sent on this connection
or its receipt has not come in time; the time-out doubles with each attempt. What the far end refuses is set
apart and tried again seldom, so that one batch that cannot be taken holds up no other.
"""

import hashlib
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

WINDOW = 16
# The far end takes one after the other, so what is newest waits there for all that was sent before it. Of
# the window so much is used as has its receipts within QUEUE_S; never less than LEAST: the oldest goes on.
LEAST = 4
QUEUE_S = 0.25
MAX_TIMEOUT_S = 600.0
REFUSED_PAUSE_S = 60.0
# Refusals are not signed: anybody who may publish could invent codes for ever.
MAX_CODES = 16


class Channel(Protocol):
    """One forwarder as the agent runs it: its far end, its tasks, its state. What befalls it touches no
    other, nor the collecting.
    """

    @property
    def name(self) -> str:
        """As receipts, cursors and consents name it: "mqtt", "file", "fhir"."""
        ...

    @property
    def required(self) -> bool:
        """Whether what it has not delivered is kept."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the far end can be reached now, as far as is known."""
        ...

    def start(self) -> None:
        """Begin connecting; in the event loop."""

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run until it is cancelled; each call gives fresh ones."""
        ...

    async def stop(self) -> None:
        """Say goodbye to the far end."""

    def wake(self) -> None:
        """There may be something to send."""

    def status(self) -> dict[str, Any]:
        """For people and status.json; no secrets."""
        ...


class FarEnd(Protocol):
    """Where batches go."""

    @property
    def connected(self) -> bool:
        """Whether it can be reached now, as far as is known."""
        ...

    @property
    def max_message(self) -> int | None:
        """Bytes of the greatest message that it takes, as far as is known; None: no limit is known."""
        ...


class Outlet(FarEnd, Protocol):
    """A far end that takes messages, one after the other."""

    def too_large(self, batch: int, size: int) -> None:
        """A batch that is signed already has more: it is not sent, and tried again seldom."""

    def publish(self, message: bytes) -> None:
        """Hand over one sealed batch; nothing is known of its fate before a receipt."""


class BatchOutlet(FarEnd, Protocol):
    """A far end with a life of its own, as a BatchChannel runs it; made with its owner (OutletOwner)."""

    def start(self) -> None:
        """Begin; the owner is told from now on."""

    async def stop(self) -> None:
        """End."""

    def status(self) -> dict[str, Any]:
        """What it says of itself: `connected`, `problem`, and what is its own."""
        ...


class OutletOwner(Protocol):
    """Who is told what happens; always in the event loop's thread."""

    def connected(self) -> None:
        """The far end can be reached, and is heard."""

    def disconnected(self) -> None:
        """It cannot, or no longer."""

    def received(self, message: bytes) -> None:
        """A receipt, or another answer, to be verified."""


class Source(Protocol):
    """Where batches come from, by the forwarder's name."""

    def unreceipted(self, forwarder: str, limit: int) -> Awaitable[list[int]]:
        """Ids of the oldest batches without its receipt."""
        ...

    def message(self, forwarder: str, batch: int) -> Awaitable[bytes]:
        """A batch as it goes out to it: sealed, without what it may not have."""
        ...


@dataclass
class Flight:
    """A batch on its way."""

    due: float
    attempts: int = 0
    digests: list[bytes] = field(default_factory=list[bytes])
    refused: str | None = None
    sent: float | None = None


class Sender(ABC):
    """What every forwarder of batches keeps: those on their way, by id, and counters since its start."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.flights: dict[int, Flight] = {}
        self.sent = 0
        self.resent = 0
        self.sent_bytes = 0
        self.refusals: dict[str, int] = {}
        self._source = source
        self._again: list[int] = []

    def again(self, batches: Sequence[int]) -> None:
        """Send these once more although they have receipts: the far end has lost them, or not all of them."""
        waiting = {*self._again, *self.flights}
        self._again.extend(batch for batch in batches if batch not in waiting)

    @abstractmethod
    def connected(self) -> None:
        """The far end can be reached anew: what was on its way may be gone."""

    @abstractmethod
    def receipted(self, batch: int) -> None:
        """The receipt of a batch was verified."""

    @abstractmethod
    def refused(self, digest: bytes | None, code: str) -> None:
        """The far end refused the message with this SHA-256 (a hint: nothing vouches for it)."""

    @abstractmethod
    async def pump(self) -> None:
        """Send what is due now."""


class Forwarder(Sender):
    """Sends what has no receipt, `places` at a time, WINDOW at most. Seconds of `clock`."""

    def __init__(
        self,
        name: str,
        source: Source,
        outlet: Outlet,
        receipt_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        super().__init__(name, source)
        self.places = LEAST
        self._outlet = outlet
        self._timeout_s = receipt_timeout_s
        self._clock = clock
        self._uniform = uniform

    def connected(self) -> None:
        """A new connection: what was on its way may have gone with the old one."""
        for flight in self.flights.values():
            if flight.refused is None:
                flight.due = self._clock()

    def receipted(self, batch: int) -> None:
        """The receipt of a batch was verified."""
        flight = self.flights.pop(batch, None)
        if flight is None or flight.sent is None or flight.attempts != 1:
            return
        if self._clock() - flight.sent > QUEUE_S:
            self.places = max(LEAST, self.places - 1)
        else:
            self.places = min(WINDOW, self.places + 1)

    def refused(self, digest: bytes | None, code: str) -> None:
        """The far end refused the message with this SHA-256 (a hint: nothing vouches for it)."""
        if code not in self.refusals and len(self.refusals) >= MAX_CODES:
            code = "other"
        self.refusals[code] = self.refusals.get(code, 0) + 1
        for flight in self.flights.values():
            if digest is not None and digest in flight.digests:
                flight.refused = code
                flight.due = self._clock() + self._uniform(REFUSED_PAUSE_S, 2 * REFUSED_PAUSE_S)

    async def pump(self) -> None:
        """Send what is due now."""
        if not self._outlet.connected:
            return
        apart = sum(flight.refused is not None for flight in self.flights.values())
        wanted = await self._source.unreceipted(self.name, self.places + apart)
        while self._again and len(self.flights) < self.places + apart:
            batch = self._again.pop(0)
            self.flights.setdefault(batch, Flight(self._clock()))
        for batch in wanted:
            # A far end that gives no receipts does not get ever more that is new, either.
            if len(self.flights) < WINDOW + apart:
                self.flights.setdefault(batch, Flight(self._clock()))
        for batch in sorted(self.flights):
            flight = self.flights.get(batch)
            if flight is not None and flight.due <= self._clock():
                await self._send(batch, flight)

    async def _send(self, batch: int, flight: Flight) -> None:
        message = await self._source.message(self.name, batch)
        if not self._outlet.connected or batch not in self.flights:
            return
        flight.attempts += 1
        flight.refused = None
        limit = self._outlet.max_message
        if limit is not None and len(message) > limit:
            flight.refused = "too_large"
            flight.due = self._clock() + self._uniform(REFUSED_PAUSE_S, 2 * REFUSED_PAUSE_S)
            self._outlet.too_large(batch, len(message))
            return
        # The seal is new each time, so a refusal may name any of the last few messages.
        flight.digests = [*flight.digests[-3:], hashlib.sha256(message).digest()]
        timeout = min(MAX_TIMEOUT_S, self._timeout_s * 2 ** min(flight.attempts - 1, 20))
        flight.due = self._clock() + self._uniform(timeout, 1.25 * timeout)
        self._outlet.publish(message)
        flight.sent = self._clock()
        self.sent += 1
        self.sent_bytes += len(message)
        if flight.attempts > 1:
            self.resent += 1

"""A forwarder's state machine: which batches are on their way, when one is sent again, what has come back.

It knows neither a network nor a clock of its own. A batch is *due* when it was never sent on this connection
or its receipt has not come in time; the time-out doubles with each attempt. What the far end refuses is set
apart and tried again seldom, so that one batch that cannot be taken holds up no other.
"""

import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

WINDOW = 16
MAX_TIMEOUT_S = 600.0
REFUSED_PAUSE_S = 60.0
# Refusals are not signed: anybody who may publish could invent codes for ever.
MAX_CODES = 16


class Outlet(Protocol):
    """The far end of a forwarder."""

    @property
    def connected(self) -> bool:
        """Whether publish() can be used now."""
        ...

    def publish(self, message: bytes) -> None:
        """Hand over one sealed batch; nothing is known of its fate before a receipt."""


class Source(Protocol):
    """Where batches come from."""

    def unreceipted(self, limit: int) -> Awaitable[list[int]]:
        """Ids of the oldest batches without a receipt."""
        ...

    def message(self, batch: int) -> Awaitable[bytes]:
        """A batch as it goes out."""
        ...


@dataclass
class Flight:
    """A batch on its way."""

    due: float
    attempts: int = 0
    digests: list[bytes] = field(default_factory=list[bytes])
    refused: str | None = None


class Forwarder:
    """Sends what has no receipt, `WINDOW` at a time. Counters since start; seconds of `clock`."""

    def __init__(
        self,
        source: Source,
        outlet: Outlet,
        receipt_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.flights: dict[int, Flight] = {}
        self.sent = 0
        self.resent = 0
        self.sent_bytes = 0
        self.refusals: dict[str, int] = {}
        self._source = source
        self._outlet = outlet
        self._timeout_s = receipt_timeout_s
        self._clock = clock
        self._uniform = uniform
        self._again: list[int] = []

    def connected(self) -> None:
        """A new connection: what was on its way may have gone with the old one."""
        for flight in self.flights.values():
            if flight.refused is None:
                flight.due = self._clock()

    def again(self, batches: tuple[int, ...]) -> None:
        """Send these once more although they have receipts: the far end has lost them."""
        waiting = {*self._again, *self.flights}
        self._again.extend(batch for batch in batches if batch not in waiting)

    def receipted(self, batch: int) -> None:
        """The receipt of a batch was verified."""
        self.flights.pop(batch, None)

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
        wanted = await self._source.unreceipted(WINDOW + apart)
        while self._again and len(self.flights) < WINDOW + apart:
            batch = self._again.pop(0)
            self.flights.setdefault(batch, Flight(self._clock()))
        for batch in wanted:
            self.flights.setdefault(batch, Flight(self._clock()))
        for batch in sorted(self.flights):
            flight = self.flights.get(batch)
            if flight is not None and flight.due <= self._clock():
                await self._send(batch, flight)

    async def _send(self, batch: int, flight: Flight) -> None:
        message = await self._source.message(batch)
        if not self._outlet.connected or batch not in self.flights:
            return
        flight.attempts += 1
        flight.refused = None
        # The seal is new each time, so a refusal may name any of the last few messages.
        flight.digests = [*flight.digests[-3:], hashlib.sha256(message).digest()]
        timeout = min(MAX_TIMEOUT_S, self._timeout_s * 2 ** min(flight.attempts - 1, 20))
        flight.due = self._clock() + self._uniform(timeout, 1.25 * timeout)
        self._outlet.publish(message)
        self.sent += 1
        self.sent_bytes += len(message)
        if flight.attempts > 1:
            self.resent += 1

"""One TCP connection of a node as a link: bounded in every direction, and never long at a time.

What arrives is taken in pieces. A connection that sends without end is read again only after the others have
had their turn, or, beyond its share of frames, when time has earned it new ones; meanwhile its socket is not
read, so TCP holds its sender up and nobody else. What leaves is bounded by the transport's buffer; a far end
that does not read is hung up on. Who does not say hello, prove itself or go on talking in time is, too.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

from edge_agent.links.base import LinkOwner
from edge_agent.links.ports import PortError
from edge_agent.links.quota import Quota
from protocol import session_states as st

READ_BYTES = 16_384
# Of what was read, so much goes to the session at a time; a message has 4 KB at most.
PIECE_BYTES = 2048
# After so long the others come first.
SLICE_S = 0.003
WRITE_HIGH_BYTES = 16_384
# A node that hears nothing for 30 s begins anew by itself.
STALLED_S = 30.0
# So many bytes does nobody need to say hello and, once that is accepted, to prove itself.
STRANGER_BYTES = 65_536
PROVING_FACTOR = 3
STANDING_POLL_S = 0.05


class TcpOwner(LinkOwner, Protocol):
    """A link's owner that also says how far its far end has come."""

    @property
    def node(self) -> bytes | None:
        """The node, once its hello was accepted."""
        ...

    @property
    def session_state(self) -> str:
        """waiting, proving or live (protocol.session_states)."""
        ...

    @property
    def asked(self) -> bool:
        """Whether whoever is there is being asked to pair, on somebody's word."""
        ...


class Listens(Protocol):
    """What a connection needs of its listener: `buffer` is for the bytes that are being read just now, of
    whichever connection; `standing()`: whether what was taken in waits for the disk, so that nothing more can
    be.
    """

    buffer: memoryview
    hello_s: float
    idle_s: float
    standing: Callable[[], bool]

    def made(self, link: "TcpLink") -> TcpOwner | None:
        """A new connection: its owner, or None when there is no room."""
        ...

    def quota(self, node: bytes) -> Quota:
        """A paired node's share, whichever connection it comes on."""
        ...

    def stranger(self) -> Quota:
        """The share of one who is not known yet."""
        ...

    def hung_up(self, link: "TcpLink", cause: str, why: str) -> None:
        """We end the connection for a reason that is to be counted."""
        ...

    def lost(self, link: "TcpLink") -> None:
        """The connection is over."""
        ...


class TcpLink(asyncio.BufferedProtocol):
    """One connection; all of it in the event loop's thread."""

    def __init__(self, listener: Listens) -> None:
        self.port = "tcp"
        self.ready = False
        self.bytes_in = 0
        self.bytes_out = 0
        self.owner: TcpOwner | None = None
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._why: str | None = None
        self._rest = b""
        self._rest_us = 0
        self._paused = False
        self._timer: asyncio.Handle | None = None
        self._quota = listener.stranger()
        self._node: bytes | None = None
        self._unproved_bytes = 0
        self._unknown_since = self._unproved_since = self._heard_at = time.monotonic()
        self._stalled_at: float | None = None

    # The transport tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        stream = self._transport = cast("asyncio.Transport", transport)
        peer: Any = stream.get_extra_info("peername")
        self.port = f"tcp {peer[0]}:{peer[1]}" if peer else "tcp"
        stream.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        owner = self._listener.made(self)
        if owner is None:
            stream.abort()
            return
        self.owner = owner
        self.ready = True
        owner.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go; they are taken out of it before any other connection reads."""
        return self._listener.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many have come."""
        self.bytes_in += nbytes
        now = self._heard_at = time.monotonic()
        data = bytes(self._listener.buffer[:nbytes])
        if self._rest:
            # Read before the transport had heard that it is to pause.
            self._rest += data
            return
        self._take(data, time.time_ns() // 1000, now)

    def eof_received(self) -> bool:
        """The far end says no more: it wants no answer either."""
        return False

    def pause_writing(self) -> None:
        """The far end reads too slowly."""
        self.ready = False
        self._stalled_at = time.monotonic()

    def resume_writing(self) -> None:
        """It has read."""
        self._stalled_at = None
        self.ready = True
        if self.owner is not None:
            self.owner.written(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self.ready = False
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._rest = b""
        owner, self.owner = self.owner, None
        if owner is not None:
            why = self._why or (str(exc) if exc else "the far end closed it")
            owner.closed(self, PortError(self.port, "lost", why, "the node connects anew by itself"), 0.0)
            self._listener.lost(self)

    # The owner asks

    def write(self, data: bytes) -> None:
        """Send bytes; beyond the bound, `ready` is False until the owner's written()."""
        if self._transport is not None:
            self.bytes_out += len(data)
            self._transport.write(data)

    def end(self, why: str) -> None:
        """Hang up."""
        if self._transport is not None and self._why is None:
            self._why = why
            self._transport.abort()

    def refuse(self, cause: str, why: str) -> None:
        """Hang up, and have it counted."""
        if self._why is None:
            self._listener.hung_up(self, cause, why)
            self.end(why)

    # Within

    def _take(self, data: bytes, unix_us: int, began: float) -> None:
        """Give what was read to the owner, as much of it as there is a right to now, which is `began`."""
        at, size = 0, len(data)
        while at < size:
            wait_s = STANDING_POLL_S if self._listener.standing() else self._quota.wait_s(began)
            if wait_s > 0:
                return self._later(data[at:], unix_us, wait_s)
            piece = data if size <= PIECE_BYTES else data[at : at + PIECE_BYTES]
            at += len(piece)
            owner = self.owner
            if owner is None or self._why is not None:
                return None
            self._quota.spend(owner.received(self, piece, unix_us), len(piece))
            if self._node is None and not self._known(owner, len(piece)):
                return None
            if at < size and time.monotonic() - began > SLICE_S:
                return self._later(data[at:], unix_us, 0.0)
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return None

    def _later(self, rest: bytes, unix_us: int, wait_s: float) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._rest, self._rest_us = rest, unix_us
        if not self._paused:
            self._paused = True
            transport.pause_reading()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(wait_s, self._go_on) if wait_s else loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        rest, self._rest = self._rest, b""
        self._take(rest, self._rest_us, time.monotonic())

    def _known(self, owner: TcpOwner, nbytes: int) -> bool:
        """Whether the connection may go on; once its node lives, that node's share holds."""
        node = owner.node
        if node is not None and owner.session_state == st.LIVE:
            self._node = node
            self._quota = self._listener.quota(node)
            self._unproved_bytes = 0
            return True
        self._unproved_bytes += nbytes
        if self._unproved_bytes > STRANGER_BYTES:
            self.refuse("tcp_unproved", f"{STRANGER_BYTES} bytes, and no node has proved itself")
            return False
        return True

    def look(self, now: float) -> None:
        """Hang up on what took too long; once a second or so."""
        owner, listener = self.owner, self._listener
        if owner is None or self._why is not None:
            return
        node = owner.node
        if node is None or owner.session_state != st.LIVE:
            if self._node is not None:
                # It began anew (another boot, un-paired): a stranger again.
                self._node, self._quota = None, listener.stranger()
                self._unknown_since = self._unproved_since = now
            if owner.asked:
                # It waits for a hand on its button.
                self._unknown_since = self._unproved_since = now
            if node is not None:
                self._unknown_since = now
            if now - self._unknown_since > listener.hello_s:
                return self.refuse("tcp_no_hello", f"no hello within {listener.hello_s:g} s")
            if now - self._unproved_since > PROVING_FACTOR * listener.hello_s:
                return self.refuse(
                    "tcp_unproved", f"not proved within {PROVING_FACTOR * listener.hello_s:g} s"
                )
        if self._paused:
            # What it sent waits with us.
            self._heard_at = now
        if now - self._heard_at > listener.idle_s:
            return self.refuse("tcp_idle", f"nothing heard for {listener.idle_s:g} s")
        if self._stalled_at is not None and now - self._stalled_at > STALLED_S:
            return self.refuse("tcp_stalled", f"it read nothing for {STALLED_S:g} s")
        return None

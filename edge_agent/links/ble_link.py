"""One connection to a node's Bluetooth service as a link: what it notifies comes in, what is written goes out
in pieces of the MTU, each acknowledged by the node's stack before the next.
"""

import asyncio
import time
from typing import Any, Protocol

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError
from bleak_retry_connector import BleakClientWithServiceCache, establish_connection

from edge_agent.links.base import LinkOwner
from edge_agent.links.ports import PortError
from edge_agent.tasks import end
from protocol import session_states as st

SERVICE = "b7958137-8244-454d-99b7-0fa3de15d2fb"
WRITTEN = "b7958138-8244-454d-99b7-0fa3de15d2fb"
NOTIFIED = "b7958139-8244-454d-99b7-0fa3de15d2fb"

CONNECT_S = 60.0
ATTEMPTS = 2
# A write is acknowledged within a connection event or two; a node that does not has gone.
WRITE_S = 15.0
# Who is told to hang up does so; beyond it the stack is left to it.
PART_S = 4.0
# One that is nobody's yet waits for a person to hold its button.
PROVE_S = 60.0
CLAIM_S = 180.0
# A live node says something every second.
SILENT_S = 60.0
HINT = "the agent connects anew by itself"


class BleOwner(LinkOwner, Protocol):
    """A link's owner that also says how far its far end has come."""

    @property
    def node(self) -> bytes | None:
        """The node, once its hello was accepted."""
        ...

    @property
    def session_state(self) -> str:
        """waiting, proving or live (protocol.session_states)."""
        ...


class BleLink:
    """`open()`, then `begin(owner)`; `over` is set when it has ended, `why` says how. `patience_s`: within
    which its node proves itself. All of it in the event loop's thread.
    """

    def __init__(self, device: BLEDevice, patience_s: float) -> None:
        self.port = f"ble {device.address}"
        self.ready = False
        self.bytes_in = 0
        self.bytes_out = 0
        self.over = asyncio.Event()
        self.why = PortError(self.port, "lost", "the connection broke off", HINT)
        self._device = device
        self._patience_s = patience_s
        self._client: BleakClientWithServiceCache | None = None
        self._written: BleakGATTCharacteristic | None = None
        self._owner: BleOwner | None = None
        self._early: list[tuple[bytes, int]] = []
        self._writing: asyncio.Task[None] | None = None
        self._began = self._heard_at = time.monotonic()

    async def open(self) -> None:
        """Connect, and listen to the node. BleakError, OSError, TimeoutError, EOFError."""
        async with asyncio.timeout(CONNECT_S):
            client = self._client = await establish_connection(
                BleakClientWithServiceCache,
                self._device,
                self.port,
                disconnected_callback=self._gone,
                max_attempts=ATTEMPTS,
            )
            try:
                written = client.services.get_characteristic(WRITTEN)
                notified = client.services.get_characteristic(NOTIFIED)
                if written is None or notified is None:
                    # BlueZ keeps what services a device had; after an update they may be others.
                    await client.clear_cache()
                    raise BleakError("it has no Vitalwire service")
                self._written = written
                await client.start_notify(notified, self._notified)
            except BaseException:
                await self.part()
                raise

    def begin(self, owner: BleOwner) -> None:
        """From now on the owner is told."""
        self._owner = owner
        self._began = self._heard_at = time.monotonic()
        self.ready = True
        owner.opened(self)
        early, self._early = self._early, []
        for data, unix_us in early:
            owner.received(self, data, unix_us)

    # The owner asks

    def write(self, data: bytes) -> None:
        """Send bytes; not again before the owner's written()."""
        self.ready = False
        self.bytes_out += len(data)
        self._writing = asyncio.create_task(self._write(data))

    def end(self, why: str) -> None:
        """Hang up."""
        if not self.over.is_set():
            self.why = PortError(self.port, "lost", why, HINT)
            self._finish()

    # The pool of links asks

    def look(self, now: float) -> None:
        """Hang up on one that leads to no node, or to one that says nothing."""
        owner = self._owner
        if owner is None:
            return
        if owner.session_state == st.LIVE:
            self._began = now
        elif now - self._began > self._patience_s:
            self.end(f"the node did not prove itself within {self._patience_s:g} s")
        if now - self._heard_at > SILENT_S:
            self.end(f"nothing heard for {SILENT_S:g} s")

    async def part(self) -> None:
        """Disconnect, if need be; the adapter is free after it."""
        self._finish()
        if self._writing is not None:
            await end(self._writing)
        client, self._client = self._client, None
        if client is not None and client.is_connected:
            try:
                async with asyncio.timeout(PART_S):
                    await client.disconnect()
            except (BleakError, OSError, TimeoutError, EOFError):
                # It ends by itself: nobody keeps it up.
                pass

    # Within

    def _finish(self) -> None:
        self.ready = False
        self.over.set()

    def _gone(self, _: Any) -> None:
        self._finish()

    def _notified(self, _: BleakGATTCharacteristic, data: bytearray) -> None:
        unix_us = time.time_ns() // 1000
        self.bytes_in += len(data)
        self._heard_at = time.monotonic()
        if self._owner is None:
            self._early.append((bytes(data), unix_us))
        elif not self.over.is_set():
            self._owner.received(self, bytes(data), unix_us)

    async def _write(self, data: bytes) -> None:
        client, written = self._client, self._written
        if client is None or written is None:
            return
        size = written.max_write_without_response_size
        try:
            for at in range(0, len(data), size):
                async with asyncio.timeout(WRITE_S):
                    await client.write_gatt_char(written, data[at : at + size], response=True)
        except (BleakError, OSError, TimeoutError, EOFError) as e:
            self.end(f"it takes no more bytes: {str(e) or type(e).__name__}")
            return
        if not self.over.is_set() and self._owner is not None:
            self.ready = True
            self._owner.written(self)

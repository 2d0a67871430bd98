"""The air: a link layer in a thread of its own, with a peripheral for each virtual node and an HCI, over TCP
on the loopback, for every host that connects.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from bumble import hci, link, ll
from bumble.controller import Controller
from bumble.transport.common import StreamPacketSink, StreamPacketSource

from boards.virtual.ble.peripheral import Peripheral

Result = TypeVar("Result")

START_S = 30.0
AGAIN_S = 1.0
# A connection that the advertiser did not take up is given up after six intervals (Core 5.4, 6.B.4.5).
NOT_ESTABLISHED_S = 0.05
DATA_LENGTH = 251


class Air(link.LocalLink):
    """bumble's link, in which a connection request can come too late and a controller can be out of range."""

    def send_advertising_pdu(self, sender_controller: Controller, packet: ll.AdvertisingPdu) -> None:
        """As bumble; nobody else hears one who is out of range, nor that one anybody."""
        if sender_controller not in self.controllers:
            return
        super().send_advertising_pdu(sender_controller, packet)
        if isinstance(packet, ll.ConnectInd):
            loop = asyncio.get_running_loop()
            loop.call_later(NOT_ESTABLISHED_S, self._check, sender_controller, packet.advertiser_address)

    def _check(self, central: Controller, address: hci.Address) -> None:
        """The central hears nothing on a connection that only it believes in."""
        mine = central.le_connections.get(address)
        if mine is None:
            return
        for other in self.controllers:
            for theirs in other.le_connections.values():
                if theirs.self_address == address and theirs.peer_address == mine.self_address:
                    return
        central.on_le_disconnected(mine, hci.HCI_ErrorCode.CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR)

    def cut(self, controller: Controller) -> None:
        """Both ends of each of its connections hear nothing any more, and time out at once."""
        for mine in list(controller.le_connections.values()):
            for other in list(self.controllers):
                theirs = other.le_connections.get(mine.self_address)
                if theirs is not None and theirs.self_address == mine.peer_address:
                    other.on_le_disconnected(theirs, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
            controller.on_le_disconnected(mine, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)


def new_controller(air: Air, name: str, public_address: str) -> Controller:
    """A controller on the air, with packets as long as those of Bluetooth 4.2 and later."""
    controller = Controller(name, link=air, public_address=public_address)
    controller.le_acl_data_packet_length = DATA_LENGTH
    return controller


class _HciServer(StreamPacketSource):
    """One host's HCI: a controller for as long as it is connected."""

    def __init__(self, radio: "Radio") -> None:
        super().__init__()
        self._radio = radio
        self._controller: Controller | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A host opened it."""
        radio = self._radio
        controller = self._controller = new_controller(radio.air, "host", radio.new_address())
        controller.set_packet_sink(StreamPacketSink(transport))  # pyright: ignore[reportArgumentType]
        self.set_packet_sink(controller)
        radio.hosts.append(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The host is gone, and its controller with it."""
        controller, self._controller = self._controller, None
        if controller is not None:
            controller.hci_sink = None
            self._radio.air.cut(controller)
            self._radio.air.controllers.discard(controller)


class Radio:
    """Use as a context manager, or `start()` and `close()`. `hci`: bumble's name of the transport on which a
    host gets a controller of its own. All that concerns bumble runs in one thread of its own.
    """

    def __init__(self) -> None:
        self.hci = ""
        self.hosts: list[asyncio.BaseTransport] = []
        self._made = 0
        self._folder = TemporaryDirectory(prefix="vitalwire-ble-")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="radio", daemon=True)
        self._peripherals: list[Peripheral] = []
        self._server: asyncio.Server | None = None

    def start(self) -> "Radio":
        """Begin: `hci` can be opened."""
        self._thread.start()
        self.run(self._start())
        return self

    async def _start(self) -> None:
        self.air = Air()
        await self.open_hci()

    async def open_hci(self, port: int = 0) -> None:
        """Let hosts have controllers (again)."""
        self._server = await self._loop.create_server(lambda: _HciServer(self), "127.0.0.1", port)
        self.hci = "tcp-client:%s:%d" % self._server.sockets[0].getsockname()[:2]

    async def close_hci(self) -> None:
        """Pull the Bluetooth adapters of all hosts."""
        if self._server is not None:
            self._server.close()
        for transport in self.hosts:
            transport.close()
        self.hosts.clear()

    def unplug_adapters(self) -> None:
        """As somebody does who pulls the hosts' adapters out of their ports."""
        self.run(self.close_hci())

    def replug_adapters(self) -> None:
        """Put them back, under the same name."""
        self.run(self.open_hci(int(self.hci.rsplit(":", 1)[1])))

    def peripheral(self) -> Peripheral:
        """The Bluetooth part of a node, to be handed to its VirtualNode."""
        self._made += 1
        path = Path(self._folder.name) / f"node{self._made}"
        made = Peripheral(self, path, f"C4:00:00:00:00:{self._made:02X}")
        self.run(made.open())
        self._peripherals.append(made)
        return made

    def new_address(self) -> str:
        """Of a controller."""
        self._made += 1
        return f"00:1A:7D:00:00:{self._made:02X}"

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Have it done in the radio's thread; its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_S)

    def call(self, what: Callable[..., Result], *args: Any) -> Result:
        """Call it in the radio's thread."""

        async def calling() -> Result:
            return what(*args)

        return self.run(calling())

    def close(self) -> None:
        """End it all. Idempotent."""
        if self._loop.is_closed():
            return
        if self._thread.is_alive():
            self.run(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        self._folder.cleanup()

    async def _close(self) -> None:
        for peripheral in self._peripherals:
            await peripheral.close()
        await self.close_hci()
        mine = asyncio.current_task()
        tasks = left = {task for task in asyncio.all_tasks() if task is not mine}
        while left:
            # Again and again: until Python 3.12, asyncio.wait_for() in bumble may swallow it.
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=AGAIN_S)
        for task in tasks:
            if not task.cancelled():
                task.exception()

    def __enter__(self) -> "Radio":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

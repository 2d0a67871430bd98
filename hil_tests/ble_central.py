"""A central of a test's own, in its process: finds a node, takes what it notifies."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from bleak import BleakScanner
from bleak.backends.device import BLEDevice

from boards.virtual.ble import central
from boards.virtual.ble.radio import Radio
from edge_agent.links.ble_link import SERVICE
from protocol import cobs

PATIENCE_S = 60.0


async def found(wanted: Callable[[Any], bool]) -> tuple[BLEDevice, Any]:
    """A device, with what it advertises, for which `wanted` is true."""
    heard: asyncio.Future[tuple[BLEDevice, Any]] = asyncio.get_running_loop().create_future()

    def advertised(device: BLEDevice, data: Any) -> None:
        if wanted(data) and not heard.done():
            heard.set_result((device, data))

    async with BleakScanner(advertised):
        async with asyncio.timeout(PATIENCE_S):
            return await heard


def on_air(radio: Radio, work: Coroutine[Any, Any, None]) -> None:
    """Do it with an adapter of this process's own."""

    async def doing() -> None:
        central.install(radio.hci)
        try:
            await work
        finally:
            await central.Adapter.close()

    asyncio.run(doing())


def ours(data: Any) -> bool:
    return SERVICE in data.service_data


class Notified:
    """The messages that a node has notified."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self._decoder = cobs.Decoder()
        self._more = asyncio.Event()

    def __call__(self, _: Any, data: bytearray) -> None:
        self.messages += self._decoder.feed(bytes(data))
        self._more.set()

    async def more(self, n: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.messages) < n:
                self._more.clear()
                await self._more.wait()

"""All standard devices of an agent: one Reader each, as the list has them now."""

import asyncio
import logging
from typing import Any

from edge_agent.extras import remedy
from edge_agent.keys import KeyFileError
from edge_agent.nodes.hub import Hub
from edge_agent.standard.devices import Device, Devices, DevicesError
from edge_agent.tasks import end

log = logging.getLogger("vitalwire.device")

LOOK_S = 2.0


class Readers:
    """`problem`: why devices of the list are not read, or None; `ids`: as which nodes they are known."""

    def __init__(self, hub: Hub, devices: Devices) -> None:
        self.problem: str | None = None
        self.ids: set[bytes] = set()
        self._hub = hub
        self._devices = devices
        self._reading: dict[Device, tuple[Any, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Follow the list for ever."""
        seen: object = None
        try:
            while True:
                changed = self._devices.changed()
                if changed != seen:
                    seen = changed
                    await self._follow()
                self.ids |= {node for reader, _ in self._reading.values() for node in reader.nodes}
                await asyncio.sleep(LOOK_S)
        finally:
            await end(*(task for _, task in self._reading.values()))

    async def _follow(self) -> None:
        try:
            wanted, self.ids = self._devices.all(), self._devices.ids()
            self.problem = None
        except (DevicesError, KeyFileError) as e:
            # Those that are read go on: a damaged list takes nothing away.
            self.problem = str(e)
            log.error("%s", e)
            return
        left_out = [device for device in self._reading if device not in wanted]
        await end(*(self._reading.pop(device)[1] for device in left_out))
        for device in wanted:
            if device not in self._reading:
                self._begin(device)

    def _begin(self, device: Device) -> None:
        try:
            from edge_agent.standard.reader import Reader
        except ModuleNotFoundError as e:
            self.problem = f"reading Bluetooth devices needs {e.name}: {remedy('ble')}"
            log.error("%s", self.problem)
            return
        reader = Reader(self._hub, self._devices, device)
        self._reading[device] = reader, asyncio.create_task(reader.run())

    def summary(self) -> list[dict[str, Any]]:
        """Each device, for the status."""
        return [
            {
                "address": device.address,
                "name": device.name,
                "state": reader.state,
                "problem": reader.problem,
                "nodes": [node.hex() for node in reader.nodes],
                "values": reader.heard,
                "repeated": reader.repeated,
                "refused": reader.refused,
                "missed": reader.missed,
            }
            for device, (reader, _) in self._reading.items()
        ]

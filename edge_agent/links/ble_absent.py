"""Bluetooth where there may be no bleak: it is an extra."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from edge_agent.config import BleConfig
from edge_agent.extras import remedy

if TYPE_CHECKING:
    from edge_agent.links.ble import Nodes
    from edge_agent.nodes.sessions import LinkSession

log = logging.getLogger("vitalwire.link")


class BlePool(Protocol):
    """Links over Bluetooth, or what stands in their place."""

    @property
    def owners(self) -> "Mapping[Any, LinkSession]":
        """By link."""
        ...

    async def run(self) -> None:
        """For ever."""
        ...

    async def stop(self) -> None:
        """Hang up on all."""
        ...

    def summary(self) -> dict[str, Any]:
        """All connections together, for the status."""
        ...


class NoBle:
    """Stands where links over Bluetooth cannot be; `problem` says why."""

    def __init__(self, config: BleConfig, missing: str) -> None:
        self.owners: dict[Any, LinkSession] = {}
        self.problem = f"[ble] needs {missing}: {remedy('ble')}"
        self._config = config

    async def run(self) -> None:
        """Say so once."""
        log.error("%s", self.problem)
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """There is nothing to stop."""

    def summary(self) -> dict[str, Any]:
        """As BleLinks has it."""
        zero = dict.fromkeys(("connections", "accepted", "bytes_in", "bytes_out"), 0)
        return {"adapter": self._config.adapter, "problem": self.problem, **zero, "unclaimed": []}


def ble_links(config: BleConfig, nodes: "Nodes", make_owner: "Callable[[str], LinkSession]") -> BlePool:
    """The links over Bluetooth of this agent."""
    try:
        from edge_agent.links.ble import BleLinks
    except ModuleNotFoundError as e:
        return NoBle(config, str(e.name))
    return BleLinks(config, nodes, make_owner)

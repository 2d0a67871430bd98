"""Which targets there are, where each lives, and what its inputs are made from."""

import importlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

from tools.fuzz import seeds
from tools.fuzz.mutate import Generator
from tools.fuzz.programmed import Headed, Programs


class Target(Protocol):
    """Something that takes any bytes: `run` gives the outcome as text, or raises when a promise is broken."""

    name: str

    def run(self, data: bytes) -> str:
        """The outcome."""
        ...


class Place(NamedTuple):
    """Where a target is, its share of a run over all of them, and its generator for (more seeds, seed).

    `on_vm`: whether MicroPython runs it, too.
    """

    module: str
    attribute: str
    share: int
    on_vm: bool
    generator: "Callable[[list[bytes], int], Generator]"


def _plain(sound: "Callable[[], list[bytes]]") -> "Callable[[list[bytes], int], Generator]":
    return lambda more, seed: Generator([*sound(), *more], seed)


def _headed(sound: "Callable[[], list[bytes]]", size: int) -> "Callable[[list[bytes], int], Generator]":
    return lambda more, seed: Headed([*sound(), *more], seed, size)


def _programs(
    sound: "Callable[[], tuple[list[bytes], dict[int, list[bytes]]]]",
) -> "Callable[[list[bytes], int], Generator]":
    def make(more: "list[bytes]", seed: int) -> Generator:
        programs, contents = sound()
        return Programs([*programs, *more], seed, contents)

    return make


_WIRE = "tools.fuzz.wire"
_SESSIONS = "tools.fuzz.sessions"
_COLLECTING = "tools.fuzz.collecting"

TARGETS = {
    "cbor": Place(_WIRE, "Cbor", 260, True, _plain(seeds.for_cbor)),
    "cobs": Place(_WIRE, "Cobs", 100, True, _headed(seeds.for_cobs, 1)),
    "cose": Place(_WIRE, "Cose", 60, True, _headed(seeds.for_cose, 1)),
    "frames": Place(_WIRE, "Frames", 260, True, _plain(seeds.for_frames)),
    "messages": Place(_WIRE, "Messages", 140, True, _plain(seeds.wire_messages)),
    "orders": Place(_WIRE, "Orders", 50, True, _plain(seeds.for_orders)),
    "waveform": Place(_WIRE, "Waveform", 60, True, _headed(seeds.for_waveform, 2)),
    "session_agent": Place(_SESSIONS, "Agent", 20, True, _programs(seeds.for_agent)),
    "session_node": Place(_SESSIONS, "Node", 20, True, _programs(seeds.for_node)),
    "batch": Place(_COLLECTING, "Batches", 20, False, _headed(seeds.for_batch, 1)),
    "receipt": Place(_COLLECTING, "Receipts", 30, False, _headed(seeds.for_receipt, 1)),
    "records": Place(_COLLECTING, "Records", 30, False, _headed(seeds.for_records, 1)),
    "inspect": Place(_COLLECTING, "Inspect", 10, False, _headed(seeds.for_inspect, 1)),
}
"""Shares are of what a run over all targets spends; what is slow gets fewer inputs."""


def load(name: str) -> Target:
    """The target of that name."""
    place = TARGETS[name]
    return getattr(importlib.import_module(place.module), place.attribute)()

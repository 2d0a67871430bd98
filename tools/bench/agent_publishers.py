"""The same load as publications: many MQTT clients in one process (agent_bridge.py runs it).

Takes the commands of agent_nodes.py. MQTT 3.1.1 by hand: CONNECT, PUBLISH at QoS 1, PUBACK.
"""

import asyncio
import json
import sys
import time
from typing import Any, cast

from tools.bench import agent_nodes
from tools.bench.agent_frames import BOOTED_US, bodies

_CONNACK, _PUBACK = 0x20, 0x40


class Shared:
    """What all clients share."""

    def __init__(self) -> None:
        self.bodies = bodies()
        self.acks: list[float] = []
        self.sent = self.acked = self.again = self.reconnected = 0
        self.stopping = False


class Publisher(asyncio.Protocol):
    """One client."""

    def __init__(self, load: Shared, number: int) -> None:
        self.load = load
        self.held: dict[int, float] = {}
        self.live = False
        self._topic = b"ward/node-%d" % number
        self._name = b"bench-%d" % number
        self._next = 1
        self._buffer = b""
        self._turn = [number * 7, number * 11, number * 13]
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves."""
        self._transport = cast("asyncio.Transport", transport)
        packet = b"\x00\x04MQTT\x04\x02\x00\x00" + len(self._name).to_bytes(2, "big") + self._name
        self._transport.write(b"\x10" + bytes((len(packet),)) + packet)

    def data_received(self, data: bytes) -> None:
        """CONNACK once, then PUBACKs: four bytes each."""
        self._buffer += data
        while len(self._buffer) >= 4:
            packet, self._buffer = self._buffer[:4], self._buffer[4:]
            if packet[0] == _CONNACK:
                self.live = packet[3] == 0
            elif packet[0] == _PUBACK:
                at = self.held.pop(int.from_bytes(packet[2:], "big"), None)
                if at is not None:
                    self.load.acked += 1
                    self.load.acks.append(time.monotonic() - at)

    def say(self, stream: int) -> None:
        """Publish the next frame of a stream."""
        if not self.live or self._transport is None:
            return
        turn = self._turn[stream] = self._turn[stream] + 1
        made = self.load.bodies[stream]
        kind, body = made[turn % len(made)]
        t_us = BOOTED_US + time.monotonic_ns() // 1000
        number = self._next
        self._next = number % 65535 + 1
        head = len(self._topic).to_bytes(2, "big") + self._topic + number.to_bytes(2, "big")
        packet = head + b"\x83" + bytes((kind,)) + b"\x1b" + t_us.to_bytes(8, "big") + body
        size = len(packet)
        length = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
        self.held[number] = time.monotonic()
        self.load.sent += 1
        self._transport.write(b"\x32" + length + packet)

    def repeat(self, now: float) -> None:
        """TCP does."""


class Publishers(agent_nodes.Crowd):
    """All clients, in the rhythm of the nodes."""

    def __init__(self, told: "dict[str, Any]") -> None:
        self.load = cast("Any", Shared())
        self._address = told["host"], told["port"]
        self.nodes = cast("Any", [Publisher(cast("Any", self.load), n) for n in range(len(told["seeds"]))])
        self.every_s = len(self.nodes) * len(agent_nodes.STREAMS) / told["rate"]
        self.saying = False

    async def connect(self, node: Any) -> None:
        """Connect one client."""
        await asyncio.get_running_loop().create_connection(lambda: node, *self._address)


def main() -> int:
    """The process."""
    return agent_nodes.serve(Publishers(json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    sys.exit(main())

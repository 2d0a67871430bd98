"""Nodes that keep what they made until it is acknowledged: the shipped session and outbox over TCP, many in
one event loop.
"""

import asyncio
import hashlib
import os
import random
import time
from contextlib import suppress

from protocol import crypto, frames
from protocol import session_events as ev
from protocol.attest import Attester
from protocol.identity import Identity, generate_steps
from protocol.outbox import Outbox
from protocol.seal import SealingKeys
from protocol.session_node import NodeSession

TURN_S = 0.01
AGAIN_S = 0.2
BOX_BYTES = 64 << 20
"""Enough for a whole campaign: what these nodes make is never evicted, so all of it has to arrive."""

Key = tuple[bytes, bytes, int]


class Committed:
    """Stands for a boot record whose counter is on flash: each of these nodes boots once."""

    def __init__(self, boot_id: bytes):
        self.boot_id = boot_id


class Node:
    """One boot of a node. `made`: SHA-256 of each plaintext, by (node, boot, seq)."""

    def __init__(self, rng: random.Random, agent: Identity, rate: float, made: dict[Key, bytes]):
        self.identity: Identity = crypto.run(generate_steps(rng.randbytes(64)))
        boot_id = (1).to_bytes(4, "big") + rng.randbytes(8)
        self.boot = SealingKeys(rng.randbytes(16), Committed(boot_id))
        self.box = Outbox(BOX_BYTES)
        self.session = NodeSession(self.identity, self.boot, self.box, os.urandom)
        self.session.add_agent(*agent.public())
        self.making = False
        self._rate = rate
        self._rng = rng
        self._made = made
        self._attester = Attester(self.identity, boot_id)
        self._zero_ns = time.monotonic_ns()
        self._next_s = time.monotonic()
        self._make(
            frames.KIND_BOOT,
            {
                frames.BOOT_FIRMWARE: "0.1.0",
                frames.BOOT_BOARD: "campaign",
                frames.BOOT_RESET_CAUSE: frames.RESET_HARD,
                frames.BOOT_KEYS: list(self.identity.public()),
                frames.BOOT_INPUT: "numbers",
                frames.BOOT_CHANNELS: [[0, "none", 4_000_000, 1000]],
                frames.BOOT_ENTROPY: 1,
            },
            keep=True,
        )

    def _t_us(self) -> int:
        return (time.monotonic_ns() - self._zero_ns) // 1000

    def _make(self, kind: int, body: dict, keep: bool = False) -> None:
        plaintext = frames.pack(kind, self._t_us(), body)
        seq = self.box.next_seq
        self.box.add(seq, self.boot.seal(seq, plaintext), frames.lane(kind, body), keep)
        self._made[self.identity.id, self.boot.boot_id, seq] = hashlib.sha256(plaintext).digest()
        self._attester.add(seq, plaintext)

    def turn(self) -> None:
        """Make what is due, answer what was asked."""
        now_ms = time.monotonic_ns() // 1_000_000
        while self.making and time.monotonic() >= self._next_s:
            rate = self._rng.randrange(400, 1800)
            self._make(frames.KIND_VITALS, {1: rate, 3: 978, 6: 90, 15: 2, 16: 2})
            self._next_s = max(self._next_s + 1 / self._rate, time.monotonic() - 1)
        if self.making and self._attester.due(now_ms):
            self._make(frames.KIND_ATTEST, crypto.run(self._attester.sign_steps(now_ms)))
        self.session.tick(now_ms)
        while (job := self.session.steps()) is not None:
            crypto.run(job)
        for event in self.session.take_events():
            if isinstance(event, ev.TimeAsked) and self.making:
                self._make(frames.KIND_TIME, {1: event.token, 2: event.stamp})

    def feed(self, data: bytes) -> None:
        """Bytes from the agent."""
        self.session.feed(data, time.monotonic_ns() // 1_000_000, self._t_us())

    def pull(self) -> bytes:
        """Bytes for the agent."""
        now_ms = time.monotonic_ns() // 1_000_000
        out = bytearray()
        while (data := self.session.pull(now_ms)) and len(out) < 8192:
            out += data
        return bytes(out + data)


class Flock:
    """Nodes in the running event loop; they connect to `port` on loopback for ever."""

    def __init__(self, rng: random.Random, agent: Identity, count: int, rate: float):
        self.made: dict[Key, bytes] = {}
        self.nodes = [Node(random.Random(rng.random()), agent, rate, self.made) for _ in range(count)]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, port: int) -> None:
        """Begin to connect."""
        self._tasks = [asyncio.create_task(self._live(node, port)) for node in self.nodes]

    async def stop(self) -> None:
        """Hang up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def making(self, on: bool) -> None:
        """Whether new frames are made; what is held is sent all the same."""
        for node in self.nodes:
            node.making = on

    @property
    def held(self) -> int:
        """Frames that no agent has acknowledged."""
        return sum(len(node.box) for node in self.nodes)

    async def _live(self, node: Node, port: int) -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await self._connected(node, reader, writer)
                finally:
                    writer.close()
            node.turn()
            await asyncio.sleep(AGAIN_S)

    async def _connected(
        self, node: Node, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        reading = asyncio.create_task(reader.read(4096))
        try:
            while True:
                await asyncio.wait({reading}, timeout=TURN_S)
                if reading.done():
                    data = reading.result()
                    if not data:
                        return
                    node.feed(data)
                    reading = asyncio.create_task(reader.read(4096))
                node.turn()
                out = node.pull()
                if out:
                    writer.write(out)
                    await writer.drain()
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await reading

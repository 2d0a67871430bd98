"""The load: many virtual nodes in one process, each a TCP connection to the agent. Run by agent_rig.py.

Reads a JSON line of what to do from stdin, then commands: `measure SECONDS`, `stop`. Writes a JSON line for
each thing done. Each node says hello, proves itself, sends its frames in their own rhythm, holds every one
until it is acknowledged and sends it again when that takes too long.
"""

import asyncio
import json
import random
import sys
import time
from heapq import heapify, heapreplace
from pathlib import Path
from typing import Any, cast

from edge_agent import loops
from protocol import cbor, cobs, crypto, frames, messages, seal
from protocol.errors import ProtocolError
from protocol.identity import Identity, generate_steps
from tools.bench.agent_frames import BOOTED_US, STREAMS, Sealer, bodies, boot_body

AGAIN_S = 10.0
DRAIN_S = 120.0
# So many nodes a second say hello, as a clinic's do after a power cut that not all of them had.
HELLOS_S = 200


class Load:
    """What all nodes share: frames made beforehand, and what was seen."""

    def __init__(self, agent_id: bytes, agent_x_pub: bytes, address: "tuple[str, int]") -> None:
        self.agent_id, self.agent_x_pub, self.address = agent_id, agent_x_pub, address
        self.bodies = bodies()
        self.acks: list[float] = []
        self.sent = self.acked = self.again = self.reconnected = 0
        self.stopping = False
        self.log: list[tuple[bytes, int, int]] = []

    def now_us(self) -> int:
        """A node's clock."""
        return BOOTED_US + time.monotonic_ns() // 1000


class Node(asyncio.Protocol):
    """One node."""

    def __init__(self, load: Load, identity: Identity) -> None:
        self.load = load
        self.identity = identity
        self.sealer = Sealer(identity, load.agent_id, load.agent_x_pub)
        self.held: dict[int, tuple[bytes, float]] = {}
        self.live = False
        self.conn = 0
        self._cobs = cobs.Decoder()
        self._down: seal.Downlink | None = None
        self._nonce = b""
        self._transport: asyncio.Transport | None = None
        self._turn = [random.randrange(1000) for _ in STREAMS]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self._transport = stream = cast("asyncio.Transport", transport)
        self._cobs, self._down = cobs.Decoder(), None
        self.conn += 1
        held = [[min(self.held), max(self.held) - min(self.held) + 1]] if self.held else []
        hello, self._nonce = self.sealer.hello(self.conn, held)
        stream.write(b"\0" + cobs.encode(hello))

    def connection_lost(self, exc: "Exception | None") -> None:
        """Connect anew."""
        self._transport, self.live = None, False
        if not self.load.stopping:
            self.load.reconnected += 1
            asyncio.get_running_loop().call_later(0.5, lambda: asyncio.ensure_future(self.connect()))

    async def connect(self) -> None:
        """Until there is a connection."""
        while not self.load.stopping:
            try:
                await asyncio.get_running_loop().create_connection(lambda: self, *self.load.address)
                return
            except OSError:
                await asyncio.sleep(0.5)

    def data_received(self, data: bytes) -> None:
        """What the agent says."""
        for message in self._cobs.feed(data):
            try:
                self._message(message)
            except ProtocolError as e:
                print(json.dumps({"problem": str(e)}), flush=True)

    def _message(self, message: bytes) -> None:
        if messages.sort(message) == messages.SORT_CLEAR:
            kind, fields = messages.parse_clear(message)
            if kind == messages.MSG_WELCOME and fields["nonce"] == self._nonce and self._down is None:
                load = self.load
                self._down = crypto.run(
                    seal.Downlink.receiver_steps(
                        fields["enc"],
                        self.identity,
                        load.agent_id,
                        load.agent_x_pub,
                        self.sealer.boot,
                        self._nonce,
                    )
                )
            elif kind == messages.MSG_REFUSAL:
                print(json.dumps({"problem": f"refused: {fields['code']}"}), flush=True)
            return
        if self._down is None:
            return
        kind, _, body = frames.unpack_down(self._down.open(message))
        if kind == frames.KIND_ACK:
            self._acked(body)
        elif kind == frames.KIND_TIME_DOWN:
            now = self.load.now_us()
            if not self.live:
                self.live = True
                if not self.sealer.next_seq:
                    self.make(frames.KIND_BOOT, boot_body(self.identity))
                for framed, _ in self.held.values():
                    self._write(framed)
            self.make(frames.KIND_TIME, cbor.dumps({1: body[1], 2: now}))

    def _acked(self, body: Any) -> None:
        load, now, held = self.load, time.monotonic(), self.held
        for first, count in body[1]:
            for seq in range(first, first + count):
                found = held.pop(seq, None)
                if found is not None:
                    load.acked += 1
                    load.acks.append(now - found[1])

    def make(self, kind: int, body: bytes) -> None:
        """One frame, sealed, held and sent."""
        seq, message = self.sealer.frame(kind, self.load.now_us(), body)
        framed = cobs.encode(message)
        self.held[seq] = framed, time.monotonic()
        self.load.sent += 1
        self.load.log.append((self.sealer.boot, seq, time.time_ns() // 1_000_000))
        self._write(framed)

    def say(self, stream: int) -> None:
        """The next frame of a stream, and the attestation that is due then."""
        if not self.live:
            return
        turn = self._turn[stream] = self._turn[stream] + 1
        made = self.load.bodies[stream]
        self.make(*made[turn % len(made)])
        if self.sealer.attests:
            self.make(frames.KIND_ATTEST, self.sealer.attestation())

    def repeat(self, now: float) -> None:
        """Send again what is not acknowledged."""
        for framed, at in self.held.values():
            if now - at >= AGAIN_S and self.live:
                self.load.again += 1
                self._write(framed)

    def _write(self, framed: bytes) -> None:
        if self._transport is not None:
            self._transport.write(framed)


class Crowd:
    """All nodes and their rhythm."""

    def __init__(self, told: "dict[str, Any]") -> None:
        self.load = Load(
            bytes.fromhex(told["agent"]), bytes.fromhex(told["x_pub"]), (told["host"], told["port"])
        )
        seeds = [bytes.fromhex(seed) for seed in told["seeds"]]
        self.nodes = [Node(self.load, crypto.run(generate_steps(seed))) for seed in seeds]
        self.every_s = len(self.nodes) * len(STREAMS) / told["rate"]
        self.path = Path(told["log"])
        self.saying = False

    async def connect(self, node: Node) -> None:
        """Connect one node."""
        await node.connect()

    async def run(self) -> None:
        """Connect all, then follow the commands."""
        loop = asyncio.get_running_loop()
        for n, node in enumerate(self.nodes):
            await self.connect(node)
            if n % 20 == 19:
                await asyncio.sleep(20 / HELLOS_S)
        while not all(node.live for node in self.nodes):
            await asyncio.sleep(0.1)
        self._tell("live", nodes=len(self.nodes))
        pace = loop.create_task(self._pace())
        while True:
            words = (await loop.run_in_executor(None, sys.stdin.readline)).split()
            if words[:1] == ["measure"]:
                await self._measure(float(words[1]))
            elif words[:1] == ["drain"]:
                self.saying = False
                await self._drain()
            elif words[:1] != ["go"]:
                break
        pace.cancel()
        self.load.stopping = True

    async def _pace(self) -> None:
        self.saying = True
        now = time.monotonic()
        due: list[tuple[float, int, int]] = [
            (now + random.random() * self.every_s, n, stream)
            for n in range(len(self.nodes))
            for stream in STREAMS
        ]
        heapify(due)
        looked = now
        while self.saying:
            now = time.monotonic()
            for _ in range(2000):
                at, n, stream = due[0]
                if at > now:
                    break
                heapreplace(due, (at + self.every_s, n, stream))
                self.nodes[n].say(stream)
            if now - looked >= 1.0:
                looked = now
                for node in self.nodes:
                    node.repeat(now)
            await asyncio.sleep(0.004)

    async def _measure(self, seconds: float) -> None:
        load = self.load
        before = [round(1000 * s, 2) for s in percentiles(load.acks, (0.5, 0.99, 1.0))]
        load.acks.clear()
        sent, acked, again, began = load.sent, load.acked, load.again, time.monotonic()
        cpu = time.process_time()
        self._tell("measuring")
        await asyncio.sleep(seconds)
        took = time.monotonic() - began
        self._tell(
            "measured",
            seconds=took,
            sent=load.sent - sent,
            acked=load.acked - acked,
            again=load.again - again,
            reconnected=load.reconnected,
            ack_ms=[round(1000 * s, 2) for s in percentiles(load.acks, (0.5, 0.99, 1.0))],
            all_ack_ms=before,
            cpu_s=time.process_time() - cpu,
        )

    async def _drain(self) -> None:
        until = time.monotonic() + DRAIN_S
        while any(node.held for node in self.nodes) and time.monotonic() < until:
            await asyncio.sleep(0.1)
            now = time.monotonic()
            for node in self.nodes:
                node.repeat(now)
        with self.path.open("w") as file:
            for boot, seq, at_ms in self.load.log:
                file.write(f"{boot.hex()} {seq} {at_ms}\n")
        unacked = sum(len(node.held) for node in self.nodes)
        self._tell("drained", sent=self.load.sent, unacked=unacked, reconnected=self.load.reconnected)

    @staticmethod
    def _tell(what: str, **facts: Any) -> None:
        print(json.dumps({"did": what, **facts}), flush=True)


def percentiles(values: "list[float]", which: "tuple[float, ...]") -> "list[float]":
    """The values below which these parts of all lie; zeros of none."""
    ordered = sorted(values)
    if not ordered:
        return [0.0 for _ in which]
    return [ordered[min(len(ordered) - 1, int(part * len(ordered)))] for part in which]


def serve(crowd: Crowd) -> int:
    """Run it on the fastest event loop that there is."""
    with asyncio.Runner(loop_factory=loops.factory()) as runner:
        runner.run(crowd.run())
    return 0


def main() -> int:
    """The process."""
    return serve(Crowd(json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    sys.exit(main())

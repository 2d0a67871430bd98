"""A node made of the real session and outbox, on a pty or TCP; a collector made of protocol.batch."""

import os
import pty
import random
import select
import socket
import threading
import time
import tty
from contextlib import suppress

from protocol import batch as wire
from protocol import crypto, frames, messages
from protocol import session_events as ev
from protocol.attest import Attester
from protocol.identity import Identity, generate_steps
from protocol.outbox import Outbox
from protocol.session_node import NodeSession
from tests.both.sealing import sealing


def identity(seed: int) -> Identity:
    return crypto.run(generate_steps(random.Random(seed).randbytes(64)))


class Pty:
    """The node's end of a serial port; `name` is what the agent opens."""

    def __init__(self) -> None:
        self.fd, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.fd, False)
        self.name = os.ttyname(self._slave)

    def read(self) -> bytes:
        try:
            return os.read(self.fd, 4096)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """As a UART does: what finds no room is lost."""
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                return

    def write_all(self, data: bytes) -> None:
        """Wait for the reader where there is no room."""
        while data:
            assert select.select([], [self.fd], [], 60)[1], "nobody reads"
            with suppress(BlockingIOError):
                data = data[os.write(self.fd, data) :]

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._slave)


class Tcp:
    """The node's end of a `socket://` port; one agent at a time."""

    def __init__(self, port: int = 0) -> None:
        self._server = socket.create_server(("127.0.0.1", port))
        self._server.setblocking(False)
        self.number = self._server.getsockname()[1]
        self.name = f"socket://127.0.0.1:{self.number}"
        self._peer: socket.socket | None = None

    def read(self) -> bytes:
        with suppress(BlockingIOError):
            peer, _ = self._server.accept()
            peer.setblocking(False)
            self._drop()
            self._peer = peer
        if self._peer is None:
            return b""
        try:
            data = self._peer.recv(4096)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._drop()
        return data

    def write(self, data: bytes) -> None:
        if self._peer is not None:
            with suppress(OSError):
                self._peer.sendall(data)

    def _drop(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def close(self) -> None:
        self._drop()
        self._server.close()


MOST_A_TURN = 20


class FakeNode:
    """Makes `rate` frames a second while `making`; everything that it made is in `made`."""

    firmware = "0.1.0"

    def __init__(
        self, pipe, seed: int = 1, agent: Identity | None = None, rate: float = 20.0, max_bytes: int = 200_000
    ) -> None:
        self.pipe = pipe
        self.identity = identity(seed)
        self.agents = [] if agent is None else [agent.public()]
        self.rate = rate
        self.making = True
        self.plugged = True
        self.made: dict[tuple[bytes, int], bytes] = {}
        self.sent: list[bytes] = []
        self.orders: list[tuple[int, dict]] = []
        self.answer: int | None = frames.RESULT_DONE
        # Whether its button is held, and whether it is asked over a radio.
        self.pressed = self.radio = False
        self.asked: list[tuple] = []
        self.counter = 0
        self.max_bytes = max_bytes
        self._previous: list | None = None
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self.reset()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "FakeNode":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.pipe.close()

    def reset(self) -> None:
        """Lose the RAM; the next boot's first frame says so."""
        with self._lock:
            if self.counter:
                self._previous = [self.boot.boot_id, self.box.next_seq, False, 1]
            self.counter += 1
            self.boot = sealing(os.urandom(16), self.counter.to_bytes(4, "big") + os.urandom(8))
            self.box = Outbox(self.max_bytes)
            self.session = NodeSession(self.identity, self.boot, self.box, os.urandom)
            self.attester = Attester(self.identity, self.boot.boot_id)
            self._zero = time.monotonic_ns()
            self._next = time.monotonic()
            for agent in self.agents:
                self.session.add_agent(*agent)
            body = {
                frames.BOOT_FIRMWARE: self.firmware,
                frames.BOOT_BOARD: "fake",
                frames.BOOT_RESET_CAUSE: frames.RESET_HARD,
                frames.BOOT_KEYS: list(self.identity.public()),
                frames.BOOT_INPUT: "numbers",
                frames.BOOT_CHANNELS: [[0, "none", 4_000_000, 1000]],
                frames.BOOT_ENTROPY: 1,
            }
            if self._previous:
                body[frames.BOOT_PREVIOUS] = self._previous
            self.make(frames.KIND_BOOT, body, keep=True)

    def t_us(self) -> int:
        return (time.monotonic_ns() - self._zero) // 1000

    def make(self, kind: int, body: dict, keep: bool = False) -> int:
        with self._lock:
            plaintext = frames.pack(kind, self.t_us(), body)
            seq = self.box.next_seq
            self.box.add(seq, self.boot.seal(seq, plaintext), frames.lane(kind, body), keep)
            self.made[self.boot.boot_id, seq] = plaintext
            self.attester.add(seq, plaintext)
            return seq

    def vitals(self) -> int:
        return self.make(frames.KIND_VITALS, {1: 720, 2: [833], 3: 978, 6: 90, 15: 2, 16: 2})

    def status(self) -> int:
        keys = range(frames.STATUS_HEAP_FREE, frames.STATUS_NEXT_SEQ + 1)
        return self.make(frames.KIND_STATUS, dict.fromkeys(keys, 1))

    def say(self, data: bytes) -> None:
        """Raw bytes onto the cable of a Pty, every one of them, whatever is on it already."""
        with self._lock:
            self.pipe.write_all(b"\0" + data)

    @property
    def held(self) -> int:
        """How many frames are not acknowledged yet, between two turns."""
        with self._lock:
            return len(self.box)

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                self._turn()
            time.sleep(0.004)

    def _turn(self) -> None:
        now = time.monotonic_ns() // 1_000_000
        if self.making:
            # A bounded number at a time: a host that falls behind the rate must still get through a turn.
            for _ in range(MOST_A_TURN):
                if time.monotonic() < self._next:
                    break
                self.vitals()
                self._next += 1 / self.rate
        evicted = self.box.evictions()
        if evicted:
            self.box.evictions_sealed()
            self.make(frames.KIND_LOSS, {1: [[first, count, 1] for first, count in evicted]}, keep=True)
        # A node that a test has told to stop says no more once everything is acknowledged.
        quiet = not self.making and not self.held
        if not quiet and self.attester.due(now):
            self.make(frames.KIND_ATTEST, crypto.run(self.attester.sign_steps(now)))
        data = self.pipe.read()
        if data and self.plugged:
            self.session.feed(data, now, self.t_us())
        self.session.tick(now)
        while (job := self.session.steps()) is not None:
            crypto.run(job)
        for event in self.session.take_events():
            if isinstance(event, ev.TimeAsked) and not quiet:
                self.make(frames.KIND_TIME, {1: event.token, 2: event.stamp})
            elif isinstance(event, ev.PairAsked):
                self._pair(event)
            elif isinstance(event, ev.DownlinkIn):
                self._ordered(event)
            elif isinstance(event, ev.FlowChanged):
                self.asked.append((event.waves, event.bytes_s, event.most))
        for _ in range(8):
            data = self.session.pull(now)
            if not data:
                break
            if self.plugged:
                self.sent.append(data)
                self.pipe.write(data)

    def _ordered(self, event: ev.DownlinkIn) -> None:
        """Answer as told; un-paired, the next boot knows nobody."""
        self.orders.append((event.kind, event.body))
        if self.answer is None:
            return
        self.make(frames.KIND_ANSWER, {1: event.body[1], 2: self.answer})
        if event.kind == frames.KIND_UNPAIR and self.answer == frames.RESULT_DONE:
            self.agents = []

    def _pair(self, event: ev.PairAsked) -> None:
        asker = (event.ed_pub, event.x_pub)
        known = asker in self.agents
        if (event.button or (self.radio and not known)) and not self.pressed:
            self.session.refuse_pairing(messages.REFUSE_CONSENT)
            return
        if self.agents and not (known or self.pressed):
            self.session.refuse_pairing()
            return
        if not known:
            self.agents.append(asker)
        self.session.accept_pairing(*asker, event.nonce, None, None, event.button)


class StubCollector:
    """Takes batches as a collector does, in memory: `take(topic kind, payload)` gives the answer or None."""

    def __init__(self, agent: Identity, seed: int = 99) -> None:
        self.identity = identity(seed)
        self.agent = agent
        self.batches: dict[tuple[bytes, int], wire.Batch] = {}
        self.lacks: dict[bytes, set[int]] = {}
        self.frames: dict[tuple[bytes, bytes, int], bytes] = {}
        self.newest: tuple[bytes, int, bytes] | None = None
        self.highest: list[tuple[bytes, int, bytes]] | None = None
        self.received = 0
        self.duplicates = 0
        self.now_ms = 1
        self.deaf = False
        self.refuse: str | None = None

    def take(self, kind: str, payload: bytes) -> bytes | None:
        if self.deaf:
            return None
        if kind == "ask":
            agent_id, nonce = wire.parse_ask(payload)
            return wire.make_head_statement(
                self.identity, agent_id, self.newest, 0, 0, 1, nonce, self.highest
            )
        self.received += 1
        if self.refuse:
            return wire.make_refusal(self.agent.id, self.refuse, "because", payload)
        agent_id, clear = wire.open_batch(payload, self.identity)
        batch = wire.parse_batch(clear, self.agent.ed_pub, agent_id)
        duplicates = 0
        again = self.batches.get((batch.chain_id, batch.number))
        before = self.lacks.get(batch.head_hash)
        lacks = set(missing(batch)) if before is None else before & set(missing(batch))
        self.lacks[batch.head_hash] = lacks
        more = before is not None and lacks < before
        if again is None or more or again.head_hash != batch.head_hash:
            for entry in batch.parsed:
                if entry is not None and entry[0] == wire.ENTRY_FRAME:
                    key = tuple(entry[1:4])
                    duplicates += key in self.frames and not more
                    self.frames.setdefault(key, entry[4])
            self.batches[batch.chain_id, batch.number] = batch
            self.newest = (batch.chain_id, batch.number, batch.head_hash)
        self.duplicates += duplicates
        return self.receipt(batch, duplicates)

    def receipt(self, batch: wire.Batch, duplicates: int = 0) -> bytes:
        lacks = len(self.lacks.get(batch.head_hash, ()))
        return wire.make_receipt(
            self.identity,
            self.agent.id,
            batch.chain_id,
            batch.number,
            batch.head_hash,
            batch.count - duplicates - lacks,
            duplicates,
            self.now_ms,
            left_out=lacks,
        )


def missing(batch: wire.Batch) -> list[int]:
    """The positions of entries that are left out."""
    return [at for at, entry in enumerate(batch.entries) if entry is None]

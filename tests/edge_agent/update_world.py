"""Roll-outs without links: nodes that follow the protocol's side of an update, or do not, and an agent's
Updates with a clock, a disk and a store that are a test's.
"""

import asyncio
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from edge_agent.config import Config, UpdatesConfig
from edge_agent.nodes.hub import Hub
from edge_agent.store.items import Entry, Outcome, Sealed
from edge_agent.updates import kept, rollout, words
from edge_agent.updates.desk import UpdateDesk
from edge_agent.updates.service import Updates
from protocol import cbor, crypto, frames
from protocol.bundle import Bundle, make, sign
from protocol.update import WINDOW, Manifest, place
from tests.edge_agent.fakes import identity

MAKER = identity(900)
BOARD = "model"
TICK_MS = 50
STEP_EVERY = 5
# What seals and frames a downlink message.
AROUND = 26
SERIAL_BYTES_S = 11_520


def signed(version: str, files: dict[str, bytes], board: str = BOARD, maker: Any = MAKER) -> Bundle:
    return sign(make(board, version, files), maker)


def bundle(version: str, files: dict[str, bytes], board: str = BOARD, maker: Any = MAKER) -> bytes:
    return signed(version, files, board, maker).encoded()


def some_files(sizes: tuple[int, ...] = (300, 50, 400)) -> dict[str, bytes]:
    return {f"app/part{n}.mpy": random.Random(n).randbytes(size) for n, size in enumerate(sizes)}


class ModelNode:
    """The node's side of kind 36, as docs/wire-protocol.md §8.2 has it.

    `has`: files that it holds from before; `outcome`: what its trial comes to, "" for nothing heard; `busy`:
    how often it answers INTERLOCK to an apply; `answer`: another answer than the right one, of a message.
    """

    def __init__(
        self, outcome: str = "confirmed", version: str = "1.0.0", has: tuple[bytes, ...] = ()
    ) -> None:
        self.outcome = outcome
        self.version = version
        self.has = {crypto.sha256(data): data for data in has}
        self.busy = 0
        self.answer: Any = None
        self.took: list[tuple[int, int]] = []
        self.applied = 0
        self.id = b""
        self.forget()

    def forget(self) -> None:
        """As a reset forgets: what is whole stays, and so does the beginning of what is not."""
        self.unanswered = 0
        self.astray = False

    def take(self, body: dict[int, Any]) -> dict[int, Any] | None:
        """The answer to an update message; None: none yet."""
        if self.answer is not None:
            return self.answer(self, body)
        step = body[frames.UPDATE_STEP]
        if step == frames.STEP_OFFER:
            if self.applied and body[frames.UPDATE_ID] == self.id:
                return self.said(frames.RESULT_INTERLOCK)
            if body[frames.UPDATE_ID] != self.id:
                self.id, self.size, self.objects = body[frames.UPDATE_ID], body[frames.UPDATE_SIZE], [b""]
                self.wanted: list[tuple[int, bytes]] = []
                self.new_version = body[frames.UPDATE_FIRMWARE]
            return self.begun()
        if body[frames.UPDATE_ID] != self.id:
            return self.said(frames.RESULT_UNSUPPORTED, body[frames.UPDATE_ID])
        if step == frames.STEP_DATA:
            return self._data(body)
        if step == frames.STEP_APPLY:
            if not self.complete:
                return self.begun()
            if self.busy:
                self.busy -= 1
                return self.said(frames.RESULT_INTERLOCK)
            self.applied += 1
            return self.said(frames.RESULT_DONE)
        return self.said(frames.RESULT_DONE)

    def _data(self, body: dict[int, Any]) -> dict[int, Any] | None:
        number, offset, data = (body[key] for key in (4, 5, 6))
        self.took.append((number, len(data)))
        if (number, offset) != self.next:
            # It says so once.
            astray, self.astray = self.astray, True
            return None if astray else self.begun(True)
        self.unanswered += 1
        self.astray = False
        self.objects[number] += data
        return self.begun() if self.next[0] != number or self.unanswered >= WINDOW else None

    @property
    def next(self) -> tuple[int, int]:
        """The next byte that it wants."""
        while True:
            number = len(self.objects) - 1
            held = self.objects[number]
            if number == 0:
                if len(held) < self.size:
                    return 0, len(held)
                found = Manifest(lambda at, n: self.objects[0][at : at + n], len(held))
                crypto.run(found.verify_steps([MAKER.ed_pub]))
                self.wanted = [(size, digest) for _, size, digest in found.entries()]
            elif len(held) < self.wanted[number - 1][0]:
                return number, len(held)
            elif crypto.sha256(held) != self.wanted[number - 1][1]:
                self.objects[number] = b""
                continue
            if number == len(self.wanted):
                return number + 1, 0
            self.objects.append(self.has.get(self.wanted[number][1], b""))

    @property
    def complete(self) -> bool:
        return self.next[0] == len(self.wanted) + 1 and bool(self.wanted)

    def begun(self, astray: bool = False) -> dict[int, Any]:
        self.unanswered = 0
        self.astray = astray
        return self.said(frames.RESULT_BEGUN) | {frames.ANSWER_VALUE: place(*self.next)}

    def said(self, result: int, of: bytes | None = None) -> dict[int, Any]:
        return {frames.ANSWER_ID: of or self.id, frames.ANSWER_RESULT: result}


class Killed(Exception):
    """The agent's process is gone."""


class Link:
    """A node's live connection, as the hub knows it, and its boots."""

    due_ms = None

    def __init__(self, world: "World", node: bytes, model: ModelNode) -> None:
        self.world = world
        self.node = node
        self.model = model
        self.counter = 1
        self.conn = 1
        self.seq = 0
        self.passed = 0
        self.up_at_ms = 0
        self.tried = False
        self.word: tuple[int, int] | None = None
        self.lossy = 0.0

    @property
    def boot(self) -> bytes:
        return self.counter.to_bytes(4, "big") + bytes(8)

    def tick(self) -> None:
        pass

    def superseded(self) -> None:
        pass

    def frame(self, kind: int, body: dict[int, Any]) -> None:
        """The node's next frame; what goes along with it is in the store when it is acknowledged."""
        row = self.world.updates.courses.frame(self.node, self.boot, self.seq, kind, body)
        self.seq += 1
        if row is not None:
            self.world.meta[row.bindings[0]] = row.bindings[1]

    def pump(self) -> None:
        courses = self.world.updates.courses
        body = courses.next(self.node, (self.counter, self.conn), SERIAL_BYTES_S, self.passed)
        if body is None:
            return
        size = len(frames.pack(frames.KIND_UPDATE, 1, body)) + AROUND
        assert size <= 200
        self.passed += size
        courses.sent(self.node, size)
        if self.world.chance.random() < self.lossy:
            return
        answer = self.model.take(body)
        applied = body[frames.UPDATE_STEP] == frames.STEP_APPLY and self.model.applied and not self.tried
        if answer is not None and not (applied and self.model.outcome == "rolled back, unsaid"):
            self.frame(frames.KIND_ANSWER, answer)
        if applied:
            self.tried = True
            self.reset(self.model.new_version)

    def up(self) -> None:
        """A new boot is live."""
        self.world.hub.live[self.node] = self
        self.up_at_ms = 0
        self.world.about[self.node] = (self.model.version, BOARD)
        about = {frames.BOOT_FIRMWARE: self.model.version, frames.BOOT_BOARD: BOARD}
        self.frame(frames.KIND_BOOT, about)

    def gone(self) -> None:
        """It is not there any more, and does not come back."""
        self.world.hub.live.pop(self.node, None)
        self.up_at_ms = 1 << 53
        self.word = None

    def reset(self, version: str) -> None:
        """Another boot, with that version; after a while, what became of its trial."""
        self.counter += 1
        self.seq = 0
        self.model.forget()
        self.world.hub.live.pop(self.node, None)
        self.up_at_ms = self.world.now + 2_000
        self.model.version = version
        if version != "1.0.0" and self.model.outcome:
            code = frames.EVENT_UPDATED if self.model.outcome == "confirmed" else frames.EVENT_ROLLED_BACK
            self.word = (self.world.now + 5_000, code)

    def turn(self) -> None:
        """What time brings."""
        if self.node not in self.world.hub.live and self.up_at_ms and self.world.now >= self.up_at_ms:
            self.up()
        if self.word and self.world.now >= self.word[0] and self.node in self.world.hub.live:
            code = self.word[1]
            self.word = None
            text = self.model.new_version
            if code == frames.EVENT_ROLLED_BACK:
                text += ": samples come too slowly"
                self.reset("1.0.0")
                self.word = None
                self.up()
            self.frame(
                frames.KIND_EVENT,
                {frames.EVENT_CODE: code, frames.EVENT_PRIORITY: 0, frames.EVENT_TEXT: text},
            )


class World:
    """`nodes` model nodes, live, known by their boots; `clock_ms`: how wrong the machine's clock is;
    `kill_at`: the process ends at that write of the roll-outs' file (`torn`: before the new one is in place).
    """

    def __init__(self, folder: Path, models: list[ModelNode], **options: Any) -> None:
        self.folder = folder
        self.now = 1_000_000
        self.clock_ms = 0
        self.chance = random.Random(7)
        self.meta: dict[str, bytes] = {}
        self.about: dict[bytes, tuple[str, str]] = {}
        self.statements: list[tuple[str, dict[str, Any]]] = []
        self.refusing = False
        self.kill_at: int | None = None
        self.torn = False
        self.writes = 0
        self.waiting: list[Any] = []
        self.answers: list[tuple[bool, str]] = []
        settings = {"soak_min": 1, "absent_min": 2, "trial_min": 2} | options
        self.config = Config(folder, folder / "agent.key", updates=UpdatesConfig(**settings))
        ids = [crypto.sha256(b"%d" % n)[:8] for n in range(len(models))]
        self.peers = SimpleNamespace(ids=lambda: sorted(ids), lookup=lambda _: None)
        self.links = {node: Link(self, node, model) for node, model in zip(ids, models, strict=True)}
        for node in ids:
            self.about[node] = ("1.0.0", BOARD)
        makers = self.config.makers
        makers.mkdir()
        write_maker(makers / "maker.pub", MAKER.ed_pub)
        self.loop = asyncio.new_event_loop()
        self.begin()

    def begin(self) -> None:
        """An agent starts, as one does after a kill."""
        ingest: Any = SimpleNamespace(add=self._add, backlog=0)
        self.hub = Hub(
            identity(901),
            self.peers,
            ingest,
            {},
            {},
            lambda: self.now / 1000,
            lambda: self.now * 1000,  # type: ignore[arg-type]
        )
        self.updates = Updates(self.config, self.hub, lambda: self.now + self.clock_ms)
        self.updates.disk.write = self._write  # type: ignore[method-assign]
        self.desk = UpdateDesk(SimpleNamespace(answer=self._answer), self.updates)  # type: ignore[arg-type]
        for node, link in self.links.items():
            link.conn += 1
            if not link.up_at_ms:
                self.hub.live[node] = link
        said = [
            words.Word(bytes.fromhex(key.split()[1]), *cbor.loads(value)) for key, value in self.meta.items()
        ]

        async def recalled(*_: Any) -> Any:
            return dict(self.about), said

        self.loop.run_until_complete(self.updates.load(SimpleNamespace(run=recalled), None))  # type: ignore[arg-type]

    def close(self) -> None:
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def _write(self, data: bytes) -> None:
        self.writes += 1
        if self.refusing:
            raise OSError(28, "No space left on device")
        if self.kill_at == self.writes and self.torn:
            raise Killed
        kept.Disk.write(self.updates.disk, data)
        if self.kill_at == self.writes:
            raise Killed

    def _add(self, item: Any, done: Any = None) -> None:
        if isinstance(item, Entry):
            self.statements.append(tuple(cbor.loads(item.data)[1:]))
        else:
            assert isinstance(item, Sealed)
        if done is not None:
            done(Outcome.STORED)

    def _answer(self, errand: Any, good: bool, text: str) -> None:
        self.answers.append((good, text))
        self.waiting.remove(errand)

    def ask(self, **asked: Any) -> tuple[bool, str]:
        """What an errand is told."""
        data = cbor_json({"by": "uid 0", **asked})
        errand: Any = SimpleNamespace(id=f"e{self.now}{len(self.answers)}", what="update", data=data.hex())
        self.waiting.append(errand)
        told = len(self.answers)
        for _ in range(20):
            self.turn()
            if len(self.answers) > told:
                return self.answers[-1]
        raise AssertionError("no answer")

    def add(self, version: str, files: dict[str, bytes] | None = None, **more: Any) -> None:
        path = self.folder / f"{version}.vwu"
        path.write_bytes(bundle(version, files or some_files(), **more))
        self.updates.shelf.add(path)

    def start(self, version: str = "1.1.0", percents: tuple[float, ...] = (100,), group: str = "all") -> str:
        good, text = self.ask(do="start", version=version, group=group, percents=list(percents))
        assert good, text
        return text

    def turn(self) -> None:
        """TICK_MS pass."""
        self.now += TICK_MS
        for link in self.links.values():
            link.turn()
        self.updates.courses.tick()
        if self.now // TICK_MS % STEP_EVERY == 0:
            self.desk.step(list(self.waiting))
            self.updates.step()
            self.loop.run_until_complete(self.updates.keep())

    def until(self, fact: Any, most_s: float = 3600) -> None:
        ends = self.now + most_s * 1000
        while not fact():
            assert self.now < ends, self.states
            self.turn()

    @property
    def one(self) -> rollout.Rollout:
        return self.updates.rollouts[-1]

    @property
    def states(self) -> dict[str, int]:
        return self.one.counts()

    @property
    def codes(self) -> list[str]:
        return [code for code, _ in self.statements]


def cbor_json(asked: dict[str, Any]) -> bytes:
    import json

    return json.dumps(asked).encode()


def write_maker(path: Path, ed_pub: bytes) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(ed_pub)
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.write_bytes(pem)

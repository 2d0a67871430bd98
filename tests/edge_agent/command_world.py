"""An authority, an agent's Commander over a real store, and a node that checks orders as a node does."""

import os
from pathlib import Path
from typing import Any

from edge_agent.keys import PublicKeys
from edge_agent.nodes.orders import Order, Orders
from edge_agent.remote import commands_kept
from edge_agent.remote.authorities import Authorities
from edge_agent.remote.commands import Commander
from edge_agent.remote.commands_kept import Kept, Task
from edge_agent.store import details
from edge_agent.store.items import Item, Outcome
from edge_agent.store.opening import open_store
from protocol import cbor, crypto, frames, receipts, remote, remote_seal
from protocol import orders as wire
from protocol.identity import Identity, generate_steps
from protocol.remote import Answer, Command

UNIX_MS = 1_790_000_000_000
BOOT, NEXT = b"\0\0\0\1boot-one", b"\0\0\0\2boot-two"


def somebody() -> Identity:
    return crypto.run(generate_steps(os.urandom(64)))


AGENT, CLINIC, NODE = somebody(), somebody(), somebody()


class KitNode:
    """Carries out an id once, asks for the authority's signature where a node does; `moved`: what it did."""

    def __init__(self, *believed: Identity) -> None:
        self.boot: bytes | None = BOOT
        self.t_us = 60_000_000
        self.believed = {one.id: one.ed_pub for one in believed}
        self.moved: list[Any] = []
        self.silent = False
        self.answers: dict[bytes, dict[int, Any]] = {}

    def take(self, order: Order) -> dict[int, Any] | None:
        """Its answer's body; None: nothing comes."""
        key = order.body[frames.ORDER_ID]
        if key not in self.answers:
            steps = wire.check_steps(
                NODE.id, self.boot or b"", order.kind, order.body, self.t_us, self.believed
            )
            result = crypto.run(steps)
            if result == frames.RESULT_DONE:
                what = order.body[frames.ORDER_WHAT]
                self.moved.append(what)
                if what in (frames.OP_MEASURE_BP, frames.OP_RESTART):
                    result = frames.RESULT_BEGUN
            answer = {frames.ANSWER_ID: key, frames.ANSWER_RESULT: result}
            digest = wire.order_digest(NODE.id, self.boot or b"", order.kind, order.body)
            if digest is not None:
                answer[frames.ANSWER_DIGEST] = digest
            self.answers[key] = answer
        return None if self.silent else self.answers[key]


class World:
    """`now`: ms since the beginning, of every clock; `step()`: half a second of all of them."""

    def __init__(self, folder: Path, *believed: Identity) -> None:
        self.folder = folder
        self.now = 0
        self.skew_ms = 0
        self.node = KitNode(*(believed or (CLINIC,)))
        self.pending: list[tuple[Item, Any]] = []
        self.prompt = True
        self.published: list[bytes] = []
        self.rejected: list[str] = []
        self.owner: bytes | None = None
        # Until then (Unix ms) it was nobody's.
        self.owned_ms = 0
        self.authorities = Authorities(folder / "authorities")
        self.authorities.add(PublicKeys(*CLINIC.public()), ["all"])
        self.start()

    def start(self) -> None:
        """The agent starts, with what the store holds."""
        self.store, _ = open_store(self.folder / "agent.db", AGENT.id, self.unix_ms())
        self.pending = []
        self.orders = Orders(self.add, lambda: self.now, self.unix_ms)
        self.commander = Commander(
            AGENT,
            self.authorities,
            Kept(self.add, commands_kept.load(self.store)),
            self,
            self,
            self.unix_ms,
            lambda: self.now / 1000,
            lambda: (AGENT, []),
            lambda node, at_ms: self.person_at(node, at_ms),
            lambda cause, detail: self.rejected.append(cause),
        )
        self.commander.publish = self.published.append
        self.orders.on_measured = self.commander.measured

    def stop(self) -> None:
        """It ends at once: what was not committed is gone."""
        self.store.close()

    def unix_ms(self) -> int:
        return UNIX_MS + self.now + self.skew_ms

    def person_at(self, node: bytes, at_ms: int) -> bytes | None:
        return self.owner if at_ms >= self.owned_ms else None

    # The store's intake

    def add(self, item: Item, done: Any) -> None:
        self.pending.append((item, done))

    def commit(self) -> None:
        """One durable group."""
        group, self.pending = self.pending, []
        if group:
            self.store.commit([item for item, _ in group])
            for _, done in group:
                if done is not None:
                    done(Outcome.STORED)

    # Nodes and Strips

    def paired(self, node: bytes) -> bool:
        return node == NODE.id

    def live(self, node: bytes) -> tuple[bytes, int] | None:
        return None if self.node.boot is None else (self.node.boot, self.node.t_us)

    def give(self, *args: Any) -> Order:
        return self.orders.give(*args)

    def begin(self, task: Task, t_us: int) -> dict[int, Any]:
        return {1: 0, 2: 0, 3: t_us}

    def withdraw(self, order: Order) -> None:
        self.orders.withdraw(order)

    def serve(self, task: Task, late: bool) -> None:
        self.commander.served(task, ((BOOT, 5, 2),), "2.0 of 2.0 s")

    # Time

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 500
            if self.node.boot is not None:
                self.node.t_us += 500_000
            self.orders.tick()
            self.commander.step()
            while self.prompt and self.pending:
                self.commit()
            if self.node.boot is None:
                continue
            for order in self.orders.due(NODE.id, self.node.boot, self.node.t_us):
                body = self.node.take(order)
                if body is not None:
                    self.orders.answered(NODE.id, body)

    def measured(self, command: Command, result: int = frames.BP_MEASURED, peak: int = 1600) -> None:
        """The node's blood-pressure frame, and its commit."""
        body = {frames.BP_RESULT: result, frames.BP_PEAK: peak, frames.BP_COMMAND: command.command_id}
        self.orders.measured(NODE.id, self.node.boot or b"", 77, body)
        self.commit()

    # The authority

    def command(self, operation: str, authority: Identity = CLINIC, **more: Any) -> Command:
        given = {
            "agent_id": AGENT.id,
            "node_id": NODE.id,
            "command_id": os.urandom(8),
            "operation": operation,
            "made_ms": self.unix_ms(),
            "expires_ms": self.unix_ms() + 60_000,
            "authority": authority.id,
        }
        return Command(**{**given, **more})

    def seal(self, command: Command, signer: Identity = CLINIC) -> bytes:
        return remote_seal.seal_command(remote.make_command(signer, command), AGENT.id, AGENT.x_pub)

    def ask(self, command: Command, signer: Identity = CLINIC) -> Answer:
        """Say it until there is an answer; that."""
        message = self.seal(command, signer)
        for _ in range(5):
            reply = self.commander.ask(message)
            if reply is not None:
                return self.opened(reply, signer)
            self.commit()
        raise AssertionError("no answer")

    def opened(self, reply: bytes, reader: Identity = CLINIC) -> Answer:
        return remote.open_answer(remote_seal.unseal_answer(reply, reader), AGENT.ed_pub)

    def hint(self, message: bytes) -> str:
        """The cause of an unsigned refusal."""
        reply = self.commander.ask(message)
        assert reply is not None
        return receipts.parse_refusal(reply).code

    def signed(self, command: Command, signer: Identity = CLINIC) -> Command:
        """The command with its order, signed for what the agent offers."""
        answer = self.ask(command)
        assert answer.outcome == remote.NEEDS_SIGNATURE and answer.offer is not None, answer
        return remote.sign_order(signer, command, answer.offer)

    def stated(self) -> list[tuple[str, dict[str, Any]]]:
        """What the journal says, in order: what every forwarder gets."""
        found = self.store.db.execute("SELECT data FROM journal WHERE kind = 3 ORDER BY id").fetchall()
        said = [cbor.loads(data) for (data,) in found]
        return [(code, detail) for _, code, detail in said if "command" in detail]

    def statements(self) -> list[tuple[str, dict[str, Any]]]:
        """The same with the details that are kept here."""
        db = self.store.db
        return [
            (code, detail | ((details.read(db, detail["details"]) or {}) if "details" in detail else {}))
            for code, detail in self.stated()
        ]

    def codes(self) -> list[str]:
        return [code for code, _ in self.statements()]

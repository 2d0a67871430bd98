"""Commands as they are kept: a row each until it has expired, in the agent's store.

A row changes in the same transaction as the statement that tells of it, and before anything leaves for the
node or the authority: what was audited was done, and what was done is known to the next agent.

What a command says may be of a person: it is sealed under the data key of its node and let go of at its end,
and of a row whose key was destroyed only the id counts, so that nobody gives the command again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from edge_agent.nodes.ingest import Done
from edge_agent.nodes.orders import Order
from edge_agent.store import details
from edge_agent.store.items import Entry, Item, Sealed, Write
from edge_agent.store.rows import SealBroken
from edge_agent.store.schema import ENTRY_STATEMENT
from edge_agent.store.store import Store
from protocol import cbor, remote
from protocol.errors import ProtocolError
from protocol.remote import Answer, Command

MAX_KEPT = 4096
# Of one authority: others have room whatever it orders.
MAX_OF_ONE = 256
FLOOR = "commands_floor"
UNKNOWN_NODE = "unknown_node"


@dataclass
class Task:
    """One command. `signed`: as its authority signed it; `answer`: what became of it so far; `taken_ms`: when
    it came; `boot`, `body`: of what it is to the node, once that is settled; `durable`: all of this is on the
    disk; `far`: its answers go by the broker; `again`: it is from before this start; `until_s`: monotonic,
    when it expires however the clock is set; `objection`: (cause, detail) for which its order was withdrawn.
    """

    command: Command
    signed: bytes
    answer: Answer
    taken_ms: int
    boot: bytes | None = None
    body: dict[int, Any] | None = None
    order: Order | None = None
    durable: bool = False
    far: bool = False
    again: bool = False
    until_s: float = 0.0
    objection: tuple[str, str] | None = None

    @property
    def final(self) -> bool:
        """Whether nothing more will come of it."""
        return self.answer.final

    @property
    def node(self) -> bytes | None:
        """Whose data key its row is sealed under; None: of a node that is not ours there is none."""
        return None if self.answer.cause == UNKNOWN_NODE else self.command.node_id

    def shed(self) -> None:
        """At its end: what it said is not needed to answer who says it again."""
        self.command = replace(self.command, arguments=None, reason="", order=None)
        self.signed, self.boot, self.body = b"", None, None

    def row(self) -> bytes:
        """What is sealed in its row."""
        command = self.command
        told = [command.operation, command.made_ms, command.authority, self.taken_ms, self.signed]
        return cbor.dumps([*told, remote.encode_answer(self.answer), self.boot, self.body])


class Kept:
    """All commands that are kept, by id, as they are on the disk or about to be. `erased`: when those expire
    of which nothing but the id is left; `floor`: a command that expired until then may have been forgotten;
    `since_ms`: when the store began: nothing is known of commands from before.
    """

    def __init__(self, add: Callable[[Item, Done | None], None], found: "Found") -> None:
        self.tasks = {task.command.command_id: task for task in found.tasks}
        self.erased = dict(found.erased)
        self.floor = found.floor
        self.since_ms = found.since_ms
        self._add = add

    def room(self, authority: bytes) -> bool:
        """Whether one more of this authority can be kept now."""
        if len(self.tasks) + len(self.erased) >= MAX_KEPT:
            return False
        return sum(task.command.authority == authority for task in self.tasks.values()) < MAX_OF_ONE

    def put(
        self,
        task: Task,
        code: str,
        detail: dict[str, Any],
        kept_back: dict[str, Any],
        at_ms: int,
        done: Callable[[Task], None],
    ) -> None:
        """Have it and a statement on the disk together; then `done`. Of `kept_back` the statement has the
        hash only (store/details.py). ProtocolError: neither can be written down, and nothing is.
        """
        if task.final:
            task.shed()
        command = task.command
        answer = task.answer

        def written(_: object) -> None:
            # Not if it has changed once more meanwhile: then that is still to come.
            if task.answer is answer:
                task.durable = True
                done(task)

        # All is written down before any of it is given away: one without the other would be half a truth.
        sql = "INSERT OR REPLACE INTO commands(id, expires_ms, key, data) VALUES(?, ?, ?, ?)"
        about = (command.command_id, command.expires_ms)
        items: list[Item] = [Sealed(sql, about, task.row(), at_ms, task.node)]
        told = {"command": command.command_id, "node": command.node_id, "by": command.authority, **detail}
        if kept_back:
            told[details.HASH], row = details.withhold(kept_back, at_ms, task.node, task.taken_ms)
            items.append(row)
        statement = Entry(ENTRY_STATEMENT, cbor.dumps([ENTRY_STATEMENT, code, told]), at_ms)
        self.tasks[command.command_id] = task
        task.durable = False
        for item in items:
            self._add(item, None)
        self._add(statement, written)

    def forget(self, now_ms: int) -> None:
        """Let go of what has expired. A clock that is set back brings none of it back."""
        for key, task in list(self.tasks.items()):
            if task.final and task.durable and task.command.expires_ms < now_ms:
                del self.tasks[key]
                self._drop(key, task.command.expires_ms)
        for key, expires_ms in list(self.erased.items()):
            if expires_ms < now_ms:
                del self.erased[key]
                self._drop(key, expires_ms)

    def _drop(self, key: bytes, expires_ms: int) -> None:
        self._add(Write("DELETE FROM commands WHERE id = ?", (key,)), None)
        if expires_ms > self.floor:
            self.floor = expires_ms
            self._add(Write("INSERT OR REPLACE INTO meta VALUES(?, ?)", (FLOOR, self.floor)), None)


@dataclass(frozen=True)
class Found:
    """What the store holds at the agent's start; see Kept."""

    tasks: list[Task]
    floor: int
    since_ms: int = 0
    erased: dict[bytes, int] = field(default_factory=dict[bytes, int])


def load(store: Store) -> Found:
    """The commands of the store. Of a row that cannot be read the id is left: it can do nothing more."""
    tasks: list[Task] = []
    erased: dict[bytes, int] = {}
    for key, expires_ms, *sealed in store.db.execute("SELECT id, expires_ms, key, data FROM commands"):
        try:
            tasks.append(_task(details.secret_of(store.db, key, *sealed), expires_ms))
        except (ProtocolError, SealBroken, TypeError, ValueError):
            erased[key] = expires_ms
    return Found(tasks, store.meta(FLOOR) or 0, store.meta("created_ms") or 0, erased)


def _task(row: bytes, expires_ms: int) -> Task:
    operation, made_ms, authority, taken_ms, signed, answered, boot, body = cbor.loads(row)
    answer = remote.parse_answer(answered)
    if signed:
        command = remote.read_command(signed)
    else:
        ids = (answer.agent_id, answer.node_id, answer.command_id)
        command = Command(*ids, operation, made_ms, expires_ms, authority)
    return Task(command, signed, answer, taken_ms, boot, body, durable=True, again=True)

"""Commands as they are kept: a row each until it has expired, in the agent's store.

A row changes in the same transaction as the statement that tells of it, and before anything leaves for the
node or the authority: what was audited was done, and what was done is known to the next agent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_agent.ingest import Done
from edge_agent.orders import Order
from edge_agent.store.items import Entry, Item, Write
from edge_agent.store.schema import ENTRY_STATEMENT
from edge_agent.store.store import Store
from protocol import cbor, remote
from protocol.errors import ProtocolError
from protocol.remote import Answer, Command

MAX_KEPT = 4096
FLOOR = "commands_floor"


@dataclass
class Task:
    """One command. `signed`: as its authority signed it; `answer`: what became of it so far; `boot`, `body`:
    of what it is to the node, once that is settled; `durable`: all of this is on the disk; `far`: its answers
    go by the broker; `again`: it is from before this start.
    """

    command: Command
    signed: bytes
    answer: Answer
    boot: bytes | None = None
    body: dict[int, Any] | None = None
    order: Order | None = None
    durable: bool = False
    far: bool = False
    again: bool = False

    @property
    def final(self) -> bool:
        """Whether nothing more will come of it."""
        return self.answer.final


class Kept:
    """All commands that are kept, by id, as they are on the disk or about to be. `floor`: a command that
    expired until then may have been forgotten.
    """

    def __init__(self, add: Callable[[Item, Done | None], None], found: "Found") -> None:
        self.tasks = {task.command.command_id: task for task in found.tasks}
        self.floor = found.floor
        self._add = add

    @property
    def full(self) -> bool:
        """Whether no more can be kept now."""
        return len(self.tasks) >= MAX_KEPT

    def put(
        self, task: Task, code: str, detail: dict[str, Any], at_ms: int, done: Callable[[Task], None]
    ) -> None:
        """Have it and a statement on the disk together; then `done`."""
        command = task.command
        self.tasks[command.command_id] = task
        task.durable = False
        body = None if task.body is None else cbor.dumps(task.body)
        row = (
            command.command_id,
            command.expires_ms,
            task.signed,
            remote.encode_answer(task.answer),
            task.boot,
            body,
        )

        answer = task.answer

        def written(_: object) -> None:
            # Not if it has changed once more meanwhile: then that is still to come.
            if task.answer is answer:
                task.durable = True
                done(task)

        self._add(Write("INSERT OR REPLACE INTO commands VALUES(?, ?, ?, ?, ?, ?)", row), None)
        told = {"command": command.command_id, "node": command.node_id, "by": command.authority, **detail}
        self._add(Entry(ENTRY_STATEMENT, cbor.dumps([ENTRY_STATEMENT, code, told]), at_ms), written)

    def forget(self, now_ms: int) -> None:
        """Let go of what has expired. A clock that is set back brings none of it back."""
        for key, task in list(self.tasks.items()):
            if task.final and task.durable and task.command.expires_ms < now_ms:
                del self.tasks[key]
                self._add(Write("DELETE FROM commands WHERE id = ?", (key,)), None)
                if task.command.expires_ms > self.floor:
                    self.floor = task.command.expires_ms
                    self._add(Write("INSERT OR REPLACE INTO meta VALUES(?, ?)", (FLOOR, self.floor)), None)


@dataclass(frozen=True)
class Found:
    """What the store holds at the agent's start."""

    tasks: list[Task]
    floor: int


def load(store: Store) -> Found:
    """The commands of the store. A row that cannot be read is left out: it can do nothing."""
    tasks: list[Task] = []
    for signed, answer, boot, body in store.db.execute("SELECT signed, answer, boot, body FROM commands"):
        try:
            tasks.append(
                Task(
                    remote.read_command(signed),
                    signed,
                    remote.parse_answer(answer),
                    boot,
                    None if body is None else cbor.loads(body),
                    durable=True,
                    again=True,
                )
            )
        except ProtocolError:
            continue
    return Found(tasks, store.meta(FLOOR) or 0)

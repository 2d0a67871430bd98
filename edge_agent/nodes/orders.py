"""Orders to nodes: sent to a live node again and again under one id until it answers, or until they expire.

Each order and each answer is a statement of the agent's in the chain, and an order leaves only once its
statement is durable: what was asked of a node can be proved afterwards, also when the answer never came.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

from edge_agent.nodes.ingest import Done
from edge_agent.ops.logs import about
from edge_agent.store import details
from edge_agent.store.items import Entry, Item
from edge_agent.store.schema import ENTRY_STATEMENT
from protocol import cbor, frames, remote
from protocol.checks import is_list, is_map
from protocol.errors import LocalError
from protocol.frame_names import OPERATION_NAMES, RESULT_NAMES
from protocol.operations import check_arguments
from protocol.orders import order_digest
from protocol.session_agent import MAX_DOWN_PLAINTEXT, check_order

log = logging.getLogger("vitalwire.orders")

REPEAT_MS = 3000
VALID_S = 30.0
# So long one order may be under way, whatever is asked for.
MAX_VALID_S = 3600.0
# What was sent may still be answered for so long after its time, or after nobody wants it any more: it may
# have been carried out in the last moment, and the answer is a frame that may have to be sent again.
GRACE_MS = 5000


class Order:
    """One order. `outcome`: None while it is under way; then "answered", "expired", "withdrawn" or "new_boot"
    (the node began another boot: whether it was carried out is not known). `result`, `detail`, `value` are
    the answer's. `stated`: its statement is durable; `sent`: how often it left; `quiet`: whoever gave it
    states what becomes of it; `by`, `reason`: who asked for it and why, for the audit.
    """

    def __init__(self, node: bytes, kind: int, name: str, deadline_ms: int, body: dict[int, Any]) -> None:
        self.id: bytes = body[frames.ORDER_ID]
        self.node = node
        self.kind = kind
        self.name = name
        self.deadline_ms = deadline_ms
        self.body = body
        self.boot: bytes | None = None
        self.outcome: str | None = None
        self.result: int | None = None
        self.detail: str | None = None
        self.value: int | None = None
        self.sent = 0
        self.stated = False
        self.quiet = False
        self.by = ""
        self.reason = ""
        self.digest: bytes | None = None
        self.withdrawn = False
        self.next_ms = 0

    @property
    def result_name(self) -> str:
        """The answer's result in words."""
        return RESULT_NAMES.get(self.result, f"result {self.result}") if self.result is not None else ""

    @property
    def stated_body(self) -> dict[int, Any]:
        """The body as the audit has it: of a password, whether there was one."""
        if self.kind != frames.KIND_COMMAND or self.body[frames.ORDER_WHAT] != frames.OP_JOIN:
            return self.body
        given = dict(self.body[frames.ORDER_ARGS])
        given[frames.JOIN_PASSWORD] = bool(given[frames.JOIN_PASSWORD])
        return {**self.body, frames.ORDER_ARGS: given}


class Orders:
    """Orders under way, by id. `add`: takes entries for the store; `now_ms`: monotonic; `unix_ms`: of now."""

    def __init__(
        self,
        add: Callable[[Item, Done | None], None],
        now_ms: Callable[[], int],
        unix_ms: Callable[[], int],
    ) -> None:
        self._add = add
        self._now_ms = now_ms
        self._unix_ms = unix_ms
        self._open: dict[bytes, Order] = {}
        self.on_measured: Callable[[bytes, bytes, int, dict[int, Any]], None] | None = None

    # What the owner asks for

    def command(
        self,
        node: bytes,
        operation: int,
        arguments: dict[int, Any] | None = None,
        reason: str = "",
        valid_s: float = VALID_S,
    ) -> Order:
        """Order an operation (protocol.frames OP_…); while the node is not live it waits until it expires.
        `valid_s`: MAX_VALID_S at most. LocalError for one that is malformed, or too long for a message.
        """
        body: dict[int, Any] = {frames.ORDER_ID: os.urandom(8), frames.ORDER_WHAT: operation}
        if arguments is not None:
            body[frames.ORDER_ARGS] = arguments
        if reason:
            body[frames.ORDER_REASON] = reason
        check_fits(frames.KIND_COMMAND, body)
        name = OPERATION_NAMES.get(operation, f"operation {operation}")
        return self._take(node, frames.KIND_COMMAND, name, valid_s, body)

    def config(self, node: bytes, settings: dict[int, Any], valid_s: float = VALID_S) -> Order:
        """Have the node change settings (protocol.frames SET_…); otherwise as command()."""
        body: dict[int, Any] = {frames.ORDER_ID: os.urandom(8), frames.ORDER_WHAT: settings}
        check_fits(frames.KIND_CONFIG, body)
        return self._take(node, frames.KIND_CONFIG, "config", valid_s, body)

    def local(self, node: bytes, wanted: bytes, valid_s: float) -> Order:
        """An order of somebody at this machine, CBOR [operation (protocol.remote), arguments, reason, who].
        ProtocolError: it is none, or one that the node takes from an authority only.
        """
        given = cbor.loads(wanted)
        if not is_list(given) or len(given) != 4 or given[0] not in remote.OPERATIONS or not is_map(given[1]):
            raise LocalError("not an operation, its arguments, why, and who asks")
        operation, arguments, reason, by = given
        if not isinstance(by, str) or not isinstance(reason, str) or len(reason.encode()) > remote.MAX_REASON:
            raise LocalError(f"a reason has {remote.MAX_REASON} bytes at most")
        check_arguments(operation, arguments or None)
        eight = bytes(8)
        command = remote.Command(eight, node, eight, operation, 0, 1, eight, arguments or None)
        if command.for_node:
            raise LocalError(f"{operation} needs an authority: --authority KEY")
        kind, body = remote.order_of(command)
        if kind == frames.KIND_CONFIG:
            order = self.config(node, body[frames.ORDER_WHAT], valid_s)
        else:
            order = self.command(node, body[frames.ORDER_WHAT], body.get(frames.ORDER_ARGS), "", valid_s)
        order.by, order.reason = by, reason
        return order

    def give(
        self, node: bytes, kind: int, name: str, body: dict[int, Any], boot: bytes, valid_s: float
    ) -> Order:
        """Send a whole order to one boot; whoever gives it has stated it, and states how it ends. Given again
        with the same id it is the same order, to the node too.
        """
        order = self._take(node, kind, name, valid_s, body)
        order.boot = boot
        order.stated = order.quiet = True
        order.digest = order_digest(node, boot, kind, body)
        return order

    def unpair(self, node: bytes, valid_s: float = VALID_S) -> Order:
        """Ask the node to forget this agent."""
        return self._take(node, frames.KIND_UNPAIR, "unpair", valid_s, {frames.UNPAIR_ID: os.urandom(8)})

    def withdraw(self, order: Order) -> None:
        """Nobody waits for the answer any more: it leaves no more. If it has left, an answer still counts
        for GRACE_MS.
        """
        if order.sent:
            order.withdrawn = True
            order.deadline_ms = min(order.deadline_ms, self._now_ms())
        else:
            self._close(order, "withdrawn")

    def state(self, code: str, detail: dict[str, Any], done: Done | None = None) -> None:
        """A statement of the agent's for the chain."""
        statement = cbor.dumps([ENTRY_STATEMENT, code, detail])
        self._add(Entry(ENTRY_STATEMENT, statement, self._unix_ms()), done)

    @property
    def open(self) -> int:
        """How many are under way."""
        return len(self._open)

    def _take(self, node: bytes, kind: int, name: str, valid_s: float, body: dict[int, Any]) -> Order:
        deadline_ms = self._now_ms() + int(min(valid_s, MAX_VALID_S) * 1000)
        order = Order(node, kind, name, deadline_ms, body)
        self._open[order.id] = order
        return order

    def leaves(self, order: Order) -> bool:
        """Whether it may still be sent: not in the time in which only an answer to it counts."""
        return order.outcome is None and self._now_ms() < order.deadline_ms

    # What a link asks and tells

    def due(self, node: bytes, boot: bytes, t_us: int | None) -> list[Order]:
        """What is to be sent to this node now. `boot`: the one that is live; `t_us`: its clock now, None when
        it is not known yet.
        """
        now_ms = self._now_ms()
        out: list[Order] = []
        for order in [order for order in self._open.values() if order.node == node]:
            if order.boot is None and t_us is not None:
                self._begin(order, boot, t_us, now_ms)
            elif order.boot is not None and order.boot != boot and order.kind != frames.KIND_UNPAIR:
                # A command is for one boot. A node whose new boot still greets us has not forgotten us.
                self._close(order, "new_boot")
            elif order.stated and order.next_ms <= now_ms < order.deadline_ms:
                order.next_ms = now_ms + REPEAT_MS
                order.sent += 1
                out.append(order)
        return out

    def tick(self) -> None:
        """Close what has expired."""
        now_ms = self._now_ms()
        for order in list(self._open.values()):
            if now_ms >= order.deadline_ms + (GRACE_MS if order.sent else 0):
                self._close(order, "withdrawn" if order.withdrawn else "expired")

    def answered(self, node: bytes, body: dict[int, Any]) -> None:
        """An answer frame has come from this node."""
        order = self._open.get(body[frames.ANSWER_ID])
        if order is None or order.node != node:
            return
        if order.digest is not None and body.get(frames.ANSWER_DIGEST) != order.digest:
            # To another order, under the same id: an id is the agent's to choose, a digest is not.
            return
        order.result = body[frames.ANSWER_RESULT]
        order.detail = body.get(frames.ANSWER_DETAIL)
        order.value = body.get(frames.ANSWER_VALUE)
        self._close(order, "answered")

    def measured(self, node: bytes, boot: bytes, seq: int, body: dict[int, Any]) -> None:
        """A blood-pressure frame has come from this node."""
        if self.on_measured is not None and frames.BP_COMMAND in body:
            self.on_measured(node, boot, seq, body)

    def _begin(self, order: Order, boot: bytes, t_us: int, now_ms: int) -> None:
        order.boot = boot
        if order.kind != frames.KIND_UNPAIR:
            left_ms = max(0, order.deadline_ms - now_ms)
            # A node may claim any time of its clock.
            order.body[frames.ORDER_EXPIRES_US] = min(t_us + left_ms * 1000, frames.T_END - 1)
            order.body[frames.ORDER_MS] = self._unix_ms()
        told = about(log, node=order.node.hex())
        told.info("node %s: %s (order %s)", order.node.hex(), order.name, order.id.hex())

        def stated(_: object) -> None:
            order.stated = True

        detail: dict[str, Any] = {"order": order.id, "node": order.node, "boot": boot, "kind": order.kind}
        detail["name"] = order.name
        if order.by:
            detail["by"] = order.by
        kept_back: dict[str, Any] = {"body": order.stated_body}
        if order.reason:
            kept_back["reason"] = order.reason
        self._state(order, "ordered", detail, kept_back, stated)

    def _close(self, order: Order, outcome: str) -> None:
        if self._open.pop(order.id, None) is None:
            return
        order.outcome = outcome
        if order.boot is None or order.quiet:
            return
        told = about(log, node=order.node.hex())
        told.info("order %s: %s %s", order.id.hex(), outcome, order.result_name)
        detail: dict[str, Any] = {"order": order.id, "node": order.node, "outcome": outcome}
        said = {"result": order.result, "detail": order.detail}
        kept_back = {name: value for name, value in said.items() if value is not None}
        self._state(order, "order_ended", detail, kept_back)

    def _state(
        self,
        order: Order,
        code: str,
        detail: dict[str, Any],
        kept_back: dict[str, Any],
        done: Done | None = None,
    ) -> None:
        """A statement of which what may be of a person stays here (store/details.py)."""
        if kept_back:
            detail[details.HASH], row = details.withhold(kept_back, self._unix_ms(), order.node)
            self._add(row, None)
        self.state(code, detail, done)


def check_fits(kind: int, body: dict[int, Any]) -> None:
    """LocalError for an order (without expiry and time) that is malformed, or too long for a message."""
    longest = {frames.ORDER_EXPIRES_US: frames.T_END - 1, frames.ORDER_MS: frames.T_END - 1, **body}
    check_order(kind, longest)
    size = len(frames.pack(kind, frames.T_END - 1, longest))
    if size > MAX_DOWN_PLAINTEXT:
        raise LocalError(f"an order of {size} bytes; {MAX_DOWN_PLAINTEXT} is the limit")

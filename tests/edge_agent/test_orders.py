"""Orders to nodes: stated before they leave, repeated under one id, and each with its end."""

from typing import Any

import pytest

from edge_agent.nodes.orders import GRACE_MS, REPEAT_MS, Orders
from edge_agent.store.details import SALT_BYTES
from edge_agent.store.items import Outcome, Sealed
from protocol import cbor, crypto, frames
from protocol.errors import LocalError

NODE, BOOT, OTHER = b"node-one", b"\0\0\0\1boot-one", b"\0\0\0\2boot-two"


class World(Orders):
    def __init__(self) -> None:
        self.now = 1_000_000
        self.statements: list[tuple[str, dict[str, Any]]] = []
        self.kept_back: list[Sealed] = []
        self.prompt = True
        self.waiting: list = []
        super().__init__(self._keep, lambda: self.now, lambda: 1_790_000_000_000)

    def _keep(self, entry, done) -> None:
        if isinstance(entry, Sealed):
            self.kept_back.append(entry)
            return
        _, code, detail = cbor.loads(entry.data)
        self.statements.append((code, detail))
        if done is not None:
            self.waiting.append(done)
        if self.prompt:
            self.commit()

    def commit(self) -> None:
        while self.waiting:
            self.waiting.pop(0)(Outcome.STORED)

    def sent(self, boot: bytes = BOOT, t_us: int | None = 5_000_000) -> int:
        """How many messages go to the node in the next ten seconds."""
        n = 0
        for _ in range(100):
            self.now += 100
            n += len(self.due(NODE, boot, t_us))
            self.tick()
        return n


@pytest.fixture
def world():
    return World()


def test_an_order_is_repeated_until_it_is_answered(world):
    order = world.command(NODE, frames.OP_MARK, {1: "tea"}, "asked for", 30)
    assert world.due(b"node-two", BOOT, 5_000_000) == []
    assert world.sent() == 10_000 // REPEAT_MS + 1
    assert order.body[frames.ORDER_EXPIRES_US] == 5_000_000 + 29_900_000
    world.answered(b"node-two", {1: order.id, 2: 0})
    assert order.outcome is None, "another node's answer is none"
    world.answered(NODE, {1: order.id, 2: 0, 3: "hot"})
    assert (order.outcome, order.result_name, order.detail) == ("answered", "done", "hot")
    assert not world.leaves(order)
    assert world.sent() == 0 and world.open == 0
    (ordered, told), (ended, how) = world.statements
    assert (ordered, ended) == ("ordered", "order_ended")
    assert told["order"] == how["order"] == order.id and how["outcome"] == "answered"
    asked, answered = (cbor.loads(row.secret[SALT_BYTES:]) for row in world.kept_back)
    assert (
        asked["body"][frames.ORDER_ARGS] == {1: "tea"} and asked["body"][frames.ORDER_REASON] == "asked for"
    )
    assert answered == {"result": 0, "detail": "hot"}
    for statement, row in zip((told, how), world.kept_back, strict=True):
        assert statement["details"] == crypto.sha256(row.secret) == row.bindings[0] and row.node == NODE
    assert not [word for word in ("tea", "asked for", "hot") if word in str(world.statements)]


def test_nothing_leaves_before_its_statement_is_durable(world):
    world.prompt = False
    world.command(NODE, frames.OP_IDENTIFY)
    assert world.sent() == 0 and len(world.statements) == 1
    world.commit()
    assert world.sent() > 0


def test_a_node_whose_clock_is_not_known_is_ordered_nothing(world):
    world.command(NODE, frames.OP_IDENTIFY)
    assert world.sent(t_us=None) == 0 and world.statements == []


def test_an_order_that_no_message_can_carry_is_refused_at_once(world):
    world.command(NODE, frames.OP_MARK, {1: "x" * 64}, "y" * 32)
    with pytest.raises(LocalError):
        world.command(NODE, frames.OP_MARK, {1: "x" * 120}, "y" * 32)
    assert world.open == 1


@pytest.mark.parametrize(
    "operation, arguments, reason",
    [(1 << 16, None, ""), (frames.OP_MARK, {"text": "tea"}, ""), (frames.OP_MARK, None, "y" * 33)],
)
def test_a_malformed_order_is_refused_at_once(world, operation, arguments, reason):
    with pytest.raises(LocalError, match="malformed"):
        world.command(NODE, operation, arguments, reason)
    assert world.open == 0


def test_without_an_answer_it_expires(world):
    order = world.command(NODE, frames.OP_IDENTIFY, valid_s=2)
    never = world.command(b"node-two", frames.OP_IDENTIFY, valid_s=2)
    assert world.sent() > 0
    world.now += GRACE_MS
    world.tick()
    assert order.outcome == never.outcome == "expired"
    # What was never sent has no statement.
    assert [detail["node"] for _, detail in world.statements] == [NODE, NODE]


def test_after_its_time_it_leaves_no_more_and_an_answer_counts(world):
    order = world.command(NODE, frames.OP_IDENTIFY, valid_s=REPEAT_MS / 1000 + 0.5)
    assert world.leaves(order) and world.due(NODE, BOOT, 5_000_000) == []
    world.now += REPEAT_MS
    assert world.due(NODE, BOOT, 5_000_000) == [order]
    world.now += REPEAT_MS
    world.tick()
    assert world.due(NODE, BOOT, 5_000_000) == [] and not world.leaves(order)
    world.answered(NODE, {1: order.id, 2: 0})
    assert order.outcome == "answered"


def test_a_command_is_for_one_boot_and_unpairing_for_the_node(world):
    restart, unpair = world.command(NODE, frames.OP_RESTART), world.unpair(NODE)
    assert world.sent() > 0
    assert world.sent(OTHER) > 0
    assert restart.outcome == "new_boot" and unpair.outcome is None
    assert unpair.body == {1: unpair.id}


def test_what_is_withdrawn_leaves_no_more_and_may_still_be_answered_for_a_while(world):
    never, silent, told = (world.command(NODE, frames.OP_IDENTIFY) for _ in range(3))
    world.withdraw(never)
    assert never.outcome == "withdrawn" and world.statements == []
    assert world.sent() > 0
    world.withdraw(silent)
    world.withdraw(told)
    assert world.due(NODE, BOOT, 5_000_000) == [] and silent.outcome is None
    world.answered(NODE, {1: told.id, 2: 0})
    world.now += GRACE_MS
    assert world.due(NODE, BOOT, 5_000_000) == []
    world.tick()
    assert (told.outcome, silent.outcome) == ("answered", "withdrawn") and world.open == 0


@pytest.mark.parametrize("valid_s", [3601.0, 1e300, float("inf")])
def test_no_order_is_valid_for_longer_than_an_hour(world, valid_s):
    order = world.command(NODE, frames.OP_IDENTIFY, valid_s=valid_s)
    assert world.due(NODE, BOOT, frames.T_END - 1) == []
    assert order.deadline_ms == world.now + 3_600_000
    assert order.body[frames.ORDER_EXPIRES_US] == frames.T_END - 1


def test_an_order_whose_statement_is_not_durable_in_its_time_never_leaves(world):
    world.prompt = False
    order = world.command(NODE, frames.OP_IDENTIFY, valid_s=2)
    assert world.sent() == 0
    assert (order.outcome, order.stated, order.sent) == ("expired", False, 0)
    world.commit()
    assert world.sent() == 0

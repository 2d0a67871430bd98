"""Commands from afar at the agent: checked, passed on, answered; each once, whatever is repeated."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.keys import PublicKeys
from edge_agent.remote.commands_ports import COMMANDS, MESSAGES
from protocol import frames, remote, remote_seal
from tests.edge_agent.command_world import AGENT, BOOT, CLINIC, NEXT, NODE, World, somebody

LIMITS = {frames.SET_LIMITS: [[frames.EVENT_SPO2_LOW, 880, 15]]}


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.stop()


def test_identify_is_passed_on_and_answered(world: World) -> None:
    command = world.command(remote.IDENTIFY, reason="which one is it")
    assert world.ask(command).outcome == remote.SENT
    world.step(2)
    answer = world.ask(command)
    assert (answer.outcome, answer.result, answer.digest) == (remote.DONE, 0, command.digest)
    assert world.node.moved == [frames.OP_IDENTIFY]
    assert world.codes() == ["command_received", "ordered", "order_ended"]
    received, ordered, _ = (detail for _, detail in world.statements())
    assert received["by"] == CLINIC.id and received["reason"] == "which one is it"
    assert ordered["body"][frames.ORDER_ID] == command.command_id and ordered["boot"] == BOOT


def test_a_measurement_is_signed_for_the_boot_begun_and_ends_with_its_frame(world: World) -> None:
    command = world.command(remote.BP)
    signed = world.signed(command)
    assert world.ask(signed).outcome == remote.SENT
    world.step(2)
    begun = world.ask(signed)
    assert (begun.outcome, begun.result) == (remote.BEGUN, frames.RESULT_BEGUN)
    assert begun.order_digest is not None and world.node.moved == [frames.OP_MEASURE_BP]
    world.step(100)
    assert world.ask(signed).outcome == remote.BEGUN
    world.measured(command)
    done = world.ask(signed)
    assert (done.outcome, done.evidence) == (remote.DONE, ((BOOT, 77, 1),))
    assert world.codes() == ["command_received", "ordered", "order_begun", "order_ended"]


@pytest.mark.parametrize(
    ("result", "peak", "outcome", "cause"),
    [
        (frames.BP_CANCELLED, 0, remote.REFUSED, "consent"),
        (frames.BP_CANCELLED, 900, remote.REFUSED, "consent"),
        (frames.BP_LEAK, 1200, remote.FAILED, "not_measured"),
        (99, 0, remote.FAILED, "not_measured"),
    ],
)
def test_what_was_not_measured_is_told_with_its_cause(
    world: World, result: int, peak: int, outcome: str, cause: str
) -> None:
    command = world.command(remote.BP)
    world.ask(world.signed(command))
    world.step(2)
    world.measured(command, result, peak)
    answer = world.ask(command)
    assert (answer.outcome, answer.cause) == (outcome, cause) and answer.detail


def test_a_frame_of_another_boot_or_node_ends_nothing(world: World) -> None:
    command = world.command(remote.BP)
    world.ask(world.signed(command))
    world.step(2)
    body = {frames.BP_RESULT: 0, frames.BP_PEAK: 1, frames.BP_COMMAND: command.command_id}
    world.orders.measured(NODE.id, NEXT, 1, body)
    world.orders.measured(bytes(8), BOOT, 1, body)
    world.orders.measured(NODE.id, BOOT, 1, {**body, frames.BP_COMMAND: bytes(8)})
    assert world.ask(command).outcome == remote.BEGUN
    world.node.boot = NEXT
    world.step(2)
    assert world.ask(command).cause == "new_boot"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"agent_id": bytes(8)}, "wrong_agent"),
        ({"node_id": bytes(8)}, "unknown_node"),
        ({"operation": "dance"}, "unknown_operation"),
        ({"operation": remote.CONFIG, "arguments": {4: [1] * 200}}, "malformed"),
        ({"operation": remote.LIMITS, "arguments": {3: [[33, 1, 1]] * 9}}, "malformed"),
    ],
)
def test_what_is_not_for_here_is_refused_by_name(world: World, change: dict[str, Any], cause: str) -> None:
    answer = world.ask(world.command(**{"operation": remote.IDENTIFY, **change}))
    assert (answer.outcome, answer.cause) == (remote.REFUSED, cause)
    world.step(2)
    assert world.node.moved == [] and "ordered" not in world.codes()


def test_clocks_that_are_wrong_are_named(world: World) -> None:
    late = world.command(remote.IDENTIFY, made_ms=world.unix_ms() - 90_000, expires_ms=world.unix_ms())
    assert world.ask(late).cause == "expired"
    early = world.command(
        remote.IDENTIFY, made_ms=world.unix_ms() + 130_000, expires_ms=world.unix_ms() + 190_000
    )
    assert world.ask(early).cause == "clock"
    world.step(2)
    assert world.node.moved == [] and world.rejected == ["command_expired", "command_clock"]


def test_who_may_order_what_of_whom(world: World) -> None:
    other, nurse = somebody(), somebody()
    person = os.urandom(16)
    world.authorities.add(PublicKeys(*nurse.public()), [remote.IDENTIFY], "nurse", [NODE.id], [person])
    world.authorities.add(PublicKeys(*other.public()), ["all"], nodes=[bytes(8)])

    def cause(operation: str, who: Any) -> str:
        return world.ask(world.command(operation, who), who).cause

    assert cause(remote.IDENTIFY, nurse) == "not_authorised", "nobody's node is not that person's"
    world.owner = person
    assert cause(remote.IDENTIFY, nurse) == ""
    assert cause(remote.RESTART, nurse) == "not_authorised"
    assert cause(remote.IDENTIFY, other) == "not_authorised"
    refused = [detail for code, detail in world.statements() if code == "command_refused"]
    assert [one["cause"] for one in refused] == ["not_authorised"] * 3


def test_what_nobody_signed_is_refused_and_changes_nothing(world: World) -> None:
    stranger = somebody()
    command = world.command(remote.IDENTIFY)
    signed = remote.make_command(stranger, command)
    forged = remote_seal.seal_command(signed, AGENT.id, AGENT.x_pub)
    assert world.hint(forged) == "bad_signature"
    assert world.hint(world.seal(world.command(remote.IDENTIFY, stranger), stranger)) == "unknown_authority"
    assert world.hint(remote_seal.seal_command(signed, NODE.id, NODE.x_pub)) == "wrong_agent"
    assert world.hint(remote_seal.seal_command(b"\x00", AGENT.id, AGENT.x_pub)) == "malformed_batch"
    assert world.hint(bytes(5000)) == "oversize" and world.hint(b"") == "malformed_batch"
    world.step(2)
    assert world.node.moved == [] and world.codes() == []


def test_an_authority_that_is_removed_orders_nothing_more(world: World) -> None:
    world.node.boot = None
    command = world.command(remote.IDENTIFY)
    assert world.ask(command).outcome == remote.RECEIVED
    world.authorities.remove(CLINIC.id)
    world.node.boot = BOOT
    world.step(4)
    assert world.node.moved == [] and world.hint(world.seal(command)) == "unknown_authority"
    assert world.statements()[-1][1]["cause"] == "not_authorised"


def test_a_command_that_is_repeated_is_carried_out_once(world: World) -> None:
    command = world.command(remote.MARK, arguments={1: "tea"})
    for _ in range(3):
        world.ask(command)
    world.step(4)
    answers = [world.ask(command) for _ in range(3)]
    assert {answer.outcome for answer in answers} == {remote.DONE} and world.node.moved == [frames.OP_MARK]
    assert world.codes() == ["command_received", "ordered", "order_ended"]
    assert world.statements()[1][1]["body"][frames.ORDER_ARGS] == {1: "tea"}


def test_an_id_that_was_another_commands_is_refused(world: World) -> None:
    command = world.command(remote.IDENTIFY)
    world.ask(command)
    world.step(2)
    for other in (replace(command, operation=remote.RESTART), replace(command, reason="once more")):
        assert world.ask(other).cause == "replayed"
    signed = world.signed(world.command(remote.BP))
    world.ask(signed)
    assert signed.order is not None
    # Another order of the same command: the first one counts, and its state is told.
    later = replace(signed, order=replace(signed.order, expires_us=signed.order.expires_us + 1))
    assert world.ask(later).outcome == remote.SENT
    world.step(2)
    assert world.ask(later).outcome == remote.BEGUN
    assert world.node.moved == [frames.OP_IDENTIFY, frames.OP_MEASURE_BP]
    assert world.rejected == ["command_replayed"] * 2


def test_an_order_for_another_boot_or_signed_by_somebody_else_is_refused(world: World) -> None:
    command = world.command(remote.BP)
    assert world.ask(world.signed(command, somebody())).cause == "bad_order_signature"
    again = world.command(remote.BP)
    signed = world.signed(again)
    world.node.boot = NEXT
    assert world.ask(signed).cause == "wrong_boot"
    world.step(2)
    assert world.node.moved == [] and "ordered" not in world.codes()


def test_the_node_has_the_last_word(tmp_path: Path) -> None:
    """An agent that believes an authority which the node was not given."""
    world = World(tmp_path, somebody())
    command = world.command(remote.LIMITS, arguments=LIMITS)
    world.ask(world.signed(command))
    world.step(2)
    answer = world.ask(command)
    assert (answer.outcome, answer.cause) == (remote.REFUSED, "node_not_authorised")
    assert world.node.moved == []
    world.stop()


def test_an_answer_to_another_order_of_that_id_counts_for_nothing(world: World) -> None:
    world.node.silent = True
    command = world.command(remote.BP)
    world.ask(world.signed(command))
    world.step(2)
    forged = {frames.ANSWER_ID: command.command_id, frames.ANSWER_RESULT: 0, frames.ANSWER_DIGEST: bytes(8)}
    world.orders.answered(NODE.id, forged)
    world.orders.answered(NODE.id, {key: forged[key] for key in (1, 2)})
    world.step(2)
    assert world.ask(command).outcome == remote.SENT


def test_a_node_that_comes_later_is_asked_then_and_one_that_does_not_is_told_of(world: World) -> None:
    world.node.boot = None
    first, second = world.command(remote.IDENTIFY), world.command(remote.BP)
    assert {world.ask(one).outcome for one in (first, second)} == {remote.RECEIVED}
    world.step(10)
    world.node.boot = BOOT
    world.step(3)
    assert world.ask(first).outcome == remote.DONE
    assert world.ask(second).outcome == remote.NEEDS_SIGNATURE
    world.step(140)
    answer = world.ask(replace(second, made_ms=second.made_ms))
    assert (answer.outcome, answer.cause) == (remote.EXPIRED, "expired"), "forgotten, and expired"
    assert [d["cause"] for c, d in world.statements() if c == "order_ended" and "cause" in d] == [
        "not_reached"
    ]


def test_a_silent_node_leaves_it_unknown(world: World) -> None:
    world.node.silent = True
    command = world.command(remote.RESTART, expires_ms=world.unix_ms() + 3_600_000)
    world.ask(command)
    world.step(4)
    world.node.boot = NEXT
    world.step(4)
    answer = world.ask(command)
    assert (answer.outcome, answer.cause) == (remote.UNKNOWN, "new_boot")


@pytest.mark.parametrize("after", range(5))
def test_an_agent_that_is_ended_anywhere_carries_it_out_once(tmp_path: Path, after: int) -> None:
    """At each commit, before and after: the command is said again to the next agent, as authorities do."""
    world = World(tmp_path)
    world.prompt = False
    command = world.command(remote.BP)
    said: list[Any] = [command]

    def say() -> None:
        reply = world.commander.ask(world.seal(said[-1]))
        if reply is not None and len(said) == 1:
            answer = world.opened(reply)
            if answer.offer is not None:
                said.append(remote.sign_order(CLINIC, command, answer.offer))

    commits = 0
    for turn in range(40):
        say()
        world.step()
        if world.pending and turn % 2:
            if commits == after:
                world.stop()
                world.start()
                commits += 1
                continue
            world.commit()
            commits += 1
    assert world.node.moved == [frames.OP_MEASURE_BP]
    world.measured(command)
    world.stop()
    world.start()
    assert world.ask(said[-1]).outcome == remote.DONE
    codes = world.codes()
    assert [codes.count(code) for code in ("command_received", "ordered", "order_ended")] == [1, 1, 1]
    world.stop()


def test_no_clock_brings_back_what_is_over(world: World) -> None:
    command = world.command(remote.IDENTIFY)
    message = world.seal(command)
    world.ask(command)
    world.step(2)
    world.skew_ms = 86_400_000
    world.step(2)
    world.skew_ms = 0
    for _ in range(2):
        reply = world.commander.ask(message)
        assert reply is not None and world.opened(reply).cause == "expired"
        world.step(2)
        world.stop()
        world.start()
    assert world.node.moved == [frames.OP_IDENTIFY]


def test_floods_are_refused_by_name_and_do_no_harm(world: World) -> None:
    nurse = somebody()
    world.authorities.add(PublicKeys(*nurse.public()), ["all"])
    causes: list[str] = []
    for _ in range(COMMANDS[0] + 5):
        world.now += 150
        causes.append(world.ask(world.command(remote.IDENTIFY)).cause)
    assert causes[: COMMANDS[0]] == [""] * COMMANDS[0] and causes.count("rate") >= 3
    assert world.ask(world.command(remote.IDENTIFY, nurse), nurse).cause == ""
    hints = {world.hint(b"noise") for _ in range(MESSAGES[0])}
    assert hints == {"malformed_batch", "rate"}


def test_answers_go_by_the_broker_to_whoever_asked_by_it(world: World) -> None:
    command = world.command(remote.IDENTIFY)
    world.commander.received(world.seal(command))
    assert world.published == [], "not before the disk has it"
    world.step(3)
    outcomes = [world.opened(one).outcome for one in world.published]
    assert outcomes[-1] == remote.DONE and remote.DONE not in outcomes[:-1]
    world.published.clear()
    world.ask(world.command(remote.IDENTIFY))
    world.step(3)
    assert world.published == []


def test_a_strip_is_served_by_the_agent(world: World) -> None:
    command = world.command(remote.STRIP, arguments={1: 0, 2: 2})
    world.ask(command)
    world.step(2)
    answer = world.ask(command)
    assert (answer.outcome, answer.evidence, answer.detail) == (remote.DONE, ((BOOT, 5, 2),), "2.0 of 2.0 s")
    assert world.node.moved == []

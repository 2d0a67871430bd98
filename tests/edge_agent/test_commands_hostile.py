"""Commands by an authority that means harm, or that was allowed and is not any more; clocks that jump."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.keys import PublicKeys
from edge_agent.remote import commands_kept
from edge_agent.remote.commands import STRIP_S
from edge_agent.remote.commands_ports import COMMANDS
from protocol import cose, frames, remote, remote_seal
from protocol.errors import LocalError
from tests.edge_agent.command_world import AGENT, BOOT, CLINIC, NEXT, World, somebody

DAY_MS = 86_400_000


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.stop()


def settle(world: World) -> None:
    while world.pending:
        world.commit()


def unreachable(world: World) -> Any:
    """The agent takes the node for live, and nothing gets to it; what makes it reachable again."""
    real = world.orders.due
    world.orders.due = lambda *args: []  # pyright: ignore
    return lambda: setattr(world.orders, "due", real)


@pytest.mark.parametrize("operation", [remote.IDENTIFY, remote.STRIP, remote.MARK])
def test_arguments_without_end_reach_neither_disk_nor_node(world: World, operation: str) -> None:
    payload = {1: 0, 2: 3, 9: [[[[[[1]]]]]]} if operation == remote.STRIP else {1: [[[[[1]]]]]}
    command = world.command(operation, arguments=payload)
    with pytest.raises(LocalError):
        world.seal(command)
    signed = cose.sign1(CLINIC, remote._encode(command))
    assert world.hint(remote_seal.seal_command(signed, AGENT.id, AGENT.x_pub)) == "malformed_batch"
    world.step(2)
    assert world.codes() == [] and world.node.moved == []


def test_what_cannot_be_written_down_is_written_in_no_part_and_ends_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = commands_kept.details.withhold

    def refusing(kept_back: dict[str, Any], *args: Any) -> Any:
        if "body" in kept_back:
            raise LocalError("too deep")
        return real(kept_back, *args)

    monkeypatch.setattr(commands_kept.details, "withhold", refusing)
    command = world.command(remote.IDENTIFY)
    reply = world.commander.ask(world.seal(command))
    assert reply is None
    settle(world)
    answer = world.ask(command)
    assert (answer.outcome, answer.detail) == (remote.FAILED, "too deep")
    world.stop()
    world.start()
    world.step(4)
    assert world.codes() == ["command_received", "order_ended"] and world.node.moved == []


def test_a_command_that_cannot_be_kept_is_refused_and_can_be_said_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*args: Any) -> Any:
        raise LocalError("too deep")

    command = world.command(remote.IDENTIFY)
    with monkeypatch.context() as patched:
        patched.setattr(commands_kept.details, "withhold", refusing)
        assert world.hint(world.seal(command))
    assert world.pending == [] and world.commander.open == 0
    assert world.ask(command).outcome == remote.SENT


def test_a_key_that_no_answer_can_be_sealed_to_ends_nothing(world: World) -> None:
    """Such a file is not read any more; an agent that had read it goes on all the same."""
    bad = PublicKeys(CLINIC.ed_pub, bytes(32))
    world.authorities.get(CLINIC.id)
    world.authorities._known[bad.id] = replace(world.authorities._known[CLINIC.id], keys=bad)
    world.authorities.refresh = lambda: None  # pyright: ignore

    command = world.command(remote.IDENTIFY)
    signed = remote.make_command(CLINIC, replace(command, authority=bad.id))
    message = remote_seal.seal_command(signed, AGENT.id, AGENT.x_pub)
    world.commander.received(message)
    settle(world)
    assert world.hint(message) == "bad_seal"
    world.step(3)
    assert world.codes() == ["command_received", "ordered", "order_ended"]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("how", ["removed", "another person"])
def test_what_is_ordered_and_has_not_left_is_stopped(world: World, how: str, restarted: bool) -> None:
    reachable = unreachable(world)
    command = world.command(remote.RESTART, expires_ms=world.unix_ms() + 3_600_000)
    world.ask(command)
    world.step(2)
    assert world.ask(command).outcome == remote.SENT
    if restarted:
        world.stop()
        world.start()
        reachable = unreachable(world)
        world.step()
    if how == "removed":
        world.authorities.remove(CLINIC.id)
    else:
        world.owner, world.owned_ms = os.urandom(16), world.unix_ms()
    world.step(2)
    reachable()
    world.step(12)
    assert world.node.moved == []
    _, ended = world.statements()[-1]
    # The agent before may have sent it.
    assert ended["outcome"] == (remote.UNKNOWN if restarted else remote.REFUSED)
    assert ended["cause"] == ("not_authorised" if how == "removed" else "changed_hands")


@pytest.mark.parametrize("answers", [False, True])
def test_what_had_left_when_it_was_stopped_is_told_as_it_was(world: World, answers: bool) -> None:
    world.node.silent = True
    command = world.command(remote.RESTART, expires_ms=world.unix_ms() + 3_600_000)
    world.ask(command)
    world.step(2)
    assert world.node.moved == [frames.OP_RESTART]
    world.authorities.add(PublicKeys(*CLINIC.public()), [remote.IDENTIFY])
    world.step()
    if answers:
        world.orders.answered(command.node_id, world.node.answers[command.command_id])
    world.step(12)
    answer = world.ask(command)
    told = (remote.DONE, "") if answers else (remote.UNKNOWN, "not_authorised")
    assert (answer.outcome, answer.cause) == told and len(world.node.moved) == 1


def test_a_clock_that_is_set_back_lengthens_no_command(world: World) -> None:
    world.node.boot = None
    command = world.command(remote.RESTART)
    world.ask(command)
    world.step(10)
    world.skew_ms = -DAY_MS
    world.step(130)
    world.node.boot = BOOT
    world.step(4)
    assert world.node.moved == []
    answer = world.ask(command)
    assert (answer.outcome, answer.cause) == (remote.EXPIRED, "not_reached")


def test_nor_does_one_that_was_set_back_before_the_agent_began_again(world: World) -> None:
    world.node.boot = None
    command = world.command(remote.RESTART)
    world.ask(command)
    world.step(10)
    world.stop()
    world.skew_ms = -DAY_MS
    world.start()
    world.step(130)
    world.node.boot = BOOT
    world.step(4)
    assert world.node.moved == []


def test_a_store_that_is_new_carries_nothing_out_that_was_ordered_before_it(world: World) -> None:
    command = world.command(remote.MARK, arguments={1: "tea"}, expires_ms=world.unix_ms() + 900_000)
    world.ask(command)
    world.step(3)
    assert world.node.moved == [frames.OP_MARK]
    world.stop()
    for path in world.folder.glob("agent.db*"):
        path.rename(path.with_name("gone-" + path.name))
    world.start()
    # As a node would that has begun anew, or has done much else since.
    world.node.answers.clear()
    answer = world.ask(command)
    assert (answer.outcome, answer.cause) == (remote.UNKNOWN, "new_store")
    world.step(3)
    assert world.node.moved == [frames.OP_MARK]
    world.now += 1000
    assert world.ask(world.command(remote.IDENTIFY)).cause == ""


def test_no_authority_takes_the_room_of_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_kept, "MAX_OF_ONE", 3)
    nurse = somebody()
    world.authorities.add(PublicKeys(*nurse.public()), ["all"])
    causes = [world.ask(world.command(remote.IDENTIFY)).cause for _ in range(5)]
    assert causes == ["", "", "", "rate", "rate"] and len(causes) < COMMANDS[0]
    assert world.ask(world.command(remote.IDENTIFY, nurse), nurse).cause == ""


def test_what_waits_for_a_signature_is_not_checked_anew_each_time(world: World) -> None:
    command = world.command(remote.BP)
    assert world.ask(command).outcome == remote.NEEDS_SIGNATURE
    checked: list[Any] = []
    world.commander._checks.still = lambda *args: checked.append(args) or ("", "")  # pyright: ignore
    world.step(20)
    assert checked == []
    world.node.boot = NEXT
    world.step()
    assert len(checked) == 1
    world.step(140)
    assert world.ask(command).outcome == remote.EXPIRED


def test_a_strip_that_the_store_does_not_give_ends(world: World) -> None:
    world.commander._strips.serve = lambda task, late: None  # pyright: ignore
    command = world.command(remote.STRIP, arguments={1: 0, 2: 2})
    world.ask(command)
    world.step(2 * 60)
    assert world.ask(command).outcome == remote.SENT
    world.step(2 * int(STRIP_S) + 4)
    assert world.statements()[-1][1]["outcome"] == remote.FAILED
    assert world.commander.open == 0

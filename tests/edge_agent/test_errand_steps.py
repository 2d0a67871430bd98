"""Errands against the clock, the disk and each other, a step at a time: what a command is told, what the
chain says and what is kept of a node never contradict each other.
"""

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from edge_agent.keys import PublicKeys
from edge_agent.lock import hold
from edge_agent.nodes.errand_runner import CLOCK_MS, Runner
from edge_agent.nodes.errands import IDENTIFY, UNPAIR, Errand, Errands
from edge_agent.nodes.orders import GRACE_MS, Orders
from edge_agent.nodes.peers import Peers
from edge_agent.store.details import SALT_BYTES
from edge_agent.store.items import Outcome, Sealed
from protocol import cbor, frames
from tests.edge_agent.fakes import identity

KEYS, OTHER = PublicKeys(*identity(1).public()), PublicKeys(*identity(2).public())
NODE, BOOT = KEYS.id, b"\0\0\0\1boot-one"
STEP_MS = 250


class World:
    """An agent's errands, orders and peers, with a clock and a disk that are a test's."""

    def __init__(self, folder: Path) -> None:
        self.now_ms = 1_790_000_000_000
        self.ahead_ms = 0
        self.refusing = False
        self.uncommitted: list[Any] = []
        self.kept_back: list[dict[str, Any]] = []
        self.statements: list[tuple[str, dict[str, Any]]] = []
        self.dropped: list[bytes] = []
        self.folder = folder
        self.errands = Errands(folder / "errands")
        self.peers = Peers(folder / "peers.json")
        self.peers.add(KEYS)
        self.begin()

    def begin(self) -> None:
        """An agent starts."""
        self.uncommitted.clear()
        self.orders = Orders(self._add, lambda: self.now_ms, lambda: self.now_ms)
        peers = Peers(self.folder / "peers.json")
        self.runner = Runner(
            self.errands, self.orders, peers, self.dropped.append, lambda: self.now_ms + self.ahead_ms
        )

    def _add(self, entry: Any, done: Any) -> None:
        self.uncommitted.append((entry, done))
        self.commit()

    def commit(self) -> None:
        while self.uncommitted and not self.refusing:
            entry, done = self.uncommitted.pop(0)
            if isinstance(entry, Sealed):
                self.kept_back.append(cbor.loads(entry.secret[SALT_BYTES:]))
            else:
                self.statements.append(cbor.loads(entry.data)[1:])
            if done is not None:
                done(Outcome.STORED)

    def ask(self, what: str = UNPAIR, wait_ms: int = 2000, force: bool = False) -> Errand:
        return self.errands.put(what, NODE, self.now_ms + wait_ms, force)

    def step(self, link: bool = True) -> list[bytes]:
        """A turn of the agent's; the ids of what leaves to the node."""
        self.now_ms += STEP_MS
        self.orders.tick()
        self.runner.step()
        return [order.id for order in self.orders.due(NODE, BOOT, 5_000_000)] if link else []

    def run(self, ms: int, link: bool = True) -> list[bytes]:
        return [one for _ in range(ms // STEP_MS) for one in self.step(link)]

    def answered(self, order: bytes, result: int = frames.RESULT_DONE) -> None:
        self.orders.answered(NODE, {frames.ANSWER_ID: order, frames.ANSWER_RESULT: result})

    @property
    def codes(self) -> list[str]:
        return [code for code, _ in self.statements]

    @property
    def paired(self) -> bool:
        return self.peers.lookup(NODE) is not None


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def refuse(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/disk")


@pytest.mark.parametrize("late_ms", [0, GRACE_MS - 2 * STEP_MS])
def test_an_answer_of_the_last_moment_counts(world, late_ms):
    errand = world.ask()
    order = world.run(2000 + late_ms)[0]
    assert world.errands.answer_to(errand) is None
    world.answered(order)
    world.run(3 * STEP_MS)
    assert world.errands.answer_to(errand)["good"] and not world.paired
    assert world.codes == ["ordered", "order_ended", "node_unpaired"]


def test_without_an_answer_the_order_expires_and_then_the_command_is_told(world):
    errand = world.ask()
    world.run(2000 + GRACE_MS - 2 * STEP_MS)
    assert world.errands.answer_to(errand) is None
    world.run(4 * STEP_MS)
    answer = world.errands.answer_to(errand)
    assert not answer["good"] and "did not answer in time; --force" in answer["text"]
    assert world.statements[-1][1]["outcome"] == "expired" and world.paired


def test_a_node_that_is_away_is_not_waited_for_beyond_the_time(world):
    errand = world.ask(IDENTIFY)
    world.run(2000 + 2 * STEP_MS, link=False)
    assert world.errands.answer_to(errand)["text"].endswith("did not answer in time: it was not reached")
    assert world.statements == []


@pytest.mark.parametrize("answers", [True, False])
def test_what_is_taken_back_leaves_no_more_and_an_answer_to_what_has_left_counts(world, answers):
    errand = world.ask(wait_ms=60_000)
    (order,) = world.run(2 * STEP_MS)
    world.errands.take_back(errand)
    assert world.run(GRACE_MS - 2 * STEP_MS) == []
    if answers:
        world.answered(order)
    world.run(4 * STEP_MS)
    assert world.paired is not answers
    assert world.statements[1][1]["outcome"] == ("answered" if answers else "withdrawn")
    assert ("node_unpaired" in world.codes) is answers
    assert list((world.folder / "errands").iterdir()) == []


@pytest.mark.parametrize("force", [True, False])
def test_what_is_to_be_stated_is_no_failure_and_is_done_when_the_disk_takes_it(world, force):
    errand, how = world.ask(force=force), "is paired as before" if force else "has forgotten this agent"
    orders = [] if force else world.run(2 * STEP_MS)
    world.refusing = True
    for order in orders:
        world.answered(order)
    world.run(2000 + CLOCK_MS - 2 * STEP_MS)
    assert world.errands.answer_to(errand) is None and world.paired
    world.run(4 * STEP_MS)
    text = world.errands.answer_to(errand)["text"]
    assert f"{how}; it is forgotten here once the agent's disk takes writes" in text
    world.refusing = False
    world.commit()
    world.run(2 * STEP_MS)
    assert not world.paired and world.codes.count("node_unpaired") == 1


@pytest.mark.parametrize("asked", [b"9" * 5000, b"\xff", "١".encode()])
def test_an_errand_of_nobody_s_ends_no_agent(world, asked):
    world.errands.put(UNPAIR, NODE, world.now_ms + 2000, True, asked)
    world.run(1000)
    assert [code for code, _ in world.statements] == ["node_unpaired"] and world.peers.ids() == []


def test_what_was_agreed_is_not_said_to_fail_just_because_the_disk_comes_late(world):
    errand = world.ask()
    (order,) = world.run(2 * STEP_MS)
    world.refusing = True
    world.answered(order)
    world.run(2000 + GRACE_MS)
    world.refusing = False
    world.commit()
    world.run(2 * STEP_MS)
    assert world.errands.answer_to(errand)["good"] and not world.paired


@pytest.mark.parametrize("force", [True, False])
def test_a_removal_that_the_disk_refuses_is_tried_again(world, force, monkeypatch, caplog):
    errand = world.ask(wait_ms=60_000, force=force)
    with monkeypatch.context() as broken:
        broken.setattr(Peers, "remove", refuse)
        for order in world.run(2 * STEP_MS):
            world.answered(order)
        world.run(10 * STEP_MS)
        assert world.codes[-1] == "node_unpaired" and world.paired
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
            "errands: /disk: No space left on device; trying again"
        ]
    world.run(2 * STEP_MS)
    assert not world.paired and world.errands.answer_to(errand)["good"]
    assert world.dropped == ([NODE] if force else [])


def test_an_agent_that_ends_between_statement_and_removal_leaves_it_to_the_next(world, monkeypatch):
    errand = world.ask()
    with monkeypatch.context() as broken:
        broken.setattr(Peers, "remove", refuse)
        for order in world.run(2 * STEP_MS):
            world.answered(order)
        world.run(2 * STEP_MS)
    world.errands.take_back(errand)
    assert world.codes[-1] == "node_unpaired" and world.paired
    world.begin()
    world.run(2 * STEP_MS)
    assert not world.paired and world.codes.count("node_unpaired") == 2
    assert world.statements[-1] == world.statements[-2]


def test_a_node_that_is_paired_again_before_it_was_removed_stays(world, monkeypatch):
    world.refusing = True
    world.ask(force=True, wait_ms=60_000)
    world.run(2 * STEP_MS)
    assert world.peers.parted() == {NODE: None}
    assert world.peers.add(KEYS) and world.peers.parted() == {}
    world.refusing = False
    world.errands.take_back(world.runner._waiting.popitem()[1])
    world.commit()
    world.run(4 * STEP_MS)
    assert world.paired


def test_what_was_stated_before_a_node_was_paired_again_does_not_count_later(world, monkeypatch, caplog):
    with monkeypatch.context() as broken:
        broken.setattr(Peers, "remove", refuse)
        errand = world.ask(force=True, wait_ms=60_000)
        world.run(4 * STEP_MS)
        world.errands.take_back(errand)
        assert world.peers.add(KEYS)
        world.run(2 * STEP_MS)
        errand = world.ask(force=True, wait_ms=60_000)
        world.run(4 * STEP_MS)
        assert world.codes == ["node_unpaired", "node_unpaired"] and world.paired
        assert len(caplog.records) == 2, "what was over is logged when it comes again"
    world.run(2 * STEP_MS)
    assert world.errands.answer_to(errand)["good"] and not world.paired


@pytest.mark.parametrize("force", [True, False])
def test_a_command_that_changes_the_file_of_nodes_does_not_hold_the_agent_up(world, force, monkeypatch):
    def sleep(_: float) -> None:
        raise AssertionError("the event loop stands still")

    monkeypatch.setattr("edge_agent.lock.time.sleep", sleep)
    errand = world.ask(force=force, wait_ms=60_000)
    orders = [] if force else world.run(2 * STEP_MS)
    with hold(world.folder / "peers.lock"):
        for order in orders:
            world.answered(order)
        world.run(4 * STEP_MS)
        assert world.peers.parted() == {}
    world.refusing = True
    world.run(4 * STEP_MS)
    assert world.peers.parted()
    world.refusing = False
    with hold(world.folder / "peers.lock"):
        world.commit()
        world.run(4 * STEP_MS)
        assert world.paired
    world.run(4 * STEP_MS)
    assert world.errands.answer_to(errand)["good"] and not world.paired


def test_an_agent_that_ends_before_it_says_that_a_node_is_forgotten_leaves_that_to_the_next(
    world, monkeypatch
):
    errand = world.ask(wait_ms=20_000)
    with monkeypatch.context() as broken:
        broken.setattr(Errands, "answer", refuse)
        for order in world.run(2 * STEP_MS):
            world.answered(order)
        world.run(4 * STEP_MS)
    assert not world.paired and world.errands.answer_to(errand) is None
    world.begin()
    shown = world.ask(IDENTIFY)
    world.run(2 * STEP_MS)
    told = f"node {NODE.hex()} is not paired with this agent"
    assert world.errands.answer_to(errand) == {"good": True, "text": told}
    assert world.errands.answer_to(shown) == {"good": False, "text": told}


def test_a_longer_errand_outlives_the_order_that_it_shared(world):
    short = world.ask()
    (first,) = world.run(2 * STEP_MS)
    long = world.ask(wait_ms=60_000)
    assert world.run(2000 + GRACE_MS - 4 * STEP_MS) == []
    (second,) = world.run(4 * STEP_MS)
    assert second != first
    assert not world.errands.answer_to(short)["good"] and world.errands.answer_to(long) is None
    world.answered(second)
    world.run(3 * STEP_MS)
    assert world.errands.answer_to(long)["good"] and not world.paired


@pytest.mark.parametrize("taken_back", [True, False])
def test_an_order_that_leaves_no_more_is_not_shared(world, taken_back):
    errand = world.ask(wait_ms=60_000 if taken_back else 2000)
    (first,) = world.run(2 * STEP_MS)
    if taken_back:
        world.errands.take_back(errand)
    world.run(2000)
    again = world.ask()
    (second,) = world.run(2 * STEP_MS)
    assert second != first
    world.answered(second)
    world.run(2 * STEP_MS)
    assert world.errands.answer_to(again)["good"] and not world.paired


@pytest.mark.parametrize("stuck", [True, False])
def test_an_answer_counts_also_when_the_clock_was_set_meanwhile(world, stuck, monkeypatch):
    errand = world.ask(wait_ms=60_000)
    (order,) = world.run(2 * STEP_MS)
    world.ahead_ms = 3_600_000
    if stuck:
        monkeypatch.setattr(Errands, "answer", refuse)
    assert world.run(GRACE_MS - 2 * STEP_MS) == [], "nobody waits for it"
    answer = world.errands.answer_to(errand)
    assert answer is None if stuck else not answer["good"]
    world.answered(order)
    world.run(2 * STEP_MS)
    assert not world.paired and world.codes[-1] == "node_unpaired"


def test_a_shorter_errand_is_told_in_its_time_and_leaves_the_order_to_the_longer(world):
    long = world.ask(wait_ms=60_000)
    (order,) = world.run(2 * STEP_MS)
    short = world.ask()
    assert set(world.run(2000 + CLOCK_MS + 2 * STEP_MS)) == {order}
    assert not world.errands.answer_to(short)["good"] and world.errands.answer_to(long) is None
    world.answered(order)
    world.run(3 * STEP_MS)
    assert world.errands.answer_to(long)["good"] and not world.paired


def test_a_disk_that_takes_no_statement_is_to_blame_and_not_the_node(world):
    errand = world.ask(IDENTIFY)
    world.refusing = True
    assert world.run(2000 + 2 * STEP_MS) == []
    assert "was asked nothing: the agent's disk took no writes" in world.errands.answer_to(errand)["text"]


def test_a_disk_that_takes_no_note_is_to_blame_where_no_node_is_asked(world, monkeypatch):
    monkeypatch.setattr(Peers, "part", refuse)
    errand = world.ask(force=True)
    world.run(2000 + 2 * STEP_MS)
    answer = world.errands.answer_to(errand)
    assert not answer["good"] and "was asked nothing: /disk: No space left on device" in answer["text"]
    assert world.paired and world.statements == []


def test_an_answer_that_cannot_be_written_holds_nobody_up_and_is_logged_once(world, monkeypatch, caplog):
    stuck, fine = sorted([world.ask(wait_ms=0), world.ask(wait_ms=0)], key=lambda errand: errand.id)
    whole = Errands.answer

    def answer(self: Errands, errand: Errand, good: bool, text: str) -> None:
        return refuse() if errand == stuck else whole(self, errand, good, text)

    with monkeypatch.context() as broken:
        broken.setattr(Errands, "answer", answer)
        world.run(10 * STEP_MS)
    assert world.errands.answer_to(fine) is not None and world.errands.answer_to(stuck) is None
    assert len(caplog.records) == 1
    world.step()
    assert world.errands.answer_to(stuck) is not None

"""Errands against the clock, the disk and each other, a step at a time: what a command is told, what the
chain says and what is kept of a node never contradict each other.
"""

import errno
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errand_runner import CLOCK_MS, Runner
from edge_agent.errands import IDENTIFY, UNPAIR, Errand, Errands
from edge_agent.keys import PublicKeys
from edge_agent.orders import GRACE_MS, MAX_VALID_S, Orders
from edge_agent.peers import Peers
from edge_agent.store.items import Outcome
from protocol import cbor, frames
from tests.edge_agent.fakes import identity

KEYS, OTHER = PublicKeys(*identity(1).public()), PublicKeys(*identity(2).public())
NODE, BOOT = KEYS.id, b"\0\0\0\1boot-one"
STEP_MS = 250


class World:
    """An agent's errands, orders and peers, with a clock and a disk that are a test's."""

    def __init__(self, folder: Path) -> None:
        self.now_ms = 1_790_000_000_000
        self.refusing = False
        self.uncommitted: list[Any] = []
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
        self.runner = Runner(self.errands, self.orders, peers, self.dropped.append, lambda: self.now_ms)

    def _add(self, entry: Any, done: Any) -> None:
        self.uncommitted.append((entry, done))
        self.commit()

    def commit(self) -> None:
        while self.uncommitted and not self.refusing:
            entry, done = self.uncommitted.pop(0)
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


def test_a_longer_errand_outlives_the_order_that_it_shared(world):
    short = world.ask()
    (first,) = world.run(2 * STEP_MS)
    long = world.ask(wait_ms=60_000)
    assert set(world.run(2000 + GRACE_MS - 4 * STEP_MS)) == {first}
    world.run(2 * STEP_MS)
    assert not world.errands.answer_to(short)["good"] and world.errands.answer_to(long) is None
    (second,) = set(world.run(4 * STEP_MS)) - {first}
    world.answered(second)
    world.run(3 * STEP_MS)
    assert world.errands.answer_to(long)["good"] and not world.paired


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


def test_what_cannot_be_read_stays_and_is_logged_once(world, monkeypatch, caplog):
    unread, read = sorted([world.ask(IDENTIFY), world.ask(IDENTIFY)], key=lambda errand: errand.id)
    path = world.folder / "errands" / f"{unread.id}.json"
    (world.folder / "errands" / "folder.json").mkdir()
    whole = Path.read_bytes

    def read_bytes(self: Path) -> bytes:
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return whole(self)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_bytes", read_bytes)
        (order,) = world.run(4 * STEP_MS)
        world.answered(order)
        world.run(2 * STEP_MS)
    assert world.errands.answer_to(read)["good"] and path.exists()
    assert [str(path) in record.getMessage() for record in caplog.records if record.levelno > 20] == [
        True,
        False,
    ]


SOUND = {"id": "00", "what": IDENTIFY, "node": NODE.hex(), "until_ms": 1 << 52, "force": False}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(SOUND | {"until_ms": float("inf")}),
        json.dumps(SOUND | {"until_ms": float("nan")}),
        json.dumps(SOUND | {"until_ms": 2e19}),
        json.dumps(SOUND | {"until_ms": 1 << 53}),
        json.dumps(SOUND | {"until_ms": -1}),
        json.dumps(SOUND | {"until_ms": True}),
        json.dumps(SOUND | {"until_ms": "9"}),
        json.dumps(SOUND | {"force": 1}),
        json.dumps(SOUND | {"node": NODE.hex()[2:]}),
        json.dumps(SOUND | {"node": NODE.hex() + " "}),
        json.dumps(SOUND | {"node": 7}),
        json.dumps(SOUND | {"what": ["identify"]}),
        json.dumps(SOUND | {"id": "01"}),
        json.dumps(SOUND | {"more": 1}),
        json.dumps([SOUND]),
        "[" * 100_000,
        "{",
    ],
)
def test_what_is_no_errand_is_removed_and_does_nothing(world, text):
    folder = world.folder / "errands"
    folder.mkdir()
    (folder / "00.json").write_text(text)
    assert world.run(4 * STEP_MS) == [] and list(folder.iterdir()) == []


def test_the_longest_time_is_cut_into_orders_that_a_node_can_take(world):
    folder = world.folder / "errands"
    folder.mkdir()
    (folder / "00.json").write_text(json.dumps(SOUND | {"until_ms": (1 << 53) - 1}))
    assert len(world.run(2 * STEP_MS)) == 1
    body = world.statements[0][1]["body"]
    assert body[frames.ORDER_EXPIRES_US] <= 5_000_000 + MAX_VALID_S * 1_000_000
    world.now_ms += int(MAX_VALID_S * 1000) + GRACE_MS
    assert len(world.run(4 * STEP_MS)) == 1
    assert world.codes == ["ordered", "order_ended", "ordered"]

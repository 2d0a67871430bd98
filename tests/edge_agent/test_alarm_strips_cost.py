"""A node that numbers frames as it likes takes little of the store's thread, and no other node's turn."""

from pathlib import Path

import pytest

from edge_agent.remote import alarm_walk
from edge_agent.remote.alarm_strips import OTHERS
from edge_agent.remote.alarm_walk import Near
from edge_agent.store.items import Held
from protocol import frames
from tests.edge_agent.alarm_world import SECOND, World, alarm, day, within
from tests.edge_agent.store_kit import BOOT, NODE

OTHER = bytes(7) + b"o"
ALARMS = 12


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames each reading took."""
    counts: list[int] = []
    real = alarm_walk.openable

    def counting(*asked):
        found = real(*asked)
        counts.append(len(found))
        return found

    monkeypatch.setattr(alarm_walk, "openable", counting)
    return counts


def harm(world: World) -> int:
    """Alarms and frames of one moment, with one number that never comes; the next number."""
    made: list[tuple[int, bytes]] = []
    for seq in range(1, 2500):
        body = alarm(seq) if 1200 <= seq < 1200 + ALARMS else None
        kind = frames.KIND_VITALS if body is None else frames.KIND_EVENT
        made.append((seq, frames.pack(kind, 100 * SECOND, body or {1: 720})))
    world.comes(made)
    world.store.commit([Held(NODE, ((BOOT, 3000, ((0, 1), (2500, 500))),), world.now_ms)])
    return 2500


def test_a_turn_reads_so_much_and_nothing_twice_where_nothing_comes(world: World, read: list[int]) -> None:
    harm(world)
    most, total = 0, 0
    for _ in range(800):
        world.now_s += 1
        world.now_ms += 1000
        world.strips.turn()
        most = max(most, sum(read))
        total += sum(read)
        read.clear()
    assert 0 < most <= 640
    # Once to see what is there, and once to keep it.
    assert 2000 * ALARMS < total <= 2 * 2500 * ALARMS
    assert world.waiting == ALARMS
    world.passes(80_000, steps=500)
    assert not read
    world.passes(8000, steps=50)
    assert world.waiting == 0 and not read


def test_what_comes_far_from_an_alarm_is_no_reason_to_read_again(world: World, read: list[int]) -> None:
    made = day(200, {50: [alarm(1)]})
    hole = within(made, 40, 41)
    world.comes(one for one in made[: 3 * 150] if one[0] not in hole)
    world.store.commit([Held(NODE, ((BOOT, len(made), ((hole[0], 1), (450, 200))),), world.now_ms)])
    world.passes(30, steps=10)
    assert read
    read.clear()
    world.comes(made[3 * 150 :])
    world.passes(100, steps=100)
    assert not read and world.rows == []
    world.comes(one for one in made if one[0] in hole)
    world.passes(100)
    assert read and world.kept() == within(made, 30, 70)


def test_other_nodes_have_their_turn(world: World) -> None:
    harm(world)
    made = day(80, {50: [alarm(1)]})
    world.comes(made, node=OTHER)
    world.now_s += 30
    world.now_ms += 30_000
    turns = 0
    while not world.rows:
        turns += 1
        assert turns < 8
        pause_s = world.strips.turn()
        assert pause_s is not None
    assert world.kept() == within(made, 30, 70) and world.waiting == ALARMS


def test_the_thread_is_others_for_most_of_the_time(world: World) -> None:
    harm(world)
    world.now_s += 30
    world.now_ms += 30_000
    ticks = iter((5.0, 5.2))
    # Not the fixture: the store, which is closed before that ends, reads the same clock.
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr("edge_agent.remote.alarm_strips.time.perf_counter", lambda: next(ticks))
        assert world.strips.turn() == pytest.approx(30 + OTHERS * 0.2)


def test_what_is_around_an_event_costs_what_it_has_of_holes(world: World) -> None:
    world.comes((seq, frames.pack(frames.KIND_VITALS, SECOND, {1: 720})) for seq in range(0, 2000, 2))
    facts = world.store.boots[NODE, BOOT]
    assert Near.of(facts, 1000).cost > 1000

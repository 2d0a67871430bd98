"""Waves around an alarm are strips, whatever comes when; and an alarm storm keeps no more than its share."""

import asyncio
import random
from pathlib import Path

import pytest

from edge_agent.custody.custody import Custody
from edge_agent.nodes.ingest import Ingest
from edge_agent.remote import alarm_strips
from edge_agent.remote.alarm_strips import QUIET_MS
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.items import Frame, Held, Hello, Outcome
from edge_agent.store.retention import Keeper, Limits
from protocol import frames
from tests.edge_agent.alarm_world import ECG, RED, World, alarm, day, within
from tests.edge_agent.custody_kit import AGENT
from tests.edge_agent.store_kit import BOOT, NEXT, NODE

LOW, MEDIUM, HIGH = frames.PRIORITY_LOW, frames.PRIORITY_MEDIUM, frames.PRIORITY_HIGH
ENDED = frames.STATE_ENDED


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("priority", [LOW, MEDIUM, HIGH])
def test_the_waves_around_an_alarm_that_begins_become_strips(world: World, priority: int) -> None:
    made = day(100, {50: [alarm(1, priority)], 60: [alarm(1, priority, ENDED)]})
    world.comes(made)
    world.passes(23)
    assert world.rows == []
    world.passes(3)
    wanted = within(made, 30, 70) if priority > LOW else []
    assert world.kept() == wanted and len(wanted) in (0, 80)
    assert [channel for channel, _ in world.rows] == ([ECG, RED] if wanted else [])
    assert world.waiting == 0
    # Told again, by a node that connects again or an acknowledgement that was lost.
    again = max(seq for seq, _ in made) + 1
    told = [(again, frames.pack(frames.KIND_EVENT, 90_000_000, alarm(1, priority)))]
    world.comes([*made, *told])
    world.passes(200)
    assert world.kept() == wanted and world.waiting == 0


@pytest.mark.parametrize("order", ["events first", "events last", *range(4)])
def test_what_is_kept_does_not_depend_on_what_comes_when(world: World, order: str | int) -> None:
    made = day(130, {50: [alarm(1), alarm(2)], 57: [alarm(1, HIGH)], 95: [alarm(3)]})
    mixed = list(made)
    if isinstance(order, int):
        random.Random(order).shuffle(mixed)
    else:
        last = order == "events last"
        mixed.sort(key=lambda one: (frames.unpack(one[1])[0] == frames.KIND_EVENT) == last)
    for at in range(0, len(mixed), 100):
        world.comes([*mixed[max(0, at - 20) : at], *mixed[at : at + 100]])
        world.passes(5, steps=3)
        if at == 200:
            world.restart()
    world.passes(200)
    assert world.kept() == within(made, 30, 115) and world.waiting == 0


def test_nothing_is_kept_before_all_that_can_come_has_come(world: World) -> None:
    made = day(80, {50: [alarm(1)]})
    hole = within(made, 40, 42)
    world.comes(one for one in made[: 3 * 73] if one[0] not in hole)
    world.passes(100)
    assert world.rows == [] and world.waiting == 1
    world.comes(made[3 * 73 :])
    world.passes(70)
    assert world.rows == []
    world.comes(one for one in made if one[0] in hole)
    world.passes(70)
    assert world.kept() == within(made, 30, 70) and len(world.rows) == 2


def test_numbers_that_the_node_does_not_hold_are_not_waited_for(world: World) -> None:
    made = day(80, {50: [alarm(1)]})
    hole = within(made, 40, 42)
    world.store.commit([Hello(NODE, bytes(32), bytes(32), 1, 1)])
    world.comes(one for one in made if one[0] not in hole)
    world.store.commit([Held(NODE, ((BOOT, len(made), ((len(made) - 1, 1),)),), world.now_ms)])
    world.passes(30)
    assert world.kept() == [seq for seq in within(made, 30, 70) if seq not in hole]
    # The number that the node says it holds is after the window: nothing of it is open.
    assert world.waiting == 0


def test_a_node_that_falls_silent_has_what_is_there_kept_and_the_rest_when_it_comes(world: World) -> None:
    made = day(80, {50: [alarm(1)]})
    cut = 3 * 55
    world.comes(made[:cut])
    world.passes(60)
    assert world.rows == []
    world.passes(150)
    assert world.kept() == within(made[:cut], 30, 70) and world.waiting == 1
    world.restart()
    world.comes(made[cut:])
    world.passes(100)
    assert world.kept() == within(made, 30, 70) and world.waiting == 0 and len(world.rows) == 4


def test_a_damaged_frame_costs_itself_only(world: World) -> None:
    made = day(80, {50: [alarm(1)]})
    world.comes(made)
    bad = within(made, 40, 41)[0]
    with world.store.transaction() as db:
        db.execute("UPDATE journal SET data = zeroblob(40) WHERE seq = ?", (bad,))
    world.passes(30)
    assert world.kept() == [seq for seq in within(made, 30, 70) if seq != bad] and world.waiting == 0


def test_a_boot_that_is_over_is_not_waited_for(world: World) -> None:
    made = day(55, {50: [alarm(1)]})
    world.store.commit([Hello(NODE, bytes(32), bytes(32), 1, 1)])
    world.comes(made)
    world.store.commit([Held(NODE, ((NEXT, 1, ((0, 1),)),), world.now_ms)])
    world.passes(30)
    assert world.kept() == within(made, 30, 70) and world.waiting == 0


@pytest.mark.parametrize(("before_s", "after_s", "span"), [(0, 0, None), (5, 0, (45, 50)), (0, 7, (50, 57))])
def test_how_much_is_kept_is_configured(tmp_path: Path, before_s: int, after_s: int, span: object) -> None:
    world = World(tmp_path, before_s, after_s)
    made = day(80, {50: [alarm(1)]})
    world.comes(made)
    world.passes(60)
    assert world.kept() == (within(made, *span) if isinstance(span, tuple) else [])
    world.close()


def test_a_storm_keeps_its_share_of_each_hour_and_a_high_alarm_finds_room(world: World) -> None:
    alarms = {at_s: [alarm(at_s)] for at_s in range(100, 4000, 45)}
    alarms[2000] = [alarm(9001, HIGH)]
    made = day(4200, alarms)
    world.comes(made)
    world.passes(4200, steps=200)
    kept = set(world.kept())
    times = [frames.unpack(plain)[1] // 1_000_000 for seq, plain in made if seq in kept]
    seconds = sorted(set(times))
    assert set(range(1980, 2020)) <= set(seconds), "of the high alarm"
    for begin in range(0, 4200, 60):
        assert len([at_s for at_s in seconds if begin <= at_s < begin + 3600]) <= 300 + 40
    assert world.strips.over > 50 and world.waiting == 0
    # The hour after has its own share.
    assert max(seconds) > 3700


def test_reboots_bring_no_new_share(world: World) -> None:
    made = day(60, {30: [alarm(1)]})
    for counter in range(1, 20):
        world.comes(made, counter.to_bytes(4, "big") + bytes(8))
        world.passes(60, steps=4)
    world.passes(100)
    (kept_us,) = world.store.db.execute("SELECT sum(kept_us) FROM alarm_windows").fetchone()
    assert 260_000_000 <= kept_us <= 300_000_000


def test_no_node_fills_the_table_and_a_high_alarm_finds_a_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (alarm_strips.MOST_ROWS, alarm_strips.FOR_HIGH) == (500, 100)
    most_rows, for_high = 50, 10
    monkeypatch.setattr(alarm_strips, "MOST_ROWS", most_rows)
    monkeypatch.setattr(alarm_strips, "FOR_HIGH", for_high)

    def told(first: int, count: int, priority: int) -> list[tuple[int, bytes]]:
        return [
            (at, frames.pack(frames.KIND_EVENT, at * 1000, alarm(at, priority)))
            for at in range(first, first + count)
        ]

    def rows(priority: int) -> int:
        return world.store.db.value("SELECT count(*) FROM alarm_windows WHERE priority = ?", (priority,))

    world.comes(told(0, most_rows, MEDIUM))
    assert rows(MEDIUM) == most_rows - for_high
    world.passes(30, steps=2)
    assert world.strips.status()["refused"] == for_high
    world.comes(told(1000, for_high + 7, HIGH))
    assert (rows(MEDIUM), rows(HIGH)) == (most_rows - for_high, for_high)
    world.restart()
    world.passes(1, steps=1)
    assert world.strips.refused == for_high + 7
    # What has a row is not refused, however often it is told.
    world.comes([(at + 5000, plaintext) for at, plaintext in told(0, 20, MEDIUM)])
    world.passes(30, steps=2)
    assert world.strips.refused == for_high + 7
    world.passes(86_400, steps=2)
    world.passes(7200, steps=200)
    assert rows(MEDIUM) == rows(HIGH) == 0


@pytest.mark.parametrize("kept_before", [False, True])
def test_a_strip_is_around_the_first_telling_though_it_comes_last(world: World, kept_before: bool) -> None:
    made = day(240, {60: [alarm(1)], 150: [alarm(1)]})
    (first, again) = [one for one in made if frames.unpack(one[1])[0] == frames.KIND_EVENT]
    world.comes(one for one in made if one is not first)
    if kept_before:
        # The node holds that number: the window waits for it, until the node has been silent.
        world.passes(QUIET_MS / 1000 + 100)
        world.comes([first])
        world.passes(60)
        assert world.kept() == sorted(within(made, 40, 80) + within(made, 130, 170))
        # One more of an alarm that is known to have begun before is none.
        world.comes([(len(made), again[1])])
        assert world.store.db.value("SELECT count(*) FROM alarm_windows") == 2
    else:
        world.comes([first])
        world.passes(60)
        assert world.kept() == within(made, 40, 80)
    assert world.waiting == 0


def test_a_note_comes_and_goes_with_its_frame(world: World) -> None:
    plaintext = frames.pack(frames.KIND_EVENT, 1000, alarm(1))
    told = Frame(NODE, BOOT, 5, plaintext, 1, along=world.strips.heard(NODE, BOOT, 5, 1000, alarm(1)))
    assert told.along

    class Full:
        path = "agent.db"

        def commit(self, items: object) -> None:
            raise StoreUnwritable(Path("agent.db"), "full")

    async def refused() -> int:
        ingest = Ingest(Full(), world.worker, 1)  # type: ignore[arg-type]
        committing = asyncio.create_task(ingest.run())
        for _ in range(1000):
            ingest.add(told)
        await ingest.flush()
        committing.cancel()
        return ingest.backlog

    assert asyncio.run(refused()) == 0
    # Another frame has its number: what this one would have noted is not.
    world.store.commit([Frame(NODE, BOOT, 5, b"other", 1)])
    assert world.store.commit([told]) == [Outcome.CONFLICT] and world.waiting == 0
    assert world.store.commit([told._replace(seq=6), told._replace(seq=6)]) == [
        Outcome.STORED,
        Outcome.RESENT,
    ]
    assert world.waiting == 1


def test_they_outlive_other_waves(tmp_path: Path) -> None:
    world = World(tmp_path, agent=AGENT.id)
    world.store.commit([Hello(NODE, AGENT.ed_pub, AGENT.x_pub, 1, 1)])
    made = day(200, {100: [alarm(1)]})
    world.comes(made)
    world.passes(100)
    custody = Custody(world.store, AGENT, None, 20_000, lambda: world.now_ms)
    while custody.make():
        pass

    def waves() -> list[int]:
        sql = "SELECT seq FROM journal WHERE class < 2 AND data NOTNULL ORDER BY seq"
        return [seq for (seq,) in world.store.db.execute(sql).fetchall()]

    assert waves() == within(made, 0, 200)
    keeper = Keeper(world.store, Limits(wave_days=1), alone=True)
    while keeper.step(world.now_ms + 3 * 86_400_000):
        pass
    assert waves() == world.kept() == within(made, 80, 120)
    world.close()


def test_a_disk_that_is_full_for_hours_is_a_line_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    refused = [StoreUnwritable(Path("agent.db"), "full")] * 5
    turn = world.strips.turn

    def full() -> float | None:
        if refused:
            raise refused.pop()
        return turn()

    world.strips.turn = full  # type: ignore[method-assign]

    async def hours() -> None:
        while refused:
            world.now_s += 3600
            world.strips.step()
            await asyncio.sleep(0.01)

    asyncio.run(hours())
    assert [one.getMessage() for one in caplog.records] == [
        "strips around alarms: agent.db: full; trying again"
    ]

"""When a frame was measured, whose it is, and which forwarder may not have it."""

import pytest

from edge_agent.people.clocks import Fit
from edge_agent.people.dates import Clocks, Dates, node_time
from edge_agent.people.dates import withheld as withheld_by
from edge_agent.people.state import PeopleState
from edge_agent.store.items import Entry, Frame
from edge_agent.store.opening import open_store
from edge_agent.store.rows import journal_rows
from protocol import batch, cbor, frames
from tests.edge_agent.people_kit import (
    ADA,
    BOB,
    HOUR,
    NODE,
    NOW,
    OTHER_NODE,
    assigned,
    consented,
    fields,
)
from tools.vectors.frames import BOOT_BODY

AGENT = b"agent-01"
SECOND_US = 1_000_000


def boot(counter: int) -> bytes:
    return counter.to_bytes(4, "big") + bytes(8)


def state_of(*records: bytes) -> PeopleState:
    return PeopleState("required", [fields(record) for record in records])


def boot_frame(label: str | None = None) -> bytes:
    body = {key: value for key, value in BOOT_BODY.items() if key != frames.BOOT_INPUT}
    if label is not None:
        body[frames.BOOT_INPUT] = label
    return frames.pack(frames.KIND_BOOT, 5, body)


def withheld(state, db, *rest):
    return withheld_by(state, Clocks(db), *rest)


class World:
    """A store with what one or two nodes said."""

    def __init__(self, path) -> None:
        self.store, _ = open_store(path / "agent.db", AGENT, NOW)

    def put(self, seq, t_us, received_ms, plain=None, of=1, node=NODE) -> int:
        plain = plain or frames.pack(frames.KIND_VITALS, t_us, {frames.VITALS_HR: 600})
        self.store.commit([Frame(node, boot(of), seq, plain, received_ms)])
        return self.store.last_journal

    def fit(self, t_us, unix_ms, bound_us=5000, of=1, node=NODE, rate=0) -> None:
        entry = batch.clock_entry(node, boot(of), t_us, unix_ms * 1000, rate, bound_us)
        self.store.commit([Entry(2, entry, unix_ms)])

    def row(self, at):
        return next(iter(journal_rows(self.store.db, at, at)))

    def rows(self):
        return list(journal_rows(self.store.db, 1, self.store.last_journal))

    def date(self, at):
        return Dates(self.store.db).of(self.row(at))


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.store.close()


def test_node_time_is_read_without_the_rest() -> None:
    for t_us in (0, 23, 24, 255, 256, 65_536, 1 << 32, (1 << 53) - 1):
        for kind in (frames.KIND_VITALS, 200, 70_000):
            plain = cbor.dumps([kind, t_us, {}])
            assert node_time(plain) == t_us
            assert node_time(plain + b"\xff") == t_us
    for bad in ("", "83", "8301", "83011b0000", "8318", "820102", "830160"):
        bad = bytes.fromhex(bad)
        assert node_time(bad) is None


def test_a_fit_widens_with_what_a_crystal_may_drift() -> None:
    fit = Fit(0, 1000 * SECOND_US, 0, 10)
    assert fit.at(0) == (1000 * SECOND_US - 10, 1000 * SECOND_US + 10)
    low, high = fit.at(100 * SECOND_US)
    assert (low + high) // 2 == 1100 * SECOND_US and (high - low) // 2 == 10 + 20_000
    slow = Fit(0, 0, -500_000_000, 0)
    low, high = slow.at(10 * SECOND_US)
    assert low <= 20 * SECOND_US <= high


def test_a_backlog_is_dated_by_its_boots_clock_and_not_by_its_arrival(world) -> None:
    old = world.put(1, 60 * SECOND_US, NOW + 9 * HOUR)
    world.put(2, 9 * 3600 * SECOND_US, NOW + 9 * HOUR)
    world.fit(9 * 3600 * SECOND_US, NOW + 9 * HOUR)
    low, high = world.date(old)
    assert low <= NOW + 60_000 <= high and high - low < 30_000
    state = state_of(assigned(ADA, NOW, NOW + HOUR), assigned(BOB, NOW + HOUR))
    assert Dates(world.store.db).whose(state, world.row(old)) == ADA


def test_a_boot_that_met_no_agent_lies_between_its_neighbours(world) -> None:
    world.put(0, 0, NOW, of=1)
    world.fit(SECOND_US, NOW, of=1)
    lone = world.put(0, SECOND_US, NOW + 3 * HOUR, of=2)
    world.put(0, 0, NOW + 3 * HOUR, of=3)
    world.fit(3600 * SECOND_US, NOW + 2 * HOUR, of=3)
    low, high = world.date(lone)
    assert NOW - 10 <= low <= NOW and NOW + HOUR <= high <= NOW + HOUR + 2000
    dates = Dates(world.store.db)
    throughout = state_of(assigned(ADA, NOW - HOUR))
    assert dates.whose(throughout, world.row(lone)) == ADA
    changed = state_of(assigned(ADA, NOW - HOUR, NOW + 5), assigned(BOB, NOW + 5))
    assert dates.whose(changed, world.row(lone)) is None
    assert dates.may_be(changed, world.row(lone)) == {ADA, BOB}


def test_without_any_clock_it_was_measured_before_it_came(world) -> None:
    lone = world.put(0, SECOND_US, NOW)
    assert world.date(lone) == (0, NOW)
    assert Dates(world.store.db).whose(state_of(assigned(ADA, NOW - HOUR)), world.row(lone)) is None
    assert Dates(world.store.db).whose(state_of(assigned(ADA, 0)), world.row(lone)) == ADA


@pytest.mark.parametrize(
    ("plain", "label", "mine"),
    [
        ((frames.KIND_VITALS, {frames.VITALS_HR: 600}), None, True),
        ((frames.KIND_VITALS, {frames.VITALS_HR: 600, frames.SOURCE: frames.SRC_SYNTHETIC}), None, False),
        ((frames.KIND_VITALS, {frames.VITALS_PULSE: 600, frames.SOURCE_PPG: frames.SRC_REPLAY}), None, False),
        ((frames.KIND_VITALS, {frames.VITALS_HR: 600, frames.SOURCE: 77}), None, False),
        ((frames.KIND_VITALS, {frames.VITALS_HR: 600}), "mitdb/100", False),
        ((frames.KIND_EVENT, {1: 33, 2: 2, 3: 1400}), "mitdb/100", False),
        ((frames.KIND_EVENT, {1: 33, 2: 2, 3: 1400}), None, True),
    ],
    ids=["sensor", "synthetic ECG", "replayed PPG", "later source", "input", "its event", "event"],
)
def test_what_is_measured_on_nobody_is_nobodys(world, plain, label, mine) -> None:
    world.put(0, 5, NOW, boot_frame(label))
    world.fit(0, NOW)
    at = world.put(1, 0, NOW, frames.pack(plain[0], SECOND_US, plain[1]))
    state = state_of(assigned(ADA, 0))
    dates = Dates(world.store.db)
    assert dates.on_a_body(world.row(at)) is mine
    assert dates.whose(state, world.row(at)) == (ADA if mine else None)
    assert dates.whose(state, world.row(1)) == (None if label else ADA)
    barred = withheld(state, world.store.db, [world.row(at)], "mqtt", "care", NOW)
    assert barred == ({at} if mine else set())


def test_without_its_boot_frame_an_event_is_nobodys_and_held_back_all_the_same(world) -> None:
    at = world.put(7, 0, NOW, frames.pack(frames.KIND_EVENT, SECOND_US, {1: 33, 2: 2, 3: 1400}))
    state = state_of(assigned(ADA, 0))
    assert Dates(world.store.db).whose(state, world.row(at)) is None
    assert withheld(state, world.store.db, world.rows(), "mqtt", "care", NOW) == {at}
    broken = world.put(8, 0, NOW, b"no frame at all")
    assert Dates(world.store.db).whose(state, world.row(broken)) is None
    assert withheld(state, world.store.db, world.rows(), "mqtt", "care", NOW) == {at, broken}


def test_a_withdrawal_holds_back_that_persons_and_no_others(world) -> None:
    world.put(0, 0, NOW)
    world.fit(0, NOW)
    hers = world.put(1, SECOND_US, NOW)
    later = world.put(2, 7200 * SECOND_US, NOW)
    world.put(0, 0, NOW, node=OTHER_NODE)
    nobodys = world.put(0, 0, NOW, node=b"node-six")
    records = [
        assigned(ADA, NOW - HOUR, NOW + HOUR),
        assigned(BOB, NOW + HOUR),
        assigned(BOB, 0, node=OTHER_NODE),
        consented(ADA),
        consented(BOB),
    ]
    db, rows = world.store.db, world.rows()
    assert withheld(state_of(*records), db, rows, "mqtt", "care", NOW) == set()
    stopped = state_of(*records, consented(ADA, False, made_ms=NOW + 1))
    assert withheld(stopped, db, rows, "mqtt", "care", NOW) == {1, hers}
    assert withheld(stopped, db, rows, "fhir", "care", NOW) == {r.id for r in rows if r.kind == 0} - {nobodys}
    assert later not in withheld(stopped, db, rows, "mqtt", "care", NOW)
    again = state_of(*records, consented(ADA, False, made_ms=NOW + 1), consented(ADA, made_ms=NOW + 2))
    assert withheld(again, db, rows, "mqtt", "care", NOW) == set()


def test_a_frame_that_may_be_of_two_needs_both(world) -> None:
    at = world.put(0, SECOND_US, NOW)
    state = state_of(assigned(ADA, 0, NOW - HOUR), assigned(BOB, NOW - HOUR), consented(BOB))
    assert withheld(state, world.store.db, world.rows(), "mqtt", "care", NOW) == {at}
    both = state_of(assigned(ADA, 0, NOW - HOUR), assigned(BOB, NOW - HOUR), consented(BOB), consented(ADA))
    assert withheld(both, world.store.db, world.rows(), "mqtt", "care", NOW) == set()


def test_without_any_record_nothing_is_looked_at(world) -> None:
    world.put(0, SECOND_US, NOW)
    assert withheld(PeopleState(), None, world.rows(), "mqtt", "care", NOW) == set()
    allowed = state_of(assigned(ADA, 0), consented(ADA))
    assert withheld(allowed, None, world.rows(), "mqtt", "care", NOW) == set()

"""Room is made in order, said and balanced; what is gone keeps its hashes; what must stay stays."""

import os

import apsw
import pytest

from edge_agent.custody.verify import verify
from edge_agent.keys import PublicKeys
from edge_agent.store import database, portions, retention
from edge_agent.store.errors import StoreCorrupt, StoreUnwritable
from edge_agent.store.loading import credit
from edge_agent.store.opening import open_store
from edge_agent.store.retention import DAY_MS, MIB, Keeper, Limits
from edge_agent.store.rows import journal_rows
from edge_agent.store.schema import GONE_RETENTION
from edge_agent.store.store import Entry, Frame, Outcome
from protocol import cbor
from tests.edge_agent import custody_kit
from tests.edge_agent.store_kit import AGENT, frame, same_facts

WAVE, CUFF = b"\x83\x02\x01\xa6\x01\x00", b"\x83\x02\x01\xa6\x01\x03"
VITALS, EVENT = b"\x83\x03\x01\xa1", b"\x83\x05\x01\xa1"
NOW = 100 * DAY_MS
PER_BATCH = 100


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.db"


@pytest.fixture
def store(path):
    """20 batches, a day apart, of 60 waves, 20 strips, 19 trends and an alarm each; the first 8 delivered."""
    store, _ = open_store(path, AGENT, 1)
    sorts = [WAVE] * 60 + [CUFF] * 20 + [VITALS] * 19 + [EVENT]
    for n in range(20):
        texts = [sort + os.urandom(400) for sort in sorts]
        store.commit([frame(n * PER_BATCH + i, text=text) for i, text in enumerate(texts)])
        first = n * PER_BATCH + 1
        with store.transaction() as db:
            db.execute(
                "INSERT INTO batches(chain, number, first_id, last_id, preamble, signed, hash, made_ms, "
                "delivered) VALUES(x'aa', ?, ?, ?, x'80', x'01', x'02', ?, ?)",
                (n, first, first + PER_BATCH - 1, (n + 1) * DAY_MS, n < 8),
            )
            counts = credit(db, first, first + PER_BATCH - 1) if n < 8 else {}
        store.last_batch = n + 1
        for row, count in counts.items():
            store.facts[row].delivered += count
    yield store
    store.close()


def kept(store) -> dict[int, dict[int, int]]:
    """By batch, then class: frames that have their data."""
    out: dict[int, dict[int, int]] = {}
    for at, sort in store.db.execute("SELECT id, class FROM journal WHERE kind = 0 AND data IS NOT NULL"):
        batch = out.setdefault((at - 1) // PER_BATCH, dict.fromkeys(range(4), 0))
        batch[sort] += 1
    return out


def work(keeper, now_ms=NOW):
    while keeper.step(now_ms):
        pass
    return keeper


def quota(store, share: float, worth_it: bool = False) -> Keeper:
    """A keeper that leaves so much of what is used now; `worth_it`: also where that is not within reach."""
    keeper = Keeper(store, Limits(quota_mib=1), alone=False)
    beyond = int(keeper.used() * share) - MIB
    keeper.used = lambda real=keeper.used: real() - beyond
    if worth_it:
        keeper._is_worth_it = lambda over: True
    return keeper


def test_delivered_goes_before_undelivered_and_waves_before_the_rest(store, path):
    before = Keeper(store, Limits(), alone=False).used()
    assert kept(store)[0] == {0: 60, 1: 20, 2: 19, 3: 1}
    store.give_back("PRAGMA wal_checkpoint(TRUNCATE)")
    keeper = work(quota(store, 0.85))
    found = kept(store)
    assert found[0][0] == 0 and found[8] == {0: 60, 1: 20, 2: 19, 3: 1}, "no undelivered one went"
    assert keeper.evicted == 0 and keeper.freed and not store.ledger().statements
    keeper = work(quota(store, 0.96))
    found = kept(store)
    assert 1 <= min(found) <= 8 and found[8] == {0: 60, 1: 20, 2: 19, 3: 1}, "the delivered go whole"
    assert (keeper.pruned, keeper.evicted) == (min(found), 0)
    keeper = work(quota(store, 0.8))
    assert min(kept(store)) == 8
    found = kept(store)
    assert found[8] == {0: 0, 1: 20, 2: 19, 3: 1} and found[19][0] == 60 and keeper.evicted_ms == NOW
    assert all(one[3] == 1 for one in found.values()), "an alarm that is not delivered stays"
    assert Keeper(store, Limits(), alone=False).used() < before * 0.6, "the room is there"
    (row,) = store.ledger().rows
    assert row.evicted_here == keeper.evicted > 0 and row.balanced
    assert row.produced == row.delivered + row.pending + row.evicted_here == 2000
    codes = [(code, detail["frames"], detail["class"]) for code, detail, _ in store.ledger().statements]
    assert set(codes) == {("frames_evicted", 60, 0)} and 60 * len(codes) == keeper.evicted
    same_facts(store, path)


def test_everything_that_may_go_goes_and_then_it_is_said(store):
    keeper = work(quota(store, 0.01, worth_it=True))
    assert kept(store) == {n: {0: 0, 1: 0, 2: 0, 3: 1} for n in range(8, 20)}
    assert keeper.problem is not None and "what else is in it may not go" in keeper.problem
    assert store.ledger().balanced


@pytest.mark.parametrize("limits", [Limits(quota_mib=1), Limits(min_free_mib=1 << 40)])
def test_what_is_not_delivered_does_not_go_for_nothing(store, path, limits):
    """Neither where all of it would not be enough, nor because somebody else filled the disk."""
    keeper = Keeper(store, limits, alone=False)
    keeper.used = lambda real=keeper.used: real() + 20 * MIB
    work(keeper)
    assert kept(store) == {n: {0: 60, 1: 20, 2: 19, 3: 1} for n in range(8, 20)}, "delivered: the collector's"
    assert (keeper.evicted, keeper.evicted_ms, keeper.pruned) == (0, None, 8)
    assert keeper.problem is not None and store.ledger().balanced and not store.ledger().statements
    found = store.db.execute("SELECT class, delivered, sum(count) FROM evictions GROUP BY 1, 2").fetchall()
    assert found == [(0, 1, 480), (1, 1, 160), (2, 1, 152), (3, 1, 8)], "that it went is noted"
    same_facts(store, path)


def test_what_was_out_of_reach_is_given_up_when_it_is_enough(store):
    keeper = Keeper(store, Limits(quota_mib=1), alone=False)
    far = [20 * MIB]
    keeper.used = lambda real=keeper.used: real() + far[0]
    work(keeper)
    assert keeper.evicted == 0 and keeper.problem
    far[0] = MIB - keeper.used() + far[0] + 1000
    keeper._hopeless_until = 0.0
    work(keeper)
    assert keeper.evicted and kept(store)[19][0] == 60 and keeper.problem is None


def test_with_no_far_end_nothing_goes_because_somebody_else_filled_the_disk(store):
    store.db.execute("UPDATE batches SET delivered = 0")
    keeper = work(Keeper(store, Limits(min_free_mib=1 << 40), alone=True))
    assert keeper.problem and keeper.freed == 0 and len(kept(store)) == 20


def test_a_quota_is_kept_for_ever_while_all_is_delivered(store, path):
    """What is left of delivered frames, their hashes, does not fill it: then fresh ones would have to go."""
    used = Keeper(store, Limits(), alone=False).used()
    for n in range(20, 60):
        store.commit([frame(n * PER_BATCH + i, text=WAVE + os.urandom(400)) for i in range(PER_BATCH)])
        first = n * PER_BATCH + 1
        with store.transaction() as db:
            db.execute("UPDATE batches SET delivered = 1 WHERE id < ?", (n,))
            db.execute(
                "INSERT INTO batches(chain, number, first_id, last_id, preamble, signed, hash, made_ms) "
                "VALUES(x'aa', ?, ?, ?, x'80', x'01', x'02', ?)",
                (n, first, first + PER_BATCH - 1, (n + 1) * DAY_MS),
            )
        store.last_batch = n + 1
        keeper = Keeper(store, Limits(quota_mib=1), alone=False)
        keeper.used = lambda real=keeper.used: real() - used // 3 + MIB
        work(keeper)
        assert keeper.evicted == 0 and keeper.problem is None, n
    assert kept(store)[59][0] == PER_BATCH and store.db.value("SELECT count(*) FROM journal") < 2500


def test_what_is_withheld_stays_when_its_batch_goes(store):
    """Nobody else has it, although its batch is delivered."""
    store.db.execute("INSERT INTO withheld VALUES('mqtt', 5)")
    work(quota(store, 0.01))
    rows = list(journal_rows(store.db, 1, 100))
    assert [row.id for row in rows if row.data is not None] == [5] and len(rows) == 100
    assert store.db.execute("SELECT id FROM batches WHERE pruned").fetchall() == [(n,) for n in range(2, 9)]


def test_what_was_evicted_keeps_its_hashes_and_is_known_when_it_comes_again(store):
    before = {row.seq: row for row in journal_rows(store.db, 801, 900)}
    work(quota(store, 0.01, worth_it=True))
    row = next(row for row in journal_rows(store.db, 801, 801))
    assert row.data is None and row.gone == 2 and row.leaf and row.attested
    again = frame(800, text=before[800].data)
    assert store.commit([again, frame(800, text=b"other")]) == [Outcome.RESENT, Outcome.CONFLICT]


def all_gone(store) -> bool:
    """Whatever may go went; alarms that are not delivered stay."""
    found = kept(store)
    return 19 in found and all(one == {0: 0, 1: 0, 2: 0, 3: 1} for one in found.values())


def test_an_eviction_does_not_hold_up_commits(store, monkeypatch):
    """Counted, because a busy machine takes as long as it takes; `tools.bench evictions` measures."""
    monkeypatch.setattr(retention, "AT_ONCE", (7, 7))
    monkeypatch.setattr(retention, "LOOKED_THROUGH", (30, 30))
    keeper, most = quota(store, 0.01, worth_it=True), 0
    while True:
        before, pruned = store.db.total_changes(), keeper.pruned
        if not keeper.step(NOW):
            break
        if keeper.pruned > pruned:
            continue  # A batch that goes whole is only deleted.
        most = max(most, store.db.total_changes() - before)
    # Rows are taken out and written anew; the rest is what is noted of them, and the statement.
    assert 2 * 7 <= most <= 2 * 7 + 6
    assert all_gone(store) and store.ledger().balanced


def test_a_batch_that_is_half_done_is_gone_on_with_also_after_a_restart(store, path, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", (7, 7))
    keeper = quota(store, 0.01, worth_it=True)
    assert keeper.step(NOW) and keeper.step(NOW)
    assert kept(store)[0] == {0: 46, 1: 20, 2: 19, 3: 1}
    assert store.db.value("SELECT max(freed) FROM batches") == 0
    same_facts(store, path)
    store = open_store(path, AGENT, 2)[0]
    work(quota(store, 0.01, worth_it=True))
    assert all_gone(store) and store.ledger().balanced
    store.close()


def test_what_the_disk_refuses_of_a_batch_is_done_later(store, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", (7, 7))
    keeper = quota(store, 0.01, worth_it=True)
    assert keeper.step(NOW)
    with monkeypatch.context() as m:
        m.setattr(retention.evictions, "note", refused)
        with pytest.raises(StoreUnwritable):
            keeper.step(NOW)
    work(keeper)
    assert all_gone(store) and store.ledger().balanced


def refused(*_: object) -> None:
    raise database.Full("the disk is full")


def test_a_portion_follows_the_machine(monkeypatch):
    clock = iter((0.0, 0.1, 1.0, 1.1, 2.0, 2.02, 3.0, 3.001, 4.0, 4.001, 5.0, 5.001, 6.0, 6.001))
    monkeypatch.setattr(portions.time, "perf_counter", lambda: next(clock))
    portion, sizes = portions.Portion(20, 100), []
    for _ in range(7):
        with portion.taken() as some:
            sizes.append(some)
    assert sizes == [20, 20, 20, 20, 40, 80, 100], "slow, slow, as it should be, then fast"


def test_the_oldest_batch_is_found_without_sorting_them(store):
    seen: list[str] = []
    store.db.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: seen.append(event["sql"]))
    work(quota(store, 0.5))
    work(Keeper(store, Limits(wave_days=95, retention_days=97), alone=False))
    store.db.trace_v2(0, None)
    asked = {sql for sql in seen if "FROM batches WHERE delivered = ?" in sql}
    assert asked
    for sql in asked:
        plan = " ".join(
            row[3] for row in store.db.execute(f"EXPLAIN QUERY PLAN {sql}", (1,) * sql.count("?"))
        )
        assert "batches_to_free" in plan and "TEMP B-TREE" not in plan, plan


def test_a_batch_delivered_after_an_eviction_counts_what_it_still_had(store, path):
    keeper = work(quota(store, 0.01, worth_it=True))
    with store.transaction() as db:
        counts = credit(db, 801, 900)
        db.execute("UPDATE batches SET delivered = 1 WHERE id = 9")
    for row, count in counts.items():
        store.facts[row].delivered += count
    (row,) = store.ledger().rows
    assert (row.delivered, row.evicted_here) == (801, keeper.evicted) and row.balanced
    same_facts(store, path)


def test_age_takes_the_waves_first_and_then_the_batch_but_nothing_undelivered(store, path):
    store.commit([Entry(3, cbor.dumps([3, "note", {}]), 7)])
    keeper = work(Keeper(store, Limits(wave_days=95, retention_days=97), alone=False))
    found = kept(store)
    assert 0 not in found and 1 not in found, "pruned"
    assert found[3][0] == 0 and found[3][1] == 20 and found[6][0] == 60
    assert all(found[n] == {0: 60, 1: 20, 2: 19, 3: 1} for n in range(8, 20))
    assert store.db.execute("SELECT id FROM batches WHERE pruned").fetchall() == [(1,), (2,)]
    assert keeper.evicted == 0 and store.ledger().statements == (("note", {}, 7),)
    (row,) = store.ledger().rows
    assert (row.produced, row.delivered, row.balanced) == (2000, 800, True)
    assert store.commit([frame(5)]) == [Outcome.RESENT], "of what is pruned only the number is known"
    same_facts(store, path)


def test_nothing_that_is_withheld_goes_by_age_nor_what_proves_it(store):
    store.db.execute("INSERT INTO withheld VALUES('mqtt', 5)")
    work(Keeper(store, Limits(wave_days=95, retention_days=97), alone=False))
    rows = list(journal_rows(store.db, 1, 100))
    assert [row.id for row in rows if row.data is not None] == [5] and len(rows) == 100
    assert all(row.leaf and row.attested and row.gone == GONE_RETENTION for row in rows if row.id != 5)
    assert min(kept(store)) == 0 and 1 not in kept(store)


def test_alone_what_is_signed_may_go_by_age(store):
    work(Keeper(store, Limits(retention_days=90), alone=True))
    assert min(kept(store)) == 9


def test_a_disk_with_too_little_room_makes_some(store):
    keeper = Keeper(store, Limits(min_free_mib=1 << 40), alone=False)
    assert keeper.step(NOW) and kept(store)[0][0] == 0
    assert not Keeper(store, Limits(min_free_mib=1), alone=False).low()


def test_free_pages_are_given_back(store, path):
    work(quota(store, 0.3))
    store.give_back("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.stat().st_size
    store.give_back("PRAGMA incremental_vacuum(50)")
    store.give_back("PRAGMA wal_checkpoint(TRUNCATE)")
    assert path.stat().st_size == before - 50 * 4096
    store.commit([frame(3000)])


def test_what_no_batch_holds_yet_is_bounded_too(tmp_path, monkeypatch):
    """The collector has never answered, so nothing can be signed; signed later, the hashes are right."""
    monkeypatch.setattr(retention, "AT_ONCE", (200, 200))
    kit = custody_kit.Kit(tmp_path / "agent.db")
    sorts = [WAVE] * 60 + [CUFF] * 20 + [VITALS] * 19 + [EVENT]
    node, boot = custody_kit.NODE.id, custody_kit.BOOT
    for n in range(12):
        texts = [sort + os.urandom(500) for sort in sorts]
        kit.store.commit(
            [Frame(node, boot, n * PER_BATCH + i, text, kit.clock()) for i, text in enumerate(texts)]
        )
    keeper = work(quota(kit.store, 0.8), kit.clock() + 1)
    found = kept(kit.store)
    assert not kit.make() and keeper.evicted and keeper.problem is None
    assert found[0] == {0: 0, 1: 20, 2: 19, 3: 1} and found[11][0] == 60, "the oldest waves"
    assert keeper.evicted == sum(detail["frames"] for _, detail, _ in kit.store.ledger().statements)
    keeper = work(quota(kit.store, 0.01, worth_it=True), kit.clock() + 1)
    assert kept(kit.store) == {n: {0: 0, 1: 0, 2: 0, 3: 1} for n in range(12)} and keeper.problem
    (row,) = kit.store.ledger().rows
    assert row.evicted_here == 12 * 99 and row.balanced
    kit.ask()
    kit.next = 12 * PER_BATCH
    kit.frames(5)
    assert all(verdict.new for verdict in kit.deliver(*kit.make()))
    (row,) = kit.store.ledger().rows
    assert (row.delivered, row.evicted_here, row.pending, row.balanced) == (17, 12 * 99, 0, True)
    told = PublicKeys(*custody_kit.AGENT.public()), PublicKeys(*kit.far.identity.public())
    results = verify(kit.path, *told)
    assert all(result.good for result in results), results
    kit.store.close()


def test_a_file_that_gets_shorter_only_at_a_later_commit_is_not_taken_for_a_loss(store, path):
    """Room is given back in the log; the file is cut when SQLite folds that in."""
    work(quota(store, 0.3))
    store.give_back("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.stat().st_size
    store.db.pragma("wal_autocheckpoint", 1)
    store.give_back("PRAGMA incremental_vacuum(50)")
    store.commit([frame(3000)])
    store.commit([frame(3001)])
    assert path.stat().st_size < before
    store.give_back("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(path, path.stat().st_size - 4096)
    with pytest.raises(StoreCorrupt, match="was cut to"):
        store.commit([frame(3002)])

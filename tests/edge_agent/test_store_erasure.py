"""Erasing a person: data and keys gone from every byte of the files, hashes kept, resumed after any cut."""

import shutil

import pytest

from edge_agent.store import erasure
from edge_agent.store.database import Database
from edge_agent.store.keys import unlock
from edge_agent.store.opening import open_store
from edge_agent.store.rows import journal_rows, leaf_of
from edge_agent.store.store import Entry, Outcome
from protocol import attest, merkle
from tests.edge_agent.store_kit import AGENT, BOOT, NODE, frame, same_facts

ANNA, BERT = b"A" * 16, b"B" * 16


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.db"


@pytest.fixture
def store(path):
    """Frames 0 to 19 of nobody, 20 to 59 under Anna's key, 60 to 79 under Bert's; Anna's typed entry last."""
    store, _ = open_store(path, AGENT, 1)
    store.commit([frame(n, text=b"heart of nobody %d" % n) for n in range(20)])
    store.new_data_key(NODE, ANNA, 100)
    store.commit([frame(n, text=b"heart of anna %d" % n) for n in range(20, 60)])
    store.new_data_key(NODE, BERT, 200)
    store.commit([frame(n, text=b"heart of bert %d" % n) for n in range(60, 80)])
    store.commit([Entry(5, b"typed by anna", 300, ANNA)])
    yield store
    store.close()


ANNAS = [*range(21, 56), 81]
"""Journal ids: frames 20 to 54, and what was typed. 55 to 59 came under her key and are Bert's."""


def in_clear(path):
    """Every byte of the file's pages and of its log's, decrypted: free pages and gaps too."""
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    db = Database(copy, unlock(path))
    db.pragma("journal_mode", "delete")
    db.pragma("hexrekey", "")
    db.close()
    return copy.read_bytes()


def test_every_key_is_for_one_person_on_one_node(store):
    found = store.db.execute("SELECT node, person, ended_ms FROM data_keys ORDER BY id").fetchall()
    assert found == [(NODE, None, 100), (NODE, ANNA, 200), (NODE, BERT, None), (b"", ANNA, None)]
    by_key = store.db.execute("SELECT key, count(*) FROM journal GROUP BY key").fetchall()
    assert by_key == [(1, 20), (2, 40), (3, 20), (4, 1)]


def test_nothing_of_a_person_or_the_keys_is_left_in_any_byte(store, path):
    keys = [key for (key,) in store.db.execute("SELECT key FROM data_keys WHERE person = ?", (ANNA,))]
    kept = [key for (key,) in store.db.execute("SELECT key FROM data_keys WHERE person IS NOT ?", (ANNA,))]
    sealed = [row for (row,) in store.db.execute("SELECT data FROM journal WHERE id IN (30, 81)")]
    assert store.erase(ANNAS[:9]) == 9
    assert store.erase(ANNAS) == len(ANNAS) - 9
    store.erased(ANNA)
    assert path.with_name("agent.db-wal").stat().st_size == 0
    found = in_clear(path)
    assert len(keys) == 2 and not [key for key in keys if key in found]
    assert all(key in found for key in kept), "the search finds what is there"
    assert not [data for data in sealed if data in found]
    rows = {row.id: row for row in journal_rows(store.db, 1, 99)}
    assert {at for at, row in rows.items() if row.data is None} == set(ANNAS)
    assert rows[56].data == b"heart of anna 55" and rows[61].data == b"heart of bert 60"
    assert store.db.value("SELECT count(*) FROM data_keys WHERE key IS NULL") == 2
    store.commit([frame(80)])
    same_facts(store, path)


def test_the_hashes_stay_and_what_comes_again_is_still_judged(store):
    store.erase(ANNAS)
    row = next(journal_rows(store.db, 31, 31))
    text = b"heart of anna 30"
    assert (row.gone, row.leaf) == (3, leaf_of(NODE, BOOT, 30, text, row.made_ms))
    assert row.attested == merkle.leaf_hash(attest.leaf(BOOT, 30, text))
    (typed,) = journal_rows(store.db, 81, 81)
    assert typed.leaf == merkle.leaf_hash(b"typed by anna") and typed.attested is None
    again = [frame(30, text=text)._replace(received_ms=99), frame(30, text=b"another")]
    assert store.commit(again) == [Outcome.RESENT, Outcome.CONFLICT]


def test_what_was_not_delivered_is_in_the_ledger(store, path):
    store.erase(ANNAS)
    (row,) = store.ledger().rows
    assert (row.produced, row.pending, row.evicted_here, row.balanced) == (80, 45, 35, True)
    same_facts(store, path)


def test_conflicts_of_what_is_erased_go_too(store, path):
    store.commit([frame(30, text=b"another of anna"), frame(70, text=b"another of bert")])
    store.erase(ANNAS)
    store.erased(ANNA)
    assert store.db.execute("SELECT seq FROM conflicts").fetchall() == [(70,)]
    assert b"another of anna" not in in_clear(path)


class Cut(BaseException):
    """The end, in the middle."""


@pytest.mark.parametrize("step", ["hashes_of", "_left_under", "_seal_anew", "seal", "opened"])
def test_whoever_is_cut_off_begins_again(store, path, monkeypatch, step):
    def cut(*args):
        raise Cut

    with monkeypatch.context() as m:
        m.setattr(erasure, step, cut)
        with pytest.raises(Cut):
            store.erase(ANNAS)
            store.erased(ANNA)
    store.uncharted.clear()
    store.close()
    again, opening = open_store(path, AGENT, 2)
    assert not opening.message and again.frames == 80
    again.erase(ANNAS)
    again.erased(ANNA)
    assert again.db.value("SELECT count(*) FROM journal WHERE data IS NULL") == len(ANNAS)
    assert again.db.value("SELECT count(*) FROM data_keys WHERE person = ? AND key NOTNULL", (ANNA,)) == 0
    assert next(journal_rows(again.db, 57, 57)).data == b"heart of anna 56"
    again.close()


def test_a_new_frame_after_an_erasure_has_a_new_key(store):
    store.new_data_key(NODE, ANNA, 300)
    store.commit([frame(100)])
    store.erase([82])
    store.erased(ANNA)
    store.commit([frame(101)])
    person, key = store.db.execute(
        "SELECT k.person, k.key FROM journal j JOIN data_keys k ON k.id = j.key WHERE j.seq = 101"
    ).fetchone()
    assert person is None and key is not None

"""What the collector does with a store that is damaged: never silent, nothing deleted."""

import pytest

from tests.tools.collector_rig import NOW, Chain, Rig, frame
from tools.collector import status
from tools.collector.opening import open_store
from tools.collector.store import Store, StoreError


@pytest.fixture
def path(tmp_path):
    rig = Rig(tmp_path)
    chain = Chain()
    for n in range(3):
        rig.receipt(chain.make([frame(m) for m in range(n * 50, n * 50 + 50)]))
    rig.store.close()
    return tmp_path / "collector.sqlite3"


def damaged(how: str, sound: bytes) -> bytes:
    return {
        "empty": b"",
        "cut in the header": sound[:50],
        "cut short": sound[: len(sound) // 2],
        "cut within a page": sound[:-100],
        "header overwritten": bytes(100) + sound[100:],
        "pages overwritten": sound[:4096] + bytes(len(sound) - 4096),
        "no database": b"something else altogether " * 400,
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "empty",
        "cut in the header",
        "cut short",
        "cut within a page",
        "header overwritten",
        "pages overwritten",
        "no database",
    ],
)
def test_a_damaged_store_is_set_aside(path, how):
    content = damaged(how, path.read_bytes())
    path.write_bytes(content)
    store, said = open_store(path, NOW)
    assert "was damaged" in said and "collector.sqlite3.corrupt-1" in said
    assert (path.parent / "collector.sqlite3.corrupt-1").read_bytes() == content
    facts = status.summary(store, NOW)
    assert [(a["at_ms"], a["code"], a["detail"]) for a in facts["alarms"]] == [(NOW, "store_set_aside", said)]
    assert facts["batches"] == 0
    store.close()
    # Said once, remembered in the store; a second damage does not overwrite the first.
    store, said = open_store(path, NOW)
    assert said == ""
    assert status.summary(store, NOW)["alarms_total"] == 1
    store.close()
    path.write_bytes(b"")
    store, said = open_store(path, NOW)
    assert "collector.sqlite3.corrupt-2" in said
    store.close()


def test_a_sound_store_is_opened_as_it_is(path):
    store, said = open_store(path, NOW)
    assert (said, status.summary(store, NOW)["batches"]) == ("", 3)
    store.close()
    assert not list(path.parent.glob("*.corrupt-*"))


def test_a_store_that_was_never_there_is_made(tmp_path):
    store, said = open_store(tmp_path / "new" / "collector.sqlite3", NOW)
    assert (said, store.alarms()) == ("", [])
    store.close()


def test_a_log_without_its_store_is_set_aside(tmp_path):
    (tmp_path / "collector.sqlite3-wal").write_bytes(b"log")
    store, said = open_store(tmp_path / "collector.sqlite3", NOW)
    assert "write-ahead log is left" in said
    assert (tmp_path / "collector.sqlite3.corrupt-1-wal").read_bytes() == b"log"
    store.close()


def test_a_newer_store_is_left_alone(path):
    store = Store(path)
    store.db.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(StoreError, match="newer"):
        open_store(path, NOW)
    assert path.exists()


def test_an_empty_file_is_no_store_to_a_reader_either(path):
    path.write_bytes(b"")
    for read_only in (True, False):
        with pytest.raises(StoreError, match="0 bytes"):
            Store(path, read_only)


def test_holes_in_a_store_put_together_wait_again(path):
    store = Store(path)
    store.db.execute("PRAGMA foreign_keys=OFF")
    store.db.execute("DELETE FROM batches WHERE number = 1")
    store.close()
    store, _ = open_store(path, NOW)
    facts = status.summary(store, NOW + 60_005)
    assert facts["linkage"]["waiting"] == 1
    assert [a["code"] for a in facts["alarms"]] == ["gap"]
    store.close()

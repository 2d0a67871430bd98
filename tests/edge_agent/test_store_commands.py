"""`vitalwire store`: what is there is counted, checked, compacted and copied, beside an agent or without."""

import json
import shutil

import pytest
from click.testing import CliRunner

from edge_agent import keys
from edge_agent.keys import PublicKeys
from edge_agent.store.database import open_file
from edge_agent.store.items import Frame
from edge_agent.store.opening import open_store
from edge_agent.store.retention import DAY_MS, MIB, Keeper, Limits
from tests.edge_agent import custody_kit
from tests.edge_agent.running import Kit as AgentKit
from tests.edge_agent.running import Running, wait_until
from tools.cli import main


class Here:
    """A state directory with a store of 300 frames in signed batches, and the commands about it."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.kit = custody_kit.Kit(folder / "agent.db")
        keys.write_public(folder / "agent.pub", "agent", PublicKeys(*custody_kit.AGENT.public()))
        self.config = folder / "agent.toml"
        self.config.write_text('[agent]\nstate_dir = "."\n')
        self.kit.ask()
        for _ in range(3):
            self.kit.frames(100, 400)
            self.batches = self.kit.make()
        self.kit.deliver(1, 2)

    @property
    def store(self):
        return self.kit.store

    def typed(self, *words: object, fails: bool = False):
        result = CliRunner().invoke(
            main, ["store", *map(str, words), "--config", str(self.config)], catch_exceptions=False
        )
        assert bool(result.exit_code) == fails, result.output
        return result.output

    def change(self, sql: str) -> None:
        self.store.db.execute(sql)


@pytest.fixture
def here(tmp_path):
    here = Here(tmp_path)
    yield here
    here.store.close()


def evicted(here: Here) -> Keeper:
    """Waves of batches that are delivered go, and then of those that are not."""
    here.change("UPDATE journal SET class = 0 WHERE kind = 0")
    keeper = Keeper(here.store, Limits(quota_mib=1), alone=False)
    keeper.used = lambda: MIB + 1
    while keeper.step(here.kit.clock.now + 1):
        pass
    return keeper


def test_stats_count_what_is_there_and_what_has_gone(here):
    found = json.loads(here.typed("stats", "--json"))
    assert found["frames"]["kept"]["frames"] == 300 and 0 < found["freeable"]["frames"] < 300
    assert found["file_bytes"] == here.store.path.stat().st_size and found["quota_bytes"] is None
    assert found["keys"] == {"open": 1, "ended": 0, "destroyed": 0}
    assert found["newest_ms"] - found["oldest_ms"] > 0 and found["disk_free_bytes"] > 0
    here.change("UPDATE journal SET class = 0 WHERE kind = 0")
    delivered = found["batches"]["delivered"]
    assert delivered == 2 < found["batches"]["signed"]
    here.config.write_text(here.config.read_text() + "[store]\nquota_mib = 7\n")
    alone = json.loads(here.typed("stats", "--json"))
    assert alone["freeable"]["frames"] == 300 and alone["quota_bytes"] == 7 * MIB
    keeper = evicted(here)
    here.store.new_data_key(custody_kit.NODE.id, b"p" * 16, 1)
    found = json.loads(here.typed("stats", "--json"))
    whole = found["pruned"]["entries"]
    assert found["gone"]["quota"] == 300 - whole < 300 and found["frames"]["wave"]["frames"] == 0
    lost = sum(one["frames"] for one in found["evictions"] if not one["delivered"])
    assert lost == keeper.evicted > 0 and sum(one["frames"] for one in found["evictions"]) == 300
    text = here.typed("stats")
    assert "NOT DELIVERED" in text and "quota 7.0 MiB" in text and f"quota {300 - whole}" in text


def test_a_sound_store_checks(here):
    before = here.typed("check")
    assert "FAILED" not in before and before.count("ok ") >= 7
    evicted(here)
    here.store.checkpoint()
    assert "FAILED" not in here.typed("check")
    while Keeper(here.store, Limits(retention_days=1), alone=False).step(here.kit.clock.now + 2 * DAY_MS):
        pass
    assert here.store.db.value("SELECT count(*) FROM batches WHERE pruned")
    text = here.typed("check")
    assert "FAILED" not in text and "pruned, the signed head alone" in text
    here.change("UPDATE batches SET pruned = 1 WHERE delivered = 0")
    assert "entries of it are here" in here.typed("check", fails=True)


DAMAGE = {
    "a hash of what is gone": (
        "UPDATE journal SET leaf = zeroblob(32) WHERE id = 209",
        "Signatures, roots or counts are wrong: batch",
    ),
    "a frame less": ("DELETE FROM journal WHERE id = 250", "gone, and"),
    "a checkpoint that lacks frames": ("UPDATE boots SET stored = x'80'", "its checkpoint does not name"),
    "a count of what was given up": ("UPDATE boots SET evicted = evicted + 1", "given up are counted"),
    "a count of what is delivered": ("UPDATE boots SET delivered = 1000", "1000 delivered"),
    "a reason without its hash": (
        "UPDATE journal SET attested = NULL WHERE id = 209",
        "neither here nor gone",
    ),
    "an index": (
        "PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE name = 'frames'; "
        "PRAGMA writable_schema = OFF",
        "damaged",
    ),
    "a boot": ("DELETE FROM boots", "none that was written"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_wrong_is_named(here, what):
    sql, cause = DAMAGE[what]
    evicted(here)
    here.store.checkpoint()
    here.change(sql)
    text = here.typed("check", fails=True)
    assert cause in text and "FAILED" in text and "docs/operating.md" in text


def test_a_flipped_byte_is_named(here):
    here.store.close()
    with here.store.path.open("r+b") as file:
        file.seek(4096 * 9 + 100)
        file.write(b"\xff\x00\xff")
    assert "The store is damaged" in here.typed("check", fails=True)
    assert "damaged" in here.typed("compact", fails=True)
    here.kit.open()


def test_compact_gives_room_back_and_the_store_goes_on(here):
    evicted(here)
    here.store.close()
    before = here.store.path.stat().st_size
    text = here.typed("compact")
    after = here.store.path.stat().st_size
    assert after < before * 0.7 and f"{before} bytes before, {after} now" in text and "0 bytes unused" in text
    here.kit.open()
    here.kit.frames(5)
    assert "FAILED" not in here.typed("check")


def test_an_export_is_the_store_of_one_moment_and_opens_with_its_key(here, tmp_path):
    out = tmp_path / "copy.db"
    beside = [here.folder / name for name in ("people.json", "operators", "authorities")]
    for path in beside:
        path.touch()
    text = here.typed("export", out)
    assert all(f"  {path}\n" in text for path in beside), text
    assert "store.key" in text and f"{out}: " in text and ", 300 entries, " in text
    assert (tmp_path / "copy.db-check").exists() and not list(tmp_path.glob(".copy*"))
    assert out.stat().st_mode & 0o077 == 0
    here.kit.frames(10)
    with open_file(out) as copy:
        assert copy.value("SELECT count(*) FROM journal WHERE kind = 0") == 300
    copy.close()
    secret = (tmp_path / "store.key").read_bytes().split()[-1]
    assert bytes.fromhex(secret.decode()) not in out.read_bytes() and secret not in text.encode()
    assert "exists already" in here.typed("export", out, fails=True)
    assert "--frames" in here.typed("export", fails=True)
    assert "is no folder" in here.typed("export", tmp_path / "no" / "copy.db", fails=True)


def test_a_copy_is_put_in_the_place_of_a_store(here, tmp_path):
    """As the operator's guide says: nothing but the copy, its check file and the key."""
    here.typed("export", tmp_path / "copy.db")
    new = tmp_path / "new"
    new.mkdir()
    for name, back in (("copy.db", "agent.db"), ("copy.db-check", "agent.db-check")):
        shutil.move(tmp_path / name, new / back)
    shutil.copy(tmp_path / "store.key", new)
    again, opening = open_store(new / "agent.db", custody_kit.AGENT.id, 5)
    assert not opening.created and not opening.message and again.ledger() == here.store.ledger()
    here.kit.frames(1)
    again.commit([Frame(custody_kit.NODE.id, custody_kit.BOOT, 300, b"other", 5)])
    again.close()


def test_a_copy_that_is_not_whole_gets_no_name(here, tmp_path, monkeypatch):
    from edge_agent.store import backup

    monkeypatch.setattr(backup, "damage", lambda *_: "a page is damaged")
    out = tmp_path / "copy.db"
    assert "a page is damaged" in here.typed("export", out, fails=True)
    assert not out.exists() and not list(tmp_path.glob("*copy*"))


def test_without_a_store_it_says_so(tmp_path):
    config = tmp_path / "agent.toml"
    config.write_text('[agent]\nstate_dir = "."\n')
    for words in (["stats"], ["check"], ["compact"], ["export", str(tmp_path / "copy.db")]):
        result = CliRunner().invoke(main, ["store", *words, "--config", str(config)])
        assert result.exit_code == 1 and "has not run" in result.output


def test_beside_an_agent_that_runs(tmp_path):
    kit = AgentKit(tmp_path)
    config = tmp_path / "agent.toml"
    config.write_text('[agent]\nstate_dir = "."\n')

    def typed(*words: object) -> str:
        result = CliRunner().invoke(main, ["store", *map(str, words), "--config", str(config)])
        assert result.exit_code == 0, result.output
        return result.output

    with Running(kit.config()) as running:
        wait_until(lambda: kit.status["state"] == "running", "it runs")
        store = running.agent.store
        worker = running.agent.worker

        async def grown() -> None:
            await worker.run(store.db.execute, "CREATE TABLE waste(data)")
            await worker.run(store.db.execute, "INSERT INTO waste VALUES(zeroblob(4000000))")
            await worker.run(store.db.execute, "DROP TABLE waste")

        import asyncio

        asyncio.run_coroutine_threadsafe(grown(), running._loop).result(20)
        assert "FAILED" not in typed("check")
        assert json.loads(typed("stats", "--json"))["unused_bytes"] > 3_900_000
        assert " 0 unused" in typed("compact")
        assert json.loads(typed("stats", "--json"))["file_bytes"] < 1_000_000
        text = typed("export", tmp_path / "copy.db", "--frames", tmp_path / "frames.jsonl")
        assert "agent.key" in text and "in clear" in text and (tmp_path / "frames.jsonl").exists()
        assert "FAILED" not in typed("check"), "the agent noticed nothing"


def test_frames_as_lines(here, tmp_path, monkeypatch):
    from edge_agent.cli import people_asking

    recorded = []
    monkeypatch.setattr(people_asking, "record_action", lambda *told, **_: recorded.append(told[1:]))
    evicted(here)
    here.kit.frames(2, 7)
    out = tmp_path / "frames.jsonl"
    whole = here.store.db.value("SELECT last_id FROM batches WHERE id = 2")
    assert f"{302 - whole} frames" in here.typed("export", "--frames", out) and recorded
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines[0]["gone"] == "quota" and lines[-1]["plaintext"] == "00" * 7
    assert [line["seq"] for line in lines] == list(range(whole, 302))
    assert out.stat().st_mode & 0o077 == 0

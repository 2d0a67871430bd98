"""A real agent process whose disk spoils its store, fills up, or takes no more, while nodes send."""

import os
import resource
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.ops.service import AGAIN_MOST_S
from edge_agent.store import retention
from edge_agent.store.database import PAGE, connect, open_file
from edge_agent.store.errors import StoreCorrupt
from edge_agent.store.keys import unlock
from edge_agent.store.opening import open_store
from edge_agent.store.patrol import Patrol
from edge_agent.store.retention import Keeper, Limits
from edge_agent.store.rows import journal_rows
from edge_agent.store.store import Hello
from tests.edge_agent.fakes import FakeNode, Pty, identity
from tests.edge_agent.running import Kit, wait_until
from tests.edge_agent.store_kit import AGENT, frame
from tests.edge_agent.test_cli import CHILD, Process, typed, written

# As `vitalwire agent run`, but what is kept is read through more often.
OFTEN = f"import edge_agent.agent; edge_agent.agent.PATROL_EVERY_S = 0.3; {CHILD}"
FILLED = 600


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


@pytest.fixture
def node(kit):
    with FakeNode(Pty(), agent=kit.identity, rate=40, max_bytes=2_000_000) as node:
        kit.pair(node)
        yield node


def streams(kit: Kit, node: FakeNode) -> None:
    wait_until(lambda: len(node.made) > 20 and node.held < 20, "streaming")
    wait_until(lambda: kit.status["state"] == "running", "a status")


def drained(node: FakeNode) -> None:
    node.making = False
    wait_until(lambda: not node.held, "everything acknowledged")


def stored(kit: Kit, node: FakeNode) -> dict[tuple[bytes, int], bytes | None]:
    with closing(open_file(kit.folder / "agent.db")) as db:
        rows = journal_rows(db, 0, 1 << 40)
        return {(row.boot, row.seq): row.data for row in rows if row.node == node.identity.id and row.boot}


# A page is spoilt


def filled(path: Path, agent_id: bytes) -> None:
    store, _ = open_store(path, agent_id, 1)
    other = identity(7)
    store.commit([Hello(other.id, *other.public(), 1, 1)])
    store.commit([frame(n, text=os.urandom(400), node=other.id) for n in range(FILLED)])
    store.close()


def spoil(path: Path, first: int, last: int) -> None:
    """Overwrite pages, the first is 0, as a disk does that keeps what it should have written elsewhere."""
    with path.open("r+b", buffering=0) as file:
        for page in range(first, last):
            file.seek(page * PAGE)
            file.write(os.urandom(PAGE))


def test_spoilt_pages_are_noticed_set_aside_and_what_went_with_them_is_stated(kit, node, monkeypatch):
    path = kit.folder / "agent.db"
    filled(path, kit.identity.id)
    size = path.stat().st_size // PAGE
    config = written(kit, node.pipe.name)
    monkeypatch.setattr("tests.edge_agent.test_cli.CHILD", OFTEN)
    with Process(config, kit) as agent:
        streams(kit, node)
        spoil(path, 1, size)
        aside = path.with_name("agent.db.corrupt-1")
        wait_until(aside.exists, "it is noticed and set aside, though nobody asked for what was there")
        before = set(node.made) - set(_held(node))
        wait_until(lambda: kit.status["store"]["opening"], "the status says so")
        drained(node)
        assert agent.process.poll() is None
    # The process ended in order, and no traceback is in the log (Process).
    log = agent.log.read_text()
    assert log.count("opening it anew") <= 2 and "store_set_aside" in log and "agent.db.corrupt-1" in log
    here = stored(kit, node)
    assert all(here[key] == node.made[key] for key in here), "nothing that was never made"
    assert set(node.made) - set(here) <= before, "whatever was not acknowledged came to the new one"
    row = next(row for row in kit.ledger.rows if row.node == node.identity.id.hex())
    assert row.balanced and row.lost_at_agent == len(node.made) - len(here)
    codes = [code for code, _, _ in kit.ledger.statements]
    assert "store_set_aside" in codes and "frames_lost" in codes
    assert typed("store", "check", "--config", config).exit_code == 0


def test_a_spoilt_first_page_is_written_anew_from_the_log(kit, node):
    """It is in the log and in memory as long as the agent runs, so nothing is lost."""
    path = kit.folder / "agent.db"
    filled(path, kit.identity.id)
    config = written(kit, node.pipe.name)
    with Process(config, kit):
        streams(kit, node)
        spoil(path, 0, 1)
        made = len(node.made)
        wait_until(lambda: len(node.made) > made + 40 and node.held < 20, "it goes on")
        drained(node)
    whole(kit, node, config)


def _held(node: FakeNode) -> list[tuple[bytes, int]]:
    with node._lock:
        return [(node.boot.boot_id, number) for number in node.box.numbers()]


def test_all_that_is_kept_is_read_and_then_anew(tmp_path):
    path = tmp_path / "agent.db"
    filled(path, AGENT)
    store, _ = open_store(path, AGENT, 2)
    patrol = Patrol(store)
    for _ in range(40):
        patrol.step()
    assert patrol.rounds >= 2
    with closing(connect(path, unlock(path), read_only=True)) as db:
        page = db.value("SELECT pageno FROM dbstat WHERE name = 'journal' AND pagetype = 'leaf' LIMIT 1")
    spoil(path, page - 1, page)
    with pytest.raises(StoreCorrupt):
        for _ in range(40):
            patrol.step()
    patrol.close()
    # What is in memory is still right; the file is what has to be looked at.
    store.close()


@pytest.mark.parametrize("command", [["person", "list"], ["consent", "list"], ["ledger"], ["store", "stats"]])
def test_commands_beside_a_spoilt_store_end_with_a_sentence(kit, command):
    path = kit.folder / "agent.db"
    filled(path, kit.identity.id)
    spoil(path, 1, path.stat().st_size // PAGE)
    result = typed(*command, "--config", written(kit))
    assert result.exit_code == 1 and "malformed" in result.output and "vitalwire" in result.output


def test_a_spoilt_page_that_nothing_uses_does_not_end_in_a_loop(tmp_path, monkeypatch):
    """Giving it back fails, and the store is found sound: the file only stays as long as it is."""
    path = tmp_path / "agent.db"
    filled(path, AGENT)
    store, _ = open_store(path, AGENT, 2)
    store.db.execute("DELETE FROM journal WHERE id BETWEEN 50 AND 550")
    store.close()
    with closing(connect(path, unlock(path), read_only=True)) as db:
        used = {page for (page,) in db.execute("SELECT pageno FROM dbstat")}
        free = [page for page in range(3, db.value("PRAGMA page_count") + 1) if page not in used]
    for page in free[5:-5]:
        spoil(path, page - 1, page)
    monkeypatch.setattr(retention, "SPARE_PAGES", 10)
    store, opening = open_store(path, AGENT, 2)
    assert not opening.message
    keeper = Keeper(store, Limits(), alone=False)
    while keeper.step(1):
        pass
    assert not keeper.shrinks and store.commit([frame(9000)])
    store.close()
    store, opening = open_store(path, AGENT, 2)
    assert not opening.message and store.frames == FILLED + 1
    store.close()


def test_a_store_that_is_damaged_again_and_again_is_opened_less_and_less_often(kit, monkeypatch):
    import asyncio

    from edge_agent import config
    from edge_agent.ops import service

    waits: list[float] = []

    class Failing:
        def __init__(self, config, measures) -> None:
            self.working, self.latest = False, None

        async def run(self, stop) -> None:
            if len(waits) == 14:
                stop.set()
                return
            raise StoreCorrupt(kit.folder / "agent.db", "malformed")

    async def waited(stop, pause_s) -> None:
        waits.append(pause_s)

    monkeypatch.setattr(service, "Agent", Failing)
    monkeypatch.setattr(service, "_wait", waited)
    asyncio.run(service.serve(config.load(Path(written(kit)))))
    assert waits[0] <= 0.5 and waits[5] > 5 and AGAIN_MOST_S / 2 <= waits[13] <= AGAIN_MOST_S


# The disk takes no more


def refused_and_then_taken(kit: Kit, node: FakeNode, agent: Process, refuse, allow, said: str) -> None:
    """Acknowledgements stop, the node keeps what it makes, and it goes on by itself."""
    streams(kit, node)
    refuse()
    wait_until(lambda: "nothing is acknowledged" in agent.log.read_text(), "the log says so")
    assert said in agent.log.read_text()
    first = min(_held(node))
    wait_until(lambda: node.held > 60, "the node keeps what it makes")
    assert first in _held(node), "not acknowledged"
    assert agent.process.poll() is None
    allow()
    drained(node)
    wait_until(lambda: "takes writes again" in agent.log.read_text(), "the log says so")


def whole(kit: Kit, node: FakeNode, config: str) -> None:
    assert stored(kit, node) == node.made and kit.ledger.balanced
    assert typed("store", "check", "--config", config).exit_code == 0


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 8 MB; where none may be mounted, there is tools.faults.disk (test_faults.py)."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "vitalwire-test", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_real_disk_that_is_full_stops_acknowledgements_and_it_goes_on_by_itself(small_disk, tmp_path):
    kit = Kit(small_disk)
    (small_disk / "log").symlink_to(tmp_path / "log")
    ballast = small_disk / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(PAGE)) == PAGE:
                    pass
            except OSError:
                return

    with FakeNode(Pty(), agent=kit.identity, rate=40, max_bytes=2_000_000) as node:
        kit.pair(node)
        config = written(kit, node.pipe.name)
        with Process(config, kit) as agent:
            refused_and_then_taken(kit, node, agent, fill, ballast.unlink, "full")
        whole(kit, node, config)


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_a_file_that_may_not_grow_stops_acknowledgements_and_it_goes_on_by_itself(kit, node):
    config = written(kit, node.pipe.name)
    with Process(config, kit) as agent:
        pid = agent.process.pid
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        log = kit.folder / "agent.db-wal"

        def refuse() -> None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (log.stat().st_size, most))

        def allow() -> None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))

        refused_and_then_taken(kit, node, agent, refuse, allow, "agent.db")
    whole(kit, node, config)

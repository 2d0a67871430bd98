"""What commands ask of the agent that runs, and of one that runs for this alone; un-pairing on both sides."""

import errno
import json
import os
import time
from pathlib import Path

import click
import pytest

from edge_agent import agent
from edge_agent.cli.nodes import _paired
from edge_agent.custody.verify import verify
from edge_agent.nodes.errands import FORGOTTEN_MS, IDENTIFY, UNPAIR, Errands
from edge_agent.nodes.orders import GRACE_MS, MAX_VALID_S
from edge_agent.nodes.peers import Peers
from edge_agent.ops import reporting
from edge_agent.store.database import open_file
from protocol import frames
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import Kit, Running, wait_until
from tests.edge_agent.test_cli import typed, written
from tests.edge_agent.test_errand_steps import NODE, STEP_MS, World


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def statements(kit: Kit) -> list[str]:
    """Of what was asked of nodes; what people did at the agent is beside them."""
    return [code for code, _, _ in kit.ledger.statements if code != "action"]


def asked(kit: Kit, node: FakeNode, *words: str):
    """The command, of this node, on its port."""
    return typed(words[0], "--config", written(kit, node.pipe.name), node.identity.id.hex(), *words[1:])


@pytest.mark.parametrize("runs", [True, False])
def test_identify(kit, runs):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        if runs:
            with Running(kit.config(node.pipe.name)):
                done = asked(kit, node, "identify")
        else:
            done = asked(kit, node, "identify")
        assert (done.exit_code, "answers: done" in done.output) == (0, True), done.output
        kind, body = node.orders[0]
        assert (kind, body[frames.ORDER_WHAT]) == (frames.KIND_COMMAND, frames.OP_IDENTIFY)
        assert len({body[1] for _, body in node.orders}) == 1, "one id"
    assert statements(kit) == ["ordered", "order_ended"]
    assert list((kit.folder / "errands").iterdir()) == []


def test_a_node_that_does_not_do_it_says_why(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        node.answer = frames.RESULT_UNSUPPORTED
        kit.pair(node)
        with Running(kit.config(node.pipe.name)):
            done = asked(kit, node, "identify")
    assert done.exit_code == 1 and "not supported" in done.output


def test_unpairing_forgets_only_after_the_node_has(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        node.answer = frames.RESULT_FAILED
        kit.pair(node)
        peers = Peers(kit.folder / "peers.json")
        with Running(kit.config(node.pipe.name)):
            failed = asked(kit, node, "unpair")
            assert failed.exit_code == 1 and "failed" in failed.output and "--force" in failed.output
            assert peers.lookup(node.identity.id) is not None
            node.answer = frames.RESULT_DONE
            done = asked(kit, node, "unpair")
            assert done.exit_code == 0 and "it has forgotten this agent" in done.output
            assert peers.lookup(node.identity.id) is None
            node.reset()
            wait_until(lambda: kit.status["unpaired"], "the node announces itself")
            wait_until(lambda: not kit.status["links"][0]["node"], "no session with it")
        again = asked(kit, node, "unpair")
        assert again.exit_code == 1 and "not paired" in again.output
    assert statements(kit) == ["ordered", "order_ended", "ordered", "order_ended", "node_unpaired"]
    detail = kit.ledger.statements[-1][1]
    assert detail["node"] == node.identity.id and detail["node_agreed"] is True


def test_no_status_calls_a_node_live_after_it_was_unpaired(kit, monkeypatch):
    def shown() -> dict:
        return json.loads(typed("status", "--config", config, "--json").output)

    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        config = written(kit, node.pipe.name)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: kit.status["nodes"][0]["live"], "live")
            monkeypatch.setattr(reporting, "EVERY_S", 3600)
            monkeypatch.setattr(reporting, "MOST_S", 3600)
            # One pause may have begun before.
            begun_ms = time.time_ns() // 1_000_000
            wait_until(lambda: kit.status["written_ms"] > begun_ms, "the last for an hour")
            assert shown()["nodes"][0]["live"] and shown()["links"][0]["node"] == node.identity.id.hex()
            assert asked(kit, node, "unpair").exit_code == 0
            assert kit.status["nodes"][0]["live"], "the file is of before"
            (one,), (link,) = shown()["nodes"], shown()["links"]
            assert not one["live"] and not one["paired"] and link["node"] is link["session"] is None
            assert "away" in typed("status", "--config", config).output


def test_a_node_that_ends_its_session_in_its_own_time_is_not_live_once_it_is_unpaired(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        with Running(kit.config(node.pipe.name)) as running:
            wait_until(lambda: kit.status["nodes"][0]["live"], "live")
            assert asked(kit, node, "unpair").exit_code == 0
            told = wait_until(lambda: not kit.status["nodes"][0]["paired"] and kit.status, "a new status")
            assert running.agent.sessions[node.pipe.name].session_state == "live"
    assert not told["nodes"][0]["live"] and told["nodes"][0]["silent_s"] is None
    assert told["links"][0]["state"] == "open"
    assert told["links"][0]["node"] is told["links"][0]["session"] is None


def test_what_a_node_has_answered_is_carried_out_by_an_agent_that_ends_at_once(kit, monkeypatch):
    monkeypatch.setattr(agent, "ERRANDS_S", 3600)
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        errands = Errands(kit.folder / "errands")
        errand = errands.put(UNPAIR, node.identity.id, time.time_ns() // 1_000_000 + 600_000)
        with Running(kit.config(node.pipe.name)) as running:
            wait_until(lambda: node.orders, "the order has come")
            wait_until(lambda: not running.agent.hub.orders.open, "the answer has come")
            assert errands.answer_to(errand) is None
    assert (errands.answer_to(errand) or {})["good"] and Peers(kit.folder / "peers.json").ids() == []
    assert statements(kit) == ["ordered", "order_ended", "node_unpaired"]


def test_without_an_answer_nothing_is_forgotten_unless_by_force(kit, monkeypatch):
    monkeypatch.setattr("edge_agent.nodes.orders.GRACE_MS", 500)
    with FakeNode(Pty(), agent=kit.identity) as node:
        node.answer = None
        kit.pair(node)
        peers = Peers(kit.folder / "peers.json")
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: kit.status["nodes"][0]["clock"], "live, and its clock known")
            silent = asked(kit, node, "unpair", "--wait", "2")
            assert silent.exit_code == 1 and "did not answer" in silent.output
            assert peers.lookup(node.identity.id) is not None
            forced = asked(kit, node, "unpair", "--force")
            assert forced.exit_code == 0 and "without its word" in forced.output
            assert peers.lookup(node.identity.id) is None
            wait_until(lambda: kit.status["unpaired"], "its hellos are announcements")
            wait_until(lambda: not kit.status["links"][0]["node"], "no session with it")
            made = len(node.made)
            wait_until(lambda: len(node.made) > made + 20 and node.held >= 20, "nothing is acknowledged")
    assert kit.ledger.statements[-1][1]["node_agreed"] is False
    with open_file(kit.folder / "agent.db") as db:
        assert db.execute("SELECT count(*) FROM journal WHERE kind = 3").fetchone()[0] == len(
            kit.ledger.statements
        )


def test_an_errand_outlives_the_command_and_the_agent_but_not_its_time(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        errands = Errands(kit.folder / "errands")
        now_ms = time.time_ns() // 1_000_000
        stale = errands.put(UNPAIR, node.identity.id, now_ms - 1)
        (kit.folder / "errands" / "noise.json").write_text('{"what": "dance"}')
        kept = errands.put(UNPAIR, node.identity.id, now_ms + 60_000)
        with Running(kit.config(node.pipe.name)):
            answer = wait_until(lambda: errands.answer_to(kept), "an answer")
        assert answer["good"] and (errands.answer_to(stale) or {})["good"] is False
        assert not (kit.folder / "errands" / "noise.json").exists()
        assert len(node.orders) >= 1


def test_what_a_command_is_writing_stays_until_it_is_old(tmp_path, monkeypatch):
    errands, now_ms = Errands(tmp_path), time.time_ns() // 1_000_000
    replace, swept = os.replace, []

    def replace_after_a_sweep(source, target):
        swept.append(errands.waiting(now_ms))
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_after_a_sweep)
    errand = errands.put(UNPAIR, bytes(8), now_ms + 60_000)
    assert (swept, errands.waiting(now_ms)) == ([[]], [errand])

    errands.answer(errand, True, "it has")
    half, read = tmp_path / ".00.json.7", tmp_path / f"{errand.id}.answer"
    half.write_text("{")
    assert errands.waiting(now_ms) == [] and half.exists() and read.exists()
    errands.waiting(now_ms + 2 * FORGOTTEN_MS)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_logged_again_when_it_comes_again(tmp_path, caplog):
    errands, folder = Errands(tmp_path), tmp_path / "folder.json"
    for _ in range(2):
        folder.mkdir()
        assert errands.waiting(0) == errands.waiting(0) == []
        folder.rmdir()
        assert errands.waiting(0) == []
    assert [str(folder) in record.getMessage() for record in caplog.records] == [True, True]


def test_a_folder_that_cannot_be_read_is_logged_once_and_looked_into_again(world, caplog):
    folder = world.folder / "errands"
    folder.write_text("no folder")
    world.run(4 * STEP_MS)
    (record,) = caplog.records
    assert str(folder) in record.getMessage() and os.strerror(errno.ENOTDIR) in record.getMessage()
    folder.unlink()
    world.run(2 * STEP_MS)
    errand = world.ask(force=True)
    world.run(4 * STEP_MS)
    assert world.errands.answer_to(errand)["good"] and len(caplog.records) == 1


def test_a_node_that_nobody_knows(kit):
    config = written(kit)
    assert "no node id" in typed("identify", "--config", config, "kitchen").output
    unknown = typed("unpair", "--config", config, "00112233aabbccdd")
    assert unknown.exit_code == 1 and "not paired" in unknown.output
    assert not (kit.folder / "errands").exists()


def test_orders_are_in_the_chain(kit):
    from edge_agent.keys import load_public
    from tests.edge_agent.running import Broker, Collecting

    with Broker(kit.folder) as broker, FakeNode(Pty(), agent=kit.identity) as node:
        collector = kit.collect(broker.port)
        kit.pair(node)
        with Collecting(collector, broker.port), Running(kit.config(node.pipe.name)):
            assert asked(kit, node, "identify").exit_code == 0

            def signed() -> list[str]:
                batches = list(collector.batches.values())
                found = [entry[1] for batch in batches for entry in batch.parsed if entry[0] == 3]
                return [code for code in found if code != "action"]

            wait_until(lambda: "order_ended" in signed(), "the audit at the collector")
            assert signed() == ["ordered", "order_ended"]
    results = verify(
        kit.folder / "agent.db",
        load_public(kit.folder / "agent.pub"),
        load_public(kit.folder / "collector.pub"),
    )
    assert all(result.good for result in results), json.dumps([r.sentence for r in results])


def test_a_node_is_named_by_how_its_id_begins(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        config, name = written(kit, node.pipe.name), node.identity.id.hex()
        with Running(kit.config(node.pipe.name)):
            done = typed("identify", "--config", config, name[:6].upper())
        assert (done.exit_code, f"node {name} answers: done" in done.output) == (0, True), done.output
        for short in ("", name[:3], name + "0", name[:5] + "x"):
            assert (
                "16 hex digits, or the first of them" in typed("identify", "--config", config, short).output
            )


def test_a_beginning_that_two_nodes_share_is_not_enough():
    nodes = [bytes.fromhex("5ca25e0000000001"), bytes.fromhex("5ca25e0100000001")]
    assert _paired(nodes, "5ca25e01") == nodes[1] and _paired(nodes, nodes[0].hex()) == nodes[0]
    with pytest.raises(click.ClickException, match="2 paired nodes begin with 5CA25E"):
        _paired(nodes, "5CA25E")
    with pytest.raises(click.ClickException, match="not paired"):
        _paired(nodes, "5ca25f")


def test_of_two_unpairings_of_a_node_one_is_sent_and_answers_both(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        errands = Errands(kit.folder / "errands")
        until_ms = time.time_ns() // 1_000_000 + 60_000
        both = [errands.put(UNPAIR, node.identity.id, until_ms) for _ in range(2)]
        with Running(kit.config(node.pipe.name)):
            answers = [wait_until(lambda one=one: errands.answer_to(one), "an answer") for one in both]
        assert all(answer["good"] for answer in answers)
        assert len({body[frames.UNPAIR_ID] for _, body in node.orders}) == 1
    assert statements(kit) == ["ordered", "order_ended", "node_unpaired"]


def test_a_disk_that_is_full_is_told_with_what_and_where_and_why_and_what_to_do(kit, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        monkeypatch.setattr(os, "fsync", full)
        done = asked(kit, node, "identify")
    assert done.exit_code == 1 and "Error: identify: " in done.output, done.output
    for part in (str(kit.folder / "errands"), os.strerror(errno.ENOSPC), "make room"):
        assert part in done.output


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
        json.dumps(SOUND | {"what": "record"}),
        json.dumps(SOUND | {"data": "0"}),
        json.dumps(SOUND | {"data": 7}),
        json.dumps(SOUND | {"data": "00" * (1 << 18)}),
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
    body = world.kept_back[0]["body"]
    assert body[frames.ORDER_EXPIRES_US] <= 5_000_000 + MAX_VALID_S * 1_000_000
    world.now_ms += int(MAX_VALID_S * 1000) + GRACE_MS
    assert len(world.run(4 * STEP_MS)) == 1
    assert world.codes == ["ordered", "order_ended", "ordered"]

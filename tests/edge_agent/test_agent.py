"""The whole agent against nodes that speak the real protocol over ptys and TCP."""

import os
import time
from contextlib import ExitStack, closing

import pytest

from edge_agent.custody.verify import verify
from edge_agent.keys import PublicKeys, load_public
from edge_agent.links.ports import PortError
from edge_agent.lock import Locked
from edge_agent.ops import status
from edge_agent.store.database import open_file
from edge_agent.store.errors import StoreCorrupt, StoreError
from edge_agent.store.rows import journal_rows
from protocol import cbor, cobs, frames, messages
from tests.both.sealing import seal_one
from tests.edge_agent.fakes import FakeNode, Pty, Tcp
from tests.edge_agent.running import Kit, Running, free_port, wait_until


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


def stored(kit: Kit) -> dict[tuple[bytes, int], bytes]:
    with closing(open_file(kit.folder / "agent.db")) as db:
        rows = list(journal_rows(db, 0, 1 << 40))
    return {(row.boot, row.seq): row.data for row in rows if row.boot}


def drained(node: FakeNode) -> None:
    node.making = False
    wait_until(lambda: node.held == 0, "every frame acknowledged")


def node_status(kit: Kit, node: FakeNode) -> dict:
    listed = kit.status.get("nodes", [])
    return next((n for n in listed if n["node"] == node.identity.id.hex()), {})


def began_unix_us(node: FakeNode) -> int:
    """When the node's clock stood at zero, by this machine's: of many readings the one least held up."""
    readings = [(time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(1000)]
    before, unix, after = min(readings, key=lambda one: one[2] - one[0])
    return (unix - ((before + after) // 2 - node._zero)) // 1000


@pytest.mark.parametrize("pipe", [Pty, Tcp])
def test_every_frame_arrives_once_and_is_proved(kit, pipe):
    with FakeNode(pipe(), agent=kit.identity, rate=40) as node:
        kit.pair(node)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 100, "frames made")

            def known() -> dict:
                seen = node_status(kit, node)
                sure = (seen.get("clock") or {"bound_us": 10**9})["bound_us"] < 100_000
                return seen if sure and seen["live"] and seen["vitals"] else {}

            seen = wait_until(known, "a live node with a good clock fit in the status")
            drained(node)
        assert stored(kit) == node.made
    assert seen["vitals"]["hr_bpm"] == 72 and seen["sources"] == ["synthetic"]
    clock = seen["clock"]
    truth_us = began_unix_us(node)
    # A bound must hold on any machine. The host's own clock may be slewed meanwhile.
    assert clock["bound_us"] > 0 and abs(clock["offset_us"] - truth_us) < clock["bound_us"] + 5_000
    (row,) = kit.ledger.rows
    assert (row.produced, row.pending, row.balanced) == (len(node.made), len(node.made), True)
    results = verify(kit.folder / "agent.db", load_public(kit.folder / "agent.pub"), None)
    assert all(r.good for r in results), results
    assert any("attestation" in r.sentence and " 0 of them" not in r.sentence for r in results)


def test_several_nodes_on_several_ports(kit):
    pipes = [Pty(), Pty(), Tcp()]
    nodes = [FakeNode(pipe, seed, kit.identity, 20) for seed, pipe in enumerate(pipes, 1)]
    kit.pair(*nodes)
    with ExitStack() as running:
        for node in nodes:
            running.enter_context(node)
        running.enter_context(Running(kit.config(*(pipe.name for pipe in pipes))))
        wait_until(lambda: all(len(n.made) > 30 for n in nodes), "frames of all")
        for node in nodes:
            drained(node)
        wait_until(lambda: sum(link["session"] == "live" for link in kit.status["links"]) == 3, "three live")
    assert len(kit.ledger.rows) == 3 and kit.ledger.balanced
    assert stored(kit) == {key: data for node in nodes for key, data in node.made.items()}


def test_the_cable_is_pulled_and_put_back(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 20 and node.held < 5, "streaming")
            node.plugged = False
            wait_until(lambda: node.held > 30, "a backlog")
            node.plugged = True
            drained(node)
        assert stored(kit) == node.made
    assert kit.ledger.balanced and kit.totals()["produced"] == len(node.made)


def test_a_reset_is_accounted_for(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 20 and node.held < 5, "streaming")
            node.plugged = False
            wait_until(lambda: node.held > 30, "frames in RAM only")
            with node._lock:
                first, held = node.box.next_seq, set(node.box.numbers())
                boot = node.boot.boot_id
                node.reset()
            node.plugged = True
            wait_until(lambda: len(kit.ledger.rows) == 2 and node.held < 5, "the second boot")
            drained(node)
            wait_until(lambda: kit.ledger.rows[0].lost_at_reset, "the account closed")
        old, new = kit.ledger.rows
        lost = set(range(first)) - {seq for of, seq in stored(kit) if of == boot}
    assert (old.produced, old.bound_s, old.clean, old.current) == (first, 1, False, False)
    # What was held had partly arrived, where the cable was pulled before the acknowledgement came.
    assert lost and lost <= held
    assert old.lost_at_reset == len(lost) and old.produced == old.pending + old.lost_at_reset
    assert new.current and kit.ledger.balanced


def test_evictions_are_in_the_account(kit):
    with FakeNode(Pty(), agent=kit.identity, rate=200, max_bytes=6000) as node:
        kit.pair(node)
        node.plugged = False
        wait_until(lambda: node.box.evicted > 100, "an outbox that overflows")
        node.making = False
        with Running(kit.config(node.pipe.name)):
            node.plugged = True
            drained(node)
            wait_until(lambda: kit.totals()["produced"] == node.box.next_seq, "all numbers known")
        (row,) = kit.ledger.rows
    # One that was evicted on its way, and arrived all the same, is no loss.
    assert 90 < row.evicted <= node.box.evicted
    assert row.produced == row.pending + row.evicted and row.pending == len(stored(kit)) and row.balanced


def test_an_agent_that_restarts_resumes_without_a_duplicate(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        for _ in range(3):
            seen = len(node.made)
            with Running(kit.config(node.pipe.name)):
                wait_until(lambda seen=seen: len(node.made) > seen + 20 and node.held < 5, "streaming")
        with Running(kit.config(node.pipe.name)):
            drained(node)
        assert stored(kit) == node.made
    (row,) = kit.ledger.rows
    assert row.balanced and row.duplicates == 0


def test_attacks_are_refused_counted_and_harm_nothing(kit):
    with FakeNode(Pty(), agent=kit.identity) as node, FakeNode(Pty(), 2, kit.identity) as stranger:
        kit.pair(node)
        with Running(kit.config(node.pipe.name, stranger.pipe.name)):
            wait_until(lambda: len(node.made) > 20 and node.held < 5, "streaming")
            recorded = list(node.sent)
            body = frames.pack(frames.KIND_EVENT, 1, {1: 9, 2: 3})
            node.say(cobs.encode(b"\x82\x00" + seal_one(bytes(16), node.boot.boot_id, 5, body)))
            node.say(b"\x05\x01\x02\x00" + bytes([9, 1, 1]) + b"\0")
            node.say(b"\x11" * 9000 + b"\0")
            wrong = {1: 9, 2: node.identity.id, 3: bytes(16), 4: 9, 5: []}
            node.say(cobs.encode(cbor.dumps({0: messages.MSG_HELLO, 1: cbor.dumps(wrong), 2: bytes(16)})))
            for data in recorded[-5:]:
                node.say(data)
            other = frames.pack(frames.KIND_EVENT, 2, {1: 9, 2: 0, 4: "made up"})
            forged = seal_one(node.boot.K, node.boot.boot_id, 3, other)
            node.say(cobs.encode(b"\x82\x00" + forged))
            wait_until(lambda: kit.status.get("rejected", {}).get("bad_tag"), "the forgery counted")
            wait_until(lambda: kit.status["rejected"].get("unknown_version"), "the version counted")
            wait_until(lambda: kit.status["rejected"].get("malformed_cobs"), "noise counted")
            wait_until(lambda: kit.status["rejected"].get("oversize"), "the endless message counted")
            wait_until(lambda: kit.status["rejected"].get("unknown_node"), "the stranger counted")
            wait_until(lambda: kit.status["rejected"].get("conflict") == 1, "the conflict counted")
            wait_until(lambda: node_status(kit, node)["conflicts"] == 1, "the conflict in the account")
            (unpaired,) = wait_until(lambda: kit.status["unpaired"], "the stranger named")
            assert unpaired["node"] == stranger.identity.id.hex()
            drained(node)
        assert stored(kit) == node.made
        rejected = kit.status["rejected"]
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: kit.status.get("state") == "running", "a status")
            wait_until(
                lambda: kit.status["rejected"]["bad_tag"] >= rejected["bad_tag"], "counts outlive the process"
            )
    assert kit.ledger.balanced and kit.totals()["resent"] >= 1
    assert kit.totals()["conflicts"] == 1


def test_a_recorded_connection_is_refused_for_ever(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 20 and node.held < 5, "streaming")
        recorded = list(node.sent)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: node.session.conn >= 2 and node.held < 5, "a second connection")
            drained(node)
        node.plugged = False
        before = stored(kit)
        with Running(kit.config(node.pipe.name)) as running:
            # What came before the port is open is thrown away.
            wait_until(
                lambda: running.agent.links and running.agent.links[node.pipe.name].ready, "an open port"
            )
            for data in recorded:
                node.say(data)
            seen = wait_until(
                lambda: (s := kit.status)["rejected"].get("replayed_hello") and s, "the replay counted"
            )
            assert not any(link["session"] == "live" for link in seen["links"])
    assert stored(kit) == before


def test_a_port_that_is_missing_is_told_and_waited_for(kit):
    number = free_port()
    port = f"socket://127.0.0.1:{number}"
    missing = str(kit.folder / "ttyUSB7")
    with Running(kit.config(port, missing)):

        def troubled() -> list[dict]:
            links = kit.status["links"]
            return links if all(link["problem"] for link in links) else []

        tty, tcp = wait_until(troubled, "problems")
        assert tty["condition"] == "missing" and missing in tty["problem"] and "plug" in tty["problem"]
        assert tcp["condition"] == "missing" and port in tcp["problem"]
        with FakeNode(Tcp(number), agent=kit.identity) as node:
            kit.pair(node)
            wait_until(lambda: len(node.made) > 10 and node.held < 5, "streaming")
            drained(node)
        assert stored(kit) == node.made


def test_a_node_that_is_plugged_in_later_is_found(kit, monkeypatch):
    there: list[str] = []
    monkeypatch.setattr("edge_agent.agent.plugged_in", lambda: list(there))
    monkeypatch.setattr("edge_agent.agent.LOOK_FOR_PORTS_S", 0.05)
    with FakeNode(Pty(), agent=kit.identity) as node, Running(kit.config("auto")):
        kit.pair(node)
        wait_until(lambda: kit.status, "a status")
        assert kit.status["links"] == []
        there.append(node.pipe.name)
        wait_until(lambda: len(node.made) > 10 and node.held < 5, "streaming")


def test_a_busy_port_is_told(kit):
    pipe = Pty()
    import serial

    with FakeNode(pipe, agent=kit.identity) as node:
        kit.pair(node)
        holder = serial.Serial(pipe.name, exclusive=True)
        with Running(kit.config(pipe.name)):
            busy = wait_until(lambda: kit.status["links"][0]["problem"], "a problem")
            assert pipe.name in busy and "another program" in busy
            holder.close()
            wait_until(lambda: len(node.made) > 10 and node.held < 5, "streaming")


def test_a_full_disk_stops_acknowledgements_and_then_goes_on(kit, monkeypatch):
    monkeypatch.setattr("edge_agent.nodes.flow.CALM_S", 0.5)
    # Room for as long as it takes: what a node gives up is not stored.
    with FakeNode(Pty(), agent=kit.identity, rate=100, max_bytes=8_000_000) as node:
        kit.pair(node)
        with Running(kit.config(node.pipe.name)) as running:
            wait_until(lambda: len(node.made) > 20 and node.held < 20, "streaming")
            agent = running.agent

            def limit(pages: int) -> None:
                work = agent.worker._pool.submit(agent.store.db.execute, f"PRAGMA max_page_count = {pages}")
                work.result().fetchall()

            limit(1)
            wait_until(lambda: node.held > 150, "frames kept by the node")
            problem = wait_until(lambda: kit.status["store"]["problem"], "the problem told")
            assert "full" in problem and "space" in problem
            wait_until(lambda: (True, 2048, 4) in node.asked, "the node asked to slow down")
            assert wait_until(lambda: kit.status["flow"]["level"] != "normal", "the level shown")
            held = node.held
            wait_until(lambda: node.held > held + 30, "what is made is kept")
            limit(1_000_000)
            drained(node)
            wait_until(lambda: kit.status["store"]["problem"] is None, "the problem gone")
            wait_until(lambda: kit.status["flow"]["level"] == "normal", "all is well again")
            assert wait_until(lambda: node.asked[-1] == (True, 0, 0) or node.asked[-1][1:] == (0, 16), "told")
        assert stored(kit) == node.made
    assert kit.ledger.balanced


def test_a_damaged_store_is_set_aside_while_the_node_stays_paired(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 60 and node.held < 5, "streaming")
        db = kit.folder / "agent.db"
        os.truncate(db, db.stat().st_size // 2)
        with Running(kit.config(node.pipe.name)) as running:
            wait_until(lambda: kit.status.get("totals", {}).get("lost_at_agent"), "the loss in the ledger")
            drained(node)
            wait_until(lambda: kit.totals()["produced"] == len(node.made), "all numbers known")
            assert "set_aside" in kit.status["store"]["opening"] and running.agent.opening.set_aside
        assert (kit.folder / "agent.db.corrupt-1").exists()
    (row,) = kit.ledger.rows
    assert row.balanced and row.lost_at_agent > 30 and row.produced == row.lost_at_agent + row.pending
    stated = [code for code, _, _ in kit.ledger.statements if code != "action"]
    assert stated == ["store_set_aside", "frames_lost"]
    assert all(r.good for r in verify(db, load_public(kit.folder / "agent.pub"), None))


def test_two_agents_do_not_share_a_state_directory(kit):
    with Running(kit.config()):
        wait_until(lambda: kit.status, "a status")
        second = Running(kit.config())
        second.__enter__()
        assert isinstance(second.ended(), Locked) and str(os.getpid()) in str(second.error)


def test_a_store_of_another_agent_is_refused(kit):
    with Running(kit.config()):
        wait_until(lambda: kit.status, "a status")
    for name in ("agent.key", "agent.pub"):
        (kit.folder / name).unlink()
    second = Running(kit.config())
    second.__enter__()
    assert isinstance(second.ended(), StoreError) and "key file" in str(second.error)


def test_status_is_written_whole_and_says_when_it_ended(kit):
    with Running(kit.config()):
        wait_until(lambda: kit.status["state"] == "running", "a status")
        wait_until(lambda: not status.is_stale(kit.status, time.time_ns() // 1_000_000), "a fresh status")
        for _ in range(200):
            assert kit.status
    assert kit.status["state"] == "stopped" and status.is_stale(kit.status, time.time_ns() // 1_000_000)
    assert [p.name for p in kit.folder.iterdir() if p.name.startswith(".")] == []


def test_port_errors_carry_their_facts():
    e = PortError("/dev/ttyX", "busy", "another program uses it", "close it")
    assert (e.port, e.condition) == ("/dev/ttyX", "busy") and "/dev/ttyX" in str(e) and "close it" in str(e)


def test_public_keys_know_their_id(kit):
    assert PublicKeys(*kit.identity.public()).id == kit.identity.id


def test_a_store_deleted_under_way_ends_the_run_and_the_next_one_says_so(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        running = Running(kit.config(node.pipe.name)).__enter__()
        wait_until(lambda: len(node.made) > 10 and node.held < 5, "streaming")
        (kit.folder / "agent.db").unlink()
        error = running.ended()
        assert isinstance(error, StoreCorrupt) and "deleted" in str(error)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: kit.status.get("store", {}).get("opening"), "the statement")
            drained(node)
        code, detail, _ = kit.ledger.statements[0]
        assert code in ("store_missing", "store_set_aside") and "the file is gone" in detail["why"]
        assert kit.ledger.balanced


def test_a_live_node_that_says_nothing_is_silent(kit, monkeypatch):
    monkeypatch.setattr(status, "SILENT_S", 1)
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: node_status(kit, node).get("live"), "live")
            drained(node)
            silent = wait_until(
                lambda: ((n := node_status(kit, node))["silent_s"] or 0) >= 2 and n, "silence in the status"
            )
            assert not silent["live"]
            node.making = True
            wait_until(lambda: node_status(kit, node)["live"], "live again")

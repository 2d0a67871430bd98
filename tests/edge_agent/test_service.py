"""The service as a whole: scraped while it works, small with four nodes, stopped under load without loss."""

import asyncio
import json
import os
import signal
import socket
import threading
import urllib.request
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_agent import config
from edge_agent.config import ConfigError
from edge_agent.lock import Locked, hold
from edge_agent.ops import service
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import PATIENCE_S, Broker, Collecting, Kit, Running, free_port, wait_until
from tests.edge_agent.test_cli import CHILD, Process, typed, written

LIMIT_KB = 90 * 1024
# As `vitalwire agent run`, but on its way out it waits for a slow disk and collector as long as it takes.
PATIENT = (
    "from edge_agent import ending; from edge_agent.ops import service; "
    f"ending.LAST_COMMIT_S = ending.LAST_RECEIPTS_S = service.GIVE_UP_S = {PATIENCE_S}; {CHILD}"
)


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


def get(port: int, path: str) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as found:
            return found.read().decode()
    except OSError:
        return None


def resident_kb(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def test_four_nodes_scraped_and_small(kit, tmp_path):
    port = free_port()
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(tmp_path))
        nodes = [
            stack.enter_context(FakeNode(Pty(), agent=kit.identity, rate=20, seed=i)) for i in range(1, 5)
        ]
        kit.pair(*nodes)
        far = kit.collect(broker.port)
        path = written(
            kit, *(node.pipe.name for node in nodes), more=f'[ops]\nmetrics = "127.0.0.1:{port}"\n'
        )
        stack.enter_context(Collecting(far, broker.port))
        agent = stack.enter_context(Process(path, kit))
        live = 'vitalwire_nodes{state="live"} 4.0'
        wait_until(lambda: live in (get(port, "/metrics") or ""), "four live nodes in the metrics")
        wait_until(lambda: json.loads(get(port, "/healthz") or "{}").get("status") == "ok", "good health")
        wait_until(lambda: len(far.frames) > 400, "frames at the collector")
        for _ in range(20):
            assert "vitalwire_commit_seconds_bucket" in (get(port, "/metrics") or "")
        peak = resident_kb(agent.process.pid)
    print(f"peak resident {peak} KB with MQTT, metrics and four nodes")
    assert peak < LIMIT_KB


def test_a_stop_under_load_commits_and_delivers_what_is_in_hand(kit, tmp_path, monkeypatch):
    """SIGTERM while frames pour in: what was acknowledged is in the store, signed, and at the collector."""
    monkeypatch.setattr("tests.edge_agent.test_cli.CHILD", PATIENT)
    with Broker(tmp_path) as broker, FakeNode(Pty(), agent=kit.identity, rate=150) as node:
        kit.pair(node)
        far = kit.collect(broker.port)
        path = written(kit, node.pipe.name)
        with Collecting(far, broker.port):
            with Process(path, kit) as agent:
                wait_until(lambda: len(far.frames) > 300, "frames at the collector")
                agent.process.send_signal(signal.SIGTERM)
                assert agent.process.wait(3 * PATIENCE_S) == 0
            with node._lock:
                held = set(node.box.numbers())
                freed = {key for key in node.made if key[1] not in held}
            assert freed <= {(boot, seq) for _, boot, seq in list(far.frames)}
        totals = json.loads(typed("ledger", "--config", path, "--json").output)["totals"]
        assert totals["delivered"] >= len(freed)
        assert json.loads((kit.folder / "status.json").read_text())["state"] == "stopped"
    assert typed("verify", "--config", path).exit_code == 0


def test_a_real_agents_heart_waits_for_its_store(kit):
    """What test_notify.py shows of a heart holds for the agent's own thread."""
    hold = threading.Event()
    with Running(kit.config("/dev/ttyNONE")) as running:
        agent = running.agent
        wait_until(lambda: agent.working, "the agent at work")
        assert running._loop is not None

        def begin(work) -> Future:
            assert running._loop is not None
            return asyncio.run_coroutine_threadsafe(work, running._loop)

        begin(agent.probe()).result(PATIENCE_S)
        try:
            stuck = begin(agent.worker.run(hold.wait))
            probe = begin(agent.probe())
            with pytest.raises(TimeoutError):
                probe.result(0.3)
        finally:
            hold.set()
        assert stuck.result(PATIENCE_S) and probe.result(PATIENCE_S) is None


def test_metrics_on_a_port_in_use_end_with_a_line(kit, monkeypatch):
    monkeypatch.setattr(service, "LOCK_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        path = written(kit, more=f'[ops]\nmetrics = "127.0.0.1:{port}"\n')
        with pytest.raises(ConfigError, match="choose another port"):
            asyncio.run(service.serve(config.load(Path(path))))
        with hold(kit.folder / "agent.lock"), pytest.raises(Locked, match=str(os.getpid())):
            asyncio.run(service.serve(config.load(Path(path))))


def test_a_command_that_is_briefly_an_agent_keeps_none_from_starting(kit, monkeypatch):
    """What a command does without an agent takes the lock for a second: one that starts meanwhile waits."""
    path = written(kit)
    lock = hold(kit.folder / "agent.lock")
    with Process(path, kit) as agent:
        wait_until(lambda: "a command may be at work" in agent.log.read_text(), "it waits")
        assert agent.process.poll() is None
        lock.close()
        wait_until(lambda: (kit.folder / "status.json").exists(), "a status")
    monkeypatch.setattr(service, "LOCK_S", 0.5)
    with hold(kit.folder / "agent.lock"), pytest.raises(Locked):
        asyncio.run(service.serve(config.load(Path(path))))

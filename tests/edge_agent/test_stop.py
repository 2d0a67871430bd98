"""An agent that is told to stop, in the middle of something: it ends soon, and nothing is left of it."""

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time

from edge_agent import ending
from edge_agent.config import FhirConfig, FileConfig, TcpConfig
from edge_agent.forward.fhir_process import FhirProcess
from edge_agent.forward.file import FileOutlet
from edge_agent.links.listener import TcpListener
from edge_agent.links.tcp import TcpLink
from edge_agent.nodes.errands import COMPACT, Errands
from edge_agent.ops import compaction, status
from tests.edge_agent.running import PATIENCE_S, Kit, Running, wait_until
from tests.edge_agent.test_cli import CHILD, written


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_a_medium_that_hangs_holds_up_no_end(tmp_path, monkeypatch):
    looked, for_ever = threading.Event(), threading.Event()

    def hanging(self):
        looked.set()
        for_ever.wait()

    monkeypatch.setattr(FileOutlet, "_read", hanging)
    monkeypatch.setattr(ending, "LAST_BESIDE_S", 0.01)
    kit = Kit(tmp_path / "kit")
    kit.collect(9)
    kit.mqtt = None
    kit.options["file"] = FileConfig(tmp_path, tmp_path)
    try:
        with Running(kit.config()) as running:
            assert looked.wait(60)
            running.stop()
        assert kit.status["state"] == "stopped"
    finally:
        for_ever.set()


def test_an_errand_under_way_ends_with_its_agent_and_waits_for_the_next(tmp_path, monkeypatch):
    pages, begun = [1 << 40], threading.Event()

    def unused(db):
        pages[0] -= 1
        begun.set()
        return pages[0]

    monkeypatch.setattr(compaction, "unused", unused)
    kit = Kit(tmp_path)
    config = kit.config()
    errands = Errands(config.errands)
    errand = errands.put(COMPACT, b"", now_ms() + 3_600_000)
    with Running(config):
        assert begun.wait(60)
    assert errands.waiting(now_ms()) == [errand] and errands.answer_to(errand) is None
    pages[0] = 1
    with Running(config):
        answer = wait_until(lambda: errands.answer_to(errand), "the next agent answers")
    assert answer["good"]


def test_the_last_status_is_not_written_over_by_one_that_was_on_its_way(tmp_path, monkeypatch):
    write, held, go = status.write, threading.Event(), threading.Event()

    def slow(path, made):
        if made["state"] == "running" and not held.is_set():
            held.set()
            go.wait(60)
        write(path, made)

    monkeypatch.setattr(status, "write", slow)
    monkeypatch.setattr(ending, "LAST_BESIDE_S", 60)
    kit = Kit(tmp_path)
    with Running(kit.config()) as running:
        assert held.wait(60)
        threading.Timer(0.3, go.set).start()
        running.stop()
    assert go.is_set() and kit.status["state"] == "stopped"


def test_who_was_accepted_as_the_listener_stopped_is_hung_up_on():
    ours, far = socket.socketpair()

    async def main():
        listener = TcpListener(TcpConfig("127.0.0.1", 0), lambda name: None, lambda *why: None, lambda: False)
        await listener.stop()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: TcpLink(listener), ours)
        await asyncio.sleep(0)
        return listener.owners

    assert asyncio.run(main()) == {}
    far.settimeout(30)
    assert far.recv(1) == b""
    far.close()


def test_a_process_that_was_cut_off_has_ended_with_its_channel(tmp_path):
    """Its end is told to the event loop by a thread: a loop that is closed by then says so in the log."""
    silent = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{silent.getsockname()[1]}/fhir"

    async def main():
        worker = FhirProcess(FhirConfig(url))
        sending = asyncio.create_task(worker.send({"resourceType": "Bundle", "type": "transaction"}))
        while worker.starts == 0:
            await asyncio.sleep(0.01)
        process = worker._process
        sending.cancel()
        await asyncio.wait([sending])
        assert sending.cancelled()
        await worker.stop()
        assert process.returncode is not None

    asyncio.run(main())
    silent.close()


HUNG = """
import threading
from edge_agent.ops import service
from edge_agent.store.store import Store
service.GIVE_UP_S = 0.1
Store.close = lambda self: threading.Event().wait()
"""


def test_a_disk_that_does_not_answer_holds_up_no_end(tmp_path):
    kit = Kit(tmp_path)
    words = [sys.executable, "-c", HUNG + CHILD, "agent", "run", "--config", written(kit, "/dev/ttyNONE")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as agent:
        wait_until(lambda: kit.status["state"] == "running", "it runs")
        agent.send_signal(signal.SIGTERM)
        _, told = agent.communicate(timeout=PATIENCE_S)
    assert agent.returncode == 1 and "it ends as by a power cut" in told.splitlines()[-1]
    # Nobody holds its lock.
    with Running(kit.config()):
        pass

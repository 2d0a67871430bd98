"""The bus bridge, both ends: drivers over a unix socket, over a pty, and on a bad line."""

import os
import pty
import random
import socket
import threading
import time
import tty
from array import array
from collections.abc import Iterator

import pytest
import serial

from boards.virtual.bench import Bench
from boards.virtual.bridge import serve_serial, serve_socket
from boards.virtual.patient import make_patient
from boards.virtual.remote_bus import Bridge, RemoteI2C, RemoteSPI
from drivers.errors import BusError
from drivers.max30003 import DATA_SHIFT, Max30003
from drivers.max30102 import Max30102
from tests.boards.bridge_line import PATIENCE_S, FdStream, ticks_diff, ticks_ms


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
        "source_ecg": 2, "source_ppg": 2, "source_cuff": 2, "speed": 1.0,
        "label": "synthetic: ECG, pulse wave and arm from models",
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
    assert RemoteI2C(bridge).scan() == [0x18, 0x36, 0x57]
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

"""The virtual node's rig, with a node of a few lines in place of the firmware."""

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import serial

from boards.virtual.rig import RigError, VirtualNode, find_micropython
from drivers.max30003 import DATA_SHIFT

ROOT = Path(__file__).resolve().parents[2]
# For whatever a test waits for. Normally that takes a moment; on a busy machine it takes as long as it takes.
PATIENCE_S = 60.0


def wait_until(fact: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.02)


def vm_or_skip() -> str:
    try:
        return find_micropython()
    except RigError as e:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(e))


class Reader:
    """Lines from the node's serial port."""

    def __init__(self, port: str) -> None:
        self.serial = serial.serial_for_url(port, timeout=0.05)
        self.lines: list[list[str]] = []
        self._rest = b""

    def pump(self) -> None:
        self._rest += self.serial.read(4096)
        *whole, self._rest = self._rest.split(b"\n")
        self.lines += [line.decode().split() for line in whole]

    def until(self, wanted: Callable[[list[list[str]]], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not wanted(self.lines):
            assert time.monotonic() < end, self.lines[-5:]
            self.pump()

    def silence(self) -> None:
        """Read until there is nothing more to read."""
        held = None
        while held != (held := (len(self.lines), len(self._rest))):
            self.pump()

    def values(self, kind: str, skip: int) -> list[int]:
        return [int(v) for line in self.lines if line and line[0] == kind for v in line[1 + skip :]]


@pytest.fixture
def build(tmp_path: Path) -> Path:
    tree = tmp_path / "build"
    tree.mkdir()
    shutil.copy(Path(__file__).with_name("tiny_node.py"), tree / "main.py")
    for room in ("boards", "drivers"):
        (tree / room).symlink_to(ROOT / room)
    return tree


@pytest.fixture
def make(build: Path, tmp_path: Path) -> Iterator[Callable[..., tuple[VirtualNode, Reader]]]:
    vm = vm_or_skip()
    opened: list[tuple[VirtualNode, Reader]] = []

    def start(**options: object) -> tuple[VirtualNode, Reader]:
        node = VirtualNode(build, tmp_path / "flash", log=tmp_path / "stderr", micropython=vm, **options)  # type: ignore[arg-type]
        reader = Reader(node.port)
        opened.append((node, reader))
        node.start()
        return node, reader

    yield start
    for node, reader in opened:
        node.close()
        reader.serial.close()
    log = tmp_path / "stderr"
    assert not log.exists() or "Traceback" not in log.read_text()


def count(kind: str, n: int) -> Callable[[list[list[str]]], bool]:
    return lambda lines: sum(line[:1] == [kind] for line in lines) >= n


def test_a_node_lives_and_stops_in_order(make: Callable[..., tuple[VirtualNode, Reader]]) -> None:
    # Not the wall's clock: with any other, a host that hesitates lets no FIFO run over.
    node, reader = make(hr_bpm=66, speed=1.5)
    reader.until(count("ecg", 20))
    assert node.running and "synthetic" in node.label and (node.source_ecg, node.source_ppg) == (2, 2)
    assert node.stop() == 0
    reader.until(count("stopped", 1))
    assert not node.running
    assert reader.lines[0] == ["boot", "1", "-", "True"]
    assert reader.lines[-1] == ["stopped", "0"]
    got = reader.values("ecg", 1)
    assert len(got) > 150
    assert got == [code >> DATA_SHIFT for code in node.fifo_log.ecg.codes]
    assert reader.values("ppg", 0) == list(node.fifo_log.ppg.red)


def test_time_can_run_fast_and_ticks_wrap(make: Callable[..., tuple[VirtualNode, Reader]]) -> None:
    node, reader = make(speed=8)

    def steps() -> list[int]:
        ticks = [int(line[1]) for line in reader.lines if line[0] == "ecg"]
        return [(b - a) & ((1 << 30) - 1) for a, b in pairwise(ticks)]

    reader.until(count("ecg", 150))
    # A host that is busy holds the node up. Sooner or later it lets it run.
    begun, at, fast = time.monotonic(), 150, False
    while not fast:
        wall = time.monotonic()
        assert wall < begun + PATIENCE_S, "never faster than the wall"
        reader.until(count("ecg", at + 100))
        fast = sum(steps()[at : at + 99]) / 1e6 > 2 * (time.monotonic() - wall)
        at = len(steps())
    assert node.stop() == 0
    reader.until(count("stopped", 1))
    assert reader.lines[-1] == ["stopped", "0"]  # no FIFO overflowed
    ticks = [int(line[1]) for line in reader.lines if line[0] == "ecg"]
    assert any(b < a for a, b in pairwise(ticks))  # 5 s in, they wrapped
    assert all(40_000 <= s < 128_000 for s in steps()), max(steps())
    node_s = sum(steps()) / 1e6
    assert len(node.fifo_log.ecg.codes) == pytest.approx(250 * node_s, rel=0.02, abs=40)


def test_resets_and_their_causes(make: Callable[..., tuple[VirtualNode, Reader]]) -> None:
    node, reader = make()
    reader.until(count("ecg", 3))
    node.reset()
    reader.until(count("boot", 2))
    node.bench.pins["RESET"] = 1  # the node resets itself
    reader.until(count("boot", 3))
    node.reset(hard=False)
    reader.until(count("boot", 4))
    node.bench.pins["HANG"] = 1
    reader.until(lambda lines: count("boot", 4)(lines) and lines[-1][0] != "boot")
    node.bench.pins["HANG"] = 1
    reader.until(lambda lines: node.resets >= 4)
    node.bench.pins["HANG"] = 0
    reader.until(count("boot", 5))
    reader.until(lambda lines: lines[-1][0] != "boot")
    node.power_cycle()
    reader.until(lambda lines: ["boot", "1", "-", "True"] in lines[1:])
    boots = [line[1:3] for line in reader.lines if line[0] == "boot"]
    assert boots[0] == ["1", "-"]
    assert boots[1] == ["2", "remembered"]
    assert boots[2] == ["2", "remembered"]
    assert boots[3] == ["5", "remembered"]
    assert boots[4] == ["3", "remembered"]
    assert boots[-1] == ["1", "-"]


def test_a_pulled_cable_loses_bytes_and_nothing_else(make: Callable[..., tuple[VirtualNode, Reader]]) -> None:
    node, reader = make(speed=1.5)
    tapped: list[bytes] = []
    node.cable.tap = tapped.append
    reader.until(count("ecg", 5))
    node.unplug()
    wait_until(lambda: node.cable.dropped > 500)  # nothing is on its way from before
    reader.silence()
    before, dropped = len(reader.lines), node.cable.dropped
    wait_until(lambda: node.cable.dropped > dropped + 500)
    reader.silence()
    assert len(reader.lines) == before
    assert node.running
    node.replug()
    reader.until(lambda lines: len(lines) > before + 10)
    assert node.stop() == 0
    wait_until(lambda: b"\nstopped" in b"".join(tapped))
    whole = b"".join(tapped).decode().split("\n")
    told = [int(v) for line in whole if line.startswith("ecg") for v in line.split()[2:]]
    log = [code >> DATA_SHIFT for code in node.fifo_log.ecg.codes]
    assert told == log[len(log) - len(told) :]


def test_nobody_reading_does_not_hold_the_node_up(make: Callable[..., tuple[VirtualNode, Reader]]) -> None:
    node, _reader = make(speed=20)
    codes = node.fifo_log.ecg.codes
    wait_until(lambda: node.cable.dropped > 0)  # every buffer is full
    full = len(codes)
    wait_until(lambda: len(codes) > full + 2000)


def test_killed_is_dead_and_close_is_idempotent(make: Callable[..., tuple[VirtualNode, Reader]]) -> None:
    node, reader = make()
    reader.until(count("boot", 1))
    node.kill()
    assert not node.running and node.exit_code == -9
    time.sleep(0.3)
    assert not node.running
    node.close()
    node.close()


def test_a_node_that_died_by_itself_says_so(make: Callable[..., tuple[VirtualNode, Reader]]) -> None:
    node, reader = make()
    reader.until(count("boot", 1))
    assert not node.died and node.pid is not None
    os.kill(node.pid, signal.SIGKILL)
    wait_until(lambda: node.died)
    assert node.exit_code == -9 and node.stop() == -9
    node.power_cycle()
    reader.until(count("boot", 2))
    assert not node.died and node.stop() == 0 and not node.died


def test_a_flash_that_cannot_be_kept_is_said_clearly(build: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    node = VirtualNode(build, tmp_path / "file" / "flash", micropython=vm_or_skip())
    with pytest.raises(RigError, match="no flash can be kept"), node:
        pass


def test_a_node_without_its_host_ends(make: Callable[..., tuple[VirtualNode, Reader]]) -> None:
    node, reader = make()
    reader.until(count("ecg", 2))
    process, (_, bridge) = node._process, node._connections[0]
    assert process is not None
    node._holding = True
    bridge.shutdown(socket.SHUT_RDWR)
    assert process.wait(PATIENCE_S) == 0


def test_a_tree_without_main_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(RigError, match="vitalwire build --board virtual"):
        VirtualNode(tmp_path, tmp_path / "flash")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # wfdb writes through pandas
def test_recordings_are_named(make: Callable[..., tuple[VirtualNode, Reader]], tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    import numpy as np

    mv = np.sin(np.arange(7200) / 30)
    wfdb.wrsamp(
        "rec",
        360,
        ["mV"],
        ["MLII"],
        mv[:, None],
        fmt=["16"],
        adc_gain=[1000.0],
        baseline=[0],
        write_dir=str(tmp_path),
    )
    node, reader = make(record=tmp_path / "rec", speed=1.5)
    # A period and more of the sine: a busy host may leave gaps.
    reader.until(lambda _: max(reader.values("ecg", 1), default=0) >= 1000 / 3.052 - 8)
    assert (node.source_ecg, node.source_ppg) == (1, 2)
    assert "rec MLII" in node.label and "detector" in node.label
    assert max(reader.values("ecg", 1)) == pytest.approx(1000 / 3.052, abs=8)

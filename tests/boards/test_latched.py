"""What the pins of a node do, and the cuff with them, when its VM ends, hangs or restarts while it pumps."""

import select
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boards.virtual.bench import Bench
from boards.virtual.patient import make_patient
from boards.virtual.pneumatics import MONOSTABLE_MS
from boards.virtual.rig import RigError, VirtualNode
from boards.virtual.watchdog import MAX_LAP_S, FairTime, Watchdog
from tests.boards.test_rig import ROOT, Reader, vm_or_skip, wait_until

PUMP, SUPPLY, BUZZER = 2, 3, 4  # in a row of the pneumatics' history
OUTPUTS = ("PUMP", "VALVE", "RELEASE", "ARM")


@pytest.fixture
def pumping(tmp_path: Path) -> Iterator[Callable[..., tuple[VirtualNode, Reader]]]:
    """A node that has begun to inflate the cuff."""
    opened: list[tuple[VirtualNode, Reader]] = []
    tree = tmp_path / "build"
    tree.mkdir()
    shutil.copy(Path(__file__).with_name("cuff_node.py"), tree / "main.py")
    for room in ("boards", "drivers"):
        (tree / room).symlink_to(ROOT / room)

    def start(speed: float) -> tuple[VirtualNode, Reader]:
        vm = vm_or_skip()
        node = VirtualNode(tree, tmp_path / "flash", speed=speed, log=tmp_path / "log", micropython=vm)
        reader = Reader(node.port)
        opened.append((node, reader))
        node.start()
        reader.until(lambda lines: ["boot", "1"] in lines)
        node.bench.pins["GO"] = 1
        wait_until(lambda: node.bench.cuff_mmhg > 30)
        node.bench.pins["GO"] = 0
        # At the wall's speed a host that holds the VM up lets the supply lapse for a moment.
        wait_until(lambda: node.bench.pump_running and not node.bench.sounding)
        return node, reader

    yield start
    for node, reader in opened:
        node.close()
        reader.serial.close()
    log = tmp_path / "log"
    assert not log.exists() or "Traceback" not in log.read_text()


def latched(node: VirtualNode) -> bool:
    return all(node.bench.pins[name] for name in OUTPUTS)


def fallen(node: VirtualNode) -> bool:
    return not any(node.bench.pins[name] for name in OUTPUTS)


@contextmanager
def no_bite(node: VirtualNode) -> Iterator[None]:
    """However slow the host: the watchdog's time does not run out, and it is not biting, meanwhile."""
    with node._lock:
        yield


def unheard(node: VirtualNode) -> int:
    """The world's time, once nothing is on its way any more that the VM has asked for."""
    wait_until(lambda: not select.select([end for _, end in node._connections], [], [], 0)[0])
    with node.bench.moment() as now_us:
        return now_us


def vents_and_shouts(node: VirtualNode, done_us: int) -> None:
    """The pump stands within the monostable's time of what had happened by `done_us`, and the air goes."""

    def shouts() -> list[int]:
        history = node.bench.cuff_history(0)
        pumped_us = max(row[0] for row in history if row[PUMP])
        return [row[0] for row in history if row[0] > pumped_us and row[BUZZER]]

    wait_until(shouts)
    assert shouts()[0] <= done_us + MONOSTABLE_MS * 1000 + 50_000
    wait_until(lambda: node.bench.cuff_mmhg < 5)


def test_a_vm_that_ends_leaves_its_pins_and_loses_its_supply(pumping) -> None:
    node, reader = pumping(8)
    with no_bite(node):
        node.crash()
        assert latched(node) and not node.running and not node.died
    vents_and_shouts(node, unheard(node))
    # Then the watchdog, which the VM had fed, resets the chip.
    reader.until(lambda lines: ["boot", "3"] in lines)
    assert fallen(node) and not node.bench.sounding and node.resets == 1


@pytest.mark.parametrize("speed", [1, 8])
def test_a_hang_ends_by_the_watchdog(pumping, speed: int) -> None:
    node, reader = pumping(speed)
    with no_bite(node):
        node.hang()
        assert latched(node)
    vents_and_shouts(node, unheard(node))
    reader.until(lambda lines: ["boot", "3"] in lines)
    assert fallen(node) and not node.bench.sounding


def test_a_hang_that_ends_in_time_is_survived(pumping) -> None:
    node, _ = pumping(4)
    with no_bite(node):
        node.hang()
        time.sleep(0.03)
        node.go_on()
    wait_until(lambda: node.bench.cuff_mmhg > 60)
    assert node.resets == 0 and node.stop() == 0


def test_a_timer_comes_although_tasks_hang_until_the_watchdog_bites(pumping) -> None:
    node, reader = pumping(8)
    began_us = node.bench.clock.now_us()
    node.bench.pins["LOOP"] = 1
    wait_until(lambda: node.bench.clock.now_us() > began_us + 2_000_000 or node.resets)
    with no_bite(node):
        after = [row[SUPPLY] for row in node.bench.cuff_history(began_us)]
        bitten = node.resets > 0
    assert after[0] and (bitten or all(after))
    reader.until(lambda lines: ["boot", "3"] in lines)
    assert fallen(node)


def test_a_soft_reset_changes_no_pin_and_a_hard_one_all(pumping) -> None:
    node, reader = pumping(8)
    node.soft_reset()
    done_us = node.bench.clock.now_us()
    reader.until(lambda lines: ["boot", "5"] in lines)
    assert latched(node)
    vents_and_shouts(node, done_us)
    node.reset()
    assert fallen(node) and not node.bench.sounding


def test_without_power_nothing_is_held(pumping) -> None:
    node, _ = pumping(8)
    node.kill()
    assert fallen(node) and not node.bench.pump_running and not node.bench.sounding
    wait_until(lambda: node.bench.cuff_mmhg < 5)


def test_hands_press_the_button_and_pull_chips() -> None:
    bench = Bench(make_patient(), speed=100)
    with bench.moment():
        bench.press(0.5)
        assert bench.read_pin("BUTTON") == 1
    wait_until(lambda: bench.clock.now_us() > 600_000)
    with bench.moment():
        assert bench.read_pin("BUTTON") == 0
    bench.pins["BUTTON"] = 1
    assert bench.read_pin("BUTTON") == 1
    for role, chip in bench.chips.items():
        bench.unplug(role)
        assert not chip.present
        bench.replug(role)
        assert chip.present


def test_a_watchdog_counts_only_time_that_the_node_could_use() -> None:
    dog = Watchdog()
    assert not dog.elapse(100), "asleep"
    dog.feed(1000)
    assert not dog.elapse(0.9) and dog.elapse(0.2)
    dog.feed(1000)
    dog.feed(0)
    assert not dog.elapse(100)
    fair = FairTime()
    fair.lap(None)
    time.sleep(MAX_LAP_S * 2)
    assert fair.lap(None) == MAX_LAP_S


def test_a_process_without_a_cpu_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"stat": "7 (a) b) S 1", "schedstat": "5 1000000000 3"}
    monkeypatch.setattr(Path, "read_text", lambda self: said[self.name])
    fair = FairTime()
    assert 0 < fair.lap(7) <= MAX_LAP_S, "what it waited for before nobody knows"
    said["schedstat"] = "5 1900000000 4"
    time.sleep(0.05)
    assert fair.lap(7) == 0
    time.sleep(0.05)
    assert fair.lap(7) >= 0.05
    said["stat"] = "7 (a) b) D 1"
    assert fair.lap(7) == 0


def test_who_is_not_there_cannot_be_told_to_go_on(pumping) -> None:
    node, _ = pumping(8)
    node.kill()
    node.hang()
    node.go_on()
    with pytest.raises(RigError):
        VirtualNode(Path("/nowhere"), Path("/nowhere"))

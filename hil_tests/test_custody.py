"""From the chip's FIFO to a signed receipt: sample for sample, and through every kind of fault."""

import itertools
import time
from statistics import median

import pytest

from boards.virtual.rig import VirtualNode
from hil_tests.stack import Stack
from protocol.frames import CH_ECG, CH_PPG_IR, CH_PPG_RED

ECG_SHIFT = 3  # the MAX30003 driver gives the upper 15 of the chip's 18 bits (docs/wire-protocol.md: LSB)


@pytest.fixture
def running(make_node, make_stack) -> tuple[VirtualNode, Stack]:
    """A paired node that has delivered its first frames."""
    node = make_node().start()
    stack = make_stack(node)
    stack.wait_delivered(10)
    return node, stack


def finish(node: VirtualNode, stack: Stack) -> dict:
    """Orderly stop; everything delivered; everything verifies. The last ledger."""
    node.stop()
    ledger = stack.wait_settled()
    stack.assert_sound()
    return ledger


def lives_on(node: VirtualNode, seconds: float) -> None:
    """Let the node sample for so long."""
    until_s = node.world_s() + seconds
    while node.world_s() < until_s:
        assert node.running
        time.sleep(0.1)


def joined(waves: list[dict]) -> list[int]:
    return [sample for wave in waves for sample in wave["samples"]]


def test_what_arrives_is_what_the_driver_read(running: tuple[VirtualNode, Stack]) -> None:
    node, stack = running
    lives_on(node, 8)
    ledger = finish(node, stack)
    name = ledger["rows"][0]["node"]
    assert ledger["totals"]["delivered"] == ledger["totals"]["produced"]
    ecg = stack.waves(name, CH_ECG)
    assert len(joined(ecg)) + sum(wave["missed"] for wave in ecg) > 2000
    assert joined(ecg) == [code >> ECG_SHIFT for code in node.fifo_log.ecg.codes]
    assert joined(stack.waves(name, CH_PPG_RED)) == node.fifo_log.ppg.red.tolist()
    assert joined(stack.waves(name, CH_PPG_IR)) == node.fifo_log.ppg.infrared.tolist()
    # Where the host stalls, the chip runs over: what is missing is stated, and the frames still follow each
    # other in time. A gap's length is an estimate, as good as the two drains around it.
    steps = [
        abs(b["t_us"] - a["t_us"] - (len(a["samples"]) + b["missed"]) * a["period_ns"] / 1000)
        for a, b in itertools.pairwise(ecg)
    ]
    assert median(steps) < 2_000 and max(steps) < 30_000, "frames do not follow each other in time"


def test_a_pulled_cable(running: tuple[VirtualNode, Stack]) -> None:
    node, stack = running
    before = stack.ledger()["totals"]["delivered"]
    node.unplug()
    lives_on(node, 20)
    node.replug()
    stack.wait_delivered(before + 60)
    ledger = finish(node, stack)
    assert ledger["totals"]["delivered"] == ledger["totals"]["produced"], "20 s fit into the node's RAM"


def test_an_agent_killed(running: tuple[VirtualNode, Stack]) -> None:
    node, stack = running
    stack.kill("agent")
    lives_on(node, 5)
    before = stack.ledger()["totals"]["delivered"]
    stack.start_agent()
    stack.wait_delivered(before + 20)
    ledger = finish(node, stack)
    assert ledger["totals"]["delivered"] == ledger["totals"]["produced"]


def test_a_broker_killed(running: tuple[VirtualNode, Stack]) -> None:
    node, stack = running
    stack.kill("broker")
    lives_on(node, 6)
    # Without a broker nothing can have a receipt.
    stack.wait_until("frames pending", lambda: stack.ledger()["totals"]["pending"] > 20)
    before = stack.ledger()["totals"]
    stack.start_broker()
    stack.wait_delivered(before["produced"] + 10)
    ledger = finish(node, stack)
    assert ledger["totals"]["delivered"] == ledger["totals"]["produced"]


def test_a_collector_killed_and_started_again(running: tuple[VirtualNode, Stack]) -> None:
    node, stack = running
    stack.kill("collector")
    lives_on(node, 5)
    before = stack.ledger()["totals"]
    stack.start_collector()
    stack.wait_delivered(before["produced"] + 10)
    ledger = finish(node, stack)
    assert ledger["totals"]["delivered"] == ledger["totals"]["produced"]


@pytest.mark.parametrize("how", ["reset", "power_cycle"])
def test_a_node_reset(running: tuple[VirtualNode, Stack], how: str) -> None:
    node, stack = running
    getattr(node, how)()
    stack.wait_until("a second boot", lambda: len(stack.ledger()["rows"]) == 2)
    stack.wait_until(
        "frames of the second boot delivered", lambda: stack.ledger()["rows"][1]["delivered"] >= 20
    )
    ledger = finish(node, stack)
    first, second = ledger["rows"]
    assert first["bound_s"] is not None and first["clean"] is False
    assert second["delivered"] == second["produced"]
    assert first["delivered"] + first["lost_at_reset"] == first["produced"]


def test_an_unplugged_node_that_is_reset_says_what_went_with_its_ram(
    running: tuple[VirtualNode, Stack],
) -> None:
    node, stack = running
    node.unplug()
    lives_on(node, 6)
    node.reset()
    node.replug()
    stack.wait_until("a second boot", lambda: len(stack.ledger()["rows"]) == 2)
    stack.wait_until(
        "frames of the second boot delivered", lambda: stack.ledger()["rows"][1]["delivered"] >= 10
    )
    ledger = finish(node, stack)
    assert ledger["rows"][0]["lost_at_reset"] > 5, "six seconds of frames were in RAM only"

"""A cuff on a virtual arm: measured by the button, and what becomes of it when something fails meanwhile.

What happened is judged on the arm itself: by the air in the cuff, the pump and the buzzer, not by what the
node says of them.
"""

from collections.abc import Callable

import pytest

from boards.virtual.rig import VirtualNode
from hil_tests.duts import NodeDut
from hil_tests.listener import Listener, decoded
from protocol import frames

pytestmark = [
    pytest.mark.parametrize("embedded_services", ["serial"], indirect=True),
    pytest.mark.patient(speed=8, bp_mmhg=(128.0, 82.0)),
]
PA_PER_MMHG = 133.322
TOLERANCE_MMHG = 8
HIGHEST_MMHG = 300
EMPTY_MMHG = 15
PUMP_OFF_US = 1_000_000
SHOUTED_US = 5_000_000
DEFLATED_US = 180_000_000
MMHG, PUMP, BUZZER = 1, 2, 4  # in a row of the cuff's history


@pytest.fixture
def pressed(virtual: None, dut: NodeDut, board: VirtualNode) -> Listener:
    """A paired node whose button somebody has just pressed."""
    listener = Listener(dut)
    listener.until("the first reading", lambda: listener.of(frames.KIND_VITALS))
    board.press()
    return listener


def inflate(listener: Listener, board: VirtualNode, mmhg: float) -> None:
    """Wait until the pump has brought the cuff there."""
    listener.until(f"{mmhg:g} mmHg in the cuff", lambda: board.bench.cuff_mmhg > mmhg)


def judge(
    listener: Listener, board: VirtualNode, at_us: int, done_us: int | None = None, shouted: bool = True
) -> None:
    """Of what has failed at `at_us`, or between that and `done_us`: the pump stands within 1 s, it is shouted
    within 5, the cuff empties, in its time, never above 300 mmHg.
    """
    bench = board.bench
    failed_us = at_us if done_us is None else done_us

    def since(what: int) -> list[int]:
        return [row[0] for row in bench.cuff_history(at_us) if row[what]]

    if shouted:
        first_us = listener.until("a shout", lambda: since(BUZZER))[0]
        assert first_us - failed_us <= SHOUTED_US

    def empty() -> list[int]:
        return [row[0] for row in bench.cuff_history(at_us) if row[0] > at_us and row[MMHG] < EMPTY_MMHG]

    # The history is written now and then: the cuff may be empty before a row of it says so.
    empty_us = listener.until("an empty cuff", empty)[0]
    rows = bench.cuff_history(0)
    began_us = next(row[0] for row in rows if row[PUMP])
    assert max([at_us, *since(PUMP)]) - failed_us <= PUMP_OFF_US
    assert max(row[MMHG] for row in rows) < HIGHEST_MMHG
    assert empty_us - began_us < DEFLATED_US


def result(listener: Listener) -> dict[int, int]:
    return listener.until("a bp frame", lambda: listener.of(frames.KIND_BP), 180)[-1][2]


def test_the_button_gives_the_blood_pressure_and_its_wave(pressed: Listener, board: VirtualNode) -> None:
    bp = result(pressed)
    assert bp[frames.BP_RESULT] == frames.BP_MEASURED, bp
    assert bp[frames.BP_SYSTOLIC] / 10 == pytest.approx(128, abs=TOLERANCE_MMHG)
    assert bp[frames.BP_DIASTOLIC] / 10 == pytest.approx(82, abs=TOLERANCE_MMHG)
    assert bp[frames.BP_DIASTOLIC] < bp[frames.BP_MEAN] < bp[frames.BP_SYSTOLIC]
    assert bp[frames.BP_PULSE] / 10 == pytest.approx(board.patient.heart.hr_bpm, abs=4)  # type: ignore[union-attr]
    assert (bp[frames.BP_REASON], bp[frames.SOURCE]) == (frames.REASON_BUTTON, frames.SRC_SYNTHETIC)
    waves = pressed.wave(frames.CH_CUFF)
    assert {body[frames.WAVE_MEASUREMENT] for body in waves} == {bp[frames.BP_NUMBER]}
    assert {body[frames.SOURCE] for body in waves} == {frames.SRC_SYNTHETIC}
    lsb, period_ns = waves[0][frames.WAVE_LSB], waves[0][frames.WAVE_PERIOD_NS]
    mmhg = [sample * lsb / PA_PER_MMHG for sample in decoded(waves)]
    assert len(mmhg) * period_ns / 1e9 > 20, "the whole of it"
    assert max(mmhg) == pytest.approx(bp[frames.BP_PEAK] / 10, abs=2)
    assert max(mmhg) == pytest.approx(max(row[MMHG] for row in board.bench.cuff_history(0)), abs=3)
    pressed.until("an empty cuff", lambda: board.bench.cuff_mmhg < EMPTY_MMHG)
    assert board.resets == 0 and not board.bench.sounding
    # A hand on the button ends the next one.
    since = len(pressed.frames)
    board.press()
    inflate(pressed, board, 60)
    at_us = board.bench.clock.now_us()
    board.press()
    done_us = board.bench.clock.now_us()
    pressed.until("cancelled", lambda: pressed.of(frames.KIND_BP, since))
    assert pressed.of(frames.KIND_BP, since)[0][2][frames.BP_RESULT] == frames.BP_CANCELLED
    judge(pressed, board, at_us, done_us, shouted=False)


def leak(board: VirtualNode) -> None:
    board.bench.pneumatics.leak_ml_s_mmhg = 0.3


def lost(board: VirtualNode) -> None:
    board.bench.unplug("cuff")


def stuck(board: VirtualNode) -> None:
    board.bench.cuff.stuck = board.bench.cuff._raw  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("fails", "refusals"),
    [
        (leak, {frames.BP_LEAK, frames.BP_NO_CUFF, frames.BP_TIMEOUT}),
        (lost, {frames.BP_SENSOR_FAULT}),
        (stuck, {frames.BP_SENSOR_FAULT}),
    ],
)
def test_a_fault_while_it_inflates_ends_it_by_name(
    pressed: Listener, board: VirtualNode, fails: Callable[[VirtualNode], None], refusals: set[int]
) -> None:
    inflate(pressed, board, 80)
    with board.bench.moment() as at_us:
        fails(board)
    bp = result(pressed)
    assert bp[frames.BP_RESULT] in refusals, bp
    if fails is leak:
        at_us = max(row[0] for row in board.bench.cuff_history(at_us) if row[PUMP])
    judge(pressed, board, at_us)
    assert board.resets == 0


def test_a_valve_that_sticks_shut_leaves_the_second_way_out(pressed: Listener, board: VirtualNode) -> None:
    inflate(pressed, board, 80)
    with board.bench.moment():
        board.bench.pneumatics.valve_stuck = "shut"  # type: ignore[assignment]
    result(pressed)
    judge(pressed, board, max(row[0] for row in board.bench.cuff_history(0) if row[PUMP]), shouted=False)


@pytest.mark.parametrize("what", ["crash", "hang", "soft_reset"])
def test_a_vm_that_ends_or_hangs_lets_the_air_go(pressed: Listener, board: VirtualNode, what: str) -> None:
    inflate(pressed, board, 100)
    since = len(pressed.frames)
    at_us = board.bench.clock.now_us()
    getattr(board, what)()
    # The world goes on meanwhile, eight times as fast as the host.
    judge(pressed, board, at_us, board.bench.clock.now_us(), shouted=what != "soft_reset")
    pressed.until("another boot", lambda: pressed.of(frames.KIND_BOOT, since))
    cause = pressed.of(frames.KIND_BOOT, since)[0][2][frames.BOOT_RESET_CAUSE]
    assert cause == (frames.RESET_SOFT if what == "soft_reset" else frames.RESET_WATCHDOG)
    assert not any(board.bench.pins[name] for name in ("PUMP", "VALVE", "RELEASE", "ARM"))
    pressed.until("quiet", lambda: not board.bench.sounding)


def test_on_the_charger_no_cuff_is_inflated(virtual: None, dut: NodeDut, board: VirtualNode) -> None:
    listener = Listener(dut)
    board.bench.pins["CHARGING"] = 1
    listener.until("the first reading", lambda: listener.of(frames.KIND_VITALS))
    board.press()
    until_us = board.bench.clock.now_us() + 40_000_000
    listener.until("40 s", lambda: board.bench.clock.now_us() > until_us)
    assert not any(row[PUMP] for row in board.bench.cuff_history(0))

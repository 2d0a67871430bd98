"""Electrodes and fingers that come off in the middle, and chips that are pulled and put back."""

import pytest

from boards.virtual.rig import VirtualNode
from hil_tests.duts import NodeDut
from hil_tests.listener import Listener
from protocol import frames

pytestmark = [
    pytest.mark.parametrize("embedded_services", ["serial"], indirect=True),
    pytest.mark.patient(speed=6),
]
ALARM_S = 30  # leads or finger off in watch mode


@pytest.fixture
def measuring(virtual: None, dut: NodeDut) -> Listener:
    """A paired node that has both rates and SpO2."""
    listener = Listener(dut)
    wanted = {frames.VITALS_HR, frames.VITALS_SPO2, frames.VITALS_PULSE}
    listener.until("all readings", lambda: listener.vitals(0, lambda body: wanted <= body.keys()))
    return listener


@pytest.mark.watching
def test_electrodes_come_off_and_are_put_back(measuring: Listener, board: VirtualNode) -> None:
    since = len(measuring.frames)
    off_us = board.bench.clock.now_us()
    board.patient.lead_off = True
    measuring.until("lead off", lambda: measuring.event(frames.EVENT_LEAD_OFF, since))
    measuring.until(
        "no heart rate, and why",
        lambda: measuring.vitals(
            since,
            lambda body: (
                frames.VITALS_HR not in body
                and body.get(frames.VITALS_FLAGS, 0) & frames.VITALS_LEAD_OFF
                and frames.VITALS_SPO2 in body
            ),
        ),
    )
    measuring.until(
        "the wave says so",
        lambda: any(
            body.get(frames.WAVE_FLAGS, 0) & frames.WAVE_OFF for body in measuring.wave(frames.CH_ECG, since)
        ),
    )
    alarm = measuring.until(
        "an alarm of low priority",
        lambda: measuring.event(
            frames.EVENT_LEAD_OFF, since, priority=frames.PRIORITY_LOW, state=frames.STATE_BEGAN
        ),
    )
    # The node counts in whole seconds.
    assert board.bench.clock.now_us() - off_us >= (ALARM_S - 2) * 1_000_000 and alarm[frames.EVENT_ALARM]
    measuring.until("the light", lambda: board.bench.pins["LED_CYAN"])
    since = len(measuring.frames)
    board.patient.lead_off = False
    measuring.until("lead on", lambda: measuring.event(frames.EVENT_LEAD_ON, since))
    measuring.until(
        "a heart rate again", lambda: measuring.vitals(since, lambda body: frames.VITALS_HR in body)
    )
    measuring.until(
        "the alarm's end",
        lambda: measuring.event(frames.EVENT_LEAD_OFF, since, state=frames.STATE_ENDED),
    )
    measuring.until("green", lambda: board.bench.pins["LED_GREEN"] and not board.bench.pins["LED_CYAN"])


def test_the_finger_is_taken_off_and_put_back(measuring: Listener, board: VirtualNode) -> None:
    since = len(measuring.frames)
    board.patient.finger_off = True
    measuring.until("finger off", lambda: measuring.event(frames.EVENT_FINGER_OFF, since))
    measuring.until(
        "no SpO2, and why",
        lambda: measuring.vitals(
            since,
            lambda body: (
                frames.VITALS_SPO2 not in body
                and frames.VITALS_PULSE not in body
                and body.get(frames.VITALS_FLAGS, 0) & frames.VITALS_NO_FINGER
                and frames.VITALS_HR in body
            ),
        ),
    )
    assert not measuring.event(frames.EVENT_FINGER_OFF, since, state=frames.STATE_BEGAN), "only when watching"
    since = len(measuring.frames)
    board.patient.finger_off = False
    measuring.until("finger on", lambda: measuring.event(frames.EVENT_FINGER_ON, since))
    measuring.until("SpO2", lambda: measuring.vitals(since, lambda body: frames.VITALS_SPO2 in body))


@pytest.mark.parametrize(
    ("role", "part", "reading"),
    [
        ("ecg", "MAX30003", frames.VITALS_HR),
        ("ppg", "MAX30102", frames.VITALS_SPO2),
        ("gauge", "MAX17048", 0),
    ],
)
def test_a_chip_is_pulled_and_put_back(
    measuring: Listener, board: VirtualNode, role: str, part: str, reading: int
) -> None:
    since = len(measuring.frames)
    # A data line that floats high reads as overflow upon overflow, which is harder to tell than zeros.
    board.bench.unplug(role, line=0xFF)
    fault = measuring.until("a fault", lambda: measuring.event(frames.EVENT_SENSOR_FAULT, since))
    assert part in fault[frames.EVENT_TEXT]
    if reading:
        measuring.until(
            "no reading of it, but of the others",
            lambda: measuring.vitals(since, lambda body: reading not in body and len(body) > 2),
        )
    since = len(measuring.frames)
    board.bench.replug(role)
    measuring.until("recovery", lambda: measuring.event(frames.EVENT_SENSOR_RECOVERED, since))
    wanted = {frames.VITALS_HR, frames.VITALS_SPO2, frames.VITALS_PULSE}
    measuring.until("all readings", lambda: measuring.vitals(since, lambda body: wanted <= body.keys()))
    assert board.resets == 0

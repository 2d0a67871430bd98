"""Who may start and stop a measurement: the button, a request from afar, a repeat; what forbids it, and what
a press is for while something else goes on.
"""

import gc

from firmware.cuff import CONSENT_MS
from protocol import frames
from tests.both.cuff_world import bp, measured, rested, started


def setup_module():
    if hasattr(gc, "threshold"):
        # The plant calculates with floats, which are objects.
        gc.threshold(100000)


COMMAND = b"\1\2\3\4\5\6\7\x08"


def test_without_a_cuff_size_nothing_is_inflated():
    world = rested()
    world.node.settings.cuff_size = 0
    body = bp(world)
    assert body[frames.BP_RESULT] == frames.BP_NO_CUFF_SIZE and world.highest() < 1


def test_while_charging_nothing_is_inflated():
    world = rested()
    world.charging = True
    assert world.feature.request(frames.REASON_REPEAT) == frames.RESULT_INTERLOCK
    world.press()
    world.run(10)
    assert world.results() == [] and world.highest() < 1
    world.node.board.config["node"]["isolated"] = True
    assert bp(world)[frames.BP_RESULT] == 0


def test_a_plug_that_comes_while_it_waits():
    world = rested()
    world.feature.request(frames.REASON_COMMAND, COMMAND)
    world.charging = True
    assert bp(world)[frames.BP_RESULT] == frames.BP_INTERLOCK and world.highest() < 1


def test_a_request_from_afar_wants_the_button():
    world = rested()
    assert world.feature.request(frames.REASON_COMMAND, COMMAND, frames.CUFF_LARGE) == frames.RESULT_BEGUN
    assert world.feature.request(frames.REASON_COMMAND, COMMAND) == frames.RESULT_INTERLOCK
    world.run(20)
    assert world.highest() < 1
    body = bp(world)
    assert body[frames.BP_COMMAND] == COMMAND and body[frames.BP_REASON] == frames.REASON_COMMAND
    assert body[frames.BP_CUFF_SIZE] == frames.CUFF_LARGE


def test_without_the_button_it_ends_after_a_minute():
    world = rested()
    world.feature.request(frames.REASON_COMMAND, COMMAND)
    world.run(CONSENT_MS / 1000 - 2)
    assert world.results() == []
    world.run(4)
    body = world.results()[0]
    assert body[frames.BP_RESULT] == frames.BP_CANCELLED and body[frames.BP_COMMAND] == COMMAND
    assert world.highest() < 1 and body[frames.BP_PEAK] == 0


def test_a_repeat_wants_no_button():
    world = rested()
    assert world.feature.request(frames.REASON_REPEAT) == frames.RESULT_BEGUN
    assert measured(world)[frames.BP_REASON] == frames.REASON_REPEAT


def test_the_button_stops_it_at_once_and_starts_no_other():
    world = started()
    since = world.us
    world.press()
    body = measured(world)
    assert body[frames.BP_RESULT] == frames.BP_CANCELLED
    assert world.pump_off_after(since) < 300000
    world.run(60)
    assert len(world.results()) == 1 and world.plant.cuff_mmhg < 5


def test_cancelled_by_the_node():
    world = started()
    world.feature.cancel()
    since = world.us
    assert measured(world)[frames.BP_RESULT] == frames.BP_CANCELLED
    assert world.pump_off_after(since) < 300000
    world = started()
    world.feature.stop()
    assert not world.plant.pump_running and world.pins["ARM"] == 0
    assert measured(world)[frames.BP_RESULT] == frames.BP_CANCELLED


def test_a_long_press_is_for_something_else():
    world = rested()
    world.press(5000)
    world.run(20)
    assert world.results() == [] and world.highest() < 1


def test_a_latched_fault_wants_a_press_of_its_own():
    world = started()
    world.chip.present = False
    world.run(20)
    assert world.feature.fault == frames.EVENT_SENSOR_FAULT and world.pins["BUZZER"]
    assert world.feature.request(frames.REASON_REPEAT) == frames.RESULT_INTERLOCK
    world.chip.present = True
    world.run(20)
    world.press()
    world.run(3)
    assert world.feature.fault == 0 and not world.pins["BUZZER"]
    world.run(60)
    assert len(world.results()) == 1
    world.node.sealer.frames = []
    assert bp(world)[frames.BP_RESULT] == 0


class Alarms:
    active = 2
    sounding = True
    silenced = 0

    def silence(self):
        self.sounding = False
        self.silenced += 1


def test_while_an_alarm_sounds_the_first_press_is_for_it():
    world = rested()
    alarms = world.node.alarms = Alarms()
    world.press()
    world.run(10)
    assert alarms.silenced == 1 and world.highest() < 1
    # Another alarm: who presses because of that wants no cuff to begin.
    alarms.sounding = True
    world.press()
    world.run(10)
    assert alarms.silenced == 2 and world.highest() < 1
    alarms.silenced = 1
    assert bp(world)[frames.BP_RESULT] == 0 and alarms.silenced == 1


def test_a_run_that_measures_nothing_is_no_repeat_of_the_pressure_before():
    world = rested()
    bp(world)
    world.run(2)
    assert world.readings.bp[2] == 1
    world.run(40)
    world.press()
    world.run(5)
    assert world.feature.number == 2 and world.readings.bp[2] == 1
    world.press()
    world.run(40, until=lambda: len(world.results()) == 2)
    world.run(2)
    assert world.results()[-1][frames.BP_RESULT] == frames.BP_CANCELLED and world.readings.bp[2] == 1
    world.run(40)
    world.press()
    world.run(150, until=lambda: len(world.results()) == 3)
    world.run(2)
    assert world.results()[-1][frames.BP_RESULT] == 0 and world.readings.bp[2] == 3

"""What may not go on, and what must not be taken for something else: a charger, an alarm and its button, an
old result, a full cuff at the start of a boot.
"""

import asyncio
import gc

from firmware import alarm_rules
from firmware.alarms import Alarms
from firmware.readings import Readings
from protocol import frames
from tests.both.cuff_world import StubListener, World, rested, started

COMMAND = b"\1\2\3\4\5\6\7\x08"
SECOND = 1000000


def setup_module():
    if hasattr(gc, "threshold"):
        # The plant calculates with floats, which are objects.
        gc.threshold(100000)


class Bell:
    """Alarms of which one sounds until it is silenced."""

    active = 2
    sounding = True
    silenced = 0

    def silence(self):
        self.silenced += 1
        self.sounding = False


def test_a_plug_that_comes_while_it_is_inflated_ends_it():
    world = started()
    world.charging = True
    since = world.us
    world.run(60, until=world.results)
    assert world.results()[0][frames.BP_RESULT] == frames.BP_INTERLOCK
    assert world.pump_off_after(since) <= 1.2 * SECOND
    world.run(10)
    assert world.plant.cuff_mmhg < 15 and not world.feature.fault


def test_a_plug_does_not_matter_where_the_board_is_isolated():
    world = started()
    world.node.board.config["node"]["isolated"] = True
    world.charging = True
    world.run(120, until=world.results)
    assert world.results()[0][frames.BP_RESULT] == frames.BP_MEASURED


def test_a_sensor_that_sticks_with_its_noise_while_the_cuff_is_nearly_empty():
    for mmhg in (9, 13, 18):
        world = rested()
        world.press()
        world.run(30, until=lambda world=world, mmhg=mmhg: world.plant.manifold_mmhg > mmhg)
        world.plant.sensor_stuck = world.plant.manifold_mmhg
        since = world.us
        world.run(60, until=world.over)
        world.run(6)
        assert world.pump_off_after(since) <= SECOND and world.highest() < 60, (mmhg, world.highest())
        assert world.buzzer_after(since) < 5 * SECOND and world.feature.fault


def test_a_press_for_an_alarm_is_no_consent():
    world = rested()
    world.feature.request(frames.REASON_COMMAND, COMMAND)
    alarms = world.node.alarms = Bell()
    world.press()
    world.run(10)
    assert alarms.silenced == 1 and world.highest() < 1
    world.press()
    world.run(120, until=world.results)
    assert world.results()[0][frames.BP_COMMAND] == COMMAND and world.highest() > 100


def test_a_press_for_a_fault_is_no_consent():
    world = rested()
    world.feature.request(frames.REASON_COMMAND, COMMAND)
    world.feature.safety.trip(10)
    world.run(2)
    assert world.feature.fault
    world.press()
    world.run(5)
    assert not world.feature.fault and world.highest() < 1 and world.results() == []


class High(StubListener):
    """185/100 mmHg."""

    systolic_pa = 24900
    verdict = (0, 1850, 1000, 1300, 720, 90, 0)


class Rules:
    """Settings with nothing set."""

    mode = frames.MODE_SPOT_CHECK
    levels = {}


class Seals:
    def __init__(self):
        self.told = []

    def event(self, code, priority, value=None, text=None, more=None):
        self.told.append((code, priority))


def alarmed(world):
    """A node with alarms; what they told."""
    seals = Seals()
    alarms = Alarms(seals, world.node.clock, Rules(), lambda: world.feature.request(frames.REASON_REPEAT))
    world.readings = Readings()
    world.readings.no_ecg = world.readings.no_ppg = True
    second = world.feature.second

    def every_second(readings):
        second(readings)
        alarms.second(readings)

    world.feature.second = every_second
    return seals.told


def test_one_measurement_does_not_confirm_itself():
    assert alarm_rules.BP_HIGH
    world = rested(listener=High)
    told = alarmed(world)
    world.press()
    world.run(120, until=world.results)
    # The repeat begins by itself, and nothing is said before it has ended.
    world.run(200, until=lambda: world.feature.number == 2 and world.plant.cuff_mmhg > 100)
    assert told == [] and len(world.results()) == 1
    world.run(200, until=lambda: len(world.results()) == 2)
    world.run(3)
    assert told == [(frames.EVENT_BP_HIGH, frames.PRIORITY_MEDIUM)]


def test_a_repeat_that_was_refused_confirms_nothing():
    world = rested(listener=High)
    told = alarmed(world)
    world.press()
    world.run(120, until=world.results)
    world.plant.no_cuff = True
    world.run(200, until=lambda: len(world.results()) == 2)
    world.run(5)
    assert world.results()[1][frames.BP_RESULT] == frames.BP_NO_CUFF
    assert told == []
    assert world.readings.bp[2] == 1 and world.feature.number == 2


def test_a_boot_finds_a_cuff_that_is_full():
    world = started(100)
    world.plant.valve_stuck = world.plant.release_stuck = "shut"
    world.kill()
    world.run(3)
    world.plant.reset_pins()
    world.boot()
    since = world.us
    world.run(2)
    assert world.feature.inflated
    world.run(25)
    assert world.feature.fault == frames.EVENT_NOT_DEFLATING and world.buzzer_after(since) is not None


def test_a_boot_after_a_crash_lets_it_empty_and_says_nothing():
    world = started(100)
    world.kill()
    world.run(3)
    world.boot()
    world.run(40)
    assert world.events == [] and not world.feature.inflated and world.plant.cuff_mmhg < 5


def test_without_a_sensor_from_the_start_nothing_is_said_of_air():
    world = World()
    world.chip.present = False
    world.boot()
    world.run(5)
    world.press()
    world.run(40)
    assert world.results()[0][frames.BP_RESULT] == frames.BP_SENSOR_FAULT
    assert not world.feature.fault and not world.feature.inflated
    assert [code for _, code, _, _, _ in world.events if code == frames.EVENT_NOT_DEFLATING] == []


def test_a_refusal_before_the_pump_ran_is_heard_too():
    world = rested()
    world.chip.offset_mmhg = 9
    since = world.us
    world.press()
    world.run(5, until=world.results)
    assert world.results()[0][frames.BP_RESULT] == frames.BP_SENSOR_FAULT
    world.run(1)
    assert world.pins["BUZZER"] and world.buzzer_after(since) < 5 * SECOND
    world.run(5)
    assert not world.pins["BUZZER"]


def test_what_shouts_is_quiet_while_the_next_begins():
    world = started()
    world.plant.leak_ml_s_mmhg = 0.5
    world.run(60, until=world.results)
    world.plant.leak_ml_s_mmhg = 0.0
    assert world.pins["BUZZER"]
    world.press()
    world.run(1.5)
    assert not world.pins["BUZZER"] and world.feature.busy
    world.run(10)
    assert not world.pins["BUZZER"]


def test_an_orderly_end_leaves_a_frame():
    world = started()
    world.feature.request(frames.REASON_REPEAT)
    world.feature.stop()
    assert not world.plant.pump_running
    try:
        world.task.throw(asyncio.CancelledError())
    except asyncio.CancelledError:
        pass
    world.kill()
    assert [body[frames.BP_RESULT] for body in world.results()] == [frames.BP_CANCELLED]
    assert world.results()[0][frames.BP_PEAK] > 900
    world.run(10)
    assert world.plant.cuff_mmhg < 5 and not world.pins["BUZZER"]


def test_short_of_memory_before_it_begins_it_can_begin_later():
    world = rested()
    drain = world.node.drain

    def short():
        raise MemoryError("short")

    world.node.drain = short
    world.press()
    world.run(5)
    assert world.deaths and not world.feature.busy and world.highest() < 1
    world.node.drain = drain
    world.press()
    world.run(120, until=world.results)
    assert world.results()[0][frames.BP_RESULT] == frames.BP_MEASURED


def test_the_wave_is_the_measurement_and_no_more():
    world = World()
    world.keep_waves = True
    world.run(5)
    world.press()
    world.run(200, until=world.results)
    waves = world.waves()
    began_us = world.results()[0][frames.BP_BEGAN_US]
    assert waves[0][1] >= began_us
    for k in range(1, len(waves)):
        end_us = waves[k - 1][1] + waves[k - 1][0][frames.WAVE_COUNT] * 10000
        assert abs(waves[k][1] - end_us) <= 64

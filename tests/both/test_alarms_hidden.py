"""Alarms whose signal goes, comes and goes, or never stays: nothing of that makes the kit quiet."""

from firmware.alarms import CLEAR_BLIND_S, CLEAR_S, HOLD_S
from protocol import frames as f
from tests.both.alarm_rig import World, told

HIGH = f.PRIORITY_HIGH
BEGAN = f.STATE_BEGAN
ENDED = f.STATE_ENDED
# A chain that learns anew has no rate, and nothing else to say.
LEARNS = {"lead_off": False, "hr_x10": 0, "cannot_analyse": 0, "asystole": False}
HIDDEN = (
    dict(LEARNS, cannot_analyse=3),
    dict(LEARNS, lead_off=True),
    dict(LEARNS, ecg_fault=True),
    LEARNS,
)


def test_a_standstill_that_is_hidden_stays_a_high_alarm_until_a_heartbeat_is_seen():
    for readings in HIDDEN:
        for seen in (False, True):
            world = World()
            world.stand_still(10)
            if seen:
                world.alarms.silence()
            world.run(1, **readings)
            for _ in range(300):
                world.run(1)
                assert world.alarms.active == HIGH, (readings, seen)
            if not seen:
                world.alarms.silence()
                world.run(300)
                assert world.alarms.active == HIGH and world.alarms.sounding
            world.r.ecg_fault = False
            world.well(CLEAR_BLIND_S + CLEAR_S)
            assert world.alarms.active == 0


def test_a_standstill_that_comes_back_from_behind_a_bad_signal_is_one_again():
    world = World()
    world.stand_still(10)
    world.alarms.silence()
    world.run(60, **HIDDEN[0])
    assert (f.EVENT_ASYSTOLE, BEGAN, HIGH) in [
        one[1:] for one in world.run(2, asystole=True, cannot_analyse=0)
    ]
    assert world.alarms.sounding


def test_electrodes_taken_off_in_a_spot_check_end_a_standstill_that_was_seen():
    world = World(f.MODE_SPOT_CHECK)
    world.stand_still(10)
    world.alarms.silence()
    world.run(HOLD_S + CLEAR_S, finger_off=True, **HIDDEN[1])
    assert world.alarms.active == 0


def test_fibrillation_that_noise_or_a_loose_electrode_hides_stays_a_high_alarm():
    for readings in HIDDEN:
        world = World()
        world.run(20, cannot_analyse=1, hr_x10=0, pulse_x10=0, spo2_x10=0)
        assert world.alarms.active == HIGH
        for _ in range(120):
            world.run(1, **readings)
            assert world.alarms.active == HIGH, readings
        world.r.ecg_fault = False
        world.well(CLEAR_BLIND_S + CLEAR_S)
        assert world.alarms.active == 0


def test_a_latched_standstill_that_begins_again_is_heard_although_it_was_just_silenced():
    world = World()
    world.stand_still(3)
    world.well(10)
    world.alarms.silence()
    world.stand_still(1)
    assert world.alarms.sounding
    world.stand_still(10)
    assert [one[2] for one in world.well(10)] == [f.STATE_LATCHED]


def test_an_electrode_that_is_loose_again_and_again_is_an_alarm_and_stays_one():
    for off in ({"lead_off": True}, {"ecg_fault": True}):
        for off_s, on_s in ((3, 3), (8, 2), (2, 4), (9, 1)):
            world = World()
            for name in off:
                for _ in range(180 // (off_s + on_s)):
                    world.run(off_s, hr_x10=0, **{name: True})
                    world.run(on_s, **{name: False})
                assert world.alarms.active, (off, off_s, on_s)
                began = [one for one in [told(event) for event in world.events] if one[2] == BEGAN]
                assert began[0][0] <= 90, (off, off_s, on_s, began)
                assert ENDED not in [told(event)[2] for event in world.events]
                world.well(CLEAR_BLIND_S)
                assert world.alarms.active == 0


def test_a_finger_that_is_loose_again_and_again_is_an_alarm():
    world = World()
    for _ in range(20):
        world.run(5, finger_off=True, spo2_x10=0, pulse_x10=0)
        world.run(4, finger_off=False)
    assert world.alarms.active


def test_spot_checks_one_after_the_other_add_up_to_no_alarm():
    world = World(f.MODE_SPOT_CHECK)
    for _ in range(20):
        assert world.run(20, lead_off=True, finger_off=True, hr_x10=0, pulse_x10=0, spo2_x10=0) == []
        assert world.run(5, lead_off=False, finger_off=False) == []
        assert world.well(30) == []
        # Fingers that only touch the electrodes.
        assert world.run(60, lead_off=True, finger_off=True, hr_x10=0, pulse_x10=0, spo2_x10=0) == []
        assert world.run(4, lead_off=False, finger_off=False) == []


def test_an_alarm_is_shown_although_its_frame_finds_no_memory():
    world = World()
    world.run(9, hr_x10=1600)
    world.fails = 5
    try:
        world.run(1)
    except MemoryError:
        pass
    assert world.alarms.active == HIGH and world.alarms.sounding
    world.fails = 0
    world.run(1)
    assert [told(event)[1:] for event in world.events] == [(f.EVENT_HR_HIGH, BEGAN, HIGH)]


def test_seeing_another_alarm_does_not_forget_a_pressure_that_waits_for_its_repeat():
    world = World()
    world.run(5, bp=(1850, 900, 1, 0))
    world.run(1, battery_pct=20)
    assert world.alarms.silence()
    told = world.run(5, bp=(1850, 900, 2, 0))
    assert (f.EVENT_BP_HIGH, BEGAN, f.PRIORITY_MEDIUM) in [one[1:] for one in told]


def test_a_low_battery_stays_one_when_its_gauge_goes():
    world = World()
    world.run(1, battery_pct=4)
    assert world.run(600, battery_pct=-1) == [] and world.alarms.active == f.PRIORITY_MEDIUM
    assert [one[2] for one in world.run(CLEAR_S, charging=True)] == [ENDED]


def test_a_charger_that_is_plugged_in_and_out_leaves_no_value_that_is_none():
    world = World()
    world.run(1, battery_pct=5)
    world.run(1, charging=True)
    world.run(1, charging=False, battery_pct=8)
    world.run(1, charging=True)
    world.run(30)
    for _, body in world.events:
        assert type(body.get(f.EVENT_VALUE, 0)) is int


def test_what_stands_for_an_alarm_about_the_person_binds_as_it_did():
    for readings, seconds in (
        ({"cannot_analyse": 1, "hr_x10": 0, "pulse_x10": 0}, 10),
        ({"hr_x10": 1600}, 10),
    ):
        world = World()
        world.run(seconds, **readings)
        assert world.alarms.active == HIGH and world.alarms.binding
        world.run(60, hr_x10=0, pulse_x10=0, cannot_analyse=3)
        assert world.alarms.active == HIGH and world.alarms.binding
    world = World()
    world.run(400, lead_off=True, hr_x10=0)
    assert world.alarms.active == f.PRIORITY_MEDIUM and not world.alarms.binding


def test_a_node_on_its_charger_with_nobody_on_it_is_quiet_and_one_that_should_watch_is_not():
    held = {
        "ecg_fault": True,
        "ecg_held": True,
        "hr_x10": 0,
        "finger_off": True,
        "spo2_x10": 0,
        "pulse_x10": 0,
    }
    assert World(f.MODE_SPOT_CHECK).run(3600, **held) == []
    assert (10, f.EVENT_SENSOR_FAULT, BEGAN, f.PRIORITY_MEDIUM) in World().run(10, **held)
    world = World(f.MODE_SPOT_CHECK)
    world.run(10, hr_x10=1600)
    world.run(HOLD_S + CLEAR_S, **held)
    assert world.alarms.active == 0


def test_noise_that_lowers_a_reading_before_it_hides_it_lowers_no_alarm():
    for low in (1400, 720):
        world = World()
        world.run(15, hr_x10=1650)
        # Beats are lost in it: readings that are too low, of poor quality or with none between, then none.
        world.run(5, hr_x10=low, ecg_quality=20)
        assert world.alarms.active == HIGH
        for _ in range(10):
            world.run(1, hr_x10=0, ecg_quality=0, pulse_x10=0)
            world.run(2, hr_x10=low, ecg_quality=90)
            assert world.alarms.active == HIGH
        for _ in range(30):
            world.run(1, **dict(LEARNS, cannot_analyse=3))
            assert world.alarms.active == HIGH
        # What it hands over to does not end with a poor reading that comes through, either.
        world.run(CLEAR_BLIND_S - 1, hr_x10=low, cannot_analyse=0, ecg_quality=20)
        assert world.alarms.active == HIGH
        world.run(1, hr_x10=0, ecg_quality=0)
        world.run(CLEAR_S, hr_x10=720, ecg_quality=90)
        assert world.alarms.active < HIGH


def test_a_reading_of_poor_quality_ends_an_alarm_but_later():
    for quality, seconds in ((90, CLEAR_S), (20, CLEAR_BLIND_S)):
        world = World()
        world.run(15, hr_x10=1650)
        assert world.run(seconds - 1, hr_x10=800, ecg_quality=quality) == []
        assert world.run(1) == [(15 + seconds, f.EVENT_HR_HIGH, ENDED, HIGH)]
    world = World()
    world.run(20, spo2_x10=800)
    assert world.run(CLEAR_BLIND_S - 1, spo2_x10=970, ppg_quality=42) == []
    assert len(world.run(1)) == 1


def test_a_rate_that_comes_back_as_it_went_is_alarmed_at_without_a_pause():
    for mode, off in ((f.MODE_WATCH, False), (f.MODE_WATCH, True), (f.MODE_SPOT_CHECK, True)):
        world = World(mode)
        world.run(15, hr_x10=1650)
        world.run(
            60, **dict(LEARNS, lead_off=off, cannot_analyse=0 if off else 3, pulse_x10=0, finger_off=off)
        )
        world.run(9, hr_x10=1650, lead_off=False, cannot_analyse=0)
        # In a spot check an electrode that is off may be another person's when it is on again.
        assert (world.alarms.active == HIGH) == (mode == f.MODE_WATCH)
    world = World()
    world.run(15, hr_x10=1650)
    world.run(60, **dict(LEARNS, cannot_analyse=3, pulse_x10=0))
    for _ in range(30):
        world.run(1, hr_x10=1650, cannot_analyse=0)
        assert world.alarms.active == HIGH

"""Alarms: when they come, under which number and priority, and that a bad signal never silences one."""

from firmware import alarm_rules as ar
from firmware.alarms import CLEAR_BLIND_S, CLEAR_S, HOLD_S, PAUSE_S
from protocol import frames as f
from tests.both.alarm_rig import World, told

HIGH = f.PRIORITY_HIGH
MEDIUM = f.PRIORITY_MEDIUM
LOW = f.PRIORITY_LOW
BEGAN = f.STATE_BEGAN
ENDED = f.STATE_ENDED


def test_a_healthy_person_raises_none():
    world = World()
    assert world.run(600) == [] and world.alarms.active == 0 and not world.alarms.sounding
    assert not world.alarms.silence()


def test_each_limit_and_its_delay():
    for readings, code, priority, delay_s in (
        ({"hr_x10": 1501}, f.EVENT_HR_HIGH, HIGH, 10),
        ({"hr_x10": 1301}, f.EVENT_HR_HIGH, MEDIUM, 30),
        ({"hr_x10": 399}, f.EVENT_HR_LOW, HIGH, 10),
        ({"hr_x10": 449}, f.EVENT_HR_LOW, MEDIUM, 30),
        ({"spo2_x10": 849}, f.EVENT_SPO2_LOW, HIGH, 15),
        ({"spo2_x10": 899}, f.EVENT_SPO2_LOW, MEDIUM, 30),
        ({"lead_off": True, "hr_x10": 0}, f.EVENT_LEAD_OFF, LOW, 30),
        ({"finger_off": True, "spo2_x10": 0, "pulse_x10": 0}, f.EVENT_FINGER_OFF, LOW, 30),
        ({"battery_pct": 20}, f.EVENT_BATTERY_LOW, LOW, 1),
        ({"battery_pct": 5}, f.EVENT_BATTERY_LOW, MEDIUM, 1),
        ({"cuff_fault": f.EVENT_OVER_PRESSURE}, f.EVENT_OVER_PRESSURE, HIGH, 1),
        ({"cuff_fault": f.EVENT_NOT_DEFLATING}, f.EVENT_NOT_DEFLATING, HIGH, 1),
        ({"ecg_fault": True, "hr_x10": 0}, f.EVENT_SENSOR_FAULT, MEDIUM, 10),
        ({"cannot_analyse": 1, "pulse_x10": 0}, f.EVENT_CANNOT_ANALYSE, HIGH, 8),
    ):
        world = World()
        assert world.run(delay_s - 1, **readings) == [], code
        assert world.run(1) == [(delay_s, code, BEGAN, priority)], code
        assert world.alarms.active == priority and world.alarms.sounding


def test_at_the_limit_there_is_none():
    for readings in ({"hr_x10": 1300}, {"hr_x10": 450}, {"spo2_x10": 900}, {"battery_pct": 21}):
        assert World().run(60, **readings) == []


def test_medium_becomes_high_and_medium_again_under_one_number():
    world = World()
    world.run(30, hr_x10=1400)
    world.run(10, hr_x10=1600)
    world.run(10, hr_x10=1400)
    world.run(10, hr_x10=900)
    told = [(body[f.EVENT_STATE], body[f.EVENT_PRIORITY]) for _, body in world.events]
    assert told == [(BEGAN, MEDIUM), (BEGAN, HIGH), (BEGAN, MEDIUM), (ENDED, MEDIUM)]
    first = world.events[0][1]
    assert all(body[f.EVENT_ALARM] == first[f.EVENT_ALARM] for _, body in world.events)
    assert all(body[f.EVENT_BEGAN_US] == 30000000 for _, body in world.events)
    assert [body.get(f.EVENT_LIMIT) for _, body in world.events] == [1300, 1500, 1300, None]
    assert [body.get(f.EVENT_VALUE) for _, body in world.events] == [1400, 1600, 1400, None]
    assert first[f.EVENT_EVIDENCE] == [[100, 5]]
    world.run(10, hr_x10=1600)
    assert world.events[-1][1][f.EVENT_ALARM] == first[f.EVENT_ALARM] + 1


def test_a_rate_that_touches_the_limit_neither_ends_nor_begins_again():
    world = World()
    world.run(10, hr_x10=1510)
    assert len(world.events) == 1
    for _ in range(20):
        assert world.run(1, hr_x10=1490) == [] and world.run(1, hr_x10=1510) == []
    assert world.run(CLEAR_S - 1, hr_x10=900) == [] and world.run(1, hr_x10=1600) == []
    assert [told[2] for told in world.run(CLEAR_S, hr_x10=900)] == [ENDED]


def test_a_rate_that_drops_below_for_a_moment_begins_its_delay_anew():
    world = World()
    world.run(9, hr_x10=1600)
    world.run(1, hr_x10=1200)
    assert world.run(9, hr_x10=1600) == []
    assert len(world.run(1)) == 1


def test_asystole_at_once_latched_and_ended_by_a_person():
    world = World()
    assert world.stand_still(1) == [(1, f.EVENT_ASYSTOLE, BEGAN, HIGH)]
    body = world.events[0][1]
    assert body[f.EVENT_LIMIT] == body[f.EVENT_VALUE] == 4000
    world.stand_still(5)
    told = world.well(10)
    assert [one[1:] for one in told] == [(f.EVENT_ASYSTOLE, f.STATE_LATCHED, HIGH)]
    assert world.run(600) == [] and world.alarms.active == HIGH and world.alarms.sounding
    assert world.alarms.silence()
    assert [one[1:3] for one in world.run(1)] == [(f.EVENT_ASYSTOLE, ENDED)]
    assert world.alarms.active == 0


def test_asystole_again_while_latched_is_the_same_alarm():
    world = World()
    world.stand_still(3)
    world.well(5)
    assert [one[2] for one in world.stand_still(1)] == [BEGAN]
    assert len({body[f.EVENT_ALARM] for _, body in world.events}) == 1


def test_seen_while_it_lasts_it_needs_not_be_seen_again():
    world = World()
    world.stand_still(3)
    world.alarms.silence()
    assert world.alarms.active == HIGH and not world.alarms.sounding
    assert [one[2] for one in world.well(5)] == [ENDED]


def test_a_pulse_proves_a_heartbeat_and_the_ecg_is_what_is_wrong():
    world = World()
    assert world.run(14, asystole=True, hr_x10=0) == []
    assert [one[1:] for one in world.run(60)] == [
        (f.EVENT_CANNOT_ANALYSE, BEGAN, LOW),
        (f.EVENT_CANNOT_ANALYSE, BEGAN, MEDIUM),
    ]
    for readings in ({"since_pulse_ms": 3000}, {"ppg_bad": True}, {"pulse_x10": 0}):
        world = World()
        assert [one[1] for one in world.run(2, asystole=True, hr_x10=0, **readings)] == [f.EVENT_ASYSTOLE]


def test_no_asystole_without_contact():
    for readings in ({"lead_off": True}, {"ecg_fault": True}, {"no_ecg": True}):
        world = World(f.MODE_SPOT_CHECK)
        assert world.run(5, asystole=True, hr_x10=0, pulse_x10=0, **readings) == []


def test_a_standstill_takes_the_place_of_a_low_rate():
    world = World()
    world.run(10, hr_x10=300, pulse_x10=300)
    told = world.stand_still(3)
    assert [one[1:3] for one in told] == [(f.EVENT_ASYSTOLE, BEGAN), (f.EVENT_HR_LOW, ENDED)]
    assert world.stand_still(HOLD_S + 5) == []


def test_a_bad_signal_inherits_the_alarm_that_it_hides():
    world = World()
    world.run(10, hr_x10=1600)
    bad = {"hr_x10": 0, "cannot_analyse": 3, "pulse_x10": 0, "spo2_x10": 970}
    assert world.run(HOLD_S - 1, **bad) == [] and world.alarms.active == HIGH
    assert [one[1:] for one in world.run(1)] == [
        (f.EVENT_CANNOT_ANALYSE, BEGAN, HIGH),
        (f.EVENT_HR_HIGH, ENDED, HIGH),
    ]
    assert world.run(300) == [] and world.alarms.active == HIGH
    # What it inherited goes first; what it is by itself when the signal has been good for longer.
    assert [one[1:] for one in world.well(CLEAR_S)] == [(f.EVENT_CANNOT_ANALYSE, BEGAN, MEDIUM)]
    assert [one[1:3] for one in world.well(CLEAR_BLIND_S - CLEAR_S)] == [(f.EVENT_CANNOT_ANALYSE, ENDED)]
    assert world.alarms.active == 0


def test_a_signal_that_is_bad_again_and_again_is_an_alarm_and_one_only():
    world = World()
    for _ in range(20):
        world.run(HOLD_S + 2, hr_x10=0, cannot_analyse=3, pulse_x10=0)
        world.run(3, hr_x10=1600, cannot_analyse=0)
    assert [one[1:] for one in [told(event) for event in world.events]] == [
        (f.EVENT_CANNOT_ANALYSE, BEGAN, LOW),
        (f.EVENT_CANNOT_ANALYSE, BEGAN, MEDIUM),
    ]
    assert len({body[f.EVENT_ALARM] for _, body in world.events}) == 1


def test_what_hides_may_change_and_the_priority_goes_with_it():
    world = World()
    world.run(15, spo2_x10=800)
    world.run(HOLD_S, spo2_x10=0, ppg_bad=True)
    told = world.run(CLEAR_S, finger_off=True)
    assert (f.EVENT_FINGER_OFF, BEGAN, HIGH) in [one[1:] for one in told]
    assert world.alarms.active == HIGH
    world.well(CLEAR_S)
    assert world.alarms.active == 0


def test_never_silent_while_an_alarm_is_handed_over():
    world = World()
    world.run(15, spo2_x10=800)
    for readings in (
        {"spo2_x10": 0, "ppg_bad": True},
        {"spo2_x10": 0, "ppg_bad": False, "finger_off": True},
        {"finger_off": False, "ppg_fault": True},
        {"ppg_fault": False, "ppg_settling": True},
    ):
        for _ in range(10):
            world.run(1, **readings)
            assert world.alarms.active == HIGH, readings


def test_in_a_spot_check_a_finger_may_go_and_takes_its_alarm_along():
    world = World(f.MODE_SPOT_CHECK)
    world.run(15, spo2_x10=800)
    world.run(HOLD_S, spo2_x10=0, finger_off=True)
    assert world.alarms.active == 0
    assert world.run(3600, lead_off=True, hr_x10=0, pulse_x10=0) == []


def test_the_pulse_stands_in_for_a_rate_that_the_ecg_does_not_give():
    world = World()
    told = world.run(10, lead_off=True, hr_x10=0, pulse_x10=1600)
    assert [one[1:] for one in told] == [(f.EVENT_HR_HIGH, BEGAN, HIGH)]


def test_contact_lost_in_watch_mode_becomes_medium_after_five_minutes():
    world = World()
    world.run(299, lead_off=True, hr_x10=0)
    assert [one[3] for one in world.run(1)] == [MEDIUM]
    assert len({body[f.EVENT_ALARM] for _, body in world.events}) == 1
    assert not world.alarms.binding


def test_a_bad_signal_is_told_and_in_watch_mode_it_rises():
    for mode, expected in ((f.MODE_WATCH, [LOW, MEDIUM]), (f.MODE_SPOT_CHECK, [LOW])):
        world = World(mode)
        told = world.run(120, ppg_bad=True, spo2_x10=0, pulse_x10=0)
        assert [one[1:] for one in told] == [(f.EVENT_SIGNAL_BAD, BEGAN, priority) for priority in expected]


def test_silence_is_for_two_minutes_and_for_what_was_there():
    world = World()
    world.run(30, hr_x10=1400)
    assert world.alarms.silence() and not world.alarms.sounding and world.alarms.active == MEDIUM
    world.run(PAUSE_S - 1)
    assert not world.alarms.sounding
    world.run(1)
    assert world.alarms.sounding
    world.alarms.silence()
    world.run(15, spo2_x10=800)
    assert world.alarms.sounding
    world.alarms.silence()
    world.run(10, hr_x10=1600)
    assert world.alarms.sounding and world.alarms.binding


def pressure(number, systolic, diastolic):
    return {"bp": (systolic, diastolic, number, 0)}


def test_a_pressure_is_an_alarm_when_a_repeat_confirms_it():
    world = World()
    assert world.run(60, **pressure(1, 1800, 900)) == [] and world.repeats == 1
    told = world.run(5, **pressure(2, 1850, 900))
    assert [one[1:] for one in told] == [(f.EVENT_BP_HIGH, BEGAN, MEDIUM)] and world.repeats == 1
    assert world.events[-1][1][f.EVENT_VALUE] == 1850 and world.events[-1][1][f.EVENT_LIMIT] == 1800
    assert world.run(5, **pressure(3, 1900, 900)) == []
    assert [one[2] for one in world.run(5, **pressure(4, 1200, 800))] == [ENDED]
    world.run(5, **pressure(5, 1200, 1100))
    world.run(5, **pressure(6, 1200, 1150))
    assert world.events[-1][1][f.EVENT_VALUE] == 1150 and world.events[-1][1][f.EVENT_LIMIT] == 1100
    assert world.alarms.silence()
    assert [one[2] for one in world.run(CLEAR_S)] == [ENDED]


def test_a_repeat_that_is_well_raises_none_and_one_that_never_comes_a_low_one():
    world = World()
    world.run(60, **pressure(1, 880, 60))
    assert world.run(600, **pressure(2, 1100, 700)) == [] and world.repeats == 1
    assert world.run(299, **pressure(3, 880, 600)) == []
    assert [one[1:] for one in world.run(1)] == [(f.EVENT_BP_LOW, BEGAN, LOW)]
    told = world.run(5, **pressure(4, 870, 600))
    assert [one[1:] for one in told] == [(f.EVENT_BP_LOW, BEGAN, MEDIUM)]


def test_a_battery_on_the_charger_or_without_a_gauge_is_no_alarm():
    world = World()
    assert world.run(60, battery_pct=4, charging=True) == []
    assert world.run(60, battery_pct=-1, charging=False) == []
    world.run(1, battery_pct=20)
    assert [one[3] for one in world.run(1, battery_pct=5)] == [MEDIUM]
    assert [one[2] for one in world.run(CLEAR_S, charging=True)] == [ENDED]


def test_a_second_that_is_left_out_counts_and_one_that_comes_twice_does_not():
    world = World()
    world.r.hr_x10 = 1600
    for _ in range(3):
        world.clock.seconds += 3
        world.alarms.second(world.r)
        world.alarms.second(world.r)
    assert world.events == []
    world.clock.seconds += 1
    world.alarms.second(world.r)
    assert len(world.events) == 1


def test_a_frame_that_found_no_memory_is_sealed_the_next_second():
    world = World()
    world.run(9, hr_x10=1600)
    world.fails = 1
    try:
        world.run(1)
        raise AssertionError("nothing was raised")
    except MemoryError:
        pass
    assert [one[1:3] for one in world.run(1)] == [(f.EVENT_HR_HIGH, BEGAN)]


def test_limits_that_were_set_count():
    world = World()
    world.settings.levels = {6: (880, 5)}
    assert world.run(60, spo2_x10=890) == []
    told = world.run(5, spo2_x10=870)
    assert [one[1:] for one in told] == [(f.EVENT_SPO2_LOW, BEGAN, MEDIUM)]
    assert world.events[0][1][f.EVENT_LIMIT] == 880


def test_between_the_limit_and_the_way_back_an_alarm_neither_begins_nor_ends():
    for code, beyond, between, back in (
        (f.EVENT_HR_HIGH, 1510, 1480, 1460),
        (f.EVENT_HR_LOW, 390, 410, 425),
    ):
        world = World()
        world.settings.levels = {2: (1400, 600), 4: (420, 600)}
        assert world.run(60, hr_x10=between) == []
        assert [one[1:3] for one in world.run(10, hr_x10=beyond)] == [(code, BEGAN)]
        assert world.run(60, hr_x10=between) == []
        assert [one[1:3] for one in world.run(CLEAR_S, hr_x10=back)] == [(code, ENDED)]


def test_time_in_which_nothing_was_read_is_no_time_that_a_limit_was_passed_for():
    world = World()
    world.run(1, hr_x10=1600)
    world.clock.seconds += 60
    assert world.run(1) == []


def test_a_pressure_that_there_was_no_memory_to_judge_is_judged_the_second_after():
    world = World()
    broken = world.alarms._broken
    refused = []

    def short(i, value):
        if i in refused:
            refused.remove(i)
            raise MemoryError("allocating 16 bytes")
        return broken(i, value)

    world.alarms._broken = short
    rule = [rule[ar.CAUSE] for rule in ar.RULES].index(ar.BP_HIGH)
    for number, pressed in ((1, 1800), (2, 1850)):
        refused.append(rule)
        try:
            world.run(1, **pressure(number, pressed, 900))
            raise AssertionError("judged")
        except MemoryError:
            pass
        told = world.run(2)
    assert [one[1:] for one in told] == [(f.EVENT_BP_HIGH, BEGAN, MEDIUM)] and world.repeats == 1


def test_a_repeat_that_there_was_no_memory_to_ask_for_is_asked_for_again():
    world = World()
    repeat = world.repeat

    def short():
        world.alarms._repeat_bp = repeat
        raise MemoryError("allocating 28 bytes")

    world.alarms._repeat_bp = short
    try:
        world.run(1, **pressure(1, 1800, 900))
        raise AssertionError("asked")
    except MemoryError:
        pass
    assert world.run(5) == [] and world.repeats == 1

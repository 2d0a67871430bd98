"""The interlock by itself: every limit on its own, at the reading or the tick at which it must act."""

from drivers.cuff_actuator import FULL, CuffActuator
from firmware import cuff_safety as s
from firmware.clock import Clock

WRAP = 1 << 30
MMHG = 133.322


class Pins:
    """Six pins in one, with everything that was written."""

    def __init__(self):
        self.level = {}
        self.edges = 0
        self.fail = ()
        self.switch = 0

    def make(self, name):
        return Pin(self, name)


class Pin:
    def __init__(self, pins, name):
        self.pins = pins
        self.name = name

    def value(self, level=None):
        if level is None:
            return self.pins.switch
        self.duty_u16(level)

    def duty_u16(self, level):
        if self.name in self.pins.fail:
            raise OSError(5)
        if self.name == "feed":
            self.pins.edges += 1
        self.pins.level[self.name] = level


class Rig:
    """The interlock on pins, a clock and a timer that the test moves; ticks wrap soon."""

    def __init__(self):
        self.us = 0
        self.pins = Pins()
        names = ("pump", "valve", "release", "feed", "arm", "switch")
        actuator = CuffActuator(*[self.pins.make(name) for name in names])
        self.clock = Clock(self)
        self.timer = None
        self.safety = s.CuffSafety(actuator, self.clock, self.start_timer)
        self.raw = 0

    def ticks_us(self):
        return (WRAP - 36000000 + self.us) % WRAP

    def ticks_add(self, ticks, delta):
        return (ticks + delta) % WRAP

    def ticks_diff(self, a, b):
        return (a - b + WRAP // 2) % WRAP - WRAP // 2

    def start_timer(self, period_ms, callback):
        self.timer = callback
        return self

    def deinit(self):
        self.timer = None

    def rest(self, seconds=31, mmhg=0.0):
        for _ in range(seconds):
            self.us += 1000000
            self.safety.level(int(mmhg * MMHG))

    def begun(self):
        self.rest()
        self.safety.begin()
        return self

    def pumping(self, mmhg=50.0):
        self.begun()
        self.safety.pump(FULL)
        self.safety.valve(FULL)
        self.level = mmhg
        self.go(100)
        assert self.on()
        return self

    def on(self):
        level = self.pins.level
        return level["pump"] > 0 and level["valve"] > 0 and level["release"] == 1

    def off(self):
        level = self.pins.level
        return level["pump"] == level["valve"] == level["release"] == 0 and level["arm"] == 1

    def go(self, ms, rise=9.0, reads=True, beats=True, moves=True, ticks=True):
        """So many ms of a control loop at 100 Hz; the time in ms after which it was off, or None."""
        for at in range(0, ms, 10):
            self.us += 10000
            if beats:
                self.safety.beat()
            self.level += rise / 100
            if moves:
                self.raw += 1
            if reads:
                self.safety.reading(int(self.level * MMHG), self.raw, self.ticks_us())
            if ticks and self.timer and at % 50 == 40:
                self.timer(self)
            if not self.safety.running:
                return at + 10
        return None


def test_all_well_for_as_long_as_it_takes():
    rig = Rig().pumping()
    assert rig.go(20000) is None and rig.on() and not rig.safety.fault
    rig.safety.pump(0)
    assert rig.go(60000, rise=-2.5) is None
    assert rig.pins.edges >= 80000 // 50 - 2
    rig.safety.end()
    assert rig.pins.level["arm"] == 0 and rig.timer is None and rig.pins.level["pump"] == 0


def trips(why, within_ms, mmhg=50.0, **go):
    rig = Rig().pumping(mmhg)
    took = rig.go(within_ms, **go)
    assert took is not None, why
    assert rig.off() and rig.safety.fault == why, rig.safety.fault
    edges = rig.pins.edges
    rig.go(1000)
    assert rig.pins.edges == edges
    return took


def test_above_280_at_the_reading():
    rig = Rig().pumping(270.0)
    while rig.safety.running:
        assert rig.level < 280.2
        rig.go(10, ticks=False)
    assert rig.level > 279.9 and rig.off() and rig.safety.fault == s.OVER_PRESSURE


def test_below_the_range():
    assert trips(s.OUT_OF_RANGE, 20, mmhg=0.0, rise=-3000) <= 20


def test_readings_that_do_not_come():
    assert trips(s.STALE, 320, reads=False) <= 310


def test_readings_that_do_not_change():
    assert trips(s.STUCK, 320, moves=False) <= 310


def test_a_control_loop_that_does_not_come():
    assert 300 <= trips(s.SILENT, 400, beats=False) <= 360


def test_a_pump_that_brings_nothing():
    assert trips(s.NO_RISE, 1000, rise=0.0) <= 960


def test_an_empty_cuff_has_longer_to_fill_but_not_for_ever():
    took = trips(s.NO_RISE, 23000, mmhg=2.0, rise=0.3)
    assert 16900 < took <= 17950


def test_a_pump_that_runs_too_long():
    took = trips(s.TOO_LONG, 60000, mmhg=21.0, rise=3.0)
    assert 54000 < took <= 55100


def test_a_run_that_takes_too_long():
    rig = Rig().pumping()
    rig.safety.pump(0)
    took = rig.go(160000, rise=-0.2)
    assert 149000 < took <= 150100 and rig.safety.fault == s.TOO_LONG and rig.off()


def test_the_pressure_switch():
    rig = Rig().pumping()
    rig.pins.switch = 1
    assert rig.go(100) <= 50 and rig.safety.fault == s.SWITCHED


def test_a_pin_that_fails_keeps_no_other_from_going_off():
    for name in ("pump", "valve", "release"):
        rig = Rig().pumping()
        rig.pins.fail = (name,)
        rig.go(400, reads=False)
        assert rig.safety.fault == s.STALE
        for other in ("pump", "valve", "release"):
            assert other == name or rig.pins.level[other] == 0


def test_a_feed_that_fails_is_a_trip():
    rig = Rig().pumping()
    rig.pins.fail = ("feed",)
    assert rig.go(100) <= 50 and rig.safety.fault == s.BROKEN and rig.pins.level["pump"] == 0


def test_a_trip_outlasts_whoever_was_about_to_pump():
    rig = Rig().pumping()
    rig.go(400, reads=False)
    # Interrupted between its question and its write.
    rig.pins.level["pump"] = FULL
    rig.timer(rig)
    assert rig.pins.level["pump"] == 0
    rig.safety.pump(FULL)
    rig.safety.valve(FULL)
    assert rig.off()


def refused(rig):
    try:
        rig.safety.begin()
    except s.Refused:
        return True
    return False


def test_the_cuff_rests_empty_for_30_s_before_the_next():
    rig = Rig()
    assert refused(rig)
    rig.rest(29)
    assert refused(rig) and rig.safety.wait_ms() > 0
    rig.rest(1, mmhg=16.0)
    rig.rest(29)
    assert refused(rig)
    rig.rest(3)
    assert not refused(rig)
    rig.safety.end()
    rig.rest(29)
    assert refused(rig)
    rig.rest(3)
    assert not refused(rig)


def test_a_rest_that_nobody_saw_is_none():
    rig = Rig()
    rig.rest(31)
    rig.us += 5000000
    assert refused(rig)
    rig.rest(5)
    assert refused(rig)
    rig.rest(27)
    assert not refused(rig)


def test_no_more_than_twelve_an_hour():
    rig = Rig()
    for _ in range(s.PER_HOUR):
        rig.rest(40)
        rig.safety.begin()
        rig.safety.end()
    rig.rest(40)
    assert refused(rig) and rig.safety.wait_ms() > 2000000
    rig.rest(s.HOUR_MS // 1000 - s.PER_HOUR * 40)
    assert not refused(rig)


def test_a_fault_stays_until_somebody_acknowledges_it():
    rig = Rig().pumping()
    rig.go(400, reads=False)
    rig.safety.end()
    assert rig.off() and rig.safety.fault
    rig.rest(60, mmhg=40.0)
    assert not rig.safety.acknowledge() and rig.off()
    rig.rest(60)
    assert refused(rig)
    assert rig.safety.acknowledge() and rig.pins.level["arm"] == 0 and not rig.safety.fault
    assert not refused(rig)


def test_a_boot_finds_the_pins_as_they_were_and_lets_go():
    pins = Pins()
    pins.level = {"pump": FULL, "valve": FULL, "release": 1, "arm": 1}
    names = ("pump", "valve", "release", "feed", "arm", "switch")
    rig = Rig()
    s.CuffSafety(CuffActuator(*[pins.make(name) for name in names]), rig.clock, rig.start_timer)
    assert pins.level == {"pump": 0, "valve": 0, "release": 0, "arm": 0}

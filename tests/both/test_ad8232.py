"""The AD8232 driver against a model of the module and a timer, on both interpreters."""

from array import array

from boards.virtual.chips.ad8232 import Ad8232Model
from drivers.ad8232 import LSB_NV, PERIOD_NS, RING, Ad8232
from drivers.errors import BusError
from firmware.dsp.ecg import EcgChain
from firmware.housekeeping import status_body
from firmware.readings import Readings
from protocol import frames

WRAP = 1 << 30


class World:
    """Time, a timer that the test lets run, and a module on a heart whose QRS is a triangle of 1 mV."""

    def __init__(self, beat_us=800000, height_uv=1000.0):
        self.us = 0
        self.beat_us = beat_us
        self.height_uv = height_uv
        self.off = False
        self.callback = None
        self.chip = Ad8232Model(self.ecg, lambda: self.off)
        chip = self.chip
        self.driver = Ad8232(chip, chip, chip, self.start_timer, self.ticks_us, self.ticks_diff)

    def ecg(self, t_us):
        from_peak = abs(t_us % self.beat_us - self.beat_us // 2)
        return self.height_uv * (1 - from_peak / 40000) if from_peak < 40000 else 0.0

    def start_timer(self, period_ms, callback):
        assert period_ms * 1000000 == PERIOD_NS
        self.callback = callback
        return self

    def deinit(self):
        self.callback = None

    def ticks_us(self):
        return (WRAP - 3000000 + self.us) % WRAP

    def ticks_diff(self, a, b):
        return (a - b + WRAP // 2) % WRAP - WRAP // 2

    def run(self, n, late_us=0):
        """n samples, every other one late."""
        for i in range(n):
            self.us += 4000 + (late_us if i % 2 else -late_us)
            self.chip.at(self.us)
            if self.callback is not None:
                self.callback(self)


def started(**options):
    world = World(**options)
    world.driver.check()
    world.driver.configure()
    world.driver.start()
    return world


def raises(call):
    try:
        call()
    except BusError as e:
        return e
    raise AssertionError("nothing was raised")


def test_a_heart_is_counted_through_the_node_s_own_chain():
    world = started(beat_us=750000)
    chain = EcgChain(lsb_nv=LSB_NV)
    into = array("i", [0] * RING)
    for _ in range(16 * 20):
        world.run(16)
        n = world.driver.drain(into)
        assert n == 16 and world.driver.overflowed == 0 and not world.driver.saturated
        chain.process(into, n, world.driver.lead_off)
    assert abs(chain.hr_x10 - 800) <= 8, chain.hr_x10


def test_its_output_is_microvolts():
    world = started()
    world.run(25)
    into = array("i", [0] * RING)
    world.driver.drain(into)
    highest = 0
    for _ in range(20):
        world.run(20)
        n = world.driver.drain(into)
        for i in range(n):
            highest = max(highest, into[i])
    assert 500 < highest < 1000, "the module's filters take some of a QRS, and never add to it"


def test_what_does_not_fit_is_counted_and_lies_behind_what_does():
    world = started()
    world.run(RING + 7)
    into = array("i", [0] * RING)
    assert world.driver.drain(into) == RING and world.driver.overflowed == 7
    world.run(5)
    assert world.driver.drain(into) == 5 and world.driver.overflowed == 0


def test_a_short_block_leaves_the_rest_for_the_next():
    world = started()
    world.run(10)
    few = array("i", [0] * 4)
    assert [world.driver.drain(few) for _ in range(4)] == [4, 4, 2, 0]


def test_an_electrode_off_and_a_rail_are_told():
    world = started()
    into = array("i", [0] * RING)
    world.off = True
    world.run(3)
    world.driver.drain(into)
    assert world.driver.lead_off and world.driver.saturated
    world.off = False
    world.run(3)
    world.driver.drain(into)
    assert not world.driver.lead_off and not world.driver.saturated
    world = started(height_uv=9000.0)
    for _ in range(10):
        world.run(30)
        world.driver.drain(into)
        if world.driver.saturated:
            return
    raise AssertionError("beyond the rail and not told")


def test_jitter_is_what_the_timer_s_was():
    world = started()
    world.run(20)
    assert world.driver.jitter_us == 0
    world.run(20, late_us=300)
    assert world.driver.jitter_us == 300
    world.driver.start()
    assert world.driver.jitter_us == 0


def test_a_converter_that_fails_is_an_error_of_the_next_drain_and_no_sample():
    world = started()
    world.run(4)
    world.chip.failing = 5
    world.run(2)
    world.chip.failing = 0
    into = array("i", [0] * RING)
    assert raises(lambda: world.driver.drain(into)).chip == "AD8232"
    assert world.driver.drain(into) == 4
    world.chip.failing = 5
    raises(world.driver.check)


def test_it_stops():
    world = started()
    world.run(3)
    world.driver.stop()
    world.run(3)
    into = array("i", [0] * RING)
    assert world.driver.drain(into) == 3
    world.driver.stop()


def test_its_jitter_is_in_the_status():
    world = started()
    world.run(20, late_us=300)
    sensor = Sensor(world.driver)
    assert status_body(Heap(), [sensor], Session(), 1, 10, Readings())[frames.STATUS_JITTER_US] == 300
    sensor.driver = None
    assert status_body(Heap(), [sensor], Session(), 1, 10, Readings())[frames.STATUS_JITTER_US] == 7


class Sensor:
    """What a status asks of one."""

    late = missed = bus_errors = 0

    def __init__(self, driver):
        self.driver = driver
        self.sample_clock = self
        self.worst_us = 7


class Session:
    """And of a session, whose outbox is empty."""

    bytes = evicted = next_seq = resent = 0
    rejected = {}

    def __init__(self):
        self.box = self.window = self

    def __len__(self):
        return 0


class Heap:
    """And of the heap."""

    low = 1

    def measure(self):
        return 2

"""Microseconds since boot across the wrap of ticks, and the sample clock that is tracked against them."""

from firmware.clock import Clock
from firmware.sample_clock import SampleClock

WRAP = 1 << 30
HALF = WRAP // 2


class FakeTime:
    """MicroPython's ticks with a hand on the clock; starts 5 s before they wrap."""

    def __init__(self, before_wrap_us=5000000):
        self.start = WRAP - before_wrap_us
        self.us = 0

    def ticks_us(self):
        return (self.start + self.us) % WRAP

    def ticks_add(self, ticks, delta):
        return (ticks + delta) % WRAP

    def ticks_diff(self, a, b):
        return (a - b + HALF) % WRAP - HALF


def test_time_counts_on_over_the_wrap():
    fake = FakeTime()
    clock = Clock(fake)
    for us in (0, 1, 4999999, 5000000, 5000001, 61000000):
        fake.us = us
        assert clock.now_us() == us
        assert clock.now_ms() == us // 1000


def test_many_wraps_lose_nothing():
    fake = FakeTime()
    clock = Clock(fake)
    for _ in range(40):
        fake.us += 530000001
        clock.advance()
    assert clock.now_us() == 40 * 530000001
    assert clock.seconds == 40 * 530000001 // 1000000


def test_a_moment_read_before_is_placed_before():
    fake = FakeTime()
    clock = Clock(fake)
    fake.us = 4999000
    earlier = fake.ticks_us()
    fake.us = 5250000
    assert clock.at_us(earlier) == 4999000
    assert clock.at_us(fake.ticks_us()) == 5250000


def test_nothing_is_dated_before_boot():
    fake = FakeTime()
    before = fake.ticks_add(fake.ticks_us(), -3000)
    assert Clock(fake).at_us(before) == 0


class Chip:
    """A FIFO whose oscillator is `ppm` slow, drained at times with a reproducible unevenness."""

    def __init__(self, nominal_ns, ppm, drain_us=40000, spread_us=3000):
        self.fake = FakeTime()
        self.clock = SampleClock(nominal_ns, Clock(self.fake))
        self.period_ns = nominal_ns + nominal_ns // 1000 * ppm // 1000
        self.drain_us = drain_us
        self.spread_us = spread_us
        self.taken = 0
        self.noise = 1

    def uneven(self, limit):
        self.noise = self.noise * 16807 % 2147483647
        return self.noise % limit if limit else 0

    def drain(self, extra_us=0, drop=0):
        """One drain; returns (missing samples found, error of the newest sample's estimated moment in µs)."""
        self.fake.us += self.drain_us + self.uneven(self.spread_us) + extra_us
        begin = self.fake.ticks_us()
        total = self.fake.us * 1000 // self.period_ns
        self.fake.us += 60 + self.uneven(80)
        n = total - self.taken - drop
        self.taken = total
        missing = self.clock.advance(n, begin, self.fake.ticks_us())
        true = (self.fake.start + total * self.period_ns // 1000) % WRAP
        return missing, self.fake.ticks_diff(self.clock.last, true)

    def run(self, drains):
        return max(abs(self.drain()[1]) for _ in range(drains))


def test_sample_times_are_far_better_than_the_drains_that_find_them():
    for ppm in (0, 30, -80, 2000, -9000):
        chip = Chip(4000000, ppm)
        chip.run(1000)
        assert chip.run(1500) < 400, ppm
        assert abs(chip.clock.period_ns - chip.period_ns) < 1200, ppm
        assert chip.clock.worst_us < 1500


def test_the_slower_channel_too():
    chip = Chip(10000000, 500, drain_us=120000)
    chip.run(1000)
    assert chip.run(1000) < 1200


def test_a_late_drain_moves_no_timestamp():
    chip = Chip(4000000, 50)
    chip.run(1500)
    for _ in range(20):
        missing, error = chip.drain(extra_us=70000)
        assert missing == 0 and abs(error) < 400


def test_lost_samples_are_counted_and_time_goes_on():
    chip = Chip(4000000, 50)
    chip.run(1500)
    missing, error = chip.drain(drop=7)
    assert missing in (6, 7, 8) and abs(error) <= 4000
    chip.run(400)
    assert chip.run(300) < 800


def test_samples_counted_by_the_chip_as_lost_are_no_gap():
    chip = Chip(4000000, 50)
    chip.run(1500)
    chip.clock.skip(25)
    missing, error = chip.drain(extra_us=100000, drop=25)
    assert missing == 0 and abs(error) < 500


def test_every_sample_of_a_block_has_its_place():
    chip = Chip(4000000, 0)
    chip.run(1500)
    assert abs(chip.fake.ticks_diff(chip.clock.last, chip.clock.before(10)) - 40000) < 20
    assert chip.clock.before(0) == chip.clock.last

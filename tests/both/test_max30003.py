"""The MAX30003 driver against a model of the chip, on both interpreters."""

from array import array

from boards.virtual.chips.max30003 import Max30003Model
from drivers.errors import BusError, WrongChip
from drivers.max30003 import DATA_SHIFT, LSB_NV, PERIOD_NS, Max30003


class World:
    def __init__(self):
        self.us = 1_000_000
        self.off = False
        self.log = []
        self.cuts = 0

    def now(self):
        self.us += 50  # a transaction takes time
        return self.us

    def electrodes_off(self):
        return self.off

    def sample(self, code):
        self.log.append(code)

    def cut(self):
        self.cuts += 1


class Spi:
    """machine.SPI's shape over the model; chip select must frame each transaction."""

    def __init__(self, chip):
        self.chip = chip
        self.low = False
        self.fail = 0

    def cs(self, level):
        assert self.low == bool(level)
        self.low = not level

    def write_readinto(self, out, into):
        assert self.low
        if self.fail:
            raise OSError(self.fail)
        into[:] = self.chip.transfer(bytes(out))


def ramp(start_us, period_us, n):
    # 10 mV a second from -20 mV on: 40 uV a sample
    return [-20000 + (start_us - 1_000_000 + i * period_us) / 100 for i in range(n)]


def make(signal=ramp, **options):
    world = World()
    chip = Max30003Model(signal, world.electrodes_off, world.now, log=world, **options)
    spi = Spi(chip)
    return world, chip, spi, Max30003(spi, spi.cs)


def started(signal=ramp, **options):
    world, chip, spi, driver = make(signal, **options)
    driver.check()
    driver.configure()
    driver.start()
    return world, chip, spi, driver


def raises(kind, call):
    try:
        call()
    except kind as e:
        return e
    raise AssertionError("nothing was raised")


def test_identity_is_checked_even_right_after_power_up():
    _, _, _, driver = make()
    driver.check()


def test_another_part_is_refused_with_what_was_found():
    _, _, _, driver = make(info=0x511000)  # MAX30001
    e = raises(WrongChip, driver.check)
    assert (e.chip, e.expected, e.found) == ("MAX30003", 0x503000, 0x501000)


def test_nothing_on_the_bus_is_a_wrong_chip():
    _, chip, _, driver = make()
    chip.present = False
    assert raises(WrongChip, driver.check).found == 0


def test_a_failing_bus_names_chip_and_register():
    _, _, spi, driver = make()
    spi.fail = 5
    e = raises(BusError, driver.check)
    assert (e.chip, e.register, e.why) == ("MAX30003", 0x01, 5)
    assert not spi.low


def test_a_register_that_does_not_hold_its_value_is_reported():
    _, chip, _, driver = make()
    chip._write = lambda register, value, now_us: None
    e = raises(BusError, driver.configure)
    assert e.register == 0x04


def test_a_pll_that_never_locks_is_reported():
    world, _, _, driver = make()
    world.now = None
    driver.check()
    driver.configure()

    def stuck():
        return 1_000_000

    driver._spi.chip._now_us = stuck
    assert raises(BusError, driver.start).register == 0x01


def test_samples_come_out_in_order_and_scaled():
    world, _, _, driver = started()
    into = array("i", [0] * 32)
    got = []
    for _ in range(40):
        world.us += 40_000
        n = driver.drain(into)
        assert not driver.overflowed and not driver.lead_off and not driver.saturated
        got.extend(into[i] for i in range(n))
    assert 395 <= len(got) <= 402
    assert got == [code >> DATA_SHIFT for code in world.log]
    microvolts = [v * LSB_NV / 1000 for v in got]
    for i, v in enumerate(microvolts):
        assert abs(v - (microvolts[0] + 40 * i)) < 4, (i, v)


def test_an_empty_fifo_gives_nothing():
    world, _, _, driver = started()
    into = array("i", [0] * 32)
    world.us += 20_000
    assert driver.drain(into) == 5
    assert driver.drain(into) == 0
    assert driver.overflowed == 0


def test_a_full_fifo_is_whole_and_one_more_is_an_overflow():
    for late, lost in ((0, False), (1, True)):
        world, chip, _, driver = started()
        into = array("i", [0] * 32)
        world.us = chip._clock.start_us + 4000 * (32 + late) + 10
        n = driver.drain(into)
        assert (n, driver.overflowed) == ((0, -1) if lost else (32, 0))
        world.us += 20_000
        assert driver.drain(into) == 5 and driver.overflowed == 0


def test_a_chip_that_was_pulled_off_is_no_flat_line_and_no_overflow():
    for line, kind in ((0x00, BusError), (0xFF, WrongChip)):
        world, chip, _, driver = started()
        into = array("i", [0] * 32)
        world.us += 100_000
        assert driver.drain(into) > 20
        chip.present, chip.line = False, line
        world.us += 100_000
        raises(kind, lambda driver=driver, into=into: driver.drain(into))
        chip.brown_out()
        chip.present = True
        driver.configure()
        driver.start()
        world.us += 100_000
        assert driver.drain(into) > 20


def test_after_an_overflow_the_record_goes_on_with_new_samples():
    world, _, _, driver = started()
    into = array("i", [0] * 32)
    world.us += 3_000_000
    assert driver.drain(into) == 0 and driver.overflowed == -1
    world.us += 8_000
    assert driver.drain(into) == 2
    expected = -20000 + (world.us - 1_000_000) / 100
    assert abs(into[1] * LSB_NV / 1000 - expected) <= 50


def test_overflow_between_status_and_data_is_seen_by_the_tag():
    world, _chip, spi, driver = started()
    into = array("i", [0] * 32)
    transfer = spi.write_readinto

    def late(out, into):
        if out[0] == (0x20 << 1) | 1:
            world.us += 500_000
        transfer(out, into)

    spi.write_readinto = late
    assert driver.drain(into) == 0 and driver.overflowed == -1
    spi.write_readinto = transfer
    world.us += 8_000
    assert driver.drain(into) == 2 and driver.overflowed == 0


def test_a_smaller_buffer_leaves_the_rest_in_the_fifo():
    world, _, _, driver = started()
    world.us += 60_000
    small = array("i", [0] * 4)
    total = 0
    for _ in range(5):
        total += driver.drain(small)
    assert 14 <= total <= 16
    assert len(world.log) == total


def test_lead_off_is_seen_after_115_ms_and_ends():
    world, _, _, driver = started()
    into = array("i", [0] * 32)
    world.off = True
    driver.drain(into)
    world.us += 100_000
    driver.drain(into)
    assert not driver.lead_off
    world.us += 40_000
    driver.drain(into)
    assert driver.lead_off and driver.saturated
    world.off = False
    world.us += 40_000
    driver.drain(into)
    assert driver.lead_off  # held until STATUS was read
    world.us += 40_000
    driver.drain(into)
    assert not driver.lead_off


def test_clipping_is_flagged():
    for volts in (60_000, -60_000):
        world, _, _, driver = started(lambda start_us, period_us, n, volts=volts: [volts] * n)
        into = array("i", [0] * 32)
        world.us += 20_000
        assert driver.drain(into) == 5
        assert driver.saturated
        assert into[0] == (16383 if volts > 0 else -16384)


def test_fast_recovery_marks_samples_as_saturated():
    def step(start_us, period_us, n):
        return [60_000 if start_us + i * period_us < 1_300_000 else 100 for i in range(n)]

    world, _, _, driver = started(step)
    into = array("i", [0] * 32)
    marked = 0
    for _ in range(60):
        world.us += 20_000
        n = driver.drain(into)
        marked += driver.saturated
        if n and into[0] < 1000 and driver.saturated:
            break
    else:
        raise AssertionError("no sample of ordinary size was marked")


def test_a_crystal_s_error_shows_in_the_rate():
    for ppm, expected in ((0, 2500), (20_000, 2550), (-20_000, 2451)):
        world, _, _, driver = started(ppm=ppm)
        into = array("i", [0] * 32)
        total = 0
        for _ in range(250):
            world.us += 40_000 - 100
            total += driver.drain(into)
        assert abs(total - expected) <= 12, (ppm, total)


def test_constants_are_the_datasheet_s():
    # 1 V / (20 * 2^17) a code, 8 codes a unit
    assert abs(LSB_NV - 1e9 / (20 * 131072) * 8) < 0.5
    assert PERIOD_NS == 4_000_000

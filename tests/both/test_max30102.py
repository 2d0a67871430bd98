"""The MAX30102 driver against a model of the chip, on both interpreters."""

from array import array

from boards.virtual.chips.max30102 import Max30102Model
from drivers.errors import BusError, WrongChip
from drivers.max30102 import Max30102

ENODEV = 19


class World:
    def __init__(self):
        self.us = 1_000_000
        self.log = []
        self.cuts = 0

    def now(self):
        self.us += 50
        return self.us

    def pair(self, red, infrared):
        self.log.append((red, infrared))

    def cut(self):
        self.cuts += 1


class I2c:
    """machine.I2C's shape over the model."""

    def __init__(self, chip):
        self.chip = chip
        self.reads = []

    def readfrom_mem_into(self, address, register, buf):
        assert address == 0x57
        self.reads.append((register, len(buf)))
        found = self.chip.read(register, len(buf))
        if found is None:
            raise OSError(ENODEV)
        buf[:] = found

    def writeto_mem(self, address, register, buf):
        assert address == 0x57
        if not self.chip.write(register, bytes(buf)):
            raise OSError(ENODEV)


def ramp(start_us, period_us, n):
    # 100 nA a second: 1 nA a sample
    red = [6000 + (start_us - 1_000_000 + i * period_us) / 10_000 for i in range(n)]
    return red, [v + 1000 for v in red]


def make(signal=ramp, **options):
    world = World()
    chip = Max30102Model(signal, world.now, log=world, **options)
    i2c = I2c(chip)
    return world, chip, i2c, Max30102(i2c)


def started(signal=ramp, **options):
    world, chip, i2c, driver = make(signal, **options)
    driver.check()
    driver.configure()
    driver.start()
    return world, chip, i2c, driver


def buffers():
    return array("i", [0] * 32), array("i", [0] * 32)


def raises(kind, call):
    try:
        call()
    except kind as e:
        return e
    raise AssertionError("nothing was raised")


def test_another_part_is_refused_with_what_was_found():
    _, _, _, driver = make(part_id=0x11)  # MAX30100
    e = raises(WrongChip, driver.check)
    assert (e.chip, e.expected, e.found) == ("MAX30102", 0x15, 0x11)


def test_no_acknowledge_names_chip_and_register():
    _, chip, _, driver = make()
    chip.present = False
    e = raises(BusError, driver.check)
    assert (e.chip, e.register, e.why) == ("MAX30102", 0xFF, ENODEV)
    e = raises(BusError, driver.configure)
    assert (e.register, e.why) == (0x09, ENODEV)


def test_a_register_that_does_not_hold_its_value_is_reported():
    _, chip, _, driver = make()
    keep = chip._write_register
    chip._write_register = lambda register, value, now_us: (
        None if register == 0x0A else keep(register, value, now_us)
    )
    assert raises(BusError, driver.configure).register == 0x0A


def test_samples_come_out_in_order_and_scaled():
    world, _, _, driver = started()
    red, infrared = buffers()
    got = []
    for _ in range(50):
        world.us += 80_000
        n = driver.drain(red, infrared)
        assert not driver.overflowed and not driver.saturated
        got.extend((red[i], infrared[i]) for i in range(n))
    assert 398 <= len(got) <= 402
    assert got == world.log
    for i, (r, ir) in enumerate(got):
        assert abs((r - got[0][0]) * 62.5 / 1000 - i) < 0.2, (i, r)
        assert abs((ir - r) * 62.5 / 1000 - 1000) < 0.2


def test_a_drain_is_two_transfers_and_one_when_empty():
    world, _, i2c, driver = started()
    red, infrared = buffers()
    world.us += 50_000
    del i2c.reads[:]
    assert driver.drain(red, infrared) == 5
    assert i2c.reads == [(0, 7), (7, 30)]
    del i2c.reads[:]
    assert driver.drain(red, infrared) == 0
    assert i2c.reads == [(0, 7)]


def test_exactly_full_is_told_from_empty():
    world, chip, _, driver = started()
    red, infrared = buffers()
    world.us = chip._clock.start_us + 32 * 10_000 + 10
    assert driver.drain(red, infrared) == 32
    assert driver.overflowed == 0
    assert driver.drain(red, infrared) == 0
    assert [(red[i], infrared[i]) for i in range(32)] == world.log


def test_what_is_lost_is_counted_and_reported_before_the_sample_after_the_gap():
    world, chip, _, driver = started()
    red, infrared = buffers()
    world.us = chip._clock.start_us + (32 + 7) * 10_000 + 10
    assert driver.drain(red, infrared) == 32
    assert driver.overflowed == 0  # these are whole: the gap is behind them
    last = red[31]
    world.us += 30_000
    assert driver.drain(red, infrared) == 3
    assert driver.overflowed == 7
    assert abs((red[0] - last) * 62.5 / 1000 - 8) < 0.2
    world.us += 30_000
    assert driver.drain(red, infrared) == 3
    assert driver.overflowed == 0


def test_a_gap_of_31_or_more_is_of_unknown_size():
    world, _, _, driver = started()
    red, infrared = buffers()
    world.us += 2_000_000
    assert driver.drain(red, infrared) == 32
    world.us += 20_000
    driver.drain(red, infrared)
    assert driver.overflowed == -1


def test_full_scale_is_flagged():
    world, _, _, driver = started(lambda start_us, period_us, n: ([20_000.0] * n, [5_000.0] * n))
    red, infrared = buffers()
    world.us += 30_000
    assert driver.drain(red, infrared) == 3
    assert driver.saturated and red[0] == 0x3FFFF and abs(infrared[0] - 80_000) <= 1


def test_led_current_scales_the_signal():
    world = World()
    chip = Max30102Model(ramp, world.now)
    driver = Max30102(I2c(chip), led_current=0x12)
    driver.configure()
    driver.start()
    red, infrared = buffers()
    world.us += 30_000
    driver.drain(red, infrared)
    assert abs(red[0] * 62.5 / 1000 - 3000) < 20


def test_a_reset_in_between_stops_the_samples():
    world, _, i2c, driver = started()
    red, infrared = buffers()
    i2c.writeto_mem(0x57, 0x09, b"\x40")
    world.us += 100_000
    assert driver.drain(red, infrared) == 0
    driver.configure()
    driver.start()
    world.us += 50_000
    assert driver.drain(red, infrared) == 5


def test_the_model_rolls_over_when_told_to():
    world, chip, i2c, _ = started()
    i2c.writeto_mem(0x57, 0x08, b"\x1f")
    for register in (4, 5, 6):
        i2c.writeto_mem(0x57, register, b"\0")
    world.us = chip._clock.start_us + 45 * 10_000 + 10
    head = bytearray(7)
    i2c.readfrom_mem_into(0x57, 0, head)
    assert head[0] & 0x80
    assert head[4] == head[6] == 45 % 32 and head[5] == 13
    data = bytearray(6)
    i2c.readfrom_mem_into(0x57, 7, data)
    oldest_kept = (data[0] << 16 | data[1] << 8 | data[2]) * 62.5 / 1000
    start = (chip._clock.start_us - 1_000_000) / 10_000
    assert abs(oldest_kept - 6000 - (start + 14)) < 0.2


def test_the_model_limits_the_rate_by_the_pulse_width():
    _, _, i2c, _ = make()
    i2c.writeto_mem(0x57, 0x0A, bytes((0x60 | 7 << 2 | 3,)))
    value = bytearray(1)
    i2c.readfrom_mem_into(0x57, 0x0A, value)
    assert value[0] == 0x60 | 3 << 2 | 3  # 411 us allow 400 a second


def test_the_led_current_changes_from_the_next_sample_on():
    world, _, _, driver = started()
    red, infrared = buffers()
    world.us += 50_000
    n = driver.drain(red, infrared)
    before = red[n - 1]
    driver.set_led(0x12)
    world.us += 50_000
    n = driver.drain(red, infrared)
    assert n == 5 and driver.overflowed == 0
    for i in range(n):
        assert abs(red[i] * 2 - before) < 400, (i, red[i], before)


def test_the_led_current_has_a_cap():
    _, chip, i2c, driver = started()
    for value in (0, 0x65, 0xFF):
        raises(ValueError, lambda value=value: driver.set_led(value))
        raises(ValueError, lambda value=value: Max30102(i2c, led_current=value))
    driver.set_led(0x64)
    assert chip._registers[0x0C] == chip._registers[0x0D] == 0x64


def test_a_chip_whose_supply_broke_down_is_noticed_at_once_and_until_it_is_configured():
    world, chip, _, driver = started()
    red, infrared = buffers()
    world.us += 50_000
    assert driver.drain(red, infrared) == 5
    chip.brown_out()
    for _ in range(3):  # as many as make a fault of the sensor
        world.us += 50_000
        e = raises(BusError, lambda: driver.drain(red, infrared))
        assert e.register == 0x00
    driver.check()
    driver.configure()
    driver.start()
    world.us += 50_000
    assert driver.drain(red, infrared) == 5 and not driver.overflowed


def test_a_register_that_changed_by_itself_is_noticed():
    world, chip, _, driver = started()
    red, infrared = buffers()
    chip._registers[0x0C] = 0
    seen = None
    for _ in range(70):
        world.us += 50_000
        try:
            driver.drain(red, infrared)
        except BusError as e:
            seen = e
            break
    assert seen is not None and seen.register == 0x0C
    raises(BusError, lambda: driver.drain(red, infrared))


def test_more_ambient_light_than_is_subtracted_is_told():
    world, chip, _, driver = started()
    red, infrared = buffers()
    chip.ambient_na = 150_000.0
    world.us += 50_000
    driver.drain(red, infrared)
    assert not driver.ambient
    usual = red[0]
    chip.ambient_na = 300_000.0
    world.us += 640_000
    driver.drain(red, infrared)
    assert driver.ambient
    world.us += 50_000
    driver.drain(red, infrared)
    world.us += 640_000
    driver.drain(red, infrared)
    assert driver.ambient and driver.saturated and red[31] > usual
    chip.ambient_na = 0.0
    world.us += 50_000
    driver.drain(red, infrared)
    world.us += 50_000
    driver.drain(red, infrared)
    assert not driver.ambient


def test_a_transfer_that_is_not_acknowledged_leaves_the_samples_in_the_fifo():
    world, chip, _, driver = started()
    red, infrared = buffers()
    world.us += 100_000
    chip.present = False
    for call in (lambda: driver.drain(red, infrared), lambda: driver.set_led(0x20), driver.start):
        assert raises(BusError, call).why == ENODEV
    chip.present = True
    assert driver.drain(red, infrared) == 10 and not driver.overflowed

"""The MPRLS driver against a model of the chip, on both interpreters."""

from boards.virtual.chips.mprls import MprlsModel
from drivers.errors import BusError, WrongChip
from drivers.mprls import BUSY_READS, Mprls

ENODEV = 19


class World:
    """A pressure that the test sets, and machine.I2C's shape over the model."""

    def __init__(self, mmhg=0.0, noise_mmhg=0.0):
        self.us = 1_000_000
        self.mmhg = mmhg
        self.chip = MprlsModel(lambda us: self.mmhg, lambda: self.us, noise_mmhg)
        self.writes = []

    def readfrom_into(self, address, buf):
        assert address == 0x18 and len(buf) == 4
        found = self.chip.read(0, len(buf))
        if found is None:
            raise OSError(ENODEV)
        buf[:] = found

    def writeto(self, address, buf):
        assert address == 0x18
        self.writes.append(bytes(buf))
        if not self.chip.write(buf[0], bytes(buf[1:])):
            raise OSError(ENODEV)


def make(mmhg=0.0, **options):
    world = World(mmhg, **options)
    return world, world.chip, Mprls(world)


def started(mmhg=0.0, **options):
    world, chip, driver = make(mmhg, **options)
    driver.check()
    driver.configure()
    driver.start()
    world.us += 10000
    return world, chip, driver


def raises(kind, call):
    try:
        call()
    except kind as e:
        return e
    raise AssertionError("nothing was raised")


def test_pressures_come_out_in_pascal():
    for mmhg in (-5, 0, 0.1, 15, 100, 170, 280, 299, 305):
        _, _, driver = started(mmhg)
        pa = driver.read()
        assert abs(pa - mmhg * 133.322) < 6, (mmhg, pa)


def test_the_command_is_the_datasheets():
    world, _, driver = started()
    assert world.writes == [b"\xaa\x00\x00"]
    driver.read()
    assert world.writes == [b"\xaa\x00\x00"] * 2


def test_each_conversion_is_given_once():
    world, _, driver = started(100)
    assert driver.read() is not None
    assert driver.read() is None  # the next one is not over yet
    world.us += 4000
    assert driver.read() is None
    world.us += 2000
    assert driver.read() is not None
    assert driver.read() is None


def test_nothing_old_is_given_after_a_start_that_failed():
    world, chip, driver = started(100)
    chip.write = lambda register, data: False
    e = raises(BusError, driver.read)
    assert (e.chip, e.register, e.why) == ("MPRLS", 0xAA, ENODEV)
    del chip.write
    world.us += 10000
    # The result of the conversion before is still in the chip; it has been asked for no other.
    assert driver.read() is None
    world.us += 10000
    assert driver.read() is not None


def test_no_acknowledge_names_chip_and_register():
    _, chip, driver = make()
    chip.present = False
    e = raises(BusError, driver.check)
    assert (e.chip, e.register, e.why) == ("MPRLS", 0, ENODEV)
    assert raises(BusError, driver.start).register == 0xAA
    assert raises(BusError, driver.read).register == 0xAA


def test_another_part_is_refused_with_what_was_found():
    for status in (0xFF, 0x00, 0x80, 0x42):
        _, chip, driver = make()
        chip.read = lambda register, n, status=status: bytes((status, 0, 0, 0))
        e = raises(WrongChip, driver.check)
        assert (e.chip, e.expected, e.found) == ("MPRLS", 0x40, status)


def test_a_chip_that_is_busy_is_this_part():
    _, chip, driver = make()
    chip.busy_for_ever = True
    driver.check()


def test_a_damaged_memory_is_refused_for_ever():
    world, chip, driver = started(100)
    chip.status = 0x04
    for _ in range(5):
        assert raises(BusError, driver.read).why == "status 0x44"
        world.us += 10000


def test_saturated_maths_and_wrong_bits_are_refused():
    for status in (0x01, 0x02, 0x08, 0x10, 0x80):
        _, chip, driver = started(100)
        chip.status = status
        assert raises(BusError, driver.read).register == 0, status


def test_beyond_the_range_of_the_part_is_no_pressure():
    for mmhg in (-16, 316, 3000):
        _, _, driver = started(mmhg)
        raises(BusError, driver.read)


def test_a_chip_that_stays_busy_is_refused_after_a_while():
    world, chip, driver = started(100)
    chip.busy_for_ever = True
    for _ in range(BUSY_READS - 1):
        assert driver.read() is None
        world.us += 10000
    assert raises(BusError, driver.read).why == "status 0x20"


def test_a_brown_out_gives_no_pressure_and_is_recovered_from():
    world, chip, driver = started(100)
    chip.brown_out()
    raises(BusError, driver.read)
    world.us += 10000
    assert abs(driver.read() - 13332) < 6


def test_a_command_during_a_conversion_is_ignored_by_the_chip():
    world, _, driver = make(100)
    driver.start()
    world.us += 3000
    driver.start()
    world.us += 2500
    assert driver.read() is not None


def test_noise_moves_the_counts():
    world, _, driver = started(100, noise_mmhg=0.01)
    seen = set()
    for _ in range(200):
        driver.read()
        seen.add(driver.raw)
        world.us += 10000
    assert len(seen) > 50

"""The MAX17048 driver and the battery feature against a model of the chip, on both interpreters."""

from boards.virtual.chips.max17048 import CMD, Max17048Model
from drivers.errors import BusError, WrongChip
from drivers.max17048 import Max17048
from firmware.battery import AGAIN_S, EVERY_S, Battery
from firmware.readings import Readings
from protocol import frames as f

ENODEV = 19


class World:
    """A cell, its gauge, the bus between; and as much of a node as the feature needs."""

    def __init__(self, **options):
        self.us = 0
        self.volts = 3.9
        self.percent = 63.4
        self.rate = -12.5
        self.plugged = False
        self.events = []
        self.chip = Max17048Model(self.cell, self.now, **options)
        self.driver = Max17048(self)
        self.board = self
        self.until_nack = -1

    def cell(self):
        return self.volts, self.percent, self.rate

    def now(self):
        return self.us

    def readfrom_mem_into(self, address, register, buf):
        assert address == 0x36
        found = None if self.nacked() else self.chip.read(register, len(buf))
        if found is None:
            raise OSError(ENODEV)
        buf[:] = found

    def writeto_mem(self, address, register, buf):
        assert address == 0x36
        if self.nacked() or not self.chip.write(register, bytes(buf)):
            raise OSError(ENODEV)

    def nacked(self):
        self.until_nack -= 1
        return self.until_nack == -1

    def bus(self, role):
        assert role == "gauge"
        return (self,)

    def charging(self):
        return self.plugged

    def report(self, code, priority, value=None, text=None):
        self.events.append((code, priority, text))

    def run(self, feature, seconds):
        """The charge of each second."""
        readings = Readings()
        charges = []
        for _ in range(seconds):
            self.us += 1000000
            feature.second(readings)
            charges.append(readings.battery_pct)
        self.readings = readings
        return charges


def raises(kind, call):
    try:
        call()
    except kind as e:
        return e
    raise AssertionError("nothing was raised")


def test_another_part_is_refused_with_what_was_found():
    e = raises(WrongChip, World(version=0x0002).driver.check)
    assert (e.chip, e.expected, e.found) == ("MAX17048", 0x10, 0x02)
    for version in (0x0010, 0x0011, 0x0012):
        World(version=version).driver.check()


def test_no_acknowledge_names_chip_and_register():
    world = World()
    world.chip.present = False
    e = raises(BusError, world.driver.check)
    assert (e.chip, e.register, e.why) == ("MAX17048", 0x08, ENODEV)
    assert raises(BusError, world.driver.configure).register == 0x1A
    assert raises(BusError, world.driver.read).register == 0x1A


def test_voltage_charge_and_rate():
    world = World()
    world.us = 2000000
    world.driver.configure()
    for volts, percent, rate, expected in (
        (3.9, 63.4, -12.5, (3900, 63, -125)),
        (4.2, 101.2, 40.0, (4200, 100, 400)),
        (3.0, 4.6, 0.0, (3000, 5, 0)),
        (2.5, 0.0, -0.208, (2500, 0, -3)),
    ):
        world.volts, world.percent, world.rate = volts, percent, rate
        assert world.driver.read()
        found = (world.driver.cell_mv, world.driver.charge_pct, world.driver.rate_x10)
        assert all([abs(a - b) <= 2 for a, b in zip(found, expected)]), (found, expected)
        assert found[1] == expected[1]


def test_a_gauge_that_lost_its_power_says_nothing_until_it_is_taken_note_of():
    world = World()
    world.us = 2000000
    assert not world.driver.read()
    world.driver.configure()
    assert world.driver.read()
    world.chip.brown_out()
    assert not world.driver.read()
    world.us += 2000000
    world.driver.configure()
    assert world.driver.read() and world.driver.charge_pct == 63
    # POR by command is a reset, too, and is not acknowledged.
    assert raises(OSError, lambda: world.writeto_mem(0x36, CMD, b"\x54\x00"))
    assert not world.driver.read()


def test_an_indicator_that_cannot_be_cleared_is_reported():
    world = World()
    world.chip.write = lambda register, data: True
    assert raises(BusError, world.driver.configure).register == 0x1A


def test_the_charge_comes_every_ten_seconds():
    world = World()
    feature = Battery(world, Max17048)
    feature.begin()
    assert feature.tasks() == ()
    charges = world.run(feature, 30)
    assert charges[AGAIN_S] == 63 and set(charges[AGAIN_S:]) == {63}
    world.percent = 20
    assert 20 in world.run(feature, EVERY_S) and not world.readings.charging
    world.plugged = True
    world.run(feature, 1)
    assert world.readings.charging and world.events == []


def test_a_brown_out_is_no_fault_and_no_charge_of_nothing():
    world = World()
    feature = Battery(world, Max17048)
    world.run(feature, 15)
    world.chip.brown_out()
    charges = world.run(feature, 30)
    assert set(charges) == {63, -1} and charges[-1] == 63 and charges.count(-1) <= 2 * AGAIN_S
    assert world.events == []


def test_a_gauge_that_is_pulled_out_is_told_once_and_found_again():
    world = World()
    feature = Battery(world, Max17048)
    world.run(feature, 15)
    world.chip.present = False
    assert world.run(feature, 100)[-1] == -1
    assert [event[0] for event in world.events] == [f.EVENT_SENSOR_FAULT]
    world.chip.brown_out()
    world.chip.present = True
    assert world.run(feature, 30)[-1] == 63
    assert [event[0] for event in world.events] == [f.EVENT_SENSOR_FAULT, f.EVENT_SENSOR_RECOVERED]


def test_another_part_in_its_place_is_a_fault_of_the_board():
    world = World(version=0x4000)
    feature = Battery(world, Max17048)
    assert set(world.run(feature, 30)) == {-1}
    assert len(world.events) == 1 and "identity" in world.events[0][2]


def test_a_nack_at_any_transfer_costs_one_reading_at_most():
    for skipped in range(8):
        world = World()
        feature = Battery(world, Max17048)
        world.run(feature, 15)
        world.until_nack = skipped
        assert world.run(feature, 40)[-1] == 63

"""The MAX30102 driver where any one transfer goes wrong: it ends, says so, and no wrong sample comes out."""

from array import array

from boards.virtual.chips.max30102 import Max30102Model
from drivers.errors import BusError, WrongChip
from drivers.max30102 import Max30102

EIO = 5
STEPS = 70
BEFORE_SETTINGS = 5  # identity, reset, its end, status, shutdown: what the supply does there has no effect


class World:
    def __init__(self):
        self.us = 1_000_000

    def now(self):
        self.us += 50
        return self.us


class I2c:
    """Bus over the model; `event` happens at transfer number `at`: before it, or `late`, when it is done."""

    def __init__(self, chip, at, event, late):
        self.chip, self.at, self.event, self.late, self.count = chip, at, event, late, 0

    def _happens(self, late):
        if late == self.late and self.count == self.at:
            self.event()

    def readfrom_mem_into(self, address, register, buf):
        self._happens(False)
        buf[:] = self.chip.read(register, len(buf))
        self._happens(True)
        self.count += 1

    def writeto_mem(self, address, register, buf):
        self._happens(False)
        self.chip.write(register, bytes(buf))
        self._happens(True)
        self.count += 1


class Bus(I2c):
    """As above, where a failed transfer counts."""

    def _happens(self, late):
        try:
            I2c._happens(self, late)
        except OSError:
            self.count += 1
            raise


def ramp(start_us, period_us, n):
    # 1 nA a sample, infrared 1000 nA above red
    red = [6000 + (start_us - 1_000_000 + i * period_us) / 10_000 for i in range(n)]
    return red, [v + 1000 for v in red]


def session(at, kind, late, slow=0):
    """(transfers, samples, errors) of a node's life with that driver; every sample is judged. `slow`: in
    which step nobody looks for 400 ms, so that the FIFO runs over.
    """
    world = World()
    chip = Max30102Model(ramp, world.now)

    def nack():
        raise OSError(EIO)

    bus = Bus(chip, at, nack if kind == "nack" else chip.brown_out, late)
    driver = Max30102(bus)
    red, infrared = array("i", [0] * 32), array("i", [0] * 32)
    samples = errors = in_row = 0
    running, before = False, None
    for step in range(STEPS):
        world.us += 400_000 if step == slow else 80_000
        try:
            if not running:
                driver.check()
                driver.configure()
                driver.start()
                running, before = True, None
                continue
            if step == 30:
                driver.set_led(0x24)
            n = driver.drain(red, infrared)
            in_row = 0
        except (BusError, WrongChip):
            errors += 1
            in_row += 1
            if in_row >= 3:
                running = False
            continue
        for i in range(n):
            r, ir = red[i] * 62.5 / 1000, infrared[i] * 62.5 / 1000
            assert abs(ir - r - 1000) < 0.3 and abs(r - 6000 - (world.us - 1_000_000) / 10_000) < 60, (
                at,
                r,
                ir,
            )
            if before is not None and not (i == 0 and driver.overflowed < 0):
                apart = 1 + (driver.overflowed if i == 0 else 0)
                assert abs(r - before - apart) < 0.3, (at, r - before, apart)
            before = r
        samples += n
    assert running and samples > 8 * STEPS // 2, (at, samples)
    return bus.count, samples, errors


def test_nothing_goes_wrong_by_itself():
    _, samples, errors = session(-1, "nack", False)
    assert errors == 0 and samples >= 8 * (STEPS - 1)


def every(kind, late, slow=0):
    total = session(-1, kind, late, slow)[0]
    assert total > 100
    return [session(at, kind, late, slow)[2] for at in range(total - 12)]


def test_a_transfer_that_is_not_acknowledged_is_an_error_and_no_sample_is_wrong():
    for slow in (0, 20):
        for errors in every("nack", False, slow):
            assert errors == 1


def test_a_transfer_that_breaks_when_the_chip_has_done_it_is_an_error_and_no_sample_is_wrong():
    for slow in (0, 20):
        for errors in every("nack", True, slow):
            assert errors >= 1


def test_a_supply_that_breaks_down_at_any_moment_is_noticed_before_a_sample_is_wrong():
    for late in (False, True):
        for at, errors in enumerate(every("brown", late)):
            assert errors >= 1 or at < BEFORE_SETTINGS, at


def test_a_read_pointer_that_stands_still_is_noticed():
    world = World()
    chip = Max30102Model(ramp, world.now)
    driver = Max30102(I2c(chip, -1, None, False))
    driver.configure()
    driver.start()
    red, infrared = array("i", [0] * 32), array("i", [0] * 32)
    world.us += 80_000
    assert driver.drain(red, infrared) == 8
    chip._registers[6] = 0
    for _ in range(2):
        world.us += 80_000
        try:
            driver.drain(red, infrared)
        except BusError:
            continue
        assert False, "the same samples again"
    driver.configure()
    driver.start()
    world.us += 80_000
    assert driver.drain(red, infrared) == 8

"""A cuff on an arm under a clock that the test moves: the plant, the sensor's model, pins that keep their
levels, a board, a node, and the real firmware in between. What happens is judged from the plant's history.
"""

import sys

from boards.virtual.chips.mprls import MprlsModel
from boards.virtual.pneumatics import Pneumatics
from drivers.mprls import Mprls
from firmware import cuff
from firmware.clock import Clock
from protocol import frames
from tests.both.cuff_witness import Witness

WRAP = 1 << 30
PERIODIC_US = 1000000
KEPT = []


class Pause:
    """What sleep_ms gives: both interpreters can await it, and the world sees how long."""

    def __init__(self, ms):
        self.ms = ms
        self.slept = False

    def __iter__(self):
        return self

    __await__ = __iter__

    def __next__(self):
        if self.slept:
            raise StopIteration
        self.slept = True
        return self.ms


class SleepMs:
    """In asyncio's place."""

    @staticmethod
    def sleep_ms(ms):
        return Pause(ms)


class StubListener:
    """An oscillometer that knows the arm: told by pressures, not by pulses."""

    period_ms = 0
    motion = False
    top = 0
    systolic_pa = 16000
    verdict = (0, 1200, 800, 930, 720, 90, 0)

    def begin(self, deflating):
        self.deflating = deflating
        self.pulses = 0
        self.gone = self.done = False

    def process(self, block, n):
        pa = block[n - 1]
        if pa < self.systolic_pa:
            self.pulses += 1
        self.gone = not self.deflating and pa > self.systolic_pa + 2000
        self.done = self.deflating and pa < 7000

    def solve(self):
        return iter(())

    def result(self):
        return self.verdict


class Module:
    """A module that is not on disk."""


class Arm:
    """An artery that opens as the cuff's pressure falls, beating at `rate_hz`."""

    sys_mmhg, dia_mmhg, map_mmhg = 120, 80, 93

    def __init__(self, rate_hz=1.2, ml=0.5):
        self.rate_hz = rate_hz
        self.ml = ml

    def volume_ml(self, cuff_mmhg, t_s):
        phase = t_s * self.rate_hz % 1
        rise = phase / 0.2 if phase < 0.2 else (1 - phase) / 0.8
        away = (cuff_mmhg - self.map_mmhg) / 35
        return self.ml * rise / (1 + away * away)


class Pin:
    def __init__(self, world, name):
        self.world = world
        self.name = name

    def value(self, level=None):
        if level is None:
            self.world.plant.advance()
            return self.world.pins[self.name]
        self.world.pin(self.name, level)

    def duty_u16(self, level):
        self.world.pin(self.name, level)


class Timer:
    def __init__(self, world, period_ms, callback):
        self.world = world
        self.period_us = period_ms * 1000
        self.due_us = world.us + self.period_us
        self.callback = callback
        world.timers.append(self)

    def deinit(self):
        if self in self.world.timers:
            self.world.timers.remove(self)


class I2c:
    def __init__(self, world):
        self.world = world

    def readfrom_into(self, address, buf):
        self.world.us += 150
        found = self.world.chip.read(0, len(buf))
        if found is None:
            raise OSError(19)
        buf[:] = found

    def writeto(self, address, buf):
        self.world.us += 120
        if not self.world.chip.write(buf[0], bytes(buf[1:])):
            raise OSError(19)


class Board:
    def __init__(self, world):
        self.world = world
        self.config = {"node": {}, "cuff": {}}

    def cuff(self):
        return [Pin(self.world, name) for name in ("PUMP", "VALVE", "RELEASE", "FEED", "ARM", "SWITCH")]

    def bus(self, role):
        return (I2c(self.world),)

    def timer(self, period_ms, callback):
        return Timer(self.world, period_ms, callback)

    def consent(self):
        return self.world.us < self.world.held_until_us

    def charging(self):
        return self.world.charging

    def input_info(self):
        return None, 0, 0, 2


class Sealer:
    def __init__(self, world):
        self.world = world
        self.frames = []

    def seal(self, kind, body, t_us=None, keep=False):
        self.world.us += self.world.seal_us
        if kind == frames.KIND_WAVE and not self.world.keep_waves:
            return
        self.frames.append((kind, body, self.world.node.clock.now_us() if t_us is None else t_us))


class Settings:
    cuff_size = frames.CUFF_MEDIUM


class Readings:
    bp = None
    cuff_fault = 0


class Node:
    def __init__(self, world):
        self.board = Board(world)
        self.clock = Clock(world)
        self.sealer = Sealer(world)
        self.settings = Settings()
        self.features = {}
        self.world = world
        self.alarms = None

    def report(self, code, priority, value=None, text=None):
        self.world.events.append((self.world.us, code, priority, value, text))

    def drain(self):
        self.world.us += 3000
        # It is forgotten after each run, as the real one.
        if self.world.listener is not None:
            stub = Module()
            stub.Oscillometer = self.world.listener
            sys.modules["firmware.dsp.oscillometry"] = stub


class World:
    """`us` is its time; `jitter_us(n)` is what the n-th sleep takes longer than asked. `ticks_…`: the node's
    time module, whose ticks wrap `wrap_after_us` from the start.
    """

    def __init__(self, arm=None, wrap_after_us=40000000, listener=StubListener, cuff_ml=130.0):
        self.us = 0
        self.offset = WRAP - wrap_after_us
        self.held_until_us = 0
        self.charging = False
        self.timers = []
        self.events = []
        self.deaths = []
        self.seal_us = 2000
        self.keep_waves = False
        self.broken_pins = ()
        self.deaf_pins = ()
        self.jitter_us = ecg_and_others
        self._sleeps = 0
        self._second_us = PERIODIC_US
        self.pins = {}
        self.plant = Pneumatics(self.pins, arm or Arm(), lambda: self.us, cuff_ml)
        self.witness = self.plant.history = Witness()
        self.chip = MprlsModel(self.plant.mmhg, lambda: self.us)
        self.listener = listener
        cuff.asyncio = SleepMs
        self.boot()

    # The node's time

    def ticks_us(self):
        return (self.us + self.offset) % WRAP

    def ticks_add(self, ticks, delta):
        return (ticks + delta) % WRAP

    def ticks_diff(self, a, b):
        return (a - b + WRAP // 2) % WRAP - WRAP // 2

    # What the test does

    def boot(self):
        """A fresh VM on pins that are as they were left."""
        del self.timers[:]
        self.node = Node(self)
        self.feature = cuff.BloodPressure(self.node, Mprls)
        self.node.features["cuff"] = self.feature
        self.feature.begin()
        self.readings = Readings()
        self.task = self._task()
        self._wake_us = self.us

    def _task(self):
        task = self.feature.run()
        if sys.implementation.name == "cpython":
            # Which would run the finally of one that it collects.
            KEPT.append(task)
        return task

    def kill(self):
        """The VM ends; nothing of it runs any more."""
        del self.timers[:]
        self.task = None

    def pin(self, name, level):
        if name in self.broken_pins:
            raise OSError(5)
        if name not in self.deaf_pins:
            self.plant.drive(name, level)

    def press(self, ms=300):
        self.held_until_us = self.us + ms * 1000

    def run(self, seconds, until=None, tasks=True, timers=True):
        """The world goes on for so long, or until `until()`; without tasks the VM hangs, without timers it
        is frozen.
        """
        end_us = self.us + int(seconds * 1000000)
        while self.us < end_us and not (until and until()):
            due_us = min(end_us, self.us + 20000)
            alive = tasks and self.task is not None
            if alive and self._wake_us <= self.us:
                self._step()
            if alive and self.us >= self._second_us:
                self._second_us = self.us + PERIODIC_US
                self.feature.second(self.readings)
            if alive:
                due_us = min(due_us, self._wake_us)
            if timers:
                for timer in list(self.timers):
                    if timer.due_us <= self.us and timer in self.timers:
                        timer.due_us = self.us + timer.period_us
                        timer.callback(timer)
                for timer in self.timers:
                    due_us = min(due_us, timer.due_us)
            self.us = max(self.us, due_us)
            self.plant.advance()

    def _step(self):
        try:
            ms = self.task.send(None)
        except Exception as error:
            self.deaths.append(error)
            self.task = self._task()
            ms = 500
        self._sleeps += 1
        self._wake_us = self.us + ms * 1000 + self.jitter_us(self._sleeps)

    # What the test asks

    def over(self):
        """Whether pump and cuff are at rest."""
        plant = self.plant
        return not plant.pump_running and plant.cuff_mmhg < 5 and not self.feature.safety.running

    def results(self):
        return [body for kind, body, _ in self.node.sealer.frames if kind == frames.KIND_BP]

    def waves(self):
        return [(body, t_us) for kind, body, t_us in self.node.sealer.frames if kind == frames.KIND_WAVE]

    def pump_off_after(self, us):
        """Microseconds from `us` to the last moment at which the pump turned."""
        return max(0, self.witness.pumped_us - us)

    def buzzer_after(self, us):
        """Microseconds from `us` to the hardware's buzzer; None: never."""
        for t in self.witness.buzzed:
            if t >= us:
                return t - us
        return None

    def event_after(self, us):
        for t, _code, _, _, _ in self.events:
            if t >= us:
                return t - us
        return None

    def highest(self):
        """The most that the cuff has seen."""
        return self.witness.highest

    def inflated_for(self):
        """The longest time in seconds from the start of an inflation to 15 mmHg; None: it still is."""
        return self.witness.longest_us / 1e6 if self.witness.began_us is None else None


def ecg_and_others(n):
    """The drains of the other sensors every 65 ms, signatures, and now and then a flash write."""
    if n % 331 == 0:
        return 80000
    return (2000, 500, 18000, 800, 4000, 1000)[n % 6]


def quiet(n):
    return 300


def rested(world=None, **options):
    """A world in which the cuff has been known empty for long enough."""
    world = world or World(**options)
    world.run(35)
    return world


def started(pressure=100, **options):
    """A measurement that has pumped the cuff to `pressure` mmHg."""
    world = rested(**options)
    world.press()
    world.run(60, until=lambda: world.plant.cuff_mmhg > pressure)
    assert world.plant.pump_running
    return world


def measured(world, seconds=150):
    """The frame that the next measurement ends with."""
    world.run(seconds, until=world.results)
    assert world.deaths == [], world.deaths
    return world.results()[-1]


def bp(world):
    """The frame of a measurement that the button starts."""
    world.press()
    return measured(world)

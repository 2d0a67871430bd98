"""A sensor of the node on a fake chip, drained on a clock that the test moves."""

from drivers.errors import WrongChip
from firmware.clock import Clock
from firmware.sampling import PpgSensor

WRAP = 1 << 30
PERIOD_US = 4000
SIZE = 250


class FakeTime:
    def __init__(self):
        self.us = 0

    def ticks_us(self):
        return (WRAP - 5000000 + self.us) % WRAP

    def ticks_add(self, ticks, delta):
        return (ticks + delta) % WRAP

    def ticks_diff(self, a, b):
        return (a - b + WRAP // 2) % WRAP - WRAP // 2


class Chain:
    """A signal chain that only remembers."""

    calibrated = False
    settling = False
    no_finger = False
    hr_x10 = 723
    quality = 90
    spo2_x10 = 970
    pulse_x10 = 722
    pi_x100 = 0
    rr_ms = [830, 828]
    asystole = irregular = bad = False
    cannot_analyse = 0
    since_beat_ms = 400
    since_pulse_ms = 600
    led = 36
    steps = 0

    def led_step(self):
        """As often as `steps` says, the LEDs are to be one step brighter."""
        if self.steps:
            self.steps -= 1
            self.led += 1
            return 1
        return 0

    def __init__(self):
        self.seen = []
        self.gaps = []

    def process(self, *args):
        self.seen.append(args[2] if len(args) == 4 else args[-1])

    def gap(self, missed):
        self.gaps.append(missed)

    def take_beats(self):
        return []


class Chip:
    """An ECG chip and its driver in one: a FIFO of 32 whose n-th sample is n. `fail`: what the next drains
    raise.
    """

    part = "FAKE"
    ambient = False
    led = 0

    def set_led(self, value):
        if self.led_fails:
            raise self.led_fails.pop()
        self.led = value

    def __init__(self, time, period_us=PERIOD_US, depth=32):
        self.time = time
        self.period_us = period_us
        self.depth = depth
        self.fail = []
        self.led_fails = []
        self.overflowed = 0
        self.lead_off = False
        self.saturated = False
        self.next = None
        self.gap = 0
        self.starts = 0
        self.wrong = False

    def check(self):
        if self.wrong:
            raise WrongChip("FAKE", 1, 2)

    def configure(self):
        pass

    def start(self):
        self.starts += 1
        self.next = self.time.us // self.period_us

    def take(self):
        """How many samples wait, at most the FIFO's depth; what is beyond is lost behind them."""
        waiting = self.time.us // self.period_us - self.next
        n = min(waiting, self.depth)
        self.overflowed = self.gap
        self.gap = waiting - n
        return n

    def drain(self, *into):
        if self.fail:
            raise self.fail.pop(0)
        n = self.take()
        for block in into:
            for i in range(n):
                block[i] = self.next + i
        self.next += n + self.gap
        return n


class Node:
    """What a sensor reports to."""

    def __init__(self):
        self.events = []
        self.recovered = 0
        self.waves = []

    def report(self, code, priority, value=None, text=None):
        self.events.append((code, value))

    def sensor_recovered(self, sensor):
        self.recovered += 1

    def wave(self, sensor, ready):
        self.waves.append(taken(sensor, ready))


def taken(sensor, ready):
    return (list(sensor.wave.samples[0][: ready.n]), ready.ticks, ready.flags, ready.late, ready.missed)


class Rig:
    """A sensor on a fake chip, drained every 48 ms."""

    def __init__(self, kind=PpgSensor, period_us=PERIOD_US):
        self.time = FakeTime()
        self.clock = Clock(self.time)
        self.chip = Chip(self.time, period_us)
        self.node = Node()
        self.chain = Chain()
        self.time.us = 10000
        self.sensor = kind(
            "FAKE", period_us * 1000, 1, self.clock, self.node, lambda: self.chip, self.chain, SIZE
        )
        self.sensor.start(self.clock.now_ms())
        self.frames = []

    def poll(self, after_us=48000):
        self.time.us += after_us
        self.sensor.poll()
        if self.sensor.wave.ready is not None:
            self.frames.append(taken(self.sensor, self.sensor.wave.ready))
            self.sensor.wave.release()

    def run(self, polls):
        for _ in range(polls):
            self.poll()

    def samples(self):
        return [x for frame in self.frames for x in frame[0]]


def steps(values):
    return [values[i + 1] - values[i] for i in range(len(values) - 1)]

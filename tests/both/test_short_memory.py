"""A node whose memory does not suffice for a moment: what it was at is done once, later, as it was meant."""

from array import array

from firmware import aftermath
from firmware.app import Node
from firmware.requests import MAX_WAITING, Requests
from firmware.sampling import Sensor
from firmware.wave import Notes
from protocol import frames, waveform

BRIGHT = [140000 + 8 * k for k in range(20)]
DIM = [90000 + 5 * k for k in range(20)]


class Short:
    """Everything a wave frame needs, in one; `fails`: how many of the next seals do."""

    channels = (frames.CH_PPG_RED, frames.CH_PPG_IR)
    lsb = 62
    period_ns = 10000000
    source = 2

    def __init__(self):
        self.clock = self.sealer = self.wave = self.settings = self
        self.not_sent = ()
        self.samples = [array("i", BRIGHT), array("i", DIM)]
        self.fails = 0
        self.sealed = []

    def at_us(self, ticks):
        return ticks

    def drain(self):
        pass

    def seal(self, kind, body, t_us):
        if self.fails:
            self.fails -= 1
            raise MemoryError("no room for a frame")
        self.sealed.append(body)

    def report(self, code, priority, value=None, text=None):
        self.seal(code, text, None)

    def shrink(self):
        raise MemoryError("no room to note it")


def failing(action, *args):
    try:
        action(*args)
    except MemoryError:
        return
    raise AssertionError("memory sufficed")


def test_a_bright_waveform_is_halved_once_and_no_channel_comes_twice():
    for good_first in (False, True):
        short, ready = Short(), Notes()
        ready.n = len(BRIGHT)
        if good_first:
            real = short.seal

            def second_fails(kind, body, t_us, short=short, real=real):
                real(kind, body, t_us)
                short.seal = real
                short.fails = 1

            short.seal = second_fails
        else:
            short.fails = 1
        failing(Node.wave, short, short, ready)
        Node.wave(short, short, ready)
        told = [(body[frames.WAVE_CHANNEL], body[frames.WAVE_LSB]) for body in short.sealed]
        assert told == [(frames.CH_PPG_RED, 124), (frames.CH_PPG_IR, 62)]
        red, infrared = [
            list(waveform.decode(body[frames.WAVE_DATA], body[frames.WAVE_COUNT])) for body in short.sealed
        ]
        assert red == [x >> 1 for x in BRIGHT] and infrared == DIM
        ready.clear()
        assert (ready.sealed, ready.halved) == (0, False)


class Refusing:
    """A node, and a sensor's buffer, whose complete frame cannot be sealed."""

    ready = None

    def wave(self, sensor, ready):
        raise MemoryError("no room for a frame")


class Flushing:
    """A sensor at work on its complete frame."""

    def __init__(self):
        self._busy = False
        self._node = self.wave = Refusing()


def test_a_sensor_is_polled_again_after_a_frame_that_failed():
    sensor = Flushing()
    failing(Sensor.flush, sensor)
    assert not sensor._busy


class Dying:
    """A node of which a task has died."""

    def __init__(self):
        self.sealer = self.box = Short()
        self.sealer.box = self.sealer
        self.sealer.broken = False
        self.fault = None

    def report(self, code, priority, value=None, text=None):
        raise MemoryError("no room for an event")


def test_a_death_that_cannot_be_told_ends_nothing_else():
    Node.died(Dying(), "receive", MemoryError("here"))


class Ending:
    """A start whose boot has ended for want of memory."""

    def __init__(self):
        self.box = Short()
        self.records = self.record = self
        self.boot_id = bytes(12)


def test_a_boot_that_ends_for_want_of_memory_ends():
    aftermath.keep(Ending(), 5, MemoryError("here"))


class Full:
    """A node with no room for one more piece of work."""

    def __init__(self):
        self.link = self.session = self
        self.agent_id = bytes(8)
        self.rejected = {}

    def add_work(self, steps):
        raise MemoryError("no room for work")


def test_an_order_that_found_no_memory_takes_no_place():
    node = Full()
    requests = Requests(node)
    for _ in range(2 * MAX_WAITING):
        failing(requests.ordered, frames.KIND_UNPAIR, {})
    assert not node.rejected

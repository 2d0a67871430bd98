"""Memory that is short for a moment in the middle of something: what was at work then is taken up again."""

from drivers.errors import BusError
from firmware import link
from firmware.link import Link
from firmware.sampling import BACKOFF_FIRST_MS
from protocol import attest, crypto, frames
from protocol.crypto import run
from protocol.identity import generate_steps
from tests.both.fake_sensor import Rig, steps, taken
from tests.both.test_losses import sealer


def failing(action, *args):
    try:
        action(*args)
    except MemoryError:
        return
    raise AssertionError("memory sufficed")


class ShortRig(Rig):
    """A sensor whose complete frames cannot be sealed while `short`."""

    def __init__(self):
        Rig.__init__(self)
        self.short = False
        self.node.wave = self.wave

    def wave(self, sensor, ready):
        if self.short:
            raise MemoryError("no room for a frame")
        self.frames.append(taken(sensor, ready))

    def drain(self, after_us=64000):
        self.time.us += after_us
        self.sensor.poll()

    def go_on(self, drains):
        for _ in range(drains):
            self.drain()
            if self.sensor.wave.ready is not None:
                self.sensor.flush()


def test_samples_that_found_no_room_are_missing_in_a_frames_words_and_never_inside_one():
    """The sample task dies as often as its buffer is full, and rests each time."""
    for deaths, rest_us in ((1, 64000), (1, 500000), (3, 64000)):
        rig = ShortRig()
        rig.go_on(20)
        rig.short = True
        for _ in range(deaths):
            failing(rig_until_death, rig)
        rig.short = False
        rig.drain(rest_us)
        rig.go_on(20)
        assert all(set(steps(frame[0])) == {1} for frame in rig.frames)
        samples = rig.samples()
        gaps = [step - 1 for step in steps(samples) if step != 1]
        assert gaps and sum(gaps) == sum([frame[4] for frame in rig.frames]) == rig.sensor.missed


def rig_until_death(rig):
    for _ in range(20):
        rig.drain()


def test_a_range_whose_signing_failed_is_signed_next():
    attester = attest.Attester(run(generate_steps(bytes(range(64)))), bytes(12))
    real = crypto.ed25519_sign_steps

    def short(seed, pub, message):
        raise MemoryError("no room for a point")

    ranges = []
    for n in range(40):
        attester.add(n, b"frame %d" % n)
        if n % 10 == 9:
            crypto.ed25519_sign_steps = short if n == 19 else real
            try:
                body = run(attester.sign_steps(0))
                ranges.append((body[attest.FIRST], body[attest.COUNT]))
                assert not attester.behind
            except MemoryError:
                assert n == 19 and attester.behind and attester.due(0)
            finally:
                crypto.ed25519_sign_steps = real
    assert ranges == [(0, 10), (10, 10), (20, 20)]


class Forgetful:
    """A boot record whose first note fails."""

    def __init__(self):
        self.notes = []

    def retain(self, next_seq):
        self.notes.append(next_seq)
        if len(self.notes) == 1:
            raise MemoryError("no room for a note")


def test_a_frame_that_is_held_counts_as_sealed():
    one, _ = sealer()
    one._record = record = Forgetful()
    for _ in range(2):
        one.seal(frames.KIND_VITALS, {frames.VITALS_HR: 700})
    assert one.box.numbers() == [0, 1] and record.notes == [1, 2]


class Clock:
    def ticks_us(self):
        return 0

    def ticks_diff(self, end, start):
        return 0


def test_work_that_there_is_no_memory_to_begin_stays():
    done = []

    def work():
        yield
        done.append(True)

    one = Link(None, None, Clock(), None)
    one.add_work(work())
    real = link.sliced

    def short(job, clock):
        raise MemoryError("no room for a coroutine")

    link.sliced = short
    try:
        failing(one.work().send, None)
    finally:
        link.sliced = real
    assert len(one._jobs) == 1 and not done


class Untold(Rig):
    """A sensor whose node has no memory for its next `fails` events."""

    def __init__(self, fails):
        Rig.__init__(self)
        self.fails = fails
        self.told = []
        self.node.report = self.report
        self.node.sensor_recovered = self.recovered

    def report(self, code, priority, value=None, text=None):
        if self.fails:
            self.fails -= 1
            raise MemoryError("no room for an event")
        self.told.append(code)

    def recovered(self, sensor):
        self.report(frames.EVENT_SENSOR_RECOVERED, 0)

    def go_on(self, ms):
        for _ in range(ms // 48):
            try:
                self.poll()
            except MemoryError:
                pass


def test_a_fault_and_a_recovery_are_told_when_there_is_memory_again():
    rig = Untold(1)
    rig.run(5)
    rig.chip.wrong = True
    rig.chip.fail = [BusError("FAKE", 1, 5)] * 3
    rig.go_on(4 * BACKOFF_FIRST_MS)
    assert rig.told == [frames.EVENT_SENSOR_FAULT]
    rig.fails = 2
    rig.chip.wrong = False
    rig.go_on(40 * BACKOFF_FIRST_MS)
    assert rig.told == [frames.EVENT_SENSOR_FAULT, frames.EVENT_SENSOR_RECOVERED]

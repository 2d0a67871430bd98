"""Sensors in the node: every sample once and in its place, gaps told, faults survived."""

from array import array

from drivers.errors import BusError
from firmware.readings import Readings
from firmware.sampling import BACKOFF_FIRST_MS, ERRORS_TO_FAULT, EcgSensor
from firmware.vitals import vitals_body
from firmware.wave import SLACK, WaveBuffer
from protocol import frames
from tests.both.fake_sensor import PERIOD_US, SIZE, WRAP, Chip, Node, Rig, steps


def test_every_sample_once_and_frames_of_a_second():
    rig = Rig()
    rig.run(300)
    samples = rig.samples()
    first = samples[0]
    assert samples == list(range(first, first + len(samples))) and len(samples) >= 3250
    assert all(len(frame[0]) == SIZE for frame in rig.frames)
    assert all(frame[2:] == (0, 0, 0) for frame in rig.frames)
    assert rig.sensor.missed == rig.sensor.late == 0
    assert sum(rig.chain.seen) >= len(samples)


def test_a_frame_is_dated_by_its_first_sample():
    rig = Rig()
    rig.run(600)
    for samples, ticks, _, _, _ in rig.frames[8:]:
        true = (WRAP - 5000000 + samples[0] * PERIOD_US) % WRAP
        assert -PERIOD_US <= rig.time.ticks_diff(ticks, true) <= PERIOD_US


def test_a_drain_too_late_costs_samples_and_says_how_many():
    rig = Rig()
    rig.run(20)
    rig.poll(400000)
    rig.run(60)
    flagged = [frame for frame in rig.frames if frame[2] & frames.WAVE_OVERFLOWED]
    assert len(flagged) == 1
    samples = rig.samples()
    gaps = [step - 1 for step in steps(samples) if step != 1]
    assert gaps == [68]
    assert flagged[0][4] == 68 and rig.sensor.missed == 68
    assert (frames.EVENT_PPG_OVERFLOW, 68) in rig.node.events
    assert rig.chain.gaps == [68]
    assert rig.sensor.late > 0
    before = rig.frames[rig.frames.index(flagged[0]) - 1]
    assert len(before[0]) < SIZE and before[0][-1] + 69 == flagged[0][0][0]


class EcgChip(Chip):
    """Like the MAX30003: after an overflow nothing of the FIFO is sound, and nobody knows how much went."""

    def drain(self, into):
        if self.fail:
            raise self.fail.pop(0)
        if self.take() == 0:
            return 0
        if self.gap:
            self.overflowed = -1
            self.next = self.time.us // self.period_us
            self.gap = 0
            return 0
        n = self.time.us // self.period_us - self.next
        self.overflowed = 0
        for i in range(n):
            into[i] = self.next + i
        self.next += n
        return n


def test_an_overflow_of_unknown_size_is_measured_by_the_clock():
    rig = Rig(EcgSensor)
    rig.chip = EcgChip(rig.time)
    rig.sensor.start(0)
    rig.run(200)
    rig.poll(400000)
    rig.run(60)
    samples = rig.samples()
    gaps = [step - 1 for step in steps(samples) if step != 1]
    flagged = [frame for frame in rig.frames if frame[2] & frames.WAVE_OVERFLOWED]
    assert len(gaps) == len(flagged) == 1
    assert abs(flagged[0][4] - gaps[0]) <= 1 and gaps[0] >= 100
    assert (frames.EVENT_ECG_OVERFLOW, None) in rig.node.events


def test_a_late_drain_within_the_fifo_loses_nothing():
    rig = Rig(EcgSensor)
    rig.chip = EcgChip(rig.time)
    rig.sensor.start(0)
    rig.run(100)
    for _ in range(10):
        rig.poll(124000)
        rig.run(20)
    samples = rig.samples()
    assert samples == list(range(samples[0], samples[0] + len(samples)))
    assert rig.sensor.missed == 0 and rig.sensor.late > 10


def test_one_failed_transfer_is_no_fault():
    rig = Rig()
    rig.run(30)
    rig.chip.fail = [BusError("FAKE", 7, 5)]
    rig.run(30)
    assert rig.node.events == [] and rig.sensor.bus_errors == 1 and rig.chip.starts == 1
    samples = rig.samples()
    assert samples == list(range(samples[0], samples[0] + len(samples)))


def test_a_fault_is_told_once_retried_ever_more_seldom_and_recovered_from():
    rig = Rig()
    rig.run(30)
    rig.chip.fail = [BusError("FAKE", 7, 5)] * ERRORS_TO_FAULT
    rig.chip.wrong = True
    tries = []
    check = rig.chip.check

    def counted():
        tries.append(rig.time.us)
        check()

    rig.chip.check = counted
    rig.run(500)
    assert rig.node.events == [(frames.EVENT_SENSOR_FAULT, None)]
    pauses = steps(tries)
    assert len(tries) > 3 and all(step >= 0 for step in steps(pauses))
    assert pauses[0] >= 2 * BACKOFF_FIRST_MS * 1000
    rig.chip.wrong = False
    rig.run(300)
    assert rig.node.recovered == 1 and rig.node.events == [(frames.EVENT_SENSOR_FAULT, None)]
    samples = rig.samples()
    gaps = [step - 1 for step in steps(samples) if step != 1]
    told = [frame[4] for frame in rig.frames if frame[4]]
    assert len(gaps) == len(told) == 1 and abs(gaps[0] - told[0]) <= 2


def test_a_chip_that_falls_silent_is_a_fault():
    rig = Rig()
    rig.run(30)
    rig.chip.take = lambda: 0
    rig.run(40)
    assert (frames.EVENT_SENSOR_FAULT, None) in rig.node.events


def test_a_chip_that_only_runs_over_is_a_fault():
    rig = Rig(EcgSensor)
    rig.run(30)
    rig.chip.overflowed = -1
    rig.chip.drain = lambda into: 0
    rig.run(20)
    assert (frames.EVENT_SENSOR_FAULT, None) not in rig.node.events
    rig.run(10)
    assert (frames.EVENT_SENSOR_FAULT, None) in rig.node.events and rig.sensor.driver is None


def test_a_bus_that_is_not_there_yet_is_tried_again():
    rig = Rig()
    sensor = EcgSensor("FAKE", 4000000, 1, rig.clock, rig.node, lambda: absent(), rig.chain, SIZE)

    def absent():
        raise OSError(110, "no answer")

    assert not sensor.start(0) and sensor.bus_errors == 1
    assert rig.node.events == [(frames.EVENT_SENSOR_FAULT, None)]
    readings = Readings()
    readings.take(sensor, None)
    assert readings.ecg_fault and vitals_body(readings, sensor, None) == {}


def test_a_sensor_that_is_held_samples_nothing_until_it_may():
    rig = Rig(EcgSensor)
    rig.run(10)
    rig.chip.stop = lambda: stopped.append(True)
    stopped = []
    for _ in range(3):
        rig.sensor.hold("charging")
    assert stopped == [True] and rig.sensor.driver is None
    assert rig.node.events == [(frames.EVENT_SENSOR_FAULT, None)]
    starts = rig.chip.starts
    rig.run(300)
    assert rig.chip.starts == starts and rig.sensor.driver is None
    rig.sensor.hold("")
    rig.run(300)
    assert rig.chip.starts == starts + 1 and rig.sensor.driver is not None
    assert rig.sensor.missed > 0


def test_a_sensor_that_is_held_from_the_start_is_told_of_and_begins_later():
    rig = Rig(EcgSensor)
    rig.sensor.driver = None
    starts = rig.chip.starts
    rig.sensor.hold("charging")
    rig.run(300)
    assert rig.chip.starts == starts and rig.node.events == [(frames.EVENT_SENSOR_FAULT, None)]
    rig.sensor.hold("")
    rig.run(300)
    assert rig.chip.starts == starts + 1


def test_the_leds_are_what_the_chain_wants_also_after_a_fault():
    rig = Rig()
    rig.run(10)
    assert rig.chip.led == rig.chain.led == 36
    rig.chain.steps = 2
    rig.run(10)
    assert rig.chip.led == rig.chain.led == 38
    rig.chip.led_fails = [BusError("FAKE", 12, 5)]
    rig.chain.steps = 1
    rig.poll()
    assert rig.chip.led == 38 and rig.sensor.driver is not None
    rig.poll()
    assert rig.chip.led == rig.chain.led == 39
    rig.chip.fail = [BusError("FAKE", 7, 5)] * ERRORS_TO_FAULT
    rig.run(ERRORS_TO_FAULT)
    assert rig.sensor.driver is None
    rig.chip.led = 36
    rig.run(60)
    assert rig.sensor.driver is not None and rig.chip.led == 39


def test_flags_follow_the_samples():
    rig = Rig(EcgSensor)
    rig.run(10)
    rig.chip.lead_off = True
    rig.run(2)
    rig.chip.lead_off = False
    rig.run(40)
    marked = [bool(frame[2] & frames.WAVE_OFF) for frame in rig.frames]
    assert marked[0] and not any(marked[1:])


class Beat:
    """A SampleClock whose samples come at ticks 10, 20, 30 …"""

    newest = 0

    def before(self, n):
        return 10 * (self.newest - n)


def test_no_sample_is_dropped_when_nobody_takes_a_frame():
    emitted = []
    buffer = WaveBuffer(
        1, 100, lambda ready: emitted.append((list(buffer.samples[0][: ready.n]), ready.ticks))
    )
    clock = Beat()
    block = array("i", range(32))
    sent = 0
    for _ in range(40):
        n = 1 + sent % 32
        for i in range(n):
            block[i] = sent + i
        sent += n
        clock.newest = sent - 1
        buffer.put([block], n, clock, 0, 0)
    flat = [x for samples, _ in emitted for x in samples]
    assert flat == list(range(len(flat))) and len(flat) + 100 + SLACK >= sent
    assert [ticks for _, ticks in emitted] == [1000 * k for k in range(len(emitted))]


class SlowNode(Node):
    """Sealing takes it so long that it drains between the channels, with no room left."""

    def __init__(self, rig):
        Node.__init__(self)
        self.rig = rig

    def wave(self, sensor, ready):
        channels = []
        for samples in sensor.wave.samples:
            self.rig.time.us += 6 * PERIOD_US
            sensor.poll()
            channels.append(list(samples[: ready.n]))
        self.waves.append(channels)


def test_a_frame_is_sealed_once_though_a_drain_in_between_finds_no_room():
    rig = Rig()
    node = SlowNode(rig)
    rig.node.wave = node.wave
    for _ in range(100):
        rig.time.us += 20 * PERIOD_US
        rig.sensor.poll()
        wave = rig.sensor.wave
        if wave.ready is not None and wave._filling.n >= SLACK - 8:
            rig.sensor.flush()
    red = [x for one, _ in node.waves for x in one]
    infrared = [x for _, one in node.waves for x in one]
    assert len(node.waves) >= 5
    assert red == infrared == list(range(red[0], red[0] + len(red)))

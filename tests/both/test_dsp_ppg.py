"""The PPG chain on two-wavelength pulses of known ratio, and on what is no pulse."""

import math
from array import array

from firmware.dsp import oximetry
from firmware.dsp.ecg_kernel import INDEX_MASK
from firmware.dsp.ppg import QUALITY_FLOOR, PpgChain
from firmware.dsp.pulse import ARTEFACT, BEAT, PulseDetector

DC_RED, DC_IR = 90000, 112000
LENGTHS = (0.6, 0.95, 0.7, 0.8, 1.1, 0.55, 0.75)  # of intervals, at random


def bell(x, middle, width):
    return math.exp(-(((x - middle) / width) ** 2))


def young(t, period):
    """A steep rise and a marked dicrotic wave; `t` seconds since the pulse came."""
    q = math.sqrt(period)
    return bell(t, 0.16 * q, 0.08 * q) + 0.45 * bell(t, 0.5 * q, 0.11 * q)


def old(t, period):
    """One broad wave."""
    return bell(t, 0.3 * math.sqrt(period), 0.16 * math.sqrt(period))


def stiff(t, period):
    """A shoulder before the peak."""
    q = math.sqrt(period)
    return 0.7 * bell(t, 0.13 * q, 0.07 * q) + bell(t, 0.3 * q, 0.12 * q)


class Patient:
    """Blocks of 20 pairs. `ratio`: ratio of ratios; `pi`: AC by DC; `breath`: swing of both DCs, 0.25 Hz."""

    def __init__(self, ratio, bpm=72, shape=young, pi=0.02, breath=0.003, noise=8):
        self.ratio, self.pi, self.breath, self.noise = ratio, pi, breath, noise
        period = 60 / bpm
        self.beats = [0.0]
        self.shape = shape
        self.interval = lambda k: period
        self.strength = lambda k: 1.0
        self.motion = lambda t: (0.0, 0.0)  # red, infrared, by their DCs
        self.seed = 3
        self.n = 0
        self.k = 0
        self.start = 0.3
        self.period = period
        self.last = None
        self.red = array("i", [0] * 20)
        self.ir = array("i", [0] * 20)

    def random(self, top):
        self.seed = (self.seed * 75 + 74) % 65537
        return self.seed * 2 * top // 65537 - top

    def volume(self, t):
        """Sum of the pulse that runs and of the one before it."""
        while t >= self.start + self.period:
            self.last = (self.start, self.period, self.strength(self.k))
            self.start += self.period
            self.k += 1
            self.period = self.interval(self.k)
        v = self.strength(self.k) * self.shape(t - self.start, self.period)
        if self.last:
            v += self.last[2] * self.shape(t - self.last[0], self.last[1])
        return v

    def block(self):
        for i in range(20):
            t = (self.n + i) / 100
            v = self.pi * self.volume(t)
            base = 1 + self.breath * math.sin(2 * math.pi * 0.25 * t)
            red, ir = self.motion(t)
            self.red[i] = int(DC_RED * base * (1 - self.ratio * v + red)) + self.random(self.noise)
            self.ir[i] = int(DC_IR * base * (1 - v + ir)) + self.random(self.noise)
        self.n += 20

    def play(self, chain, seconds, each=None):
        """Feed the chain; `each(chain)` after each second."""
        for i in range(seconds * 5):
            self.block()
            chain.process(self.red, self.ir, 20)
            if each and i % 5 == 4:
                each(chain)


def readings(patient, seconds, chain=None):
    """(spo2_x10, pulse_x10, pi_x100, quality) each second."""
    rows = []
    patient.play(
        chain or PpgChain(),
        seconds,
        lambda c: rows.append((c.spo2_x10, c.pulse_x10, c.pi_x100, c.quality)),
    )
    return rows


def dark(chain, seconds):
    block = array("i", [700] * 20)
    for _ in range(seconds * 5):
        chain.process(block, block, 20)


def test_spo2_of_known_ratios_within_a_point():
    for shape in (young, old, stiff):
        for spo2 in (70, 80, 90, 97, 100):
            rows = readings(Patient((110 - spo2) / 25, shape=shape), 14)[11:]
            for row in rows:
                assert abs(row[0] - spo2 * 10) <= 10, (spo2, row)
                assert row[3] > 50


def test_spo2_and_pulse_at_every_rate():
    for bpm in (40, 60, 100, 150, 200):
        for row in readings(Patient(0.72, bpm), 20)[16:]:
            assert abs(row[0] - 920) <= 10 and abs(row[1] - bpm * 10) <= 15, (bpm, row)


def test_perfusion_index():
    for percent in (1, 2, 5, 10):
        row = readings(Patient(0.6, 60, shape=old, pi=percent / 100), 12)[-1]
        assert abs(row[2] - percent * 100) < percent * 25, (percent, row)


def test_low_perfusion():
    rows = readings(Patient(0.52, pi=0.002, noise=6, breath=0), 16)[12:]
    for row in rows:
        assert abs(row[0] - 970) <= 15 and 15 <= row[2] <= 25, row


def test_breathing_does_not_shift_it():
    rows = readings(Patient(1.6, breath=0.02), 16)[12:]
    for row in rows:
        assert abs(row[0] - 700) <= 10, row


def test_first_reading_comes_in_time():
    chain = PpgChain()
    assert chain.no_finger and not chain.settling and not chain.calibrated
    rows = []
    Patient(0.6).play(chain, 12, lambda c: rows.append((c.settling, c.spo2_x10 > 0, c.no_finger)))
    assert rows[0] == (True, False, False)
    first = [r[1] for r in rows].index(True)
    assert first <= 9
    assert not any([r[0] for r in rows[first:]])


def test_noise_without_pulse_gives_no_reading():
    for noise in (2, 20, 300):
        for row in readings(Patient(0.5, pi=0.0, breath=0.005, noise=noise), 25):
            assert row[:3] == (0, 0, 0) and row[3] < QUALITY_FLOOR, row


def test_noise_that_drowns_the_pulse_gives_no_reading():
    for row in readings(Patient(0.5, pi=0.002, noise=350), 25):
        assert row[:3] == (0, 0, 0), row


def test_motion_withholds_or_stays_near():
    """Movement that the two colours do not share: whatever is shown is within three points of the truth."""
    patient = Patient(0.52)

    def motion(t):
        if t < 12:
            return 0.0, 0.0
        a = math.sin(2 * math.pi * 1.9 * t + 3 * math.sin(0.9 * t))
        b = math.sin(2 * math.pi * 2.6 * t + 2 * math.sin(1.3 * t))
        return 0.01 * b, 0.01 * a

    patient.motion = motion
    rows = readings(patient, 40)
    assert rows[10][0] and rows[10][3] > 50
    assert min([row[3] for row in rows[18:]]) < QUALITY_FLOOR
    for row in rows[14:]:
        assert row[0] == 0 or abs(row[0] - 970) <= 30, row
        if row[3] < QUALITY_FLOOR:
            assert row[:3] == (0, 0, 0)


def test_one_knock_does_not_stay():
    patient = Patient(0.52)
    patient.motion = lambda t: (-0.2, -0.2) if 12 < t < 12.15 else (0.0, 0.0)
    rows = readings(patient, 24)
    for row in rows[10:12] + rows[21:]:
        assert abs(row[0] - 970) <= 10 and abs(row[1] - 720) <= 15, row
    for row in rows:
        assert row[0] == 0 or abs(row[0] - 970) <= 20, row


def test_irregular_pulse():
    """Bigeminy with weak early pulses, and intervals and heights at random: SpO2 stands."""
    for kind in ("bigeminy", "fibrillation"):
        patient = Patient(0.72)
        if kind == "bigeminy":
            patient.interval = lambda k: 0.55 if k % 2 else 1.05
            patient.strength = lambda k: 0.6 if k % 2 == 0 else 1.0
        else:
            patient.interval = lambda k: LENGTHS[k % 7]
            patient.strength = lambda k: 0.5 + LENGTHS[(k + 6) % 7] / 2
        rows = readings(patient, 30)
        shown = [row for row in rows[10:] if row[0]]
        assert len(shown) > 15, kind
        for row in shown:
            assert abs(row[0] - 920) <= 15, (kind, row)


def test_finger_comes_and_goes():
    chain = PpgChain()
    dark(chain, 2)
    assert chain.no_finger and chain.quality == 0 and chain.spo2_x10 == 0 and not chain.settling
    patient = Patient(0.6)
    assert readings(patient, 12, chain)[-1][0] == 950
    dark(chain, 1)
    assert chain.no_finger and chain.spo2_x10 == 0 and chain.pulse_x10 == 0 and chain.pi_x100 == 0
    rows = readings(Patient(1.0), 12, chain)
    assert rows[0] == (0, 0, 0, 0) and abs(rows[-1][0] - 850) <= 10
    for row in rows:
        assert row[0] == 0 or abs(row[0] - 850) <= 10  # nothing of the finger before


def test_finger_must_stay_and_may_flicker():
    chain = PpgChain()
    short = array("i", [50000] * 15 + [700] * 5)
    for _ in range(10):
        chain.process(short, short, 20)
    assert chain.no_finger
    bright = array("i", [50000] * 20)
    chain.process(bright, bright, 20)
    assert not chain.no_finger
    flicker = array("i", [700] * 9 + [50000] * 11)
    for _ in range(10):
        chain.process(flicker, flicker, 20)
    assert not chain.no_finger
    between = array("i", [25000] * 20)
    chain.process(between, between, 20)
    assert not chain.no_finger  # hysteresis
    dark(chain, 1)
    chain.process(between, between, 20)
    chain.process(between, between, 20)
    assert chain.no_finger


def test_saturation_of_both_colours_gives_no_reading():
    chain = PpgChain()
    full = array("i", [262143] * 20)
    for _ in range(60):
        chain.process(full, full, 20)
    assert not chain.no_finger and not chain.settling
    assert chain.spo2_x10 == 0 and chain.pulse_x10 == 0 and chain.quality == 0


def test_pulse_stops():
    patient = Patient(0.6)
    patient.strength = lambda k: 1.0 if k < 15 else 0.0
    rows = readings(patient, 25)
    assert rows[12][1] > 0
    assert rows[19:] == [(0, 0, 0, 0)] * 6


def test_gap_keeps_what_is_known():
    chain = PpgChain()
    patient = Patient(0.8)
    readings(patient, 14, chain)
    chain.gap(35)
    patient.n += 35
    assert chain.index == 1435
    rows = readings(patient, 8, chain)
    for row in rows[6:]:
        assert abs(row[0] - 900) <= 10 and abs(row[1] - 720) <= 15, row
    for row in rows:
        assert row[0] == 0 or abs(row[0] - 900) <= 10, row


def test_blocks_do_not_matter():
    patient = Patient(0.8, noise=60)
    red, ir = [700] * 130, [900] * 130
    for _ in range(60):
        patient.block()
        red += list(patient.red)
        ir += list(patient.ir)
    ends = []
    for size in (1, 7, 20, 64):
        chain = PpgChain()
        for at in range(0, len(red), size):
            n = min(size, len(red) - at)
            chain.process(array("i", red[at : at + size]), array("i", ir[at : at + size]), n)
        ends.append((chain.spo2_x10, chain.pulse_x10, chain.pi_x100, chain.quality, chain.index))
    assert ends[0][0] > 0 and ends == [ends[0]] * 4


def test_index_wraps():
    chain = PpgChain()
    chain.gap(INDEX_MASK - 799)
    rows = readings(Patient(0.6), 16, chain)
    assert chain.index == 800
    for row in rows[11:]:
        assert abs(row[0] - 950) <= 10 and abs(row[1] - 720) <= 15


def test_pulse_detector_finds_its_level_again():
    detector = PulseDetector()
    detector.start(0)
    at = 0
    for _ in range(12):
        at += 80
        detector.candidate(at, 1000)
    assert detector.level == 1000
    assert detector.candidate(at + 35, 400) == 0  # dicrotic
    at += 80
    assert detector.candidate(at, 5000) == ARTEFACT
    at += 80
    assert detector.candidate(at, 1000) == BEAT
    verdicts = []
    for _ in range(5):
        at += 80
        verdicts.append(detector.candidate(at, 5000))
    assert verdicts[-1] == BEAT and detector.level == 5000
    verdicts = []
    for _ in range(12):
        at += 80
        verdicts.append(detector.candidate(at, 500))
    assert verdicts[-1] == BEAT and detector.level == 500


def test_oximetry_numbers():
    unit = oximetry.UNIT
    for ratio, spo2 in ((0.4, 1000), (0.5, 975), (1.0, 850), (1.6, 700), (0.2, 1000), (5.0, 0)):
        assert abs(oximetry.spo2_x10(int(ratio * unit)) - spo2) <= 1
    # AC red half of infrared, DC the same; one of them shifted
    for shift in (0, 3):
        r = oximetry.ratio_of_ratios(5000000 >> shift, 10000000, shift, 0, 900000, 900000)
        assert abs(r - unit // 2) <= 3, r
        r = oximetry.ratio_of_ratios(5000000, 10000000 >> shift, 0, shift, 900000, 900000)
        assert abs(r - unit // 2) <= 3, r
    assert abs(oximetry.ratio_of_ratios(10000000, 10000000, 0, 0, 600000, 900000) - unit * 3 // 2) <= 3
    assert oximetry.ratio_of_ratios(-5, 100, 0, 0, 900, 900) == 0
    assert oximetry.ratio_of_ratios(1 << 28, 0, 0, 0, 900, 900) == 0
    assert oximetry.ratio_of_ratios(100, 100, 0, 0, 0, 900) == 0
    assert oximetry.agreement(100000, 400000, 200000) == unit
    assert oximetry.agreement(400000, 400000, 200000) == unit // 4
    assert oximetry.agreement(400000, 400000, -200000) == 0
    assert oximetry.agreement(0, 0, 0) == 0
    assert oximetry.perfusion_x100(20000, 1000000) == 200 and oximetry.perfusion_x100(20, 0) == 0
    top = oximetry.QUOTIENT_MAX
    for a in (0, 1, 4096, (1 << 29) - 1):
        for b in (0, 1, 4096, (1 << 29) - 1):
            assert 0 <= oximetry.quotient(a, b) <= top
    assert 0 <= oximetry.product(top, top) <= top


def test_bad_arguments():
    for kwargs in ({"fs_hz": 50}, {"finger_on": 10, "finger_off": 20}, {"finger_off": 0}):
        try:
            PpgChain(**kwargs)
        except ValueError:
            pass
        else:
            assert False, kwargs
    chain = PpgChain()
    good = array("i", [0] * 20)
    for red, ir, n, error in (
        (array("H", [0] * 20), good, 20, TypeError),
        (good, array("H", [0] * 20), 20, TypeError),
        (good, good, 21, ValueError),
        (good, good, -1, ValueError),
    ):
        try:
            chain.process(red, ir, n)
        except error:
            pass
        else:
            assert False, n
    chain.process(good, good, 0)
    assert chain.index == 0

"""The node's vitals: only what was measured, and a contact that lasts."""

from firmware.readings import Readings
from firmware.sampling import EcgSensor, PpgSensor
from firmware.vitals import Contact, vitals_body
from protocol import frames
from tests.both.fake_sensor import Rig


def body_of(ecg, ppg):
    readings = Readings()
    readings.take(ecg, ppg)
    return vitals_body(readings, ecg, ppg)


def test_vitals_leave_out_what_was_not_measured():
    ecg = Rig(EcgSensor).sensor
    ppg = Rig(PpgSensor).sensor
    ecg.source = frames.SRC_REPLAY
    assert body_of(ecg, ppg) == {
        frames.VITALS_HR: 723,
        frames.VITALS_RR: [830, 828],
        frames.VITALS_ECG_QUALITY: 90,
        frames.VITALS_SPO2: 970,
        frames.VITALS_PULSE: 722,
        frames.VITALS_PPG_QUALITY: 90,
        frames.VITALS_FLAGS: frames.VITALS_UNCALIBRATED,
        frames.SOURCE: frames.SRC_REPLAY,
    }
    ecg.off = ppg.off = True
    off = frames.VITALS_LEAD_OFF | frames.VITALS_NO_FINGER | frames.VITALS_UNCALIBRATED
    assert body_of(ecg, ppg) == {frames.VITALS_FLAGS: off, frames.SOURCE: frames.SRC_REPLAY}
    ecg.off = ppg.off = False
    ecg.chain.settling = ppg.chain.settling = True
    settling = frames.VITALS_ECG_SETTLING | frames.VITALS_PPG_SETTLING | frames.VITALS_UNCALIBRATED
    assert body_of(ecg, ppg)[frames.VITALS_FLAGS] == settling
    ecg.driver = ppg.driver = None
    assert body_of(ecg, ppg) == {}
    assert body_of(None, None) == {}


def test_what_makes_a_reading_doubtful_is_flagged():
    ecg = Rig(EcgSensor).sensor
    ppg = Rig(PpgSensor).sensor
    base = frames.VITALS_UNCALIBRATED
    for name, value, flag in (
        ("cannot_analyse", 1, frames.VITALS_CANNOT_ANALYSE),
        ("irregular", True, frames.VITALS_IRREGULAR),
        ("hr_x10", 500, frames.VITALS_RATES_DIFFER),
        ("hr_x10", 822, 0),
        ("hr_x10", 0, 0),
    ):
        before = getattr(ecg.chain, name)
        setattr(ecg.chain, name, value)
        assert body_of(ecg, ppg)[frames.VITALS_FLAGS] == base | flag, (name, value)
        setattr(ecg.chain, name, before)
    ppg.chain.bad = True
    assert body_of(ecg, ppg)[frames.VITALS_FLAGS] == base | frames.VITALS_PPG_BAD


def test_readings_say_what_is_known_and_what_hides_the_rest():
    ecg = Rig(EcgSensor).sensor
    ppg = Rig(PpgSensor).sensor
    readings = Readings()
    ecg.chain.asystole = True
    readings.take(ecg, ppg)
    assert readings.asystole and readings.hr_x10 == 723 and readings.since_pulse_ms == 600
    ecg.off = True
    readings.take(ecg, ppg)
    assert readings.lead_off and readings.hr_x10 == 0 and readings.ecg_quality == 0
    ppg.driver = None
    readings.take(ecg, ppg)
    assert readings.ppg_fault and not readings.finger_off and readings.spo2_x10 == 0
    readings.take(None, None)
    assert readings.no_ecg and readings.no_ppg


def test_a_contact_must_last_to_be_an_event():
    """And what could not be told is an event again."""
    contact = Contact(1, 2)
    for off, event, can_be_told in (
        (False, 0, True),
        (True, 0, True),
        (False, 0, True),
        (True, 0, True),
        (True, 1, False),
        (True, 1, True),
        (True, 0, True),
        (False, 0, True),
        (False, 2, True),
        (False, 0, True),
    ):
        assert contact.changed(off) == event
        if event and can_be_told:
            contact.told(off)

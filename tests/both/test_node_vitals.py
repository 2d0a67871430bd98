"""The node's vitals: only what was measured, and a contact that lasts."""

from firmware.sampling import EcgSensor, PpgSensor
from firmware.vitals import Contact, vitals_body
from protocol import frames
from tests.both.fake_sensor import Rig


def test_vitals_leave_out_what_was_not_measured():
    ecg = Rig(EcgSensor).sensor
    ppg = Rig(PpgSensor).sensor
    ecg.source = frames.SRC_REPLAY
    assert vitals_body(ecg, ppg) == {
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
    assert vitals_body(ecg, ppg) == {frames.VITALS_FLAGS: off, frames.SOURCE: frames.SRC_REPLAY}
    ecg.off = ppg.off = False
    ecg.chain.settling = ppg.chain.settling = True
    settling = frames.VITALS_ECG_SETTLING | frames.VITALS_PPG_SETTLING | frames.VITALS_UNCALIBRATED
    assert vitals_body(ecg, ppg)[frames.VITALS_FLAGS] == settling
    ecg.driver = ppg.driver = None
    assert vitals_body(ecg, ppg) == {}


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

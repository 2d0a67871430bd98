"""What a standard device said, as bodies of frames (docs/wire-protocol.md §8.1 and §8.4).

A value that the device calls invalid, not available, or its own demonstration is not one that was measured:
it is left out, or marked as synthetic, never passed on as a reading of somebody.
"""

from typing import Any

from edge_agent.standard import characteristics as c
from protocol import frames as f

MAX_RATE_D = 0xFFFF
MAX_SPO2_D = 1000
MAX_PRESSURE_D = 4000
MAX_RR = 64
MAX_RR_MS = 0xFFFF
NO_VALUE = c.CALIBRATING | c.UNAVAILABLE | c.INVALID
NO_CONTACT = c.SENSOR_UNCONNECTED | c.SENSOR_DISPLACED | c.SENSOR_DISCONNECTED


def heart_rate(said: c.HeartRate) -> dict[int, Any]:
    """The body of a vitals frame."""
    body: dict[int, Any] = {f.SOURCE: f.SRC_DEVICE}
    if said.contact is False:
        body[f.VITALS_FLAGS] = f.VITALS_LEAD_OFF
        return body
    if 0 < said.rate_d <= MAX_RATE_D:
        body[f.VITALS_HR] = said.rate_d
    rr = [ms for ms in said.rr_ms if 0 < ms <= MAX_RR_MS][-MAX_RR:]
    if rr:
        body[f.VITALS_RR] = rr
    return body


def oximetry(said: c.Oximetry) -> dict[int, Any]:
    """The body of a vitals frame."""
    made_up = said.status & (c.DEMONSTRATION | c.TESTING)
    body: dict[int, Any] = {f.SOURCE_PPG: f.SRC_SYNTHETIC if made_up else f.SRC_DEVICE}
    flags = 0
    if said.device & NO_CONTACT:
        flags |= f.VITALS_NO_FINGER
    if said.status & (c.QUESTIONABLE | c.INVALID):
        flags |= f.VITALS_PPG_BAD
    if said.status & (c.EARLY | c.CALIBRATING):
        flags |= f.VITALS_PPG_SETTLING
    if not said.status & NO_VALUE and not flags & f.VITALS_NO_FINGER:
        if said.spo2_d is not None and 0 <= said.spo2_d <= MAX_SPO2_D:
            body[f.VITALS_SPO2] = said.spo2_d
        if said.rate_d is not None and 0 < said.rate_d <= MAX_RATE_D:
            body[f.VITALS_PULSE] = said.rate_d
        if said.pulse_c is not None and 0 <= said.pulse_c <= MAX_RATE_D:
            body[f.VITALS_PI] = said.pulse_c
    if flags:
        body[f.VITALS_FLAGS] = flags
    return body


def blood_pressure(said: c.BloodPressure, number: int, t_us: int) -> dict[int, Any]:
    """The body of a bp frame, the `number`th of its boot; without sound systolic and diastolic pressures, why
    there are none, as far as the device says.
    """
    body: dict[int, Any] = {
        f.BP_RESULT: f.BP_MEASURED,
        f.BP_BEGAN_US: t_us,
        f.BP_PEAK: 0,
        f.BP_REASON: f.REASON_DEVICE,
        f.BP_NUMBER: number,
        f.SOURCE: f.SRC_DEVICE,
    }
    flags = f.BP_PULSE_IRREGULAR if said.status & c.IRREGULAR else 0
    systolic, diastolic, mean = said.sys_d, said.dia_d, said.mean_d
    if systolic is None or diastolic is None or not 0 < diastolic < systolic <= MAX_PRESSURE_D:
        body[f.BP_RESULT] = _why_none(said.status)
    else:
        if mean is None or not diastolic <= mean <= systolic:
            mean = diastolic + (systolic - diastolic + 1) // 3
            flags |= f.BP_MEAN_RECKONED
        body |= {f.BP_SYSTOLIC: systolic, f.BP_DIASTOLIC: diastolic, f.BP_MEAN: mean}
    if said.rate_d is not None and 0 < said.rate_d <= MAX_RATE_D:
        body[f.BP_PULSE] = said.rate_d
    if flags:
        body[f.BP_FLAGS] = flags
    return body


def _why_none(status: int) -> int:
    if status & c.BODY_MOVED:
        return f.BP_MOTION
    return f.BP_NO_CUFF if status & c.CUFF_LOOSE else f.BP_NO_PULSE

"""From the readings of a second to the vitals frame, and to the events of a lead or a finger that comes and
goes.
"""

from protocol import frames

# A change must last this many readings (one a second) before it is an event; the flags in the frames do not
# wait.
STEADY_READINGS = 2
# Heart and pulse rate differ when they do so by more than this, in 0.1 a minute, and by an eighth.
DIFFER_X10 = 100


def vitals_body(r, ecg, ppg):
    """The body of a vitals frame from the Readings `r` of the two sensors; takes the beats since the last."""
    body = {}
    flags = 0
    if ecg is not None and not r.ecg_fault:
        if r.lead_off:
            flags |= frames.VITALS_LEAD_OFF
        elif r.ecg_settling:
            flags |= frames.VITALS_ECG_SETTLING
        else:
            if r.hr_x10:
                body[frames.VITALS_HR] = r.hr_x10
            intervals = ecg.chain.rr_ms
            if intervals:
                body[frames.VITALS_RR] = intervals
            body[frames.VITALS_ECG_QUALITY] = r.ecg_quality
            if r.cannot_analyse:
                flags |= frames.VITALS_CANNOT_ANALYSE
            if r.irregular:
                flags |= frames.VITALS_IRREGULAR
            if r.hr_x10 and r.pulse_x10 and differ(r.hr_x10, r.pulse_x10):
                flags |= frames.VITALS_RATES_DIFFER
        ecg.chain.take_beats()
        if ecg.source:
            body[frames.SOURCE] = ecg.source
    if ppg is not None and not r.ppg_fault:
        if not ppg.chain.calibrated:
            flags |= frames.VITALS_UNCALIBRATED
        if r.finger_off:
            flags |= frames.VITALS_NO_FINGER
        elif r.ppg_settling:
            flags |= frames.VITALS_PPG_SETTLING
        else:
            for key, reading in (
                (frames.VITALS_SPO2, r.spo2_x10),
                (frames.VITALS_PULSE, r.pulse_x10),
                (frames.VITALS_PI, r.pi_x100),
            ):
                if reading:
                    body[key] = reading
            body[frames.VITALS_PPG_QUALITY] = r.ppg_quality
            if r.ppg_bad:
                flags |= frames.VITALS_PPG_BAD
        if ppg.source:
            body[frames.SOURCE_PPG] = ppg.source
    if flags:
        body[frames.VITALS_FLAGS] = flags
    return body


def differ(hr_x10, pulse_x10):
    """Whether the rates of heart and pulse cannot be of the same beats."""
    return abs(hr_x10 - pulse_x10) > max(DIFFER_X10, hr_x10 >> 3)


class Contact:
    """Watches one lead or finger; `changed(off)` gives the event code of a change that has lasted, until it
    is told(), else 0.
    """

    def __init__(self, off_event, on_event):
        self._events = (on_event, off_event)
        self._off = False
        self._readings = 0

    def changed(self, off):
        """`off`: what the latest reading says."""
        if off == self._off:
            self._readings = 0
            return 0
        self._readings += 1
        if self._readings < STEADY_READINGS:
            return 0
        return self._events[1 if off else 0]

    def told(self, off):
        """The event of that change is made."""
        self._readings = 0
        self._off = off

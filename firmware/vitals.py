"""From the signal chains' results to the vitals frame, and to the events of a lead or a finger that comes and
goes.
"""

from protocol import frames

# A change must last this many readings (one a second) before it is an event; the flags in the frames do not
# wait.
STEADY_READINGS = 2


def vitals_body(ecg, ppg):
    """The body of a vitals frame from the EcgSensor and the PpgSensor; None: there is none.

    A reading that is not there (0, settling, nothing attached, a sensor in fault) is left out. Takes the
    beats since the last call.
    """
    body = {}
    flags = 0
    if ecg is not None and ecg.driver is not None:
        chain = ecg.chain
        if ecg.off:
            flags |= frames.VITALS_LEAD_OFF
        elif chain.settling:
            flags |= frames.VITALS_ECG_SETTLING
        else:
            rate = chain.hr_x10
            if rate:
                body[frames.VITALS_HR] = rate
            intervals = chain.rr_ms
            if intervals:
                body[frames.VITALS_RR] = intervals
            body[frames.VITALS_ECG_QUALITY] = chain.quality
        chain.take_beats()
        if ecg.source:
            body[frames.SOURCE] = ecg.source
    if ppg is not None and ppg.driver is not None:
        chain = ppg.chain
        if not chain.calibrated:
            flags |= frames.VITALS_UNCALIBRATED
        if ppg.off:
            flags |= frames.VITALS_NO_FINGER
        elif chain.settling:
            flags |= frames.VITALS_PPG_SETTLING
        else:
            for key, reading in (
                (frames.VITALS_SPO2, chain.spo2_x10),
                (frames.VITALS_PULSE, chain.pulse_x10),
                (frames.VITALS_PI, chain.pi_x100),
            ):
                if reading:
                    body[key] = reading
            body[frames.VITALS_PPG_QUALITY] = chain.quality
        if ppg.source:
            body[frames.SOURCE_PPG] = ppg.source
    if flags:
        body[frames.VITALS_FLAGS] = flags
    return body


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

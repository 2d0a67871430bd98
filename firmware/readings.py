"""What the signal chains, the cuff and the battery say at this second, in one place for alarms and vitals."""


class Readings:
    """Plain attributes, filled once a second by `take`, the node, its features. Of numbers 0 is none, where
    -1 is not said to be; flags are True or False.

    Rates in 0.1 /min, `spo2_x10` in 0.1 %, `pi_x100` in 0.01 %, qualities 0-100, `battery_pct` in %, -1 none.
    `since_beat_ms`, `since_pulse_ms`: time since the newest QRS and the newest pulse (-1 unknown).
    `cannot_analyse`: 1 VF/VT-like, 2 saturated, 3 noise. `cuff_fault`: an event code. `bp`: (systolic,
    diastolic in 0.1 mmHg, number of the measurement, t_us) or None. `seqs`: (first, count) of the frames of
    the last seconds, for evidence; count 0 is none. `ecg_held`: in fault only because an interlock wants it.
    """

    def __init__(self):
        self.hr_x10 = self.pulse_x10 = self.spo2_x10 = self.pi_x100 = 0
        self.ecg_quality = self.ppg_quality = self.cannot_analyse = self.cuff_fault = 0
        self.since_beat_ms = self.since_pulse_ms = self.battery_pct = -1
        self.lead_off = self.finger_off = self.no_ecg = self.no_ppg = True
        self.ecg_settling = self.ppg_settling = self.ecg_fault = self.ppg_fault = self.ecg_held = False
        self.asystole = self.irregular = self.ppg_bad = self.charging = False
        self.bp = None
        self.seqs: "tuple[int, int]" = (0, 0)

    def take(self, ecg, ppg):
        """What the EcgSensor and the PpgSensor say now; None: not fitted. A reading that is not there
        (settling, nothing attached, a sensor in fault) is 0.
        """
        self.hr_x10 = self.pulse_x10 = self.spo2_x10 = self.pi_x100 = 0
        self.ecg_quality = self.ppg_quality = self.cannot_analyse = 0
        self.since_beat_ms = self.since_pulse_ms = -1
        self.lead_off = self.finger_off = self.ecg_settling = self.ppg_settling = False
        self.asystole = self.irregular = self.ppg_bad = False
        self.no_ecg = ecg is None
        self.no_ppg = ppg is None
        self.ecg_fault = ecg is not None and ecg.driver is None
        self.ecg_held = ecg is not None and bool(ecg.held)
        self.ppg_fault = ppg is not None and ppg.driver is None
        if ecg is not None and not self.ecg_fault:
            chain = ecg.chain
            self.lead_off = ecg.off
            self.ecg_settling = not ecg.off and chain.settling
            if not ecg.off and not self.ecg_settling:
                self.hr_x10 = chain.hr_x10
                self.ecg_quality = chain.quality
                self.asystole = chain.asystole
                self.irregular = chain.irregular
                self.cannot_analyse = chain.cannot_analyse
                self.since_beat_ms = chain.since_beat_ms
        if ppg is not None and not self.ppg_fault:
            chain = ppg.chain
            self.finger_off = ppg.off
            self.ppg_settling = not ppg.off and chain.settling
            if not ppg.off and not self.ppg_settling:
                self.pulse_x10 = chain.pulse_x10
                self.spo2_x10 = chain.spo2_x10
                self.pi_x100 = chain.pi_x100
                self.ppg_quality = chain.quality
                self.ppg_bad = chain.bad
                self.since_pulse_ms = chain.since_pulse_ms

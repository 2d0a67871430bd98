"""The world a node meets: two chips on a patient, pins, a watchdog, and one clock for all of them."""

import time
from array import array

from boards.virtual.chips.max30003 import Max30003Model
from boards.virtual.chips.max30102 import Max30102Model
from boards.virtual.clock import SharedClock
from boards.virtual.patient import Patient


class EcgLog:
    """Every ECG sample that left the FIFO by a read: 18-bit codes in order. `cuts`: positions where a new
    record began.
    """

    def __init__(self) -> None:
        self.codes = array("i")
        self.cuts: list[int] = []
        self.sample = self.codes.append

    def cut(self) -> None:
        """Sampling begins anew here."""
        self.cuts.append(len(self.codes))


class PpgLog:
    """Every pair of samples that left the FIFO by a read. `cuts`: positions where sampling began anew."""

    def __init__(self) -> None:
        self.red = array("i")
        self.infrared = array("i")
        self.cuts: list[int] = []

    def pair(self, red: int, infrared: int) -> None:
        """One read from the FIFO: both colours, 18-bit codes."""
        self.red.append(red)
        self.infrared.append(infrared)

    def cut(self) -> None:
        """Sampling begins anew here."""
        self.cuts.append(len(self.red))


class FifoLog:
    """What the chips' FIFOs gave to the driver, for sample-exact comparison. A read repeated by the bridge
    counts once.
    """

    def __init__(self) -> None:
        self.ecg = EcgLog()
        self.ppg = PpgLog()


class Bench:
    """Chips, pins and clock. `ppm_ecg`, `ppm_ppg`: errors of the chips' crystals.

    `pins` maps a name to 0 or 1. The host sets STOP (an orderly shutdown is wanted) and BUTTON (held); the
    node sets LED_* and others.
    """

    def __init__(self, patient: Patient, speed: float = 1.0, ppm_ecg: int = 0, ppm_ppg: int = 0) -> None:
        self.patient = patient
        self.clock = SharedClock(speed)
        self.fifo_log = FifoLog()
        self.now_us = 0
        self.ecg = Max30003Model(
            patient.ecg_uv, lambda: patient.lead_off, lambda: self.now_us, ppm=ppm_ecg, log=self.fifo_log.ecg
        )
        self.ppg = Max30102Model(patient.ppg_na, lambda: self.now_us, ppm=ppm_ppg, log=self.fifo_log.ppg)
        self.spi = {0: self.ecg}
        self.i2c = {0: {self.ppg.address: self.ppg}}
        self.pins: dict[str, int] = {"STOP": 0, "BUTTON": 0}
        self._watchdog_at: float | None = None

    def info(self) -> dict[str, object]:
        """What a node is told about its input."""
        patient = self.patient
        return {
            "ecg": patient.source_ecg,
            "ppg": patient.source_ppg,
            "label": patient.label,
            "speed": self.clock.speed,
        }

    def watch(self, timeout_ms: int) -> None:
        """The node asks its watchdog to wait another `timeout_ms` (of the wall); 0: to sleep."""
        self._watchdog_at = time.monotonic() + timeout_ms / 1000 if timeout_ms else None

    def watchdog_bites(self) -> bool:
        """Whether the node has let its watchdog's time pass."""
        return self._watchdog_at is not None and time.monotonic() > self._watchdog_at

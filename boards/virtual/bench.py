"""The world a node meets: chips on a patient, pins that stay as they were left, a cuff, a watchdog, and one
clock for all of them.
"""

import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boards.virtual.chips.max17048 import Max17048Model
from boards.virtual.chips.max30003 import Max30003Model
from boards.virtual.chips.max30102 import Max30102Model
from boards.virtual.chips.mprls import MprlsModel
from boards.virtual.clock import SharedClock
from boards.virtual.patient import Patient
from boards.virtual.pins import Pins
from boards.virtual.pneumatics import Pneumatics
from boards.virtual.watchdog import Watchdog

FULL_PCT = 90.0
DRAIN_PCT_H = 4.0
CHARGING_PCT_H = 40.0


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
    """Chips, pins, cuff and clock. `ppm_ecg`, `ppm_ppg`: errors of the chips' crystals.

    `charge_pct` is the battery's, and may be changed. `pins` holds what bridge_wire lists: the host sets STOP
    (an orderly shutdown is wanted), BUTTON (held) and CHARGING; the node drives the others. Who reaches in
    from another thread than the bridge's does so within `moment()`.
    """

    def __init__(self, patient: Patient, speed: float = 1.0, ppm_ecg: int = 0, ppm_ppg: int = 0) -> None:
        self.patient = patient
        self.clock = SharedClock(speed)
        self.fifo_log = FifoLog()
        self.lock = threading.RLock()
        self.now_us = 0
        self.pins = Pins(STOP=0, BUTTON=0, CHARGING=0)
        self.watchdog = Watchdog()
        self._released_us = 0
        self._attached = 0
        self.ecg = Max30003Model(
            patient.ecg_uv, lambda: patient.lead_off, self._now, ppm=ppm_ecg, log=self.fifo_log.ecg
        )
        self.ppg = Max30102Model(patient.ppg_na, self._now, ppm=ppm_ppg, log=self.fifo_log.ppg)
        self.pneumatics = Pneumatics(self.pins, patient.arm, self._now)
        self.pins.watch = self.pneumatics.changing
        self.cuff = MprlsModel(self.pneumatics.mmhg, self._now)
        self.charge_pct = FULL_PCT
        self.gauge = Max17048Model(self._cell, self._now)
        self.chips: dict[str, Any] = {
            "ecg": self.ecg, "ppg": self.ppg, "cuff": self.cuff, "gauge": self.gauge
        }  # fmt: skip
        self.spi = {0: self.ecg}
        self.i2c = {0: {chip.address: chip for chip in (self.ppg, self.cuff, self.gauge)}}

    def _now(self) -> int:
        return self.now_us

    def _cell(self) -> tuple[float, float, float]:
        """(volts, charge in %, % an hour) of a lithium cell, roughly: 3.4 V when empty, 4.1 V when full."""
        rate = CHARGING_PCT_H if self.pins["CHARGING"] else -DRAIN_PCT_H
        return 3.4 + 0.007 * self.charge_pct, self.charge_pct, rate

    @contextmanager
    def moment(self) -> Iterator[int]:
        """The present, held: its time, in which chips, pins and cuff are read or changed from outside."""
        with self.lock:
            self.now_us = max(self.now_us, self.clock.reached_us())
            yield self.now_us

    def info(self) -> dict[str, object]:
        """What a node is told about its input."""
        patient = self.patient
        return {
            "ecg": patient.source_ecg,
            "ppg": patient.source_ppg,
            "cuff": patient.source_cuff,
            "label": patient.label,
            "speed": self.clock.speed,
        }

    # -- the node at the other end of the bridge ------------------------------------------------------

    def attach(self, node_us: int) -> None:
        """A connection begins with the node's time. The first of a node's leads the clock, the others are of
        the same node.
        """
        if not self._attached:
            self.clock.attach(node_us)
        self._attached += 1

    def detach(self) -> None:
        """A connection that had begun so has ended."""
        self._attached -= 1
        if not self._attached:
            self.clock.detach()

    def read_pin(self, name: str) -> int:
        """0 or 1, as the node reads it."""
        if name == "BUTTON" and self.now_us < self._released_us:
            return 1
        self.pneumatics.advance()
        return int(self.pins[name] != 0)

    # -- what can be heard and felt -------------------------------------------------------------------

    @property
    def sounding(self) -> bool:
        """Whether the buzzer sounds: by the node's alarms, or by the cuff's own circuit."""
        with self.moment():
            self.pneumatics.advance()
            return bool(self.pins["SOUND"] or self.pneumatics.buzzer)

    @property
    def cuff_mmhg(self) -> float:
        """The pressure in the cuff now, whatever the sensor says."""
        with self.moment():
            self.pneumatics.advance()
            return self.pneumatics.cuff_mmhg

    @property
    def pump_running(self) -> bool:
        """Whether the pump turns now."""
        with self.moment():
            return self.pneumatics.pump_running

    def cuff_history(self, since_us: int) -> list[tuple[int, float, bool, bool, bool]]:
        """(world us, mmHg in the cuff, pump turns, supply, buzzer sounds) up to now, as Pneumatics has it."""
        with self.moment():
            self.pneumatics.advance()
            return [row for row in self.pneumatics.history if row[0] >= since_us]

    # -- hands ----------------------------------------------------------------------------------------

    def press(self, seconds: float = 0.5) -> None:
        """Press the button for so long (of the world)."""
        self._released_us = self.clock.now_us() + int(seconds * 1e6)

    def unplug(self, role: str, line: int = 0x00) -> None:
        """Pull a chip (ecg, ppg, cuff, gauge) off its bus: on I2C it acknowledges no more, on SPI all that is
        read is `line`, 0x00 or 0xFF, as the data line floats.
        """
        with self.moment():
            self.ecg.line = line
            self.chips[role].present = False

    def replug(self, role: str) -> None:
        """Put it back. It has lost its power meanwhile, and with it its settings."""
        with self.moment():
            chip = self.chips[role]
            chip.brown_out()
            chip.present = True

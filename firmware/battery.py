"""The battery gauge as a feature of the node: charge and charger into the readings, faults as events."""

from drivers.errors import DriverError
from protocol import frames

EVERY_S = 10
# After a fault or a reset of the gauge, whose first estimate takes 1 s.
AGAIN_S = 2


class Battery:
    """`node`: its board and report(); `driver_class`: the gauge's driver, opened on bus("gauge")."""

    def __init__(self, node, driver_class):
        self._node = node
        self._class = driver_class
        self._driver = None
        self._faulty = False
        self._wait_s = 0
        self._charge = -1

    def begin(self):
        """The first reading comes with the first second."""

    def channels(self):
        """No waveform."""
        return ()

    def tasks(self):
        """None of its own."""
        return ()

    def second(self, readings):
        """The charge as last read, -1 while the gauge does not answer or knows nothing yet."""
        self._wait_s -= 1
        if self._wait_s <= 0:
            self._wait_s = EVERY_S
            self._read()
        readings.battery_pct = self._charge
        readings.charging = bool(self._node.board.charging())

    def _read(self):
        try:
            if self._driver is None:
                driver = self._class(*self._node.board.bus("gauge"))
                driver.check()
                driver.configure()
                self._driver = driver
            if not self._driver.read():
                # It began anew: a brown-out, or another battery.
                self._charge = -1
                self._driver.configure()
                self._wait_s = AGAIN_S
                return
        except (OSError, DriverError) as error:
            self._driver = None
            self._charge = -1
            if not self._faulty:
                self._faulty = True
                self._node.report(frames.EVENT_SENSOR_FAULT, frames.PRIORITY_LOW, None, str(error))
            return
        # Nothing is measured yet where the cell has no voltage.
        self._charge = self._driver.charge_pct if self._driver.cell_mv else -1
        if self._charge < 0:
            self._wait_s = AGAIN_S
        elif self._faulty:
            self._faulty = False
            self._node.report(frames.EVENT_SENSOR_RECOVERED, frames.PRIORITY_INFO, None, self._class.part)

    def stop(self):
        """Nothing has to be switched off."""

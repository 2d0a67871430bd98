"""The board that exists only in software: a VM whose buses, pins and power are a rig on the host
(boards/virtual/rig.py).

The rig says in the environment: VITALWIRE_BRIDGE (socket of the bus bridge), VITALWIRE_FLASH (folder that
stands for the flash), VITALWIRE_RTC (file that stands for memory which survives a reset but not a power cut;
absent: there is none), VITALWIRE_RESET_CAUSE (as the wire protocol's boot frame numbers it).
"""

import os
import sys

import machine

from boards.stdio_link import StdioLink, give_console_back, take_console
from boards.virtual.host import connect
from boards.virtual.remote_bus import RemoteI2C, RemoteSPI
from boards.virtual.remote_pins import Crossing, RemotePin, RemotePwm

ENTROPY_BYTES = 64
LINK_CHUNK = 512
WATCHDOG_MS = 5000
SIGNAL = (
    "LED_RED",
    "LED_YELLOW",
    "LED_CYAN",
    "LED_GREEN",
    "LED_BLUE",
    "LED_VIOLET",
    "LED_WHITE",
    "SOUND",
)
EXIT_RESET = 64  # the rig starts a VM that ends so again


class Board:
    """See docs/boards.md for what each method is for; `config` is this board's board.toml as a dict."""

    def __init__(self, config):
        self.config = config
        self.name = config["name"]
        self.root = os.getenv("VITALWIRE_FLASH") or "."
        take_console()
        self._link = StdioLink(LINK_CHUNK)
        self._bridge = connect()
        # What a timer does may interrupt a request half way, and goes over a bridge of its own.
        self._crossing = None
        self._shown = [0] * len(SIGNAL)
        self._retained = None
        path = os.getenv("VITALWIRE_RTC")
        if path:
            self._retained = _open_retained(path)

    def bus(self, role):
        """What the driver of the part in this role is made with."""
        if role == "ecg":
            return RemoteSPI(self._bridge, self.config["ecg"]["device"]), None
        return (RemoteI2C(self._bridge, self.config[role]["bus"]),)

    def cuff(self):
        """(pump, valve, release, feed, arm, switch): what drivers/cuff_actuator.py is made with."""
        crossing = self._cross()
        pins = [RemotePin(crossing, name) for name in ("RELEASE", "FEED", "ARM", "SWITCH")]
        return (RemotePwm(crossing, "PUMP"), RemotePwm(crossing, "VALVE")) + tuple(pins)

    def timer(self, period_ms, callback):
        """callback(timer) every `period_ms`, although tasks hang, until its deinit()."""
        cross = self._cross().call
        return machine.Timer(
            0,
            mode=machine.Timer.PERIODIC,
            period=period_ms,
            callback=lambda timer: cross(callback, timer),
        )

    def _cross(self):
        if self._crossing is None:
            self._crossing = Crossing(self._bridge, connect())
        return self._crossing

    def signal(self, light, sound):
        """The kit's light (0 off, 1 red, 2 yellow, 3 cyan, 4 green, 5 blue, 6 violet, 7 white) and its buzzer
        (0, 1).
        """
        for i in range(len(SIGNAL)):
            level = sound if i == len(SIGNAL) - 1 else int(i + 1 == light)
            if level != self._shown[i]:
                self._bridge.gpio_write(SIGNAL[i], level)
                self._shown[i] = level

    def charging(self):
        """Whether it is on the charger."""
        return bool(self._bridge.gpio_read("CHARGING"))

    def link(self):
        """The serial link."""
        return self._link

    def input_info(self):
        """(label, sources of the ECG, the PPG and the cuff): what the chips are attached to."""
        info = self._bridge.info()
        return info["label"], info["source_ecg"], info["source_ppg"], info["source_cuff"]

    def entropy(self, seeded):
        """(bytes, whether they come from a true random source): the host's."""
        return self._bridge.random(ENTROPY_BYTES), True

    def seeded(self):
        """A true random source has gone into the stored seed; there is nothing to give back."""

    def reset_cause(self):
        """Why the node started, as the rig says."""
        return int(os.getenv("VITALWIRE_RESET_CAUSE") or 0)

    def retained_read(self):
        """Memory that survived the reset, or None."""
        if self._retained is None:
            return None
        self._retained.seek(0)
        return self._retained.read()

    def retained_write(self, data):
        """Put `data` into that memory."""
        if self._retained is not None:
            self._retained.seek(0)
            self._retained.write(data)

    def stop_requested(self):
        """Whether an orderly stop is wanted."""
        return bool(self._bridge.gpio_read("STOP"))

    def consent(self):
        """Whether somebody holds the button."""
        return bool(self._bridge.gpio_read("BUTTON"))

    def feed_watchdog(self):
        """Another WATCHDOG_MS."""
        if self.config["node"]["watchdog"]:
            self._bridge.watchdog(WATCHDOG_MS)

    def exit(self, code, error):
        """The end of this boot: it stays off after an orderly stop and starts again after a fault, whose
        error goes to stderr.
        """
        if error is not None:
            sys.print_exception(error, sys.stderr)  # pyright: ignore[reportArgumentType]
        self._bridge.watchdog(0)
        give_console_back()
        sys.exit(EXIT_RESET if code else 0)


def _open_retained(path):
    try:
        return open(path, "r+b")
    except OSError:
        return open(path, "w+b")

"""A bare ESP32 without sensors: its buses are a bus bridge on UART2, its link is UART0, where the prompt is
too.

Nothing is read or sealed before the bridge answers, since only the bridge knows what its chips are attached
to and has randomness (the radio stays off on this board). Until then a line of text on the link says so.
"""

import time

import machine

from boards.esp32 import ENTROPY_BYTES, RetainedMemory, leave, reset_cause
from boards.stdio_link import UartConsoleLink, take_console
from boards.virtual.remote_bus import Bridge, RemoteI2C, RemoteSPI

WAITING = b"vitalwire: no answer from the bus bridge on UART%d, trying again\r\n"
WAITING_EVERY = 10
TRY_MS = 300
WATCHDOG_MS = 5000
SILENCE_MS = 5000
# By the number of the light, as boards.md has it.
LIGHTS = (
    "",
    "LED_RED",
    "LED_YELLOW",
    "LED_CYAN",
    "LED_GREEN",
    "LED_BLUE",
    "LED_VIOLET",
    "LED_WHITE",
)


class Board:
    """See docs/boards.md for what each method is for; `config` is this board's board.toml as a dict."""

    root = ""

    def __init__(self, config):
        self.config = config
        self.name = config["name"]
        self._retained = RetainedMemory()
        link = config["link"]
        self._link = UartConsoleLink(link["baud"], time)
        take_console()
        bridge = config["bridge"]
        self._uart = machine.UART(
            bridge["uart"],
            baudrate=bridge["baud"],
            tx=bridge["tx"],
            rx=bridge["rx"],
            timeout=0,
            rxbuf=bridge["rxbuf"],
        )
        self._bridge = self._wait_for_bridge(bridge)
        self._silent_since = None
        self._light = self._sound = 0
        self._watchdog = machine.WDT(timeout=WATCHDOG_MS) if config["node"]["watchdog"] else None

    def _wait_for_bridge(self, bridge):
        tries = 0
        while True:
            try:
                return Bridge(
                    self._uart,
                    time.ticks_ms,
                    time.ticks_diff,
                    timeout_ms=bridge["timeout_ms"],
                    attempts=bridge["attempts"],
                )
            except OSError:
                if tries % WAITING_EVERY == 0:
                    self._link.write(WAITING % bridge["uart"])
                tries += 1
                time.sleep_ms(TRY_MS)

    def bus(self, role):
        """What the driver of the part in this role is made with."""
        self._bridge.sync()
        if role == "ecg":
            return RemoteSPI(self._bridge, self.config["ecg"]["device"]), None
        return (RemoteI2C(self._bridge, self.config[role]["bus"]),)

    def link(self):
        """The serial link."""
        return self._link

    def input_info(self):
        """(label, source of the ECG, source of the PPG): what the bridge's chips are attached to."""
        info = self._bridge.info()
        return info["label"], info["source_ecg"], info["source_ppg"]

    def entropy(self, seeded):
        """(bytes, whether they come from a true random source): the bridge host's."""
        return self._bridge.random(ENTROPY_BYTES), True

    def seeded(self):
        """A true random source has gone into the stored seed; there is nothing to give back."""

    def reset_cause(self):
        """Why the node started."""
        return reset_cause()

    def retained_read(self):
        """Memory that survived the reset."""
        return self._retained.read()

    def retained_write(self, data):
        """Put `data` into that memory."""
        self._retained.write(data)

    def stop_requested(self):
        """Whether the bridge's STOP pin asks for an orderly stop; a bridge that is away asks for nothing."""
        return self._pin("STOP")

    def consent(self):
        """Whether the bridge's button is held."""
        return self._pin("BUTTON")

    def charging(self):
        """Whether the bridge says that the node is on its charger."""
        return self._pin("CHARGING")

    def signal(self, light, sound):
        """An alarm's light and sound, shown on the bridge's pins."""
        try:
            for i in range(1, len(LIGHTS)):
                if (i == light) != (i == self._light):
                    self._bridge.gpio_write(LIGHTS[i], 1 if i == light else 0)
            if sound != self._sound:
                self._bridge.gpio_write("SOUND", sound)
            self._light, self._sound = light, sound
        except OSError:
            pass

    def _pin(self, name):
        """A pin of the bridge; one that does not answer is left alone for a while, since asking holds
        everything up.
        """
        now = time.ticks_ms()
        if self._silent_since is not None and time.ticks_diff(now, self._silent_since) < SILENCE_MS:
            return False
        try:
            self._silent_since = None
            return bool(self._bridge.gpio_read(name))
        except OSError:
            self._silent_since = now
            return False

    def feed_watchdog(self):
        """Another WATCHDOG_MS."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def exit(self, code, error):
        """Back to the prompt, or a reset after a fault."""
        leave(code, error)

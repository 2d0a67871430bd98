"""An ESP32 development board with a MAX30003 on SPI and a MAX30102 on I2C; pins and wiring: board.toml,
docs/boards.md.
"""

import time

import machine

from boards.esp32 import RetainedMemory, Timers, leave, quiet_entropy, radio_entropy, reset_cause
from boards.stdio_link import UartConsoleLink, take_console

WATCHDOG_MS = 5000
GREEN = 4  # the light of a node without an alarm
BLINK_TIMER = 3
BLINK_MS = 250
BLINKS = 20


class Board:
    """See docs/boards.md for what each method is for; `config` is this board's board.toml as a dict."""

    root = ""

    def __init__(self, config):
        self.config = config
        self.name = config["name"]
        self._retained = RetainedMemory()
        self._link = UartConsoleLink(config["link"]["baud"], time)
        take_console()
        self._button = machine.Pin(config["button"]["pin"], machine.Pin.IN, machine.Pin.PULL_UP)
        self._buses = {}
        self._timers = Timers(BLINK_TIMER)
        led = config.get("led")
        self._led = machine.Pin(led["pin"], machine.Pin.OUT, value=0) if led else None
        self._blinks = 0
        self._watchdog = machine.WDT(timeout=WATCHDOG_MS) if config["node"]["watchdog"] else None

    def bus(self, role):
        """What the driver of the part in this role is made with: by the pins that its table names."""
        made = self._buses.get(role)
        if made is None:
            made = self._buses[role] = self._make_bus(self.config[role])
        return made

    def _make_bus(self, wired):
        if "adc" in wired:
            adc = machine.ADC(machine.Pin(wired["adc"]), atten=machine.ADC.ATTN_11DB)
            off = [machine.Pin(wired[name], machine.Pin.IN) for name in ("lo_plus", "lo_minus")]
            return adc, off[0], off[1], self.timer, time.ticks_us, time.ticks_diff
        if "i2c" in wired:
            pins = (machine.Pin(wired["scl"]), machine.Pin(wired["sda"]))
            return (machine.I2C(wired["i2c"], scl=pins[0], sda=pins[1], freq=wired["freq"]),)
        cs = machine.Pin(wired["cs"], machine.Pin.OUT, value=1)
        spi = machine.SPI(
            wired["spi"],
            baudrate=wired["baud"],
            polarity=0,
            phase=wired.get("phase", 0),
            sck=machine.Pin(wired["sck"]),
            mosi=machine.Pin(wired["mosi"]),
            miso=machine.Pin(wired["miso"]),
        )
        if "drdy" in wired:
            return spi, cs, machine.Pin(wired["drdy"], machine.Pin.IN)
        return spi, cs

    def timer(self, period_ms, callback):
        """callback(timer) every `period_ms`, until deinit() of what this gives."""
        return self._timers.start(period_ms, callback)

    def link(self):
        """The serial link."""
        return self._link

    def input_info(self):
        """(label, source of the ECG, source of the PPG): sensors on a body."""
        return None, 0, 0

    def entropy(self, seeded):
        """(bytes, whether they come from a true random source): the generator, with the radio on until a
        strong seed is stored.
        """
        return quiet_entropy() if seeded else radio_entropy()

    def seeded(self):
        """Start again: the radio keeps some 28 KB, which a node needs, until a reset."""
        machine.reset()

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
        """This board has no switch for an orderly stop."""
        return False

    def identify(self):
        """Blink for ten seconds, if there is a light."""
        if self._led is not None:
            self._blinks = 2 * BLINKS
            timer = machine.Timer(BLINK_TIMER)
            timer.init(period=BLINK_MS, mode=machine.Timer.PERIODIC, callback=self._blink)

    def _blink(self, timer):
        self._blinks -= 1
        self._led.value(self._blinks & 1)
        if self._blinks <= 0:
            timer.deinit()

    def signal(self, light, sound):
        """An alarm's light, in the one colour that there is; this board has no buzzer."""
        if self._led is not None and not self._blinks:
            self._led.value(1 if 0 < light < GREEN else 0)

    def charging(self):
        """This board has no charger."""
        return False

    def consent(self):
        """Whether somebody holds the button."""
        return not self._button.value()

    def feed_watchdog(self):
        """Another WATCHDOG_MS."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def exit(self, code, error):
        """Back to the prompt, or a reset after a fault."""
        leave(code, error)

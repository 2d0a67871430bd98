"""A node on an ESP32, ESP32-S3 or ESP32-C3: buses, button, lights, buzzer, charger and cuff, made of the pins
that the tables of board.toml name (docs/adding-a-board.md has what each may hold).
"""

import time

import machine

from boards.esp32 import RetainedMemory, Timers, leave, quiet_entropy, radio_entropy, reset_cause
from boards.stdio_link import UartConsoleLink, take_console

WATCHDOG_MS = 5000
# The cuff's interlock, and a front end without a clock of its own; an ESP32-C3 has no more.
TIMERS = 2
# Above what is heard.
PWM_HZ = 20000
COLOURS = ("red", "green", "blue")
# By the number of the light (docs/boards.md): which of the three are lit, the first in bit 0.
LIT = b"\0\1\3\6\2\4\5\7"


class Esp32Node:
    """See docs/boards.md for what each method is for; `config` is this board's board.toml as a dict."""

    root = ""

    def __init__(self, config):
        self.config = config
        self.name = config["name"]
        self._retained = RetainedMemory()
        self._link = UartConsoleLink(config["link"]["baud"], time)
        take_console()
        self._button = self._input("button")
        self._charger = self._input("charger")
        self._buses = {}
        self._timers = Timers(TIMERS)
        led = config.get("led", {})
        pins = [led[colour] for colour in COLOURS] if "red" in led else [led["pin"]] if led else []
        self._on = 0 if led.get("active_low") else 1
        self._lights = [machine.Pin(pin, machine.Pin.OUT, value=1 - self._on) for pin in pins]
        self.lights = len(self._lights)
        buzzer = config.get("buzzer")
        self._buzzer = machine.Pin(buzzer["pin"], machine.Pin.OUT, value=0) if buzzer else None
        self._watchdog = machine.WDT(timeout=WATCHDOG_MS) if config["node"]["watchdog"] else None

    def _input(self, name):
        """(pin, its level when it says yes) of the table `name`, None without it."""
        wired = self.config.get(name)
        if wired is None:
            return None
        low = wired["active_low"]
        pull = machine.Pin.PULL_UP if low else machine.Pin.PULL_DOWN
        return machine.Pin(wired["pin"], machine.Pin.IN, pull), 0 if low else 1

    # Parts

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
            # Parts on the same wires share it.
            made = self._buses.get(wired["i2c"])
            if made is None:
                pins = (machine.Pin(wired["scl"]), machine.Pin(wired["sda"]))
                made = (machine.I2C(wired["i2c"], scl=pins[0], sda=pins[1], freq=wired["freq"]),)
                self._buses[wired["i2c"]] = made
            return made
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

    def cuff(self):
        """(pump, valve, release, feed, arm, switch): what drivers/cuff_actuator.py is made with."""
        wired = self.config["cuff"]
        pwm = [machine.PWM(machine.Pin(wired[name]), freq=PWM_HZ, duty_u16=0) for name in ("pump", "valve")]
        out = [machine.Pin(wired[name], machine.Pin.OUT, value=0) for name in ("release", "feed", "arm")]
        return pwm[0], pwm[1], out[0], out[1], out[2], machine.Pin(wired["switch"], machine.Pin.IN)

    def timer(self, period_ms, callback):
        """callback(timer) every `period_ms`, until deinit() of what this gives."""
        return self._timers.start(period_ms, callback)

    def link(self):
        """The serial link."""
        return self._link

    def input_info(self):
        """(label, sources of the ECG, the PPG and the cuff): sensors on a body."""
        return None, 0, 0, 0

    # People

    def signal(self, light, sound):
        """The light, in its colours or in the one that there is, and the buzzer."""
        lights = self._lights
        levels = LIT[light] if len(lights) > 1 else min(light, 1)
        for i in range(len(lights)):
            lights[i].value(self._on if levels >> i & 1 else 1 - self._on)
        if self._buzzer is not None:
            self._buzzer.value(sound)

    def consent(self):
        """Whether somebody holds the button."""
        return _says(self._button)

    def charging(self):
        """Whether the charger says so; without one, no."""
        return _says(self._charger)

    def stop_requested(self):
        """There is no switch for an orderly stop."""
        return False

    # Starts and ends

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

    def feed_watchdog(self):
        """Another WATCHDOG_MS."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def exit(self, code, error):
        """Back to the prompt, or a reset after a fault."""
        leave(code, error)


def _says(wired):
    return wired is not None and wired[0].value() == wired[1]

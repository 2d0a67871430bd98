"""As much of an ESP32's `machine` as the development board is made with; a reset is SystemExit."""

import sys

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5
EXIT_RESET = 64


def reset_cause():
    return PWRON_RESET


def reset():
    sys.exit(EXIT_RESET)


def unique_id():
    return b"\x24\x6f\x28\0\0\x01"


class Anything:
    def __init__(self, *args, **options):
        pass


I2C = SPI = RTC = WDT = Anything


class ADC(Anything):
    ATTN_11DB = 3


shown = {}
levels = {2: 0}


class Pin:
    """What was set is in `shown`, what is read comes from `levels`, 1 unless it is there."""

    IN = OUT = PULL_UP = PULL_DOWN = 0

    def __init__(self, number, *args, value=None):
        self.number = number

    def value(self, *level):
        if level:
            shown[self.number] = level[0]
        return levels.get(self.number, 1)


class PWM:
    def __init__(self, pin, freq, duty_u16):
        assert freq == 20000 and duty_u16 == 0
        self.number = pin.number


class Timer(Anything):
    """Its periods pass at once."""

    PERIODIC = 1

    def init(self, period, mode, callback):
        self.going = True
        while self.going:
            callback(self)

    def deinit(self):
        self.going = False

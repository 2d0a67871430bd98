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


class Pin(Anything):
    IN = OUT = PULL_UP = 0

    def value(self, *level):
        if level:
            print("light", level[0])
        return 1


class Timer(Anything):
    """Its periods pass at once."""

    PERIODIC = 1

    def init(self, period, mode, callback):
        self.going = True
        while self.going:
            callback(self)

    def deinit(self):
        self.going = False

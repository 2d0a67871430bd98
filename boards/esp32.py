"""What every ESP32 board shares: why it was reset, memory that survives a reset, the true random source, the
end.
"""

import os
import sys
import time

import machine

from boards.stdio_link import give_console_back

# docs/wire-protocol.md §8.1, reset cause. `machine` counts a brown-out as one of these.
RESET_CAUSES = {
    machine.PWRON_RESET: 1,
    machine.HARD_RESET: 2,
    machine.WDT_RESET: 3,
    machine.DEEPSLEEP_RESET: 4,
    machine.SOFT_RESET: 5,
}
ENTROPY_BYTES = 64
# A board that fails at once after each reset wears its flash with boot counters no faster than this.
REST_MS = 3000
FAULT_FILE = "fault.txt"


def reset_cause():
    """The reset cause as the wire protocol numbers it."""
    return RESET_CAUSES.get(machine.reset_cause(), 0)


class Timers:
    """The chip's hardware timers up to `count`, one caller each."""

    def __init__(self, count):
        self._free = list(range(count))

    def start(self, period_ms, callback):
        """callback(timer) every `period_ms` until deinit() of what this gives."""
        return Running(self._free, period_ms, callback)


class Running:
    """A timer that runs until `deinit()`."""

    def __init__(self, free, period_ms, callback):
        self._free = free
        self._id = free.pop()
        self._timer = machine.Timer(self._id)
        self._timer.init(period=period_ms, mode=machine.Timer.PERIODIC, callback=callback)

    def deinit(self):
        """Stop, and let another have it."""
        if self._timer is not None:
            self._timer.deinit()
            self._timer = None
            self._free.append(self._id)


class RetainedMemory:
    """The RTC's memory: it outlives every reset, not a power cut."""

    def __init__(self):
        self._rtc = machine.RTC()

    def read(self):
        """All of it."""
        return self._rtc.memory()

    def write(self, data):
        """Replace it."""
        self._rtc.memory(data)


def radio_entropy():
    """(bytes, whether they come from a true random source): from the hardware generator while the radio feeds
    it noise, only then it is one (ESP32 Technical Reference Manual, "Random Number Generator"). A radio that
    does not start leaves the generator to itself.
    """
    import network

    try:
        radio = network.WLAN(network.STA_IF)
        radio.active(True)
    except (OSError, RuntimeError):
        return os.urandom(ENTROPY_BYTES), False
    try:
        return os.urandom(ENTROPY_BYTES), True
    finally:
        radio.active(False)


def quiet_entropy():
    """(bytes, False): from the generator by itself, with the radio off, and the chip's id, which tells it
    from another with a copy of its flash.
    """
    return os.urandom(ENTROPY_BYTES) + machine.unique_id(), False


def leave(code, error):
    """The end of a boot: back to the prompt after an orderly stop; after a fault a reset, with time to
    interrupt it. The console is the link, so the error goes to a file.
    """
    give_console_back()
    if error is not None:
        try:
            with open(FAULT_FILE, "w") as file:
                sys.print_exception(error, file)
        except (OSError, MemoryError):
            pass
    if code:
        time.sleep_ms(REST_MS)
        machine.reset()

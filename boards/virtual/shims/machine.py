"""What firmware takes from `machine` and a VM does not have: reset and its cause, RTC memory, identity.

A reset ends the VM with a status that the rig understands; it then starts a new one. Numbers as on an ESP32.
"""

import os
import sys

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

EXIT_HARD_RESET = 64
EXIT_SOFT_RESET = 65
RTC_MEMORY = 2048


def reset_cause() -> int:
    return int(os.getenv("VITALWIRE_RESET_CAUSE") or PWRON_RESET)


def reset() -> None:
    sys.exit(EXIT_HARD_RESET)


def soft_reset() -> None:
    sys.exit(EXIT_SOFT_RESET)


def unique_id() -> bytes:
    return b"VIRTUAL"


class RTC:
    """The part of machine.RTC that survives a reset: up to 2048 bytes. Without $VITALWIRE_RTC it forgets."""

    def __init__(self):
        self._path = os.getenv("VITALWIRE_RTC")

    def memory(self, data=None):
        """Read the memory, or write it."""
        if data is None:
            try:
                with open(self._path or "", "rb") as f:
                    return f.read()
            except OSError:
                return b""
        if len(data) > RTC_MEMORY:
            raise ValueError("RTC memory holds %d bytes" % RTC_MEMORY)
        if self._path:
            with open(self._path, "wb") as f:
                f.write(data)
        return None

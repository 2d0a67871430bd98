"""The part of an ESP32's `machine` that the bridge board uses, for a unix VM: UART2 is a TCP connection, the
RTC's memory a file, a reset an exit status.

$ESP32_UART2 is the port on loopback, $ESP32_RTC the file, $ESP32_RESET_CAUSE a number.
"""

import os
import socket
import sys

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5
EXIT_RESET = 64


def reset_cause():
    return int(os.getenv("ESP32_RESET_CAUSE") or PWRON_RESET)


def reset():
    sys.exit(EXIT_RESET)


class UART:
    def __init__(self, number, baudrate, tx, rx, timeout, rxbuf):
        assert (number, timeout) == (2, 0) and rxbuf >= 512
        self._socket = socket.socket()
        self._socket.connect(socket.getaddrinfo("127.0.0.1", int(os.getenv("ESP32_UART2")))[0][-1])
        self._socket.settimeout(0)

    def write(self, data):
        return self._socket.write(data)

    def readinto(self, buf):
        return self._socket.readinto(buf)


class RTC:
    def memory(self, data=None):
        path = os.getenv("ESP32_RTC")
        if data is not None:
            with open(path, "wb") as f:
                f.write(data)
            return None
        try:
            with open(path, "rb") as f:
                return f.read()
        except OSError:
            return b""


class WDT:
    def __init__(self, timeout):
        assert timeout >= 1000

    def feed(self):
        pass

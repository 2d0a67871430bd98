"""Executed by the VM: a node on chips that cost nothing, for SECONDS of its own time without an agent; prints
what it took: ms of CPU a second, and the bytes of heap free in its last SAMPLES seconds, their median and the
least. What is free goes up and down with the frames that are being made and signed.

Usage: budget_node.py FLASH_FOLDER OUTBOX_BYTES
"""

import gc
import sys
import time

import asyncio_ticks  # noqa: F401 - before asyncio

gc.threshold(4096)
SECONDS = 60
WARM_UP = 15
SAMPLES = 21


class Spi:
    """A MAX30003 that answers at once: noisy samples every 4 ms."""

    def __init__(self):
        self.registers = {}
        self.began = 0
        self.read = 0

    def write_readinto(self, out, into):
        register = out[0] >> 1
        if not out[0] & 1:
            self.registers[register] = (out[1] << 16) | (out[2] << 8) | out[3]
            if register == 0x09:
                self.began = time.now_us
                self.read = 0
        elif register == 0x20:
            n = min(32, (time.now_us - self.began) // 4000 - self.read)
            for i in range(n):
                self.read += 1
                value = (self.read * 7919 % 61) << 3
                into[1 + 3 * i] = 0
                into[2 + 3 * i] = value
                into[3 + 3 * i] = 0x10 if i == n - 1 else 0
            if n == 0:
                into[3] = 0x30
        else:
            value = {0x01: 0, 0x0F: 0x503000}.get(register, self.registers.get(register, 0))
            into[1] = value >> 16
            into[2] = (value >> 8) & 0xFF
            into[3] = value & 0xFF


class I2c:
    """A MAX30102 that answers at once: a finger, noisy samples every 10 ms."""

    def __init__(self):
        self.registers = {0xFF: 0x15}
        self.began = 0
        self.read = 0

    def readfrom_mem_into(self, address, register, buf):
        if register == 0x07:
            for i in range(0, len(buf), 6):
                self.read += 1
                noise = self.read * 7919 % 251
                buf[i] = buf[i + 3] = 1
                buf[i + 1] = buf[i + 4] = noise
        elif len(buf) == 7:
            written = (time.now_us - self.began) // 10000
            buf[0] = buf[5] = 0
            buf[4] = written & 31
            buf[6] = self.read & 31
        else:
            buf[0] = self.registers.get(register, 0) & (0xBF if register == 0x09 else 0xFF)

    def writeto_mem(self, address, register, buf):
        self.registers[register] = buf[0]
        if register == 0x09 and buf[0] == 3:
            self.began = time.now_us
            self.read = 0


class Link:
    stream = sys.stdin

    def read(self):
        return b""

    def write(self, data):
        return len(data)


class Board:
    name = "budget"
    root = sys.argv[1]
    config = {"node": {"mains_hz": 50, "outbox_bytes": int(sys.argv[2])}}

    def __init__(self):
        self.cpu_s = 0
        self.free = []
        self.memory = bytearray(20)

    def bus(self, role):
        return (Spi(), None) if role == "ecg" else (I2c(),)

    def link(self):
        return Link()

    def input_info(self):
        return "budget", 2, 2

    def entropy(self, seeded):
        return bytes(64), False

    def reset_cause(self):
        return 1

    def retained_read(self):
        return None

    def retained_write(self, data):
        self.memory[:] = data

    def charging(self):
        return False

    def signal(self, light, sound):
        pass

    def consent(self):
        return False

    def feed_watchdog(self):
        pass

    def stop_requested(self):
        if not self.cpu_s and time.now_us > WARM_UP * 1000000:
            self.cpu_s = time.cpu_s()
        if time.now_us > (WARM_UP + SECONDS) * 1000000:
            if not self.free:
                self.ms = (time.cpu_s() - self.cpu_s) * 1000 / SECONDS
            gc.collect()
            self.free.append(gc.mem_free())
            if len(self.free) == SAMPLES:
                self.free.sort()
                print(f"cpu_ms {self.ms:.2f} heap_free {self.free[SAMPLES // 2]} least {self.free[0]}")
                sys.exit(0)
        return False

    def exit(self, code, error):
        if error is not None:
            sys.print_exception(error)
        sys.exit(1)


try:
    from node import FEATURES, SENSORS, run
except ImportError:
    from assembly import FEATURES, SENSORS

    from firmware.app import run

run(Board(), SENSORS, FEATURES)

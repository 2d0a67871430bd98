"""Executed by a VM: a node on chips that cost next to nothing, for so many seconds of its own time; says on
stderr what it took: "alone", µs of processor time in those seconds, bytes of heap free in some after them,
their median and the least.

Usage: alone_node.py FLASH_FOLDER OUTBOX_BYTES SECONDS agent|nobody

With an agent, stdout and stdin are its link, EXCHANGE_MS apart in the node's time: milliseconds since the
start and a number of bytes, which follow ("<IH"); the answer is a number of bytes, and those ("<H").
$NODE_SECTIONS, where there is one: where node_watch.py puts the turns.
"""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

import gc
import os
import select
import struct
import sys
import time

import asyncio_ticks  # noqa: F401 - before asyncio
import utime

gc.threshold(4096)
WARM_UP_S = 120
SAMPLES = 11
EXCHANGE_MS = 100
# What a wire takes meanwhile.
WIRE = 1000
# Of its own time, after which a node that has lost its sampling task is given up.
PATIENCE_S = 120
# At 72 a minute.
BEATS = 3
ECG_BEAT = 208
PPG_BEAT = 83


def ecg_words():
    """Some beats as the chip's FIFO gives them: QRS, T wave, noise of a few units."""
    out = bytearray(3 * ECG_BEAT * BEATS)
    for i in range(ECG_BEAT * BEATS):
        at = i % ECG_BEAT
        value = i * 7919 % 5
        if 90 < at < 110:
            value += 330 - 33 * abs(at - 100)
        elif 145 <= at <= 185:
            value += 50 - (at - 165) * (at - 165) // 8
        struct.pack_into(">H", out, 3 * i, value << 1)
    return out


def ppg_words():
    """The same of red and infrared: fast up, slow down, 1 and 2 % of the light."""
    out = bytearray(6 * PPG_BEAT * BEATS)
    for i in range(PPG_BEAT * BEATS):
        at = i % PPG_BEAT
        down = at * 120 if at < 15 else 1800 - (at - 15) * 26
        for channel in range(2):
            value = 100000 - down // (2 - channel) + i * 7919 % 31
            struct.pack_into(">BH", out, 6 * i + 3 * channel, value >> 16, value & 0xFFFF)
    return out


class Fifo:
    """So much of the same, again and again, as time passes; `size` bytes a sample."""

    def __init__(self, words, size, period_us):
        self._words = memoryview(words)
        self._size = size
        self._period_us = period_us
        self.restart()

    def restart(self):
        self._began = time.node_us()
        self.read = 0

    def written(self):
        return (time.node_us() - self._began) // self._period_us

    def take(self, into, n):
        """`n` samples, or as many as lie there in one piece; how many."""
        at = self.read * self._size % len(self._words)
        n = min(n, (len(self._words) - at) // self._size)
        into[: n * self._size] = self._words[at : at + n * self._size]
        self.read += n
        return n


class Spi:
    """A MAX30003 that answers at once."""

    def __init__(self):
        self._registers = {}
        self._fifo = Fifo(ecg_words(), 3, 4000)

    def write_readinto(self, out, into):
        register = out[0] >> 1
        if not out[0] & 1:
            self._registers[register] = (out[1] << 16) | (out[2] << 8) | out[3]
            if register == 0x09:
                self._fifo.restart()
        elif register == 0x20:
            fifo = self._fifo
            left = min(32, fifo.written() - fifo.read)
            at = 1
            while left > 0:
                n = fifo.take(into[at:], left)
                left -= n
                at += 3 * n
            into[at - 1 if at > 1 else 3] |= 0x10 if at > 1 else 0x30
        else:
            value = {0x01: 0, 0x0F: 0x503000}.get(register, self._registers.get(register, 0))
            struct.pack_into(">I", into, 0, value)


class I2c:
    """A MAX30102 that answers at once, with a finger on it."""

    def __init__(self):
        self._registers = {0xFF: 0x15}
        self._fifo = Fifo(ppg_words(), 6, 10000)

    def readfrom_mem_into(self, address, register, buf):
        fifo = self._fifo
        if register == 0x07:
            at = 0
            view = memoryview(buf)
            while at < len(buf):
                at += 6 * fifo.take(view[at:], (len(buf) - at) // 6)
        elif len(buf) == 7:
            buf[0] = buf[5] = 0
            buf[4] = fifo.written() & 31
            buf[6] = fifo.read & 31
        else:
            buf[0] = self._registers.get(register, 0) & (0xBF if register == 0x09 else 0xFF)

    def writeto_mem(self, address, register, buf):
        self._registers[register] = buf[0]
        if register == 0x09 and buf[0] == 3:
            self._fifo.restart()


class Link:
    """The wire to an agent that is asked for its bytes now and then; `exchange` False: to nobody."""

    stream = sys.stdin

    def __init__(self, exchange):
        self._out = []
        self._in = b""
        self._held = self._at_us = 0
        if exchange:
            select.source = self

    def read(self):
        data = self._in
        self._in = b""
        return data

    def write(self, data):
        if select.source:
            n = min(len(data), WIRE - self._held)
            if n > 0:
                self._out.append(bytes(data[:n]))
                self._held += n
            return max(n, 0)
        return len(data)

    def wait(self, ms):
        """Let `ms` pass, or what remains until the next exchange; whether there is something to read."""
        left = max(0, self._at_us - time.node_us()) // 1000
        if ms < 0 or ms > left:
            ms = left
        time.rest_us(ms * 1000)
        now_us = time.node_us()
        if now_us >= self._at_us:
            self._at_us = now_us + EXCHANGE_MS * 1000
            sys.stdout.buffer.write(struct.pack("<IH", now_us // 1000, self._held))
            for data in self._out:
                sys.stdout.buffer.write(data)
            self._out.clear()
            self._held = 0
            self._in += sys.stdin.buffer.read(struct.unpack("<H", sys.stdin.buffer.read(2))[0])
        return bool(self._in)


class Board:
    """As docs/boards.md has it; ends its VM when the time is over."""

    name = "alone"
    root = sys.argv[1]
    config = {"node": {"mains_hz": 50, "outbox_bytes": int(sys.argv[2])}}

    def __init__(self):
        self._end_s = WARM_UP_S + int(sys.argv[3])
        self._link = Link(sys.argv[4] == "agent")
        self._began_us = self._took_us = 0
        self._free = []
        self._memory = bytearray(20)

    def bus(self, role):
        return (Spi(), None) if role == "ecg" else (I2c(),)

    def link(self):
        return self._link

    def input_info(self):
        return "alone", 2, 2

    def entropy(self, seeded):
        return bytes(64), False

    def reset_cause(self):
        return 1

    def retained_read(self):
        return None

    def retained_write(self, data):
        self._memory[:] = data

    def charging(self):
        return False

    def signal(self, light, sound):
        pass

    def consent(self):
        return False

    def feed_watchdog(self):
        pass

    def stop_requested(self):
        if self._took_us:
            gc.collect()
            self._free.append(gc.mem_free())
            if len(self._free) == SAMPLES:
                self._free.sort()
                free = self._free[SAMPLES // 2], self._free[0]
                sys.stderr.write(f"alone {self._took_us} {free[0]} {free[1]}\n")
                sys.exit(0)
        elif time.node_us() >= self._end_s * 1000000:
            self._took_us = cpu_us() - self._began_us
            if watch:
                watch.note(False)
        elif not self._began_us and time.node_us() >= WARM_UP_S * 1000000:
            self._began_us = cpu_us()
            if watch:
                watch.note(True)
        return False

    def exit(self, code, error):
        if error is not None:
            sys.print_exception(error, sys.stderr)
        sys.exit(1)


def give_up():
    """Where nobody asks whether the node should stop, because its task died."""
    if time.node_us() > (WARM_UP_S + int(sys.argv[3]) + PATIENCE_S) * 1000000:
        sys.stderr.write("the node's sampling task does not live any more\n")
        sys.exit(1)


def cpu_us():
    """Processor time of this VM."""
    return int(utime.clock() * 1000000)


select.each_wait = give_up
watch = None
if os.getenv("NODE_SECTIONS"):
    import node_watch as watch

from node import FEATURES, SENSORS, run  # noqa: E402 - after the watch's own open()

if watch:
    watch.install(Board)
run(Board(), SENSORS, FEATURES)

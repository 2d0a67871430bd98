"""Time that passes only when nobody has anything to do: a minute of a node's life in the CPU time that it
takes. With $NODE_SECTIONS it passes while the VM works, too, as on an ESP32: utime.ticks_us is the
processor's clock then (cpu_clock.py).
"""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

import os

import utime

PERIOD = 1 << 30
START_US = PERIOD - 5000000
ESP32_TIMES = 55 if os.getenv("NODE_SECTIONS") else 0
_now_us = 0
_worked_us = 0


def node_us():
    """Microseconds since the start."""
    global _now_us, _worked_us
    if ESP32_TIMES:
        worked_us = utime.ticks_us()
        _now_us += (worked_us - _worked_us) * ESP32_TIMES
        _worked_us = worked_us
    return _now_us


def rest_us(us):
    """Let time pass."""
    global _now_us
    _now_us += us


def ticks_us():
    return (node_us() + START_US) % PERIOD


def ticks_ms():
    return (node_us() // 1000 + START_US // 1000) % PERIOD


def ticks_cpu():
    return ticks_us()


def ticks_add(ticks, delta):
    return (ticks + delta) % PERIOD


def ticks_diff(a, b):
    return (a - b + PERIOD // 2) % PERIOD - PERIOD // 2


def sleep_ms(ms):
    rest_us(ms * 1000)


if ESP32_TIMES:
    _worked_us = utime.ticks_us()
time = utime.time

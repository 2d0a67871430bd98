"""Time that passes only when nobody has anything to do: a minute of a node's life in the CPU time that it
takes.
"""

import utime

PERIOD = 1 << 30
START_US = PERIOD - 5000000
now_us = 0


def ticks_us():
    return (now_us + START_US) % PERIOD


def ticks_ms():
    return (now_us // 1000 + START_US // 1000) % PERIOD


def ticks_cpu():
    return ticks_us()


def ticks_add(ticks, delta):
    return (ticks + delta) % PERIOD


def ticks_diff(a, b):
    return (a - b + PERIOD // 2) % PERIOD - PERIOD // 2


def sleep_ms(ms):
    global now_us
    now_us += ms * 1000


cpu_s = utime.clock
time = utime.time

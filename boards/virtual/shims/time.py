"""The node's time on the virtual board: MicroPython's time module, with an ESP32's ticks and a clock that can
run fast.

`ticks_us` and `ticks_ms` wrap at 2^30, as on an ESP32, and start 5 s before that. With $VITALWIRE_SPEED = k >
1 the node's time advances k times as fast as the wall, but at most STEP_US between two looks at it: a host
that hesitates then slows the node down instead of overflowing its sensors' FIFOs. `node_us` is the same time
from 0, unwrapped.
"""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

import os

import utime as _wall

_PERIOD = 1 << 30
_MASK = _PERIOD - 1
_START_US = _PERIOD - 5_000_000
_START_MS = _PERIOD - 5_000
# On a busy host each request costs a step: they must stay a small part of a FIFO's 128 ms.
STEP_US = 1_000

speed = float(os.getenv("VITALWIRE_SPEED") or 1)
_now = _wall.ticks_us
_since = _wall.ticks_diff
_begun = _last = _now()
_node = 0


def _node_us() -> int:
    """Microseconds of node time since it started."""
    global _node, _last
    now = _now()
    gone = int(_since(now, _last) * speed)
    _last = now
    if gone > STEP_US:
        gone = STEP_US
    _node += gone
    return _node


def _wall_us() -> int:
    """The same at the wall's own speed."""
    return _since(_now(), _begun)


def _wall_ticks_us() -> int:
    return (_since(_now(), _begun) + _START_US) & _MASK


def _ticks_us() -> int:
    return (_node_us() + _START_US) & _MASK


node_us, ticks_us = (_wall_us, _wall_ticks_us) if speed == 1 else (_node_us, _ticks_us)


def ticks_ms() -> int:
    return (node_us() // 1000 + _START_MS) & _MASK


def ticks_cpu() -> int:
    return _wall.ticks_us() & _MASK


def ticks_add(ticks: int, delta: int) -> int:
    return (ticks + delta) & _MASK


def ticks_diff(end: int, start: int) -> int:
    return ((end - start + (_PERIOD >> 1)) & _MASK) - (_PERIOD >> 1)


def rest(us: int, watch=None) -> bool:
    """Let `us` of node time pass, unless `watch(wall_ms)` (a poll that may wait so long) is true before;
    whether it was.
    """
    global _node, _last
    end = node_us() + us
    while True:
        left = end - node_us()
        if left <= 0:
            return bool(watch and watch(0))
        wall_us = int(left / speed)
        if watch is None:
            _wall.sleep_us(wall_us)
        elif wall_us >= 1000:
            if watch(wall_us // 1000):
                return True
        else:
            if watch(0):
                return True
            _wall.sleep_us(wall_us)
        # asleep on purpose: all of this time has passed, up to where the sleeper wanted to wake
        now = _wall.ticks_us()
        at = _node + int(_wall.ticks_diff(now, _last) * speed)
        _last = now
        # Without a jump between the two looks at _node: there a timer's callback may come and move it.
        _node = min(at, end)


def sleep_us(us: int) -> None:
    rest(us)


def sleep_ms(ms: int) -> None:
    rest(ms * 1000)


def sleep(s: float) -> None:
    rest(int(s * 1_000_000))


time = _wall.time
time_ns = _wall.time_ns
gmtime = _wall.gmtime
localtime = _wall.localtime
mktime = _wall.mktime

"""Put beside a node's main.py by `python -m tools.bench node` and imported there: for how long each turn of a
task keeps the others from theirs, and how often memory is collected.

Writes to stderr "T task µs" for a turn of NOTED_US or more, and every REPORT_S "N task turns" and "G passes
µs-a-pass". A turn ends where the task waits, or where the sensors are drained within it: until then nobody
looks at the FIFOs. Time in which the host let another process run is taken off; waiting for the bus is not.
Generators of slow work give way after every step here, since on an ESP32 one or two fill a slice.
"""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

import asyncio
import gc
import sys

from utime import ticks_us

NOTED_US = 100
REPORT_S = 5
PASSES = 5
_turns = {}
_schedule = open("/proc/self/schedstat", "rb")  # noqa: SIM115 - for the life of the VM
_text = bytearray(80)


class State:
    """Of the turn that goes on: `since` when, how long the process had `waited_us` for a processor by then,
    whose `name` (None: nobody's). `passes` seen, by `canary`: the descriptor of a file that nobody holds,
    which is closed when memory is collected.
    """

    since = 0
    waited_us = 0
    name = None
    canary = -1
    passes = 0


def look():
    """Count a collection that has happened. A pass takes longer than NOTED_US: no turn with one is missed."""
    file = open("/dev/null")  # noqa: SIM115 - dropped, or closed below
    number = file.fileno()
    if number == State.canary or State.canary < 0:
        State.passes += 1
        State.canary = number
    else:
        file.close()


def waited_us():
    """How long this process has waited for a processor since it began (proc(5), schedstat)."""
    _schedule.seek(0)
    n = _schedule.readinto(_text)
    i = 0
    while _text[i] != 32:
        i += 1
    ns = 0
    while i + 1 < n and _text[i + 1] != 32:
        i += 1
        ns = ns * 10 + _text[i] - 48
    return ns // 1000


def begin():
    """A turn begins."""
    State.waited_us = waited_us()
    State.since = ticks_us()


def end():
    """A turn ends."""
    took = ticks_us() - State.since
    took -= waited_us() - State.waited_us
    name = State.name
    _turns[name] += 1
    if took >= NOTED_US:
        look()
        sys.stderr.write(f"T {name} {took}\n")


class Watched:
    """A task's coroutine, timed turn by turn."""

    def __init__(self, coro, name):
        self._coro = coro
        self._name = name
        self.throw = coro.throw
        self.close = coro.close

    def send(self, value):
        """One turn."""
        State.name = self._name
        begin()
        try:
            return self._coro.send(value)
        finally:
            end()
            State.name = None


async def report():
    """Task: what there is to say every REPORT_S."""
    while True:
        look()
        passes = State.passes
        await asyncio.sleep_ms(REPORT_S * 1000)
        look()
        passes = State.passes - passes
        times = []
        for _ in range(PASSES):
            at = ticks_us()
            gc.collect()
            times.append(ticks_us() - at)
        times.sort()
        sys.stderr.write(f"G {passes} {times[PASSES // 2]}\n")
        for name in _turns:
            sys.stderr.write(f"N {name} {_turns[name]}\n")
            _turns[name] = 0


def install(app, link):
    """Watch the node that firmware.app will run; `link` is firmware.link."""
    plain_keep_alive, plain_drain, plain_live = app.keep_alive, app.Node.drain, app.Node.live

    def keep_alive(name, task, died):
        name = name.replace(" ", "_")
        _turns[name] = 0
        return Watched(plain_keep_alive(name, task, died), name)

    def drain(node):
        if State.name is not None:
            end()
        plain_drain(node)
        begin()

    async def live(node):
        reporter = asyncio.create_task(report())
        await plain_live(node)
        reporter.cancel()

    app.keep_alive, app.Node.drain, app.Node.live = keep_alive, drain, live
    link.SLICE_US = -1

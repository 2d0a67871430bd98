"""Put beside a node's main.py by `python -m tools.bench node` and imported there: what processor time each
turn of a task takes, from the scheduler to the scheduler, and what happened in it.

Writes to the file at $NODE_SECTIONS, for each turn RECORD: number of the task in the order in which they were
made, flags (1 memory was collected, 2 a file was opened: flash), frames sealed, µs. time.time_ns is the
processor's clock here (cpu_clock.py).
"""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false, reportArgumentType=false, reportCallIssue=false

import asyncio
import builtins
import os
import struct

from utime import time_ns

RECORD = "<BBHI"
COLLECTED = 1
FLASH = 2
# A pass of the collector takes longer: no turn with one is missed.
NOTED_US = 100


class State:
    """`frames`, `files`: counted since the VM began; `on`: whether turns are noted. `canary`: the descriptor
    of a file that nobody holds, which is closed when memory is collected.
    """

    frames = 0
    files = 0
    canary = -1
    on = False


_open = open
_file = _open(os.getenv("NODE_SECTIONS"), "ab")
_record = bytearray(struct.calcsize(RECORD))
_tasks = []


def collected():
    """Whether memory was since the last call."""
    file = _open("/dev/null")
    number = file.fileno()
    if number == State.canary or State.canary < 0:
        State.canary = number
        return True
    file.close()
    return False


class Watched:
    """A task's coroutine, timed turn by turn."""

    def __init__(self, coro, number):
        self._coro = coro
        self._number = number
        self.throw = coro.throw
        self.close = coro.close

    def send(self, value):
        """One turn."""
        frames, files = State.frames, State.files
        began = time_ns()
        try:
            return self._coro.send(value)
        finally:
            us = (time_ns() - began) // 1000
            flags = FLASH if State.files != files else 0
            if us >= NOTED_US and collected():
                flags |= COLLECTED
            struct.pack_into(RECORD, _record, 0, self._number, flags, State.frames - frames, us)
            if State.on:
                _file.write(_record)


def note(on):
    """Whether turns are noted from now on."""
    State.on = on


def install(board):
    """Watch the tasks of the node that will run, and what it does with this class of boards."""
    create, write = asyncio.create_task, board.retained_write

    def create_task(coro):
        _tasks.append(None)
        return create(Watched(coro, len(_tasks) - 1))

    def retained_write(self, data):
        State.frames += 1
        write(self, data)

    def counted(path, mode="r"):
        State.files += 1
        return _open(path, mode)

    asyncio.create_task = create_task
    board.retained_write = retained_write
    builtins.open = counted

"""asyncio's task queue on the node's own ticks; imported before asyncio.

The VM's queue is compiled in and looks at the host's milliseconds behind the back of the `time` beside this
file: its order would be wrong as soon as the two disagree. `asyncio.core` takes its queue from `_asyncio`,
and an entry in sys.modules goes before a module that is compiled in. The classes follow MicroPython's
extmod/asyncio/task.py (MIT license, Copyright (c) 2019-2020 Damien P. George), with a sorted list for the few
tasks that a node has.
"""
# pyright: reportAttributeAccessIssue=false

import sys
from time import ticks_diff, ticks_ms

# What ticks_diff(a, b) >= 0 comes to, for the ticks of the time beside this file.
_MASK = (1 << 30) - 1
_HALF = 1 << 29


class TaskQueue:
    """Tasks by the time at which they are due; those due at the same time in the order of their coming."""

    def __init__(self):
        self._head = None

    def peek(self):
        return self._head

    def push(self, task, key=None):
        task.data = None
        task.ph_key = key = ticks_ms() if key is None else key
        after = None
        at = self._head
        while at is not None and (key - at.ph_key) & _MASK < _HALF:
            after = at
            at = at.following
        task.following = at
        if after is None:
            self._head = task
        else:
            after.following = task

    def pop(self):
        task = self._head
        self._head = task.following
        task.following = None
        return task

    def remove(self, task):
        if self._head is task:
            self._head = task.following
        else:
            at = self._head
            while at is not None and at.following is not task:
                at = at.following
            if at is not None:
                at.following = task.following
        task.following = None


class Task:
    """A coroutine on its way, as asyncio.core expects it."""

    def __init__(self, coro, globals=None):
        self.coro = coro
        self.data = None
        self.state = True
        self.ph_key = 0
        self.following = None

    def __iter__(self):
        if not self.state:
            self.state = False
        elif self.state is True:
            self.state = TaskQueue()
        elif type(self.state) is not TaskQueue:
            raise RuntimeError("can't wait")
        return self

    def __next__(self):
        if not self.state:
            raise self.data
        core = _core()
        self.state.push(core.cur_task)
        core.cur_task.data = self

    def done(self):
        return not self.state

    def cancel(self):
        if not self.state:
            return False
        core = _core()
        if self is core.cur_task:
            raise RuntimeError("can't cancel self")
        task = self
        while isinstance(task.data, Task):
            task = task.data
        if hasattr(task.data, "remove"):
            task.data.remove(task)
            core._task_queue.push(task)
        elif ticks_diff(task.ph_key, ticks_ms()) > 0:
            core._task_queue.remove(task)
            core._task_queue.push(task)
        task.data = core.CancelledError
        return True


def _core():
    return sys.modules["asyncio.core"]


sys.modules["_asyncio"] = sys.modules[__name__]

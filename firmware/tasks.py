"""Keeping tasks alive: one that dies is told about, rested, and started again."""

import asyncio
import gc
import io
import sys
import time

REST_FIRST_MS = 500
REST_MAX_MS = 30000
# After living for so long, a task that dies is a new case: rests that grow beyond the watchdog end the boot.
STEADY_MS = 10000


async def keep_alive(name, task, died):
    """Run `task()` again and again until it returns; `died(name, error)` hears of each death."""
    rest_ms = REST_FIRST_MS
    while True:
        began = time.ticks_ms()
        try:
            return await task()
        except Exception as error:
            gc.collect()
            died(name, error)
        # Negative: beyond half the range of ticks, which is days.
        if not 0 <= time.ticks_diff(time.ticks_ms(), began) < STEADY_MS:
            rest_ms = REST_FIRST_MS
        await asyncio.sleep_ms(rest_ms)
        rest_ms = min(rest_ms * 2, REST_MAX_MS)


def describe(name, error):
    """An error in a few words: task, kind, where it was raised, what it said."""
    trace = io.StringIO()
    sys.print_exception(error, trace)  # pyright: ignore[reportArgumentType]
    where = ""
    for line in trace.getvalue().split("\n"):  # pyright: ignore[reportAttributeAccessIssue]
        line = line.strip()
        if line.startswith("File "):
            parts = line.split(",")
            where = parts[0][6:-1].split("/")[-1] + ":" + parts[1].strip().split(" ")[-1]
    return "%s: %s at %s: %s" % (name, type(error).__name__, where, error)

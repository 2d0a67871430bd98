"""Put beside a node's main.py by `python -m tools.bench node` and imported there: how its heap stands.

Writes to stderr every EVERY_S of its time, after a collection, "H seconds used free largest": bytes, the last
those of the largest block that there is room for.
"""
# pyright: reportAttributeAccessIssue=false

import gc
import sys

EVERY_S = 10


def largest():
    """Bytes of the largest block that can be had, to 64."""
    low, high = 0, gc.mem_free()
    while high - low > 64:
        middle = (low + high) // 2
        try:
            bytearray(middle)
            low = middle
        except MemoryError:
            high = middle
    return low


def install(board):
    """Look each time that the node asks this class of boards whether it is to stop: once a second."""
    plain = board.stop_requested
    seen = [0]

    def stop_requested(self):
        seen[0] += 1
        if seen[0] % EVERY_S == 0:
            gc.collect()
            used, free = gc.mem_alloc(), gc.mem_free()
            sys.stderr.write(f"H {seen[0]} {used} {free} {largest()}\n")
        return plain(self)

    board.stop_requested = stop_requested

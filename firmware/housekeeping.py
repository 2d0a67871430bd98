"""What the node says of its health every ten seconds, and the memory policy that the figures are about."""

import gc

from protocol import frames

# MicroPython collects when an allocation fails; by then the heap is in pieces. Collecting after this share of
# it is allocated keeps large free blocks together at the price of one pass (1 % of the time at the usual
# rate).
COLLECT_SHARE = 4


class Heap:
    """Free bytes of the heap, as left by a collection: what is garbage is not use."""

    def __init__(self):
        gc.collect()
        self.low = gc.mem_free()
        gc.threshold(self.low // COLLECT_SHARE)

    def measure(self):
        """Collect; the bytes free now. `low` is the least that was ever found."""
        gc.collect()
        free = gc.mem_free()
        self.low = min(self.low, free)
        return free


def status_body(heap, sensors, session, reset_cause, uptime_s):
    """The body of a status frame: counters since boot."""
    box = session.box
    jitter = 0
    for sensor in sensors:
        jitter = max(jitter, sensor.sample_clock.worst_us)
    return {
        frames.STATUS_HEAP_FREE: heap.measure(),
        frames.STATUS_HEAP_LOW: heap.low,
        frames.STATUS_LATE: sum([sensor.late for sensor in sensors]),
        frames.STATUS_MISSED: sum([sensor.missed for sensor in sensors]),
        frames.STATUS_JITTER_US: jitter,
        frames.STATUS_RESET_CAUSE: reset_cause,
        frames.STATUS_UPTIME_S: uptime_s,
        frames.STATUS_OUTBOX_FRAMES: len(box),
        frames.STATUS_OUTBOX_BYTES: box.bytes,
        frames.STATUS_EVICTED: box.evicted,
        frames.STATUS_REJECTED: sum(session.rejected.values()),
        frames.STATUS_RESENT: box.resent,
        frames.STATUS_BUS_ERRORS: sum([sensor.bus_errors for sensor in sensors]),
        frames.STATUS_NEXT_SEQ: box.next_seq,
    }

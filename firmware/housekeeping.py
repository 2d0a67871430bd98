"""What the node says of its health every ten seconds, and the memory policy that the figures are about."""

import gc

from protocol import frames


class Heap:
    """Free bytes of the heap, as left by a collection: what is garbage is not use."""

    def __init__(self):
        self.low = gc.mem_alloc() + gc.mem_free()
        self.measure()

    def measure(self):
        """Collect; the bytes free now. `low` is the least that was ever found.

        MicroPython collects when an allocation fails; by then the heap is in pieces. Here it does when as
        much has been allocated as is free now. The frames of calls are counted in that, too, but are given
        back at once, so that about half of it is garbage when it comes to that, and large free blocks stay.
        """
        gc.collect()
        free = gc.mem_free()
        gc.threshold(free)
        self.low = min(self.low, free)
        return free


def status_body(heap, sensors, session, reset_cause, uptime_s, readings):
    """The body of a status frame: counters since boot; the battery, where the Readings know of one."""
    box = session.box
    jitter = 0
    for sensor in sensors:
        # A part without a FIFO is sampled by a timer of the board, which jitters itself.
        jitter = max(jitter, sensor.sample_clock.worst_us, getattr(sensor.driver, "jitter_us", 0))
    body = {
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
        frames.STATUS_RESENT: session.window.resent,
        frames.STATUS_BUS_ERRORS: sum([sensor.bus_errors for sensor in sensors]),
        frames.STATUS_NEXT_SEQ: box.next_seq,
    }
    if readings.battery_pct >= 0:
        body[frames.STATUS_BATTERY] = readings.battery_pct
        body[frames.STATUS_CHARGING] = int(readings.charging)
    return body

"""How a boot ended that did not end in order: kept on flash, told by the boots after it. firmware.crash does
that, and is loaded when there is something to do.
"""

import gc

from firmware.flash import FlashError
from firmware.requests import forget
from protocol import frames

CRASH_RECORD = "crash"


class Aftermath:
    """One boot's report of earlier ones. `start`: its Start; `sealer`: its Sealer."""

    def __init__(self, start, sealer):
        self._start = start
        self._sealer = sealer
        self._seq = None

    def tell(self, cause):
        """Make a log frame of how an earlier boot ended, if that was not in order and no agent knows it yet.
        `cause`: this boot's reset cause. Raises FlashError.
        """
        start = self._start
        silent = cause == frames.RESET_WATCHDOG or cause == frames.RESET_BROWN_OUT
        if not silent and not start.records.holds(CRASH_RECORD):
            return
        from firmware import crash

        try:
            body = crash.log_body(start.records, start.record.statement, cause)
        finally:
            forget("crash")
        if body is not None:
            self._seq = self._sealer.box.next_seq
            self._sealer.seal(frames.KIND_LOG, body, None, True)

    def settle(self):
        """The record goes once the frame has arrived. Raises FlashError."""
        if self._seq is not None and not self._sealer.box.holds(self._seq):
            self._seq = None
            self._start.records.remove(CRASH_RECORD)


def keep(start, uptime_s, error):
    """Put on flash what ended the boot of `start`. Its frames cannot go any more, and their memory is needed
    here. Whatever fails, the next boot matters more.
    """
    start.box.max_bytes = 0
    start.box.shrink()
    gc.collect()
    try:
        from firmware import crash

        crash.save_crash(start.records, start.record.boot_id, uptime_s, error)
    except (FlashError, MemoryError, OSError):
        pass

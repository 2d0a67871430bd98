"""What a boot has to tell of earlier ones, kept on flash until it has arrived: how one ended that did not end
in order (firmware.crash), and which agents were un-paired (firmware.unpaired). Each is loaded when there is
something to do.
"""

import gc

from firmware.flash import FlashError
from firmware.requests import forget
from protocol import frames

CRASH_RECORD = "crash"
UNPAIRED_RECORD = "unpaired"


class Aftermath:
    """One boot's report of earlier ones. `start`: its Start; `sealer`: its Sealer."""

    def __init__(self, start, sealer):
        self._start = start
        self._sealer = sealer
        self._seq = None
        self._unpaired = ()

    def tell(self, cause):
        """Seal what no agent knows yet. `cause`: this boot's reset cause. Raises FlashError."""
        start = self._start
        if start.records.holds(UNPAIRED_RECORD):
            from firmware import unpaired

            try:
                self._unpaired = unpaired.tell(start, self._sealer)
            finally:
                forget("unpaired")
        silent = cause == frames.RESET_WATCHDOG or cause == frames.RESET_BROWN_OUT
        if not silent and not start.records.holds(CRASH_RECORD):
            return
        from firmware import crash

        try:
            body = crash.log_body(start.records, start.record.statement, cause)
        finally:
            forget("crash")
        if body is not None:
            self._seq = self._sealer.seal(frames.KIND_LOG, body, None, True)

    def settle(self):
        """What has arrived goes from flash. Raises FlashError."""
        holds = self._sealer.box.holds
        if self._seq is not None and not holds(self._seq):
            self._seq = None
            self._start.records.remove(CRASH_RECORD)
        if self._unpaired and not holds(self._unpaired[0][0]):
            from firmware import unpaired

            try:
                unpaired.arrived(self._start.records, self._unpaired.pop(0)[1])
            finally:
                forget("unpaired")


def keep(start, uptime_s, error):
    """Put on flash what ended the boot of `start`. Its frames cannot go any more, and their memory is needed
    here. Whatever fails, the next boot matters more.
    """
    try:
        start.box.max_bytes = 0
        start.box.shrink()
        gc.collect()
        from firmware import crash

        crash.save_crash(start.records, start.record.boot_id, uptime_s, error)
    except (FlashError, MemoryError, OSError):
        pass

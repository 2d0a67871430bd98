"""How a boot ended that did not end in order: one record on flash, which a later boot makes a log frame of.

The record, `crash`, is CBOR [boot id, uptime in s or null, text, reset cause or null, how many before it were
never told]. It is written when a boot has ended, and at the start of one that a watchdog or a brown-out
brought about: never while anything is sampled. It goes when an agent has acknowledged the frame, so a reset
in between makes the node say it again, never not at all.
"""

import io
import sys

from firmware.aftermath import CRASH_RECORD
from firmware.flash import FlashError
from protocol import cbor, frames
from protocol.errors import ProtocolError

MAX_TEXT = 1024
CUT = "... "
CAUSES = {frames.RESET_WATCHDOG: "watchdog", frames.RESET_BROWN_OUT: "brown-out"}


def save_crash(records, boot_id, uptime_s, error):
    """Keep the traceback of `error`, which ended the boot. Raises FlashError."""
    trace = io.StringIO()
    sys.print_exception(error, trace)  # pyright: ignore[reportArgumentType]
    text = trace.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    _write(records, boot_id, uptime_s, _tail(text, MAX_TEXT), None)


def log_body(records, statement, reset_cause):
    """The body of the log frame that has to be sent, or None. `statement`: what this boot's record says of
    the previous one. Raises FlashError.
    """
    found = _read(records)
    silent = statement is not None and not statement[2] and reset_cause in CAUSES
    if silent and (found is None or found[0] != statement[0]):
        text = "%s; at least %d frames made" % (CAUSES[reset_cause], statement[1])
        _write(records, statement[0], None, text, reset_cause)
        found = _read(records)
    if found is None:
        return None
    boot_id, uptime_s, text, cause, untold = found
    if cause is None and statement is not None and statement[0] == boot_id:
        cause = reset_cause
    if untold:
        first = "after %d not told:\n" % untold
        text = first + _tail(text, MAX_TEXT - len(first))
    out = {frames.LOG_LEVEL: frames.LOG_CRASH, frames.LOG_TEXT: text, frames.LOG_BOOT: boot_id}
    if cause is not None:
        out[frames.LOG_RESET_CAUSE] = cause
    if uptime_s is not None:
        out[frames.LOG_UPTIME_S] = uptime_s
    return out


def _read(records):
    """The record's five values; None when there is none. One that is damaged is set aside."""
    try:
        payload = records.read(CRASH_RECORD)
        return None if payload is None else cbor.loads(payload)
    except (FlashError, ProtocolError):
        records.set_aside(CRASH_RECORD)
        return None


def _write(records, boot_id, uptime_s, text, cause):
    before = _read(records)
    untold = 0 if before is None or before[0] == boot_id else before[4] + 1
    records.write(CRASH_RECORD, cbor.dumps([boot_id, uptime_s, text, cause, untold]))


def _tail(text, size):
    """The end of `text`, within `size` bytes of UTF-8: there a traceback says where and what."""
    text = text.strip()
    if len(text.encode()) > size:
        text = text[len(CUT) - size :]
        while len(text.encode()) > size - len(CUT):
            text = text[1:]
        text = CUT + text
    return text

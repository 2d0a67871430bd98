"""The crash record: whole or not there, told until it is removed, and a silent reset told like a crash."""

import sys

from firmware import crash
from firmware.aftermath import CRASH_RECORD
from protocol import cbor, frames
from tests.both.node_memory import Medium, PowerCut, on

if not hasattr(sys, "print_exception"):
    sys.print_exception = lambda error, file: file.write("Traceback\n  %s\n" % error)

FIRST, SECOND, THIRD = [n.to_bytes(4, "big") + b"12345678" for n in (1, 2, 3)]


def ended(boot_id, clean=False):
    """What the next boot's record says of a boot."""
    return [boot_id, 40, clean, 1]


def failed(records, boot_id, text="fire", uptime_s=9):
    try:
        raise ValueError(text)
    except ValueError as error:
        crash.save_crash(records, boot_id, uptime_s, error)


def test_a_crash_is_told_with_its_boot_until_its_record_goes():
    records = on(Medium())
    assert crash.log_body(records, None, frames.RESET_POWER_ON) is None
    failed(records, FIRST)
    body = crash.log_body(records, ended(FIRST), frames.RESET_HARD)
    assert body[frames.LOG_LEVEL] == frames.LOG_CRASH and "fire" in body[frames.LOG_TEXT]
    told = [body[key] for key in (frames.LOG_BOOT, frames.LOG_RESET_CAUSE, frames.LOG_UPTIME_S)]
    assert told == [FIRST, frames.RESET_HARD, 9]
    # A boot later, the cause of this reset is not that of the crash.
    again = crash.log_body(records, ended(SECOND), frames.RESET_POWER_ON)
    assert again[frames.LOG_TEXT] == body[frames.LOG_TEXT] and frames.LOG_RESET_CAUSE not in again
    records.remove(CRASH_RECORD)
    records.remove(CRASH_RECORD)
    assert crash.log_body(records, ended(SECOND), frames.RESET_POWER_ON) is None


def test_a_newer_crash_takes_the_place_of_one_that_nobody_knows_and_counts_it():
    records = on(Medium())
    failed(records, FIRST, "one")
    failed(records, SECOND, "two")
    failed(records, THIRD, "three")
    body = crash.log_body(records, ended(THIRD), frames.RESET_HARD)
    text = body[frames.LOG_TEXT]
    assert text.startswith("after 2 not told:\n") and "three" in text and "two" not in text


def test_a_watchdog_or_a_brown_out_is_told_like_a_crash_and_again_until_it_arrived():
    for cause in (frames.RESET_WATCHDOG, frames.RESET_BROWN_OUT):
        records = on(Medium())
        body = crash.log_body(records, ended(FIRST), cause)
        assert body[frames.LOG_BOOT] == FIRST and body[frames.LOG_RESET_CAUSE] == cause
        assert "at least 40 frames" in body[frames.LOG_TEXT] and frames.LOG_UPTIME_S not in body
        assert crash.log_body(records, ended(SECOND), frames.RESET_HARD) == body
        # Neither is an orderly end one, nor the first boot of a node.
        fresh = on(Medium())
        assert crash.log_body(fresh, ended(FIRST, True), cause) is None
        assert crash.log_body(fresh, None, cause) is None


def test_a_traceback_that_a_watchdog_ended_is_kept():
    records = on(Medium())
    failed(records, FIRST)
    body = crash.log_body(records, ended(FIRST), frames.RESET_WATCHDOG)
    assert "fire" in body[frames.LOG_TEXT] and body[frames.LOG_RESET_CAUSE] == frames.RESET_WATCHDOG


def test_a_long_text_is_cut_at_the_front_within_its_bytes():
    for text in ("x" * 5000 + "end", "é" * 3000 + "end", "漢字" * 900 + "end"):
        records = on(Medium())
        failed(records, FIRST, text)
        failed(records, SECOND, text)
        told = crash.log_body(records, ended(SECOND), frames.RESET_HARD)[frames.LOG_TEXT]
        assert 990 < len(told.encode()) <= 1024 and told.endswith("end")


def test_a_cut_at_any_step_leaves_the_old_record_or_the_new_one():
    steps = 0
    while True:
        medium = Medium()
        records = on(medium)
        failed(records, FIRST, "alpha")
        medium.steps = steps
        try:
            failed(records, SECOND, "omega")
            crash.log_body(records, ended(SECOND), frames.RESET_HARD)
            records.remove(CRASH_RECORD)
        except PowerCut:
            pass
        finished = medium.steps > 0
        medium.steps = None
        body = crash.log_body(records, ended(SECOND), frames.RESET_HARD)
        assert body is None or ("alpha" in body[frames.LOG_TEXT]) != ("omega" in body[frames.LOG_TEXT])
        if finished:
            assert body is None
            return
        steps += 1


def test_a_damaged_record_is_set_aside():
    medium = Medium()
    records = on(medium)
    for payload in (b"noise", cbor.dumps([1])[:-1]):
        records.write(CRASH_RECORD, payload)
        assert crash.log_body(records, ended(FIRST), frames.RESET_HARD) is None
        assert records.path(CRASH_RECORD) + ".bad" in medium.files

"""Which of the two copies of the application on flash a boot runs, and who says so.

A board that takes updates has the application in `slot_a` or `slot_b`, and this file beside main.py, as
source and by itself: no update replaces it. It imports nothing of the application; the application imports
a copy of its own.

The choice is a record in two places, `state/slots` and `state/slots-b`: `VWR1` ‖ CRC-32 of the text (4 bytes,
big-endian) ‖ text `serial confirmed trial left floor tried why`. Each is written beside its place and renamed
over it; the greater serial counts. `confirmed` is a or b; `trial` the slot that is being tried, or -; `left`
how many boots it still has: 0 means that it failed. `floor`: the greatest version that was ever confirmed, or
-; `tried`: the version on trial; `why`: of a trial that failed.
"""

import os
import sys
from binascii import crc32

MAGIC = b"VWR1"
PLACES = ("state/slots", "state/slots-b")
NOBODY = "-"
TRIAL_BOOTS = 3
MOST = 256
MAX_WHY = 40
# The entry of a version: it comes into being when everything else of it has been verified.
ENTRIES = ("start.py", "start.mpy")
# Put there with a version that came over the cable, always slot_a: that one is confirmed.
FLASHED = "flashed"
FAULT_FILE = "fault.txt"
REST_MS = 3000


class Choice:
    """What the record says; as of a board that was never updated, where there is none."""

    def __init__(self):
        self.serial = 0
        self.confirmed = "a"
        self.trial = NOBODY
        self.left = 0
        self.floor = NOBODY
        self.tried = NOBODY
        self.why = ""


def read_choice(root):
    """The Choice on the flash whose root is `root` ("", or ending with a slash). Never fails: where both
    places are damaged, a slot with an entry is confirmed.
    """
    found = Choice()
    there = False
    for place in PLACES:
        try:
            with open(root + place, "rb") as file:
                data = file.read(MOST)
            there = True
            choice = _parsed(data)
        except (OSError, ValueError):
            continue
        if choice.serial > found.serial:
            found = choice
    if there and not found.serial and not has_entry(root, "a"):
        found.confirmed = "b"
    return found


def _parsed(data):
    text = data[8:]
    if data[:4] != MAGIC or int.from_bytes(data[4:8], "big") != crc32(text):
        raise ValueError
    fields = text.decode().split(" ", 6)
    choice = Choice()
    choice.serial = int(fields[0])
    choice.left = int(fields[3])
    choice.confirmed, choice.trial = fields[1], fields[2]
    choice.floor, choice.tried, choice.why = fields[4:7]
    if choice.confirmed not in ("a", "b") or choice.trial not in ("a", "b", NOBODY):
        raise ValueError
    return choice


def write_choice(root, choice):
    """Put it on flash in both places; OSError where flash refuses. From the first place on it holds."""
    choice.serial += 1
    fields = (
        choice.serial,
        choice.confirmed,
        choice.trial,
        choice.left,
        choice.floor,
        choice.tried,
        choice.why[:MAX_WHY],
    )
    text = ("%d %s %s %d %s %s %s" % fields).encode()
    for place in PLACES:
        beside = root + place + ".new"
        with open(beside, "wb") as file:
            file.write(MAGIC + crc32(text).to_bytes(4, "big") + text)
        os.rename(beside, root + place)


def has_entry(root, slot):
    """Whether the slot has a version that may run."""
    for entry in ENTRIES:
        try:
            os.stat(root + "slot_" + slot + "/" + entry)
            return True
        except OSError:
            pass
    return False


def choose_slot(root):
    """(the slot that this boot runs, whether it is on trial). A trial's boot is counted before it begins."""
    choice = read_choice(root)
    try:
        os.stat(root + FLASHED)
        choice.confirmed, choice.trial, choice.left = "a", NOBODY, 0
        _make_folder(root + "state")
        write_choice(root, choice)
        os.remove(root + FLASHED)
    except OSError:
        pass
    if choice.trial != NOBODY and choice.left > 0 and has_entry(root, choice.trial):
        choice.left -= 1
        try:
            write_choice(root, choice)
            return choice.trial, True
        except OSError:
            # What cannot be counted is not begun.
            pass
    if not has_entry(root, choice.confirmed):
        other = "a" if choice.confirmed == "b" else "b"
        if has_entry(root, other):
            return other, False
    return choice.confirmed, False


def _make_folder(path):
    try:
        os.mkdir(path)
    except OSError:
        pass


def failed_start(trial, error):
    """A version could not even begin: note it, and start the board again."""
    import time

    import machine

    try:
        if trial:
            choice = read_choice("")
            choice.why = type(error).__name__ + ": " + str(error)
            write_choice("", choice)
        with open(FAULT_FILE, "w") as file:
            sys.print_exception(error, file)  # pyright: ignore[reportAttributeAccessIssue]
    except (OSError, MemoryError):
        pass
    # Time to interrupt it, for a person who wants the prompt.
    time.sleep_ms(REST_MS)  # pyright: ignore[reportAttributeAccessIssue]
    machine.reset()

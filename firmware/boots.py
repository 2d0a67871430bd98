"""The boot counter, the boot id, and what is known afterwards of how a boot ended (docs/wire-protocol.md §5
and §8.1).

The record is [boot id, known_next, clean, bound_s, said]; the counter is the first four bytes of the boot
id. It is committed once before the first seal of a boot, then with the number of the next frame at a bounded
rate, and last at an orderly stop. It lies in two places: a commit writes both, a reservation one of them in
turn, so that damage to either never takes the counter back (an agent refuses a counter that it has seen). A
board that keeps some memory through a reset also holds the number there, frame by frame. The next boot makes
its statement from whichever knows more.

`said` is CBOR in a byte string: what this boot states of those before it. The next boot states it again,
until an agent has acknowledged a frame that does: then a later write leaves it out. So what is said of a boot
rides in the writes that there are anyhow, and a cut between any two of them can only make it be said twice.
"""

import struct
from binascii import crc32

from firmware.flash import FlashError
from protocol import cbor
from protocol.errors import ProtocolError

BOOT_RECORDS = ("boot-a", "boot-b")
RESERVE_EVERY_S = 30
# Longest time between two reservations: the rate, and a generous bound on how long their task is kept from
# running.
RESERVE_BOUND_S = RESERVE_EVERY_S + 5
RETAINED_BOUND_S = 1
RETAINED_FORMAT = ">12sI"
RETAINED_BYTES = 20
MAX_COUNTER = 0xFFFFFFFF
MAX_U32 = 0xFFFFFFFF
# Statements in one boot frame; more are put together, the oldest first.
MAX_SAID = 16
# As many are taken off flash as soon as they have arrived, fewer with the next reservation: a node that is
# reset again and again writes once more in so many boots.
CLEAR_SOON = 4
NOTHING_SAID = b"\x80"


class CommitError(Exception):
    """The boot counter could not be put on flash: nothing may be sealed in this boot. `cause` says why."""

    def __init__(self, cause):
        super().__init__("boot counter not committed: " + cause)
        self.cause = cause


class BootRecord:
    """One boot: commits it, keeps its record, states the one before.

    `boot_id`: 12 bytes. `statement`: [boot id, known_next, clean, bound_s] of the previous boot, None in a
    node's first; earlier() gives those before it. `fault`: text on a damaged record that commit() sets aside,
    or None. `board` has retained_read() and retained_write().
    """

    def __init__(self, records, board):
        self._records = records
        self._board = board
        self._retained = bytearray(RETAINED_BYTES)
        self._reserved_s = 0
        self._reserved = 0
        self._turn = 0
        self._damaged = []
        self.fault = None
        self.boot_id = b""
        said = self._previous()
        self.statement = said[-1] if said else None
        self._many = len(said) >= CLEAR_SOON
        self._said = cbor.dumps(said)

    def earlier(self):
        """What is to be said of boots before the previous one, oldest first: statements, and of many boots
        [first counter, last counter, known frames, bound_s]. None when there is nothing.
        """
        return cbor.loads(self._said)[:-1] or None

    def _previous(self):
        said = []
        stored = self._newest()
        retained = read_retained(self._board.retained_read())
        if stored is not None:
            boot_id, known_next, clean, bound_s, said = stored
            if retained is not None and retained[0][:4] <= boot_id[:4]:
                if retained[0] == boot_id and retained[1] >= known_next and not clean:
                    known_next = retained[1]
                    bound_s = RETAINED_BOUND_S
                retained = None
            said.append([boot_id, known_next, clean, bound_s])
        if retained is not None:
            said.append([retained[0], retained[1], False, RETAINED_BOUND_S])
        while len(said) > MAX_SAID:
            said[0] = together(said[0], said.pop(1))
        return said

    def _newest(self):
        newest = None
        for place in BOOT_RECORDS:
            try:
                payload = self._records.read(place)
                if payload is None:
                    continue
                fields = cbor.loads(payload)
                boot_id, known_next, clean, bound_s = fields[:4]
                # Records of development builds end here.
                said = cbor.loads(fields[4]) if len(fields) > 4 else []
            except (FlashError, ProtocolError) as error:
                self.fault = str(error)
                self._damaged.append(place)
                continue
            if newest is None or (boot_id[:4], known_next, clean) > (newest[0][:4], newest[1], newest[2]):
                newest = [boot_id, known_next, clean, bound_s, said]
        if newest is not None and self._damaged and not newest[2]:
            # What is damaged may have been the later reservation.
            newest[3] += RESERVE_BOUND_S
        return newest

    def commit(self, random8):
        """Put the next counter on flash; from then on `boot_id` is this boot's. Raises CommitError, and may
        be tried again.
        """
        counter = 1
        if self.statement is not None:
            counter = int.from_bytes(self.statement[0][:4], "big") + 1
        if counter > MAX_COUNTER:
            raise CommitError("the boot counter is used up")
        boot_id = counter.to_bytes(4, "big") + random8
        try:
            while self._damaged:
                self._records.set_aside(self._damaged[-1])
                self._damaged.pop()
        except FlashError as error:
            raise CommitError(error.cause)
        for _ in BOOT_RECORDS:
            self._write(boot_id, 0, False)
        self.boot_id = boot_id
        self.retain(0)

    def _write(self, boot_id, known_next, clean):
        bound_s = 0 if clean else RESERVE_BOUND_S
        payload = cbor.dumps([boot_id, known_next, clean, bound_s, self._said])
        place = BOOT_RECORDS[self._turn]
        self._turn = 1 - self._turn
        try:
            self._records.write(place, payload)
            # A commit counts when it can be read back: flash that is full or worn may take a write and keep
            # nothing.
            kept = self._records.read(place)
        except FlashError as error:
            raise CommitError(error.cause)
        if kept != payload:
            raise CommitError("the record reads back differently")

    def retain(self, next_seq):
        """Note where a reset cannot reach that frames below `next_seq` exist; call it with every frame."""
        memory = self._retained
        struct.pack_into(RETAINED_FORMAT, memory, 0, self.boot_id, next_seq)
        struct.pack_into(">I", memory, 16, crc32(memoryview(memory)[:16]))
        self._board.retained_write(memory)

    def reserve(self, next_seq, uptime_s, delivered):
        """Bring the number onto flash when the last time is RESERVE_EVERY_S ago; a CommitError here only
        widens the bound. `delivered`: an agent has acknowledged this boot's first frame, so what that says
        need not be said again.
        """
        due = uptime_s - self._reserved_s >= RESERVE_EVERY_S
        if delivered:
            self._said = NOTHING_SAID
            due = due or self._many
            self._many = False
        if not due or next_seq == self._reserved:
            return
        before_s = self._reserved_s
        self._reserved_s = uptime_s
        try:
            self._write(self.boot_id, next_seq, False)
        except MemoryError:
            # Nothing is wrong with the flash: the next second may have more room.
            self._reserved_s = before_s
            raise
        self._reserved = next_seq

    def put_off(self, since_s):
        """What was made before `since_s` has been acknowledged or is on flash: a cut takes no more than if it
        had been reserved then, and a write is saved.
        """
        self._reserved_s = max(self._reserved_s, since_s)

    def close(self, next_seq, delivered):
        """The orderly end: no frame beyond `next_seq` was or will be made in this boot. `delivered`: as in
        reserve().
        """
        if delivered:
            self._said = NOTHING_SAID
        self._write(self.boot_id, next_seq, True)


def together(a, b):
    """Two neighbouring statements as one, of all boots from the first to the last."""
    first, last, known, bound_s = span(a)
    next_first, next_last, more_known, more_s = span(b)
    if next_first != last + 1:
        # What lies between them was never heard of again.
        more_s = MAX_U32
    return [first, next_last, min(known + more_known, MAX_U32), min(bound_s + more_s, MAX_U32)]


def span(statement):
    """[first counter, last counter, known frames, bound_s] of a statement."""
    if isinstance(statement[0], int):
        return statement
    counter = int.from_bytes(statement[0][:4], "big")
    return [counter, counter, statement[1], statement[3]]


def read_retained(memory):
    """(boot id, known_next) from a board's retained memory, or None when it holds nothing of ours (power was
    off).
    """
    if memory is None or len(memory) < RETAINED_BYTES:
        return None
    boot_id, known_next, check = struct.unpack_from(RETAINED_FORMAT + "I", bytes(memory[:RETAINED_BYTES]))
    return (boot_id, known_next) if check == crc32(bytes(memory[:16])) else None


def give_back():
    """A boot is committed once: what only that takes is given back to the heap."""
    global together, span, read_retained
    together = span = read_retained = None  # pyright: ignore[reportAssignmentType]
    one = BootRecord
    one.__init__ = one.commit = one.earlier = one._previous = one._newest = None  # pyright: ignore

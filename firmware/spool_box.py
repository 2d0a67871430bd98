"""The frames of one boot in the spool: a box for protocol/window.py, read from flash one frame at a time.

docs/spool.md has the files. A boot has four chains of segments, by what goes first when there is no room:
0 alarms and what is never evicted, 1 vitals and the like, 2 waveforms, 3 waveforms of the oximeter. In each
numbers ascend. A segment is `VWS1`, the boot id, the number of its first frame; then records, each

    A5, flags (bit 0-1 lane, 2 keep, 3 whole), number (4), length (2), CRC-32 of flags to end (4), ciphertext

where the ciphertext is the frame without the envelope that its number gives, or with it (whole). A frame that
was given to the window is where it was until it is acknowledged; a segment all of whose frames are goes.
Loaded while there is something in the spool.
"""

import struct
from binascii import crc32
from errno import ENOENT

from protocol.frames import LANE_WAVE
from protocol.seal import envelope, shortest

MAGIC = b"VWS1"
HEAD = 20
MARK = 0xA5
RECORD = ">BBIHI"
RECORD_HEAD = 12
KEEP = 4
WHOLE = 8
MAX_FRAME = 4096
CHAINS = 4


class Chain:
    """Segments `head` to `tail` - 1 of those that were written; read up to `offset` of segment `at`.

    `ahead`: the next frame that was not given yet: (number, sealed, lane, keep, offset). `first`: the number
    in the head of its first segment, `last`: the number read last; -1: none. `broken`: what followed it could
    not be read. `newest`: the number written last. `unacked`: by segment, how many frames of it were given
    and are not acknowledged. `size`: bytes of the last segment, 0: the next frame begins another.
    """

    def __init__(self, prefix, head, tail):
        self.prefix = prefix
        self.at = head
        self.tail = tail
        self.size = 0
        self.offset = 0
        self.ahead = None
        self.first = self.last = self.newest = -1
        self.broken = self.ended = False
        self.unacked = {}
        self.file = None

    def path(self, segment):
        """Where a segment lies."""
        return "%s%05x" % (self.prefix, segment)

    def close(self):
        """Let the open file go."""
        if self.file is not None:
            self.file.close()
            self.file = None


class Kept:
    """What the window needs of a box, over the chains of a boot.

    `lost(first, count)` is told of numbers that damage took, of which some may be in other chains.
    `next_seq`: one more than the greatest number here; of the boot that is running, see Outbox.
    """

    def __init__(self, folder, counter, lost):
        self.prefix = "%s/%08x" % (folder, counter)
        self.chains = [Chain("%s%x" % (self.prefix, n), 0, 0) for n in range(CHAINS)]
        self.next_seq = 0
        self.flight = {}
        self._lost = lost
        self._given = {}
        self._again = None

    # What a window asks for

    def waiting(self):
        """Whether a frame is held."""
        return bool(self._given) or any(self._peek(chain) is not None for chain in self.chains)

    def span(self):
        """(the least number held, one more than the greatest); None: nothing is."""
        least = [self._peek(chain)[0] for chain in self.chains if self._peek(chain) is not None]
        least += self._given
        return (min(least), self.next_seq) if least else None

    def ranges(self, limit):
        """One range, a superset: what lies between may be in another chain, or gone."""
        found = self.span()
        return [] if found is None else [[found[0], found[1] - found[0]]]

    def holds(self, seq):
        """Whether that frame may be here."""
        if seq in self._given:
            return True
        for chain in self.chains:
            ahead = self._peek(chain)
            if ahead is not None and ahead[0] <= seq <= max(chain.newest, ahead[0]):
                return True
        return False

    def choose(self, last, first):
        """As Outbox.choose; what must not be evicted comes with the alarms."""
        if first >= self.next_seq:
            return None
        found = None
        for seq in self._given:
            if seq not in self.flight and self._given[seq][3] <= last and (found is None or seq < found):
                found = seq
        best = None
        for n in range(CHAINS):
            if n <= last or last == LANE_WAVE:
                ahead = self._peek(self.chains[n])
                if ahead is not None and (best is None or ahead[0] < best[0]):
                    best = ahead
        if found is not None and (best is None or found < best[0]):
            return self._read_again(found)
        return best

    def ack(self, first, count):
        """Free those that are held; how many that were."""
        end = first + count
        for chain in self.chains:
            if chain.ahead is not None and first <= chain.ahead[0] < end:
                self._give(chain)
        freed = 0
        for seq in [seq for seq in self._given if first <= seq < end]:
            chain, segment = self._given.pop(seq)[:2]
            chain.unacked[segment] -= 1
            freed += 1
        return freed

    # Reading

    def _peek(self, chain):
        while True:
            ahead = chain.ahead
            if ahead is None:
                if chain.ended or not self._advance(chain):
                    return None
            elif ahead[0] in self.flight:
                self._give(chain)
            else:
                return ahead

    def _give(self, chain):
        seq, _, lane, keep, offset = chain.ahead
        chain.unacked[chain.at] = chain.unacked.get(chain.at, 0) + 1
        self._given[seq] = (chain, chain.at, offset, 0 if keep else lane)
        chain.ahead = None

    def _advance(self, chain):
        """Read the next frame of the chain; False at its end."""
        while chain.at < chain.tail:
            record = None
            there = True
            try:
                if chain.file is None:
                    chain.file = open(chain.path(chain.at), "rb")  # noqa: SIM115 - see close()
                if not chain.offset:
                    chain.offset = HEAD
                    head = chain.file.read(HEAD)
                    if len(head) == HEAD and head[:4] == MAGIC and chain.first < 0:
                        chain.first = int.from_bytes(head[16:], "big")
                chain.file.seek(chain.offset)
                record = self._record(chain)
            except OSError as error:
                there = error.errno != ENOENT
                if there:
                    # What cannot be read now stays for the next boot.
                    chain.broken = True
                    chain.unacked[chain.at] = chain.unacked.get(chain.at, 0) + 1
            if record is not None:
                chain.offset += record[5]
                if chain.last < 0 <= chain.first:
                    # No check covers that number.
                    chain.last = min(chain.first, record[0]) - 1
                if record[0] <= chain.last:
                    # Of a write that failed, and was done again.
                    continue
                self._state_lost(chain, record[0])
                chain.last = record[0]
                # The end that open_spool looked at may be torn: what is given can be acknowledged.
                self.next_seq = max(self.next_seq, record[0] + 1)
                chain.ahead = record[:5]
                return True
            chain.close()
            if chain.at == chain.tail - 1:
                if there:
                    chain.unacked.setdefault(chain.at, 0)
                self._state_lost(chain, chain.newest + 1)
                chain.ended = True
                return False
            if there:
                chain.unacked.setdefault(chain.at, 0)
            chain.at += 1
            chain.offset = 0
        chain.ended = True
        return False

    def _state_lost(self, chain, upto):
        if chain.broken and upto > chain.last + 1:
            self._lost(chain.last + 1, upto - chain.last - 1)
        chain.broken = False

    def _record(self, chain):
        """(number, sealed, lane, keep, offset, length on flash) of the next whole record, or None."""
        offset = chain.offset
        while True:
            record = parse(chain.file, offset)
            if record is not None:
                return record[:5] + (record[4] + record[5] - chain.offset,)
            chain.file.seek(offset)
            if not chain.file.read(1):
                return None
            chain.broken = True
            offset = next_mark(chain.file, offset + 1)
            if offset is None:
                return None

    def _read_again(self, seq):
        if self._again is None or self._again[0] != seq:
            chain, segment, offset = self._given[seq][:3]
            try:
                with open(chain.path(segment), "rb") as file:
                    record = parse(file, offset)
            except OSError:
                record = None
            if record is None or record[0] != seq:
                return None
            self._again = record
        return self._again

    # Housekeeping

    def emptied(self):
        """(chain, segment) of a segment all of whose frames are acknowledged, or None."""
        for chain in self.chains:
            for segment in chain.unacked:
                if not chain.unacked[segment] and (segment < chain.at or (chain.ended and not chain.ahead)):
                    return chain, segment
        return None

    def dropped(self, chain, segment):
        """A segment is no longer there: what was given of it will not come."""
        chain.unacked.pop(segment, None)
        if segment == chain.tail - 1:
            chain.size = 0
        for seq in [seq for seq in self._given if self._given[seq][:2] == (chain, segment)]:
            del self._given[seq]
            self.flight.pop(seq, None)
        if segment == chain.at and segment < chain.tail:
            chain.close()
            chain.ahead = None
            chain.at += 1
            chain.offset = 0
            chain.broken = False

    def close(self):
        """Let the open files go."""
        for chain in self.chains:
            chain.close()


def parse(file, offset):
    """(number, sealed, lane, keep, offset, length) of the record there, or None."""
    file.seek(offset)
    head = file.read(RECORD_HEAD)
    if len(head) < RECORD_HEAD:
        return None
    mark, flags, seq, length, check = struct.unpack(RECORD, head)
    if mark != MARK or length > MAX_FRAME:
        return None
    data = file.read(length)
    if len(data) < length or crc32(data, crc32(memoryview(head)[1:8])) != check:
        return None
    sealed = data if flags & WHOLE else envelope(shortest(seq), data)
    return seq, sealed, flags & 3, bool(flags & KEEP), offset, RECORD_HEAD + length


def next_mark(file, offset):
    """Where the next byte is that a record may begin with, or None."""
    file.seek(offset)
    while True:
        piece = file.read(64)
        if not piece:
            return None
        found = piece.find(bytes((MARK,)))
        if found >= 0:
            return offset + found
        offset += len(piece)

"""From memory into the spool, a batch at a time, and what has to go from it for want of room.

A batch is the oldest frames of one chain, appended to its last segment. It is written in pieces that end
where a block of flash does, each brought onto the medium before the next, with the sensors drained in
between; when all of it is there its frames leave memory. Loaded while the link is away.
"""

import os
import struct
from binascii import crc32

from firmware import spool_box
from firmware.flash import FlashError, sync_file, sync_folder
from protocol import cbor
from protocol.errors import ProtocolError
from protocol.seal import envelope, shortest

BLOCK = 4096
# What eight blocks hold beside LittleFS's pointers to those before.
SEGMENT = 32724
BATCH = 4000
NO_SPACE = 28
GONE = 2
EVICTED = "evicted"
# Boots of which evictions are still to be stated; of more, the oldest are forgotten.
MAX_NOTED = 32


def store_batch(spool, only=-1):
    """Move a batch of the chain that has most in memory (of chain `only`) to flash; False when there was
    none, or nothing could be done. FlashError: it refuses.
    """
    box = spool.box
    number, frames = next_batch(box, only)
    if not frames:
        return False
    kept = spool.kept
    if kept is None:
        kept = spool.kept = box.spool = spool_box.Kept(spool.folder, spool.counter, box.lost)
    keep_headers(spool)
    while spool.used + 3 > spool.limit:
        if not evict_segment(spool, number):
            for frame in frames:
                # Nothing there is worth less.
                box.lost(frame[0], 1, 1)
                box.moved(frame[0])
            return True
    chain = kept.chains[number]
    try:
        written = append(spool, chain, frames)
    except OSError as error:
        chain.size = 0
        if error.errno != NO_SPACE:
            raise FlashError(chain.path(chain.tail - 1), str(error))
        spool.limit = min(spool.limit, spool.used)
        return spool.used > 0
    chain.newest = written[-1][0]
    chain.ended = False
    kept.next_seq = max(kept.next_seq, chain.newest + 1)
    for frame in written:
        box.moved(frame[0])
    return True


def next_batch(box, only):
    """(chain, its oldest frames up to BATCH bytes): of the chain with most bytes in memory. What is in flight
    stays, and what is behind it.
    """
    sizes = [0] * spool_box.CHAINS
    held = [False] * spool_box.CHAINS
    for seq, sealed, lane, keep in box.frames():
        number = chain_of(lane, keep)
        held[number] = held[number] or seq in box.flight
        if not held[number]:
            sizes[number] += len(sealed) + spool_box.RECORD_HEAD
    number = only if only >= 0 else sizes.index(max(sizes))
    frames = []
    size = 0
    for frame in box.frames():
        if chain_of(frame[2], frame[3]) == number:
            size += len(frame[1]) + spool_box.RECORD_HEAD
            if frame[0] in box.flight or (frames and size > BATCH):
                break
            frames.append(frame)
    return number, frames


def chain_of(lane, keep):
    """The chain of a frame of the outbox."""
    if keep is True or not lane:
        return 0
    return 3 if keep else lane


def keep_headers(spool):
    """What opens this boot's frames lies beside them, for every agent that has a header."""
    headers = spool.node.session.headers
    agents = [header[0] for header in headers]
    if agents != spool.agents:
        spool.node.drain()
        fields = [spool.boot_id, headers, spool.node.start.identity.id]
        spool.records.write("%08x" % spool.counter, cbor.dumps(fields))
        spool.agents = agents


def append(spool, chain, frames):
    """Write frames to the chain's last segment, as many as fit, or to a new one; those that are on the
    medium. OSError.
    """
    if chain.size and chain.size + len(frames[0][1]) + spool_box.RECORD_HEAD > SEGMENT:
        chain.size = 0
    new = not chain.size
    if new:
        chain.tail += 1
    at = before = chain.size
    written = []
    spool.node.drain()
    with open(chain.path(chain.tail - 1), "wb" if new else "ab") as file:
        if new:
            head = spool_box.MAGIC + spool.boot_id + frames[0][0].to_bytes(4, "big")
            at = in_pieces(spool, file, 0, head)
        for frame in frames:
            data = record_of(frame)
            if at + len(data) > SEGMENT and written:
                break
            at = in_pieces(spool, file, at, data)
            written.append(frame)
        sync_file(file)
    if new:
        sync_folder(spool.folder)
    chain.size = at
    spool.used += blocks(at) - blocks(before)
    return written


def in_pieces(spool, file, at, data):
    """Append `data` at `at`, the sensors drained at each end of a block; where the file ends then."""
    data = memoryview(data)
    while data:
        room = block_end(at) - at
        piece = data[:room]
        file.write(piece)
        at += len(piece)
        data = data[len(piece) :]
        if len(piece) == room:
            sync_file(file)
            spool.node.drain()
    return at


def block_end(at):
    """Where the block of a LittleFS file ends that holds byte `at`: block n begins with the pointers to those
    before, one more than n has zero bits at its end.
    """
    end = BLOCK
    n = 0
    while end <= at:
        n += 1
        pointers = 1
        while not n >> (pointers - 1) & 1:
            pointers += 1
        end += BLOCK - 4 * pointers
    return end


def blocks(size):
    """How many blocks a segment of that size takes, to be on the safe side."""
    return (size + BLOCK - 17) // (BLOCK - 16)


def record_of(frame):
    """A frame of the outbox as it lies in a segment."""
    seq, sealed, lane, keep = frame
    piv = shortest(seq)
    at = 8 + len(piv)
    data = sealed[at + (sealed[at] - 0x56 if sealed[at] >= 0x58 else 1) :] if len(sealed) > at else b""
    flags = lane | (spool_box.KEEP if keep is True else 0)
    if envelope(piv, data) != sealed:
        data = sealed
        flags |= spool_box.WHOLE
    head = struct.pack(">BIH", flags, seq, len(data))
    check = crc32(data, crc32(head))
    return bytes((spool_box.MARK,)) + head + check.to_bytes(4, "big") + data


def evict_segment(spool, least):
    """Let the segment go that is worth least, of chains from `least` on: of the last chain, of its oldest
    boot, the oldest. False: there is none. What goes is noted on flash before.
    """
    victim = None
    for name, _ in listing(spool.folder):
        if len(name) == 14 and int(name[8]) >= least:
            rank = (spool_box.CHAINS - int(name[8]), name[:8], name[9:], name)
            if victim is None or rank < victim:
                victim = rank
    if victim is None:
        return False
    name = victim[3]
    spool.node.drain()
    boot_id, first, last, count = numbers_of(spool.folder + "/" + name)
    if count:
        note_evicted(spool, boot_id, first, last + 1)
        if boot_id == spool.boot_id:
            spool.box.lost(first, last + 1 - first, count)
    box = spool.box_of(int(name[:8], 16))
    spool.node.drain()
    remove_segment(spool, name)
    if box is not None:
        box.dropped(box.chains[int(name[8])], int(name[9:], 16))
    return True


def note_evicted(spool, boot_id, first, end):
    """On flash: numbers of a boot that will not come, one range a boot, which names more than has gone."""
    noted = read_evicted(spool)
    for entry in noted:
        if entry[0] == boot_id:
            first = min(first, entry[1])
            end = max(end, entry[1] + entry[2])
            noted.remove(entry)
            break
    noted.append([boot_id, first, end - first])
    noted.sort()
    spool.records.write(EVICTED, cbor.dumps(noted[-MAX_NOTED:]))
    if boot_id != spool.boot_id:
        spool.to_state = True


def read_evicted(spool):
    """[[boot id, first, count], …] as noted on flash."""
    try:
        return cbor.loads(spool.records.read(EVICTED) or b"\x80")
    except (FlashError, ProtocolError):
        return []


def numbers_of(path):
    """(boot id, first number, last number, how many) of a segment's whole records, as far as it can be
    read.
    """
    first = last = 0
    count = 0
    head = b""
    try:
        with open(path, "rb") as file:
            head = file.read(spool_box.HEAD)
            offset = spool_box.HEAD
            while offset is not None:
                record = spool_box.parse(file, offset)
                if record is None:
                    offset = spool_box.next_mark(file, offset + 1)
                    continue
                if not count:
                    first = record[0]
                last = record[0]
                count += 1
                offset += record[5]
    except OSError:
        # Its blocks may be worn out; what was read counts.
        pass
    return head[4:16], first, last, count


def remove_segment(spool, name):
    """Take a segment off flash."""
    path = spool.folder + "/" + name
    try:
        size = os.stat(path)[6]
        os.remove(path)
    except OSError as error:
        if error.errno != GONE:
            raise FlashError(path, str(error))
        return
    spool.used -= blocks(size)


def listing(folder):
    """(name, bytes) of each file there."""
    if hasattr(os, "ilistdir"):
        for entry in os.ilistdir(folder):
            # MicroPython's unix port says no sizes.
            yield entry[0], entry[3] if len(entry) > 3 else os.stat(folder + "/" + entry[0])[6]
    else:
        for name in os.listdir(folder):
            yield name, os.stat(folder + "/" + name)[6]

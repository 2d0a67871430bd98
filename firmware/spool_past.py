"""What is in the spool when a boot begins, and earlier boots one after the other as an agent takes them.

A few earlier boots, the oldest, are in the hello at a time; when one is empty its files go, the next takes
its place, and the node says hello anew. Loaded for that, and forgotten after it.
"""

import os

from firmware import spool_box, spool_put
from firmware.flash import FlashError
from protocol import cbor, frames
from protocol.errors import ProtocolError
from protocol.identity import node_id

MAX_LOADED = 2
# What stays free for records and the file system itself, where board.toml gives no bound.
RESERVE_BLOCKS = 24
# And for an update, which may come while the spool is full: a slot and what is on its way to it.
UPDATE_BLOCKS = 104


class Past:
    """An earlier boot, as protocol/session_node.py wants it."""

    def __init__(self, boot_id, headers, box):
        self.boot_id = boot_id
        self.headers = headers
        self.box = box


def open_spool(spool, most):
    """Count what is there and load the first boots; `most`: bytes that it may take, 0: what is free."""
    try:
        os.mkdir(spool.folder)
    except OSError:
        pass
    used = 0
    for name, size in list(spool_put.listing(spool.folder)):
        if name.endswith(".new"):
            # A record that a power cut kept from its place.
            spool.records.remove(name)
        elif len(name) == 14:
            used += spool_put.blocks(size)
    spool.used = used
    keep = RESERVE_BLOCKS + (UPDATE_BLOCKS if "update" in spool.node.board.config else 0)
    spool.limit = max(1, most // spool_put.BLOCK if most else used + free_blocks(spool.folder) - keep)
    spool.to_state = any(entry[0] != spool.boot_id for entry in spool_put.read_evicted(spool))
    load_boots(spool)


def free_blocks(folder):
    """Of 4 KB, on the file system of the folder."""
    found = os.statvfs(folder)
    return found[1] * found[3] // spool_put.BLOCK if found[1] else 0


def load_boots(spool):
    """Have MAX_LOADED earlier boots that an agent of now can open in the next hello, the oldest."""
    agents = [node_id(ed_pub, x_pub) for ed_pub, x_pub in spool.node.start.agents]
    while len(spool.past) < MAX_LOADED:
        name = None
        for found, _ in spool_put.listing(spool.folder):
            boot = found[:8]
            if len(found) not in (8, 14) or boot <= spool.reached or int(boot, 16) == spool.counter:
                continue
            if name is None or boot < name:
                name = boot
        if name is None:
            break
        spool.reached = name
        boot = load_boot(spool, name, agents)
        if boot is not None:
            spool.past.insert(0, boot)
    spool.node.session.earlier = list(spool.past)


def load_boot(spool, name, agents):
    """An earlier boot; None: nothing of it is here, or nobody could open it."""
    segments = [
        found for found, _ in spool_put.listing(spool.folder) if len(found) == 14 and found[:8] == name
    ]
    headers = []
    boot_id = b""
    ours = True
    try:
        payload = spool.records.read(name)
        if payload is not None:
            fields = cbor.loads(payload)
            boot_id, headers = fields[:2]
            # Records of development builds end here.
            ours = fields[2:] in ([], [spool.node.start.identity.id])
    except (FlashError, ProtocolError) as error:
        spool.report(str(error))
    if not segments:
        spool.records.remove(name)
        return None
    if not boot_id or not ours:
        # Nobody can open these any more.
        for segment in segments:
            found = spool_put.numbers_of(spool.folder + "/" + segment)
            if found[3] and ours:
                spool_put.note_evicted(spool, found[0], found[1], found[2] + 1)
            spool_put.remove_segment(spool, segment)
        spool.records.remove(name)
        if not ours:
            spool.report("the spool held frames of an earlier identity of this node: they are gone")
        return None
    if not any(header[0] in agents for header in headers):
        return None
    damaged = spool.damaged
    box = spool_box.Kept(
        spool.folder, int(name, 16), lambda first, count: damaged.append((boot_id, first, count))
    )
    for number in range(spool_box.CHAINS):
        there = sorted([int(found[9:], 16) for found in segments if int(found[8]) == number])
        if there:
            chain = box.chains[number]
            chain.at = there[0]
            chain.tail = there[-1] + 1
            # The last may be torn, or empty.
            while there:
                _, _, last, count = spool_put.numbers_of(chain.path(there.pop()))
                if count:
                    box.next_seq = max(box.next_seq, last + 1)
                    break
    return Past(boot_id, headers, box)


def done_with(spool, boot):
    """Nothing of that boot can be given any more: the next takes its place."""
    boot.box.close()
    spool.past.remove(boot)
    name = "%08x" % int.from_bytes(boot.boot_id[:4], "big")
    if not any(len(found) == 14 and found[:8] == name for found, _ in spool_put.listing(spool.folder)):
        spool.records.remove(name)
    load_boots(spool)


def note_damaged(spool):
    """What could not be read of earlier boots is as if it had been evicted."""
    while spool.damaged:
        boot_id, first, count = spool.damaged[-1]
        spool_put.note_evicted(spool, boot_id, first, first + count)
        spool.damaged.pop()


def state_evicted(spool):
    """Seal what is noted of earlier boots in a frame; its number, -1: there is nothing to state."""
    body = [
        [boot_id, first, count, frames.LOSS_OUTBOX_FULL]
        for boot_id, first, count in spool_put.read_evicted(spool)
        if boot_id != spool.boot_id
    ]
    if not body:
        return -1
    return spool.node.sealer.seal(frames.KIND_LOST_BEFORE, {frames.LOST_BEFORE: body}, None, True)


def evicted_stated(spool):
    """That has arrived."""
    left = [entry for entry in spool_put.read_evicted(spool) if entry[0] == spool.boot_id]
    if left:
        spool.records.write(spool_put.EVICTED, cbor.dumps(left))
    else:
        spool.records.remove(spool_put.EVICTED)

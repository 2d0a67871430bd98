"""Executed by the VM: a node's spool on LittleFS over a block device whose power goes after so many writes
and erasures; then the node's next boot on what is left.

Usage: cuts.py FIRST STEP: cuts after FIRST, FIRST + STEP, … operations, each in every way; prints how many
there were, and how many operations the whole history takes.
"""

import os
import sys

from firmware import spool_put
from firmware.flash import FlashError
from firmware.spool_box import parse
from protocol.frames import LANE_ALARM
from tests.both.spool_world import AGENT, WORLDS, World, drain_box

# Several batches, and the end of a segment within one, without writing much.
spool_put.BATCH = 1600
BLOCK = 4096
BLOCKS = 40
LIMIT_KIB = 60
HERE = "/f"
really_remove = spool_put.remove_segment
DROPPED, TORN, GARBLED = 0, 1, 2


class PowerCut(Exception):
    """Nothing after this reaches the flash."""


class Device:
    """Flash on `memory`: `left` more operations (None: any number); what `way` says of the one after them."""

    def __init__(self, memory, left=None, way=DROPPED):
        self.memory = memory
        self.left = left
        self.way = way
        self.done = 0
        self.dead = False
        self.erased = [0] * BLOCKS

    def readblocks(self, n, buf, offset=0):
        at = n * BLOCK + offset
        buf[:] = self.memory[at : at + len(buf)]

    def writeblocks(self, n, buf, offset=0):
        if self.dead:
            return -5
        at = n * BLOCK + offset
        if self._last():
            if self.way == TORN:
                half = len(buf) // 2
                self.memory[at : at + half] = buf[:half]
            elif self.way == GARBLED:
                self.memory[at : at + len(buf)] = bytes(0x55 for _ in range(len(buf)))
            raise PowerCut()
        self.memory[at : at + len(buf)] = buf

    def ioctl(self, op, arg):
        if op == 4:
            return BLOCKS
        if op == 5:
            return BLOCK
        if op == 6:
            if self.dead:
                return -5
            if self._last():
                if self.way == TORN:
                    self._erase(arg, BLOCK // 2)
                raise PowerCut()
            self._erase(arg, BLOCK)
            self.erased[arg] += 1
            return 0
        return 0

    def _erase(self, n, size):
        self.memory[n * BLOCK : n * BLOCK + size] = b"\xff" * size

    def _last(self):
        """Whether the power goes now."""
        if self.left is not None:
            if not self.left:
                self.dead = True
                return True
            self.left -= 1
        self.done += 1
        return False


class History:
    """Boots of a node. What is known of its frames, as {(boot, number)}: `made`, `acked`, and `removed` with
    their segments.
    """

    def __init__(self):
        self.made = set()
        self.acked = set()
        self.removed = set()
        self.worlds = []
        spool_put.remove_segment = self.remove

    def remove(self, owner, name):
        """As spool_put does, and what was in it is known."""
        with open(owner.folder + "/" + name, "rb") as file:
            offset = 20
            record = parse(file, offset)
            while record is not None:
                self.removed.add((int(name[:8], 16), record[0]))
                offset += record[5]
                record = parse(file, offset)
        really_remove(owner, name)

    def boot(self, counter):
        w = World(HERE, counter, LIMIT_KIB)
        self.worlds.append(w)
        return w

    def outage(self, w, seconds):
        for n in range(seconds):
            w.second(n)
            if w.box.bytes > 9000:
                while w.box.bytes > 4000 and w.store():
                    pass
            self.note(w)

    def note(self, w):
        for seq in w.lanes:
            self.made.add((w.counter, seq))

    def take(self, counter, box, most):
        """An agent takes so many frames of a boot, and acknowledges them."""
        flight = box.flight = {}
        for _ in range(most):
            frame = box.choose(2, 0)
            if frame is None:
                break
            flight[frame[0]] = True
            if len(flight) > 5:
                seq = min(flight)
                self.acked.add((counter, seq))
                del flight[seq]
                box.ack(seq, 1)
        box.flight = {}

    def run(self):
        """Outages, an agent in between, too little room, a new boot, an orderly end."""
        w = self.boot(1)
        self.outage(w, 45)
        self.take(1, w.box, 60)
        w.tidy()
        self.outage(w, 15)
        w.make(LANE_ALARM, 50)
        w.make(1, 200, True)
        self.note(w)
        w.store(0)
        w = self.boot(2)
        self.outage(w, 20)
        self.take(1, w.boxes()[1][1], 60)
        w.tidy()
        self.outage(w, 75)
        w.spool.put_away()
        w = self.boot(3)
        for boot in list(w.session.earlier):
            self.take(int.from_bytes(boot.boot_id[:4], "big"), boot.box, 40)
        w.tidy()
        self.outage(w, 25)
        w.tidy()


def mount(device):
    try:  # noqa: SIM105 - MicroPython has no suppress
        os.umount(HERE)
    except OSError:
        pass
    os.mount(os.VfsLfs2(device), HERE)


def evicted(w):
    """{boot: [first, end]} that are noted on flash."""
    return {int.from_bytes(e[0][:4], "big"): (e[1], e[1] + e[2]) for e in spool_put.read_evicted(w.spool)}


def judge(history, memory):
    """The next boot on what is left: it gives all that was on flash and not acknowledged, as it was."""
    in_memory = set()
    for w in history.worlds:
        for seq in w.lanes:
            history.made.add((w.counter, seq))
    for w in history.worlds:
        # A boot that has ended takes with it what was in memory alone.
        for frame in w.box.frames():
            in_memory.add((w.counter, frame[0]))
        for first, count in w.box.evictions():
            for seq in range(first, first + count):
                in_memory.add((w.counter, seq))
    mount(Device(memory))
    after = World(HERE, len(history.worlds) + 1, LIMIT_KIB)
    gone = evicted(after)
    got = set()
    rounds = 0
    while after.session.earlier:
        for boot in list(after.session.earlier):
            counter = int.from_bytes(boot.boot_id[:4], "big")
            assert boot.headers[0][0] == AGENT
            # What a hello says is there, within which alone acknowledgements are taken.
            said = boot.box.ranges(1)
            for seq in drain_box(boot.box, counter):
                assert said[0][0] <= seq < said[0][0] + said[0][1], ("not in the hello", seq, said)
                assert (counter, seq) not in got, "twice"
                got.add((counter, seq))
        after.tidy()
        rounds += 1
        assert rounds < 20
    assert not after.told, after.told
    for key in got:
        assert key in history.made, ("never made", key)
    for key in history.made:
        if key not in got and key not in history.acked and key not in in_memory:
            first, end = gone.get(key[0], (0, 0))
            assert first <= key[1] < end and key in history.removed, ("lost", key)
    # And it goes on.
    before = after.box.next_seq
    for n in range(20):
        after.second(n)
    after.store_all()
    again = drain_box(after.box, after.counter)
    assert again == list(range(before, after.box.next_seq)), (
        again,
        after.box.evictions(),
        after.spool.used,
        after.spool.limit,
    )
    after.tidy()
    left = [name for name, _ in spool_put.listing(HERE + "/spool") if name != "evicted"]
    assert not left, left
    return len(got)


def main(first, step):
    empty = bytearray(b"\xff" * (BLOCK * BLOCKS))
    os.VfsLfs2.mkfs(Device(empty))
    memory = bytearray(empty)
    whole = Device(memory)
    mount(whole)
    history = History()
    history.run()
    total = whole.done
    given = judge(history, memory)
    assert given > 50
    cuts = 0
    for left in range(first, total, step):
        for way in (DROPPED, TORN, GARBLED):
            WORLDS.clear()
            memory[:] = empty
            history = History()
            device = Device(memory, left, way)
            try:
                mount(device)
                history.run()
            except (PowerCut, OSError, FlashError):
                # Closing a file on what is dead is an error of its own.
                if not device.dead:
                    raise
            try:
                judge(history, memory)
            except Exception as error:
                print(f"after {left} operations, way {way}:")
                sys.print_exception(error, sys.stdout)
                sys.exit(1)
            cuts += 1
    print(f"{cuts} cuts in {total} operations")


main(int(sys.argv[1]), int(sys.argv[2]))

"""Executed by the VM: what linked days erase of 2 MB of LittleFS: the boot record's writes, since the spool
writes nothing then. Usage: wear.py DAYS; prints writes, erasures, and the most erasures of one block.
"""

import os
import sys

from firmware.boots import BootRecord
from firmware.flash import Records
from protocol.session_states import STREAMING
from tests.both.spool_world import World, sealed_of

BLOCK = 4096
BLOCKS = 512
DAY_S = 86400
DAYS = int(sys.argv[1])
# Of a node it is one second.
STEP_S = 20


class Device:
    """Flash that counts."""

    def __init__(self):
        self.memory = bytearray(b"\xff" * (BLOCKS * BLOCK))
        self.erased = [0] * BLOCKS
        self.writes = 0

    def readblocks(self, n, buf, offset=0):
        at = n * BLOCK + offset
        buf[:] = self.memory[at : at + len(buf)]

    def writeblocks(self, n, buf, offset=0):
        self.writes += 1
        at = n * BLOCK + offset
        self.memory[at : at + len(buf)] = buf

    def ioctl(self, op, arg):
        if op == 4:
            return BLOCKS
        if op == 5:
            return BLOCK
        if op == 6:
            self.memory[arg * BLOCK : (arg + 1) * BLOCK] = b"\xff" * BLOCK
            self.erased[arg] += 1
        return 0


class Board:
    def retained_read(self):
        return None

    def retained_write(self, data):
        pass


device = Device()
os.VfsLfs2.mkfs(device)
os.mount(os.VfsLfs2(device), "/f")
os.mkdir("/f/state")
record = BootRecord(Records("/f/state"), Board())
record.commit(b"12345678")
node = World("/f")
node.start.record = record
node.session.state = STREAMING
now_ms = [0]
node.clock.now_ms = lambda: now_ms[0]
frame = sealed_of(1, 0, 60)
device.erased = [0] * BLOCKS
device.writes = 0
for now_s in range(STEP_S, DAYS * DAY_S, STEP_S):
    now_ms[0] = now_s * 1000
    # What was made before has been acknowledged, what is made now is under way.
    node.box.ack(0, node.box.next_seq)
    for _ in range(3):
        node.box.add(node.box.next_seq, frame, 1, False)
    node.spool.second(None)
    record.reserve(node.box.next_seq, now_s, True)
print(device.writes, sum(device.erased), max(device.erased))

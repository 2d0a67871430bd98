"""Executed by the VM: what a linked day erases of 2 MB of LittleFS: the boot record's reservations, since the
spool writes nothing then. Prints erasures, and the most of one block.
"""

import os

from firmware.boots import RESERVE_EVERY_S, BootRecord
from firmware.flash import Records

BLOCK = 4096
BLOCKS = 512
DAY_S = 86400


class Device:
    """Flash that counts."""

    def __init__(self):
        self.memory = bytearray(b"\xff" * (BLOCKS * BLOCK))
        self.erased = [0] * BLOCKS

    def readblocks(self, n, buf, offset=0):
        at = n * BLOCK + offset
        buf[:] = self.memory[at : at + len(buf)]

    def writeblocks(self, n, buf, offset=0):
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
device.erased = [0] * BLOCKS
for now_s in range(RESERVE_EVERY_S, DAY_S, RESERVE_EVERY_S):
    record.reserve(3 * now_s, now_s, True)
print(sum(device.erased), max(device.erased))

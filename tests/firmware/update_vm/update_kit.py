"""Executed by the VM: an update through the node's own modules onto LittleFS, whose block device can lose its
power at any write. The node around it is only what they ask of one; the agent sends what is wanted.
"""

import hashlib
import os
import sys

from firmware import receiving, slots, trial
from firmware.version import VERSION
from protocol import cbor, crypto, frames, update

BLOCK = 512
BLOCKS = 256
MAKER = bytes(range(32))
MAKER_PUBLIC = crypto.run(crypto.ed25519_public_steps(MAKER))
BOARD = "a_board"
ROOT = "/f/"


class Flash:
    """`left`: writes and erasures until the power is lost; `torn`: the last of them is done by half."""

    def __init__(self, image=None):
        self.image = bytearray(image) if image else bytearray(b"\xff" * (BLOCK * BLOCKS))
        self.left = 1 << 30
        self.torn = False
        self.writes = 0

    def readblocks(self, n, buf, off=0):
        at = n * BLOCK + off
        buf[:] = self.image[at : at + len(buf)]

    def writeblocks(self, n, buf, off=0):
        if not self._counted():
            return -5
        at = n * BLOCK + off
        size = len(buf)
        if self.left == 0 and self.torn:
            size //= 2
        self.image[at : at + size] = buf[:size]
        return -5 if size < len(buf) else 0

    def _counted(self):
        if self.left <= 0:
            return False
        self.left -= 1
        self.writes += 1
        return True

    def ioctl(self, op, arg):
        if op == 4:
            return BLOCKS
        if op == 5:
            return BLOCK
        if op == 6:
            if not self._counted():
                return -5
            if not (self.left == 0 and self.torn):
                self.image[arg * BLOCK : arg * BLOCK + BLOCK] = b"\xff" * BLOCK
        return 0


def mount(flash):
    os.mount(os.VfsLfs2(flash, readsize=32, progsize=32, lookahead=32), "/f")


def unmount():
    try:
        os.umount("/f")
    except OSError:
        pass


def files_of(version, extra=()):
    """What a version consists of; some of it is the same in all of them."""
    files = {
        "firmware/same.mpy": bytes(range(256)) * 6,
        "node.mpy": version.encode() * 300,
        "start.py": b"VERSION = '%s'\n" % version.encode(),
    }
    for path, data in extra:
        files[path] = data
    return files


def signed(version, files, board=BOARD, maker=MAKER, listed=None):
    """(manifest, its objects)."""
    if listed is None:
        listed = [[path, len(files[path]), hashlib.sha256(files[path]).digest()] for path in sorted(files)]
    payload = cbor.dumps({1: 1, 2: "update", 3: version, 4: board, 5: listed})
    public = crypto.run(crypto.ed25519_public_steps(maker))
    message = cbor.dumps(["Signature1", cbor.dumps({1: -8}), b"", payload])
    signature = crypto.run(crypto.ed25519_sign_steps(maker, public, message))
    manifest = cbor.head(6, 18) + cbor.dumps([cbor.dumps({1: -8}), {}, payload, signature])
    return [manifest] + [files[path] for path in sorted(files)]


def put(files, slot):
    for path in files:
        folders = path.split("/")[:-1]
        at = ROOT + "slot_" + slot
        for folder in [""] + folders:
            at = at + "/" + folder if folder else at
            try:
                os.mkdir(at)
            except OSError:
                pass
        with open(ROOT + "slot_" + slot + "/" + path, "wb") as file:
            file.write(files[path])


def holds(files, slot):
    """Whether the slot has exactly these files, but for the manifest."""
    for path in files:
        try:
            with open(ROOT + "slot_" + slot + "/" + path, "rb") as file:
                if file.read() != files[path]:
                    return False
        except OSError:
            return False
    return True


def new_flash():
    """With version 0.1.0 of the cable in slot a."""
    flash = Flash()
    os.VfsLfs2.mkfs(flash, readsize=32, progsize=32, lookahead=32)
    mount(flash)
    os.mkdir(ROOT + "state")
    put(files_of(VERSION), "a")
    with open(ROOT + slots.FLASHED, "wb") as file:
        file.write(b"0.1.0\n")
    unmount()
    return flash


class Whatever:
    """Has what it is told to have, and does nothing."""

    def __init__(self, **has):
        for name in has:
            setattr(self, name, has[name])


class Node:
    """One boot, as far as an update sees it."""

    def __init__(self, slot, makers=(MAKER_PUBLIC.hex(),)):
        self.slot = slot
        settings = {"slots": 2, "makers": makers}
        self.board = Whatever(name=BOARD, root=ROOT[:-1], config={"update": settings})
        self.answers = []
        self.events = []
        self.sealer = Whatever(seal=self._seal, box=Whatever(holds=lambda seq: False))
        self.link = Whatever(beat=lambda: None)
        self.alarms = Whatever(binding=False)
        self.sensors = []
        self.features = {"update": Whatever(trial=None)}
        self.clock = Whatever(now_ms=lambda: 0)
        self.restarted = False
        self.receiver = receiving.Receiver(self, slot)

    def _seal(self, kind, body, t_us=None, keep=False):
        (self.answers if kind == frames.KIND_ANSWER else self.events).append(body)
        return len(self.events)

    def drain(self):
        pass

    def indicate(self, source, state):
        pass

    def report(self, code, priority, value=None, text=None):
        self.events.append({1: code, 4: text})

    def restart(self):
        self.restarted = True

    def say(self, body):
        """The answer, or None."""
        before = len(self.answers)
        crypto.run(self.receiver.take_steps(body))
        return self.answers[-1] if len(self.answers) > before else None


def id_of(objects):
    return hashlib.sha256(objects[0]).digest()[:8]


def offer(node, objects, version="0.2.0"):
    return node.say({1: id_of(objects), 2: 1, 3: len(objects[0]), 7: version})


def data(node, objects, item, offset, n=128):
    body = {1: id_of(objects), 2: 2, 4: item, 5: offset, 6: objects[item][offset : offset + n]}
    return node.say(body)


def send(node, objects, version="0.2.0"):
    """The last answer: of what has stopped it, or to apply. Counts the data messages in `sent`."""
    global sent
    sent = 0
    answer = offer(node, objects, version)
    while answer[2] == frames.RESULT_BEGUN:
        item, offset = update.placed(answer[4])
        if item == len(objects):
            return node.say({1: id_of(objects), 2: 3})
        answer = None
        while answer is None:
            assert offset < len(objects[item]), "no answer where one is due"
            answer = data(node, objects, item, offset)
            offset += 128
            sent += 1
    return answer


def boot():
    """(the node of this boot, whether its version is on trial)."""
    slot, trial_boot = slots.choose_slot(ROOT)
    return Node(slot), trial_boot


def confirm(node):
    """As a version on trial does it once it has shown what it can."""
    return trial.Trial(node)._confirmed()


sent = 0
if __name__ == "__main__":
    sys.exit("imported by others")

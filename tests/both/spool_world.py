"""A node with a spool as far as the spool asks, on a real folder; for both interpreters."""

import os
import time

from firmware import spool, spool_put
from firmware.spool import Spool
from firmware.spool_put import listing
from protocol import frames
from protocol.frames import LANE_ALARM, LANE_VITALS, LANE_WAVE
from protocol.identity import node_id
from protocol.outbox import SPARE, Outbox
from protocol.seal import envelope, shortest
from protocol.session_states import GREETING

# Segments of two blocks: some dozen KB are a long outage.
spool_put.SEGMENT = 8184
# What a test puts in the place of a module's functions stays.
spool.forget = lambda name: None

KEYS = (bytes(range(32)), bytes(range(32, 64)))
AGENT = node_id(*KEYS)
HEADER = [AGENT, bytes(32), bytes(range(32))]
SECRET_FREE = b"ciphertext of "


def sealed_of(boot, seq, size):
    """What the frame `seq` of a boot looks like: told by its numbers alone, so that a test knows it again."""
    text = SECRET_FREE + b"%d %d " % (boot, seq)
    return envelope(shortest(seq), (text * (size // len(text) + 1))[:size])


WORLDS = []


class Session:
    """The states and lists that the spool looks at."""

    def __init__(self):
        self.state = GREETING
        self.headers = [HEADER]
        self.earlier = []
        self.window = self
        self.boxes = []
        self.anew = 0

    def silent_ms(self, now_ms):
        return 0

    def begin_anew(self, now_ms):
        self.anew += 1


class Holder:
    """Attributes by name."""

    def __init__(self, **named):
        for name in named:
            setattr(self, name, named[name])


class World:
    """One boot of a node on `folder`; make() is its sealer."""

    def __init__(self, folder, counter=1, max_kib=0, max_bytes=20000, agents=(KEYS,), identity=b"identity"):
        self.counter = counter
        self.box = Outbox(max_bytes)
        self.session = Session()
        self.boot_id = counter.to_bytes(4, "big") + b"12345678"
        self.start = Holder(record=Holder(boot_id=self.boot_id), agents=agents, identity=Holder(id=identity))
        self.board = Holder(root=folder, config={"spool": {"max_kib": max_kib}}, feed_watchdog=lambda: None)
        self.sealer = self
        self.ecg = None
        self.clock = Holder(now_ms=lambda: 0)
        self.drains = 0
        self.told = []
        self.stated = []
        self.lanes = {}
        self.spool = Spool(self, None)
        WORLDS.append(self)
        self.spool.begin()
        self.spool.open()
        self.session.anew = 0

    def drain(self):
        self.drains += 1

    def report(self, code, priority, value, text):
        self.told.append(text)

    def indicate(self, source, state):
        self.indicated = state

    def seal(self, kind, body, t_us=None, keep=False):
        assert kind == frames.KIND_LOST_BEFORE
        self.stated.append((kind, body))
        return self.make(LANE_VITALS, keep=keep)

    def make(self, lane=LANE_VITALS, size=60, keep=False):
        seq = self.box.next_seq
        self.box.add(seq, sealed_of(self.counter, seq, size), lane, keep)
        self.lanes[seq] = (lane, keep)
        return seq

    def second(self, n):
        """What a node makes in the n-th second of an outage."""
        self.make(LANE_WAVE, 200)
        self.make(LANE_VITALS, 60)
        if n % 2:
            self.make(LANE_WAVE, 190, SPARE)
            self.make(LANE_WAVE, 195, SPARE)
        if n % 20 == 19:
            self.make(LANE_ALARM, 50)

    def store(self, only=-1):
        """Write one batch."""
        return spool_put.store_batch(self.spool, only)

    def store_all(self):
        """Write until memory is empty."""
        while self.store():
            pass

    def boxes(self):
        """(boot id, box) of all boots that a hello would list."""
        return [(self.boot_id, self.box)] + [(boot.boot_id, boot.box) for boot in self.session.earlier]

    def tidy(self):
        """All that the spool's task does while an agent streams."""
        while self.spool.tidy():
            pass


def drain_box(box, boot, sizes=None, step=4):
    """Take everything from a box as a window would; the numbers, in order. Each frame is as it was sealed."""
    got = []
    flight = box.flight = {}
    while True:
        while len(flight) < step:
            frame = box.choose(LANE_WAVE, 0)
            if frame is None:
                break
            seq, sealed = frame[0], frame[1]
            assert seq not in flight
            flight[seq] = True
            got.append(seq)
            assert sealed == sealed_of(boot, seq, len(sealed_body(sealed))), seq
        if not flight:
            return got
        seq = min(flight)
        del flight[seq]
        assert box.ack(seq, 1) == 1


def sealed_body(sealed):
    """The ciphertext in an envelope."""
    at = sealed.find(SECRET_FREE)
    return sealed[at:]


def files(folder):
    """Names in the spool."""
    return sorted(name for name, _ in listing(folder + "/spool"))


class Flash:
    """An empty folder for a node's flash."""

    def __enter__(self):
        self.path = "/tmp/spool-%d" % time.time_ns()
        os.mkdir(self.path)
        return self.path

    def __exit__(self, *error):
        end_worlds()
        clear(self.path)


def end_worlds():
    """Close what all worlds so far have open, and let go of them: a node's heap does not hold many."""
    while WORLDS:
        spool = WORLDS.pop().spool
        for box in [spool.kept] + [boot.box for boot in spool.past]:
            if box is not None:
                box.close()


def clear(path):
    """Remove a folder and what is in it."""
    try:
        names = os.listdir(path)
    except OSError:
        return
    for name in names:
        try:
            os.remove(path + "/" + name)
        except OSError:
            clear(path + "/" + name)
    os.rmdir(path)

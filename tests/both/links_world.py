"""A node's links over pipes that a test opens and closes; the session says what it is told to."""

from firmware.links import CABLE, Links
from protocol import cobs, messages
from protocol.session_states import GREETING

SOLICIT = b"\0" + cobs.encode(messages.solicit(messages.VERSION))


class Session:
    """Says what it is told to, and counts."""

    def __init__(self):
        self.state = GREETING
        self.conn = 1
        self.paired = False
        self.begun = 0
        self.fed = []
        self.silent = 0
        self.says = []
        self.told = []

    def begin_anew(self, now_ms):
        self.begun += 1
        self.conn += 1
        self.state = GREETING
        self.says = [b"hello"]

    def silent_ms(self, now_ms):
        return self.silent

    def feed(self, data, now_ms, stamp):
        self.fed.append(bytes(data))
        if self.state == GREETING and data.endswith(SOLICIT):
            self.conn += 1

    def take_events(self):
        told, self.told = self.told, []
        return told

    def pull(self, now_ms):
        return self.says.pop(0) if self.says else b""


class Clock:
    ms = 1

    def now_us(self):
        return self.ms * 1000

    def now_ms(self):
        return self.ms


class Owner:
    """Has no memory for the first thing that it is told; `asked`: nonces of pair requests, and whether the
    cable was in use then.
    """

    def __init__(self):
        self.asked = []
        self.times = 0

    def time_asked(self, token, rx_us):
        self.times += 1
        if self.times == 1:
            raise MemoryError("token %d" % token)

    def pair_asked(self, ed_pub, x_pub, nonce, authority=None, button=False):
        self.asked.append((nonce, self.link.cable))


class Port:
    def __init__(self, rank):
        self.rank = rank
        self.closed = False
        self.written = []

    def write(self, data):
        self.written.append(bytes(data))
        return len(data)

    def close(self):
        self.closed = True


def several(*ranks):
    """(links, session, ports): the cable first, the others open."""
    session = Session()
    ports = [Port(rank) for rank in (CABLE,) + ranks]
    owner = Owner()
    made = owner.link = Links(ports[0], session, Clock(), owner)
    made.ports = sorted(ports, key=lambda port: port.rank)
    return made, session, ports


def hear(made, port, data):
    """What the task of that port does with bytes."""
    if port is made._port or made._asked(port, data):
        made.take(data)


async def served(made, port):
    async def nothing(port):
        pass

    made._hear = nothing
    await made.serve(port)

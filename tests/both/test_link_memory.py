"""What a node is told when it has no memory for it: dropped and counted, and the link goes on."""

from firmware import link as link_module
from firmware.link import Link, readable
from protocol import session_events as ev


class Session:
    """Has no memory for what it is fed."""

    def __init__(self):
        self.rejected = {}
        self.pulled = 0

    def feed(self, data, now_ms, stamp):
        raise MemoryError("%d bytes" % len(data))

    def take_events(self):
        return []

    def pull(self, now_ms):
        self.pulled += 1
        return b""


class Clock:
    def now_us(self):
        return 1000


def test_a_message_without_memory_is_dropped_and_counted():
    session = Session()
    link = Link(None, session, Clock(), None)
    for n in range(1, 4):
        link.take(b"whatever")
        assert session.rejected == {"no_memory": n} and session.pulled == n


class Owner:
    """Has no memory for an answer to a question for the time."""

    def __init__(self):
        self.heard = []

    def time_asked(self, token, rx_us):
        raise MemoryError("token %d" % token)

    def pair_asked(self, ed_pub, x_pub, nonce, authority=None, button=False):
        self.heard.append(nonce)

    def agent_left_out(self, agent_id, detail):
        self.heard.append(agent_id)


class Telling(Session):
    """A session with events to tell."""

    def feed(self, data, now_ms, stamp):
        pass

    def take_events(self):
        told = self.told
        self.told = []
        return told


def test_an_event_whose_handler_fails_takes_no_other_along():
    session = Telling()
    owner = Owner()
    link = Link(None, session, Clock(), owner)
    session.told = [ev.TimeAsked(1, 0), ev.PairAsked(b"e", b"x", b"first"), ev.AgentLeftOut(b"second", "why")]
    try:
        link.take(b"")
        raise AssertionError("answered")
    except MemoryError:
        pass
    assert owner.heard == []
    session.told = [ev.PairAsked(b"e", b"x", b"third")]
    link.take(b"")
    assert owner.heard == [b"first", b"second", b"third"]


class Poll:
    """In the place of asyncio: its queue enters a stream in a map, then with a poll that has no memory for it
    the next `fails` times.
    """

    def __init__(self, fails):
        self.core = self._io_queue = self
        self.fails = fails
        self.map = {}
        self.polled = []
        self.shrunk = 0

    def queue_read(self, stream):
        # A stream that is in the map already is taken to be polled.
        assert id(stream) not in self.map
        self.map[id(stream)] = stream
        if self.fails:
            self.fails -= 1
            raise MemoryError("allocating 16 bytes")
        self.polled.append(stream)

    def shrink(self):
        self.shrunk += 1


def test_a_stream_that_there_was_no_memory_to_poll_is_polled():
    real = link_module.asyncio
    try:
        for fails in (0, 1):
            stream = Session()
            link_module.asyncio = poll = Poll(fails)
            assert list(readable(stream, poll)) == [None]
            assert poll.polled == [stream] and poll.shrunk == fails
    finally:
        link_module.asyncio = real

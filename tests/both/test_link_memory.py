"""What a node is told when it has no memory for it: dropped and counted, and the link goes on."""

from firmware.link import Link


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

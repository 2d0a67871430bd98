"""The forwarder's state machine, on a clock and an outlet that the test owns."""

import asyncio
import hashlib
from itertools import pairwise

from edge_agent.forward.base import LEAST, MAX_TIMEOUT_S, QUEUE_S, WINDOW, Forwarder


class World:
    """Batches 1 … `made`; what is published ends in `out`."""

    def __init__(self, made: int = 3) -> None:
        self.now = 0.0
        self.connected = True
        self.made = made
        self.receipts: set[int] = set()
        self.out: list[int] = []
        self.salt = 0
        self.large: list[tuple[int, int]] = []
        self.forwarder = Forwarder("mqtt", self, self, 10.0, lambda: self.now, lambda low, high: low)

    async def unreceipted(self, forwarder: str, limit: int) -> list[int]:
        return [n for n in range(1, self.made + 1) if n not in self.receipts][:limit]

    async def message(self, forwarder: str, batch: int) -> bytes:
        self.salt += 1
        return b"%d %d" % (batch, self.salt)

    max_message: int | None = None

    def too_large(self, batch: int, size: int) -> None:
        self.large.append((batch, size))

    def publish(self, message: bytes) -> None:
        self.out.append(int(message.split()[0]))
        self.last = message

    def pump(self, at: float | None = None) -> list[int]:
        if at is not None:
            self.now = at
        self.out = []
        asyncio.run(self.forwarder.pump())
        return self.out

    def receipt(self, batch: int) -> None:
        self.receipts.add(batch)
        self.forwarder.receipted(batch)


def test_each_is_sent_once_until_its_time_is_up():
    w = World()
    assert w.pump() == [1, 2, 3]
    assert w.pump(9.9) == []
    w.receipt(2)
    assert w.pump(10) == [1, 3]
    assert w.forwarder.sent == 5 and w.forwarder.resent == 2


def test_time_outs_double_up_to_a_ceiling():
    w = World(1)
    sent = []
    for second in range(6000):
        if w.pump(second):
            sent.append(second)
    gaps = [b - a for a, b in pairwise(sent)]
    assert gaps[:5] == [10, 20, 40, 80, 160] and gaps[-1] == MAX_TIMEOUT_S


def test_no_more_than_a_window_is_on_its_way_and_no_more_than_has_its_receipts_soon():
    w = World(100)
    assert w.pump() == list(range(1, LEAST + 1)) and w.pump() == []
    w.receipt(1)
    assert w.pump() == [LEAST + 1, LEAST + 2]
    for _ in range(WINDOW):
        w.receipt(min(w.forwarder.flights))
        w.pump()
    assert len(w.forwarder.flights) == w.forwarder.places == WINDOW and w.pump() == []
    w.now += QUEUE_S + 0.1
    for _ in range(WINDOW):
        w.receipt(min(w.forwarder.flights))
    assert w.forwarder.places == LEAST and len(w.pump()) == LEAST


def test_a_far_end_without_receipts_gets_no_more_than_a_window_of_what_is_new():
    w = World(0)
    for _ in range(3 * WINDOW):
        w.made += 1
        newest = w.made
        w.unreceipted = lambda forwarder, limit, newest=newest: asyncio.sleep(0, [newest])
        w.pump()
    assert len(w.forwarder.flights) == WINDOW


def test_nothing_goes_out_without_a_connection_and_all_goes_out_after_it():
    w = World()
    w.connected = False
    assert w.pump() == [] and w.forwarder.sent == 0
    w.connected = True
    assert w.pump() == [1, 2, 3]
    w.forwarder.connected()
    assert w.pump() == [1, 2, 3]


def test_a_batch_that_is_refused_holds_up_no_other():
    w = World(WINDOW + 5)
    w.forwarder.places = WINDOW
    w.pump()
    for batch in range(1, WINDOW + 1):
        w.now += 1
        w.forwarder.flights[batch].due = w.now
        w.pump()
        w.forwarder.refused(hashlib.sha256(w.last).digest(), "bad_seal")
    assert len(w.forwarder.flights) > WINDOW and w.forwarder.refusals == {"bad_seal": WINDOW}
    later = w.pump(w.now + 61)
    assert set(range(1, WINDOW + 1)) <= set(later)


def test_a_refusal_of_something_we_never_sent_moves_nothing():
    w = World()
    w.pump()
    w.forwarder.refused(b"x" * 32, "bad_seal")
    w.forwarder.refused(None, "unknown_agent")
    assert all(f.refused is None for f in w.forwarder.flights.values())
    assert w.forwarder.refusals == {"bad_seal": 1, "unknown_agent": 1}


def test_what_the_far_end_lost_is_sent_again():
    w = World(40)
    w.receipts = set(range(1, 41))
    w.forwarder.again(tuple(range(1, 41)))
    seen = []
    for _ in range(5):
        sent = w.pump()
        seen += sent
        for batch in sent:
            w.forwarder.receipted(batch)
    assert seen == list(range(1, 41)) and w.pump() == []


def test_what_is_asked_for_twice_is_sent_again_once():
    w = World(3)
    w.receipts = {1, 2, 3}
    w.forwarder.again((1, 2, 3))
    w.forwarder.again((2, 3))
    assert w.pump() == [1, 2, 3]
    w.forwarder.again((1, 2, 3))
    assert w.pump() == []

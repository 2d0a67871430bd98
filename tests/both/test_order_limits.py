"""Orders without end: as many wait as there are places, and what is beyond is counted."""

from firmware.requests import MAX_WAITING, Requests
from protocol import crypto, frames

ORDER_ID = bytes(8)
NOT_DONE_HERE = {frames.UPDATE_ID: ORDER_ID, frames.UPDATE_STEP: frames.STEP_APPLY}


class Busy:
    """A node whose work waits until the test does it; `full`: its answers find no memory."""

    def __init__(self):
        self.link = self.session = self.sealer = self.clock = self
        self.agent_id = bytes(8)
        self.rejected = {}
        self.jobs = []
        self.features = {}
        self.answered = 0
        self.full = False

    def add_work(self, steps):
        self.jobs.append(steps)

    def now_us(self):
        return 1

    def seal(self, kind, body):
        assert (kind, body[frames.ANSWER_ID]) == (frames.KIND_ANSWER, ORDER_ID)
        if self.full:
            raise MemoryError("no room for an answer")
        self.answered += 1


def flooded():
    """(node, its requests) with a job in every place, and one order that found none."""
    node = Busy()
    requests = Requests(node)
    for _ in range(MAX_WAITING):
        requests.ordered(frames.KIND_UPDATE, NOT_DONE_HERE)
    assert len(node.jobs) == MAX_WAITING and not node.rejected
    requests.ordered(frames.KIND_UPDATE, NOT_DONE_HERE)
    assert len(node.jobs) == MAX_WAITING and node.rejected == {"too_many_orders": 1}
    return node, requests


def one_more_finds_the_place(node, requests):
    """Of two orders the first waits, and the second is counted."""
    for _ in range(2):
        requests.ordered(frames.KIND_UPDATE, NOT_DONE_HERE)
    assert len(node.jobs) == MAX_WAITING and node.rejected == {"too_many_orders": 2}


def test_four_wait_and_the_fifth_is_counted():
    assert MAX_WAITING == 4
    node, requests = flooded()
    crypto.run(node.jobs.pop(0))
    assert node.answered == 1
    one_more_finds_the_place(node, requests)


def test_a_job_that_fails_leaves_its_place():
    node, requests = flooded()
    node.full = True
    try:
        crypto.run(node.jobs.pop(0))
    except MemoryError:
        pass
    else:
        raise AssertionError("memory sufficed")
    assert node.answered == 0
    one_more_finds_the_place(node, requests)

"""A node whose memory was short while it read its key work or made its hello: it goes on afterwards."""

import sys

from protocol import node_party, on_demand
from protocol import session_states as st
from protocol.session_node import HELLO_REPEATS_MS
from tests.both.session_world import World

MICROPYTHON = sys.implementation.name == "micropython"


def spoil(name):
    """What an import leaves that found no memory for the module itself: a name in sys.modules, and nothing
    behind it."""
    on_demand.forget(on_demand.ALL)
    sys.modules["protocol." + name] = None  # pyright: ignore[reportArgumentType]


def ticks(w, ms):
    """Ticks of a node alone; how many failed."""
    failed = 0
    for _ in range(ms // 200):
        w.now += 200
        try:
            w.node.tick(w.now)
            job = w.node.steps()
            while job is not None:
                for _ in job:
                    pass
                job = w.node.steps()
            w.node.pull(w.now)
        except (AttributeError, MemoryError):
            failed += 1
    return failed


def test_no_memory_for_the_hello_after_the_last_repetition():
    w = World()
    assert ticks(w, 1000) == 0 and w.node.state == st.GREETING
    real = w.node.random
    conn = w.node.conn

    def short(n):
        w.node.random = real
        raise MemoryError("no room for a nonce")

    w.node.random = short
    assert ticks(w, sum(HELLO_REPEATS_MS) + 2000) == 1
    assert w.node.state == st.GREETING and w.node.random is real and w.node.conn > conn + 1


def test_headers_whose_code_was_not_read_are_made_later():
    if not MICROPYTHON:
        return
    for name in ("node_keywork", "x25519"):
        w = World()
        spoil(name)
        assert ticks(w, 1000) == 1 and not w.node.headers
        assert ticks(w, node_party.WORK_LOST_MS + 1000) == 0
        assert w.node.headers and w.node.state == st.GREETING

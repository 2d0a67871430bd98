"""What pair requests and other clear messages of strangers may do to a node: no harm to a boot, no queue."""

from protocol import cobs, crypto, messages
from protocol import session_events as ev
from protocol import session_states as st
from protocol.node_party import MAX_CONTROL, PAIR_EVERY_MS, WORK_LOST_MS
from tests.both.session_world import AGENT, STRANGER, World

# The point of order 1: what is agreed on with it is zeros.
SMALL_ORDER = bytes(32)


def request(ed_pub=b"\x11" * 32, x_pub=SMALL_ORDER, nonce=b"n" * 16):
    return cobs.encode(messages.pair_request(1, ed_pub, x_pub, nonce))


def work(node):
    """Do all slow work; how many pieces."""
    done = 0
    while True:
        job = node.steps()
        if job is None:
            return done
        crypto.run(job)
        done += 1


def said(node, now):
    """The clear messages that wait for the wire, as (type, fields)."""
    out = []
    while True:
        data = node.pull(now)
        if not data:
            return out
        for message in cobs.Decoder().feed(data):
            if messages.sort(message) == messages.SORT_CLEAR:
                out.append(messages.parse_clear(message))


def ask(node, now, keep=None, **keys):
    """Give the node a pair request, and accept what it hands out."""
    node.feed(request(**keys), now)
    for event in node.take_events():
        if isinstance(event, ev.PairAsked):
            node.accept_pairing(event.ed_pub, event.x_pub, event.nonce, keep)


def short_of_memory(n):
    raise MemoryError("%d bytes" % n)


def test_keys_that_admit_no_header_are_refused_before_they_are_kept():
    w = World(paired=False)
    w.run(200)
    kept = []

    def keep(ed_pub, x_pub):
        kept.append(ed_pub)
        return True

    ask(w.node, w.now, keep)
    assert work(w.node) == 1 and kept == []
    codes = [fields["code"] for kind, fields in said(w.node, w.now) if kind == messages.MSG_REFUSAL]
    assert codes == [messages.REFUSE_MALFORMED] and sum(w.node.rejected.values()) == 1
    ask(w.node, w.now, keep, ed_pub=AGENT.ed_pub, x_pub=AGENT.x_pub)
    assert work(w.node) == 1 and kept == [AGENT.ed_pub]
    assert [header[0] for header in w.node.headers] == [AGENT.id]
    assert [kind for kind, _ in said(w.node, w.now)] == [messages.MSG_PAIR_REPLY]


def test_an_agent_that_cannot_be_kept_is_refused_and_has_no_header():
    w = World(paired=False)
    w.run(200)
    said(w.node, w.now)
    ask(w.node, w.now, lambda ed_pub, x_pub: False, ed_pub=AGENT.ed_pub, x_pub=AGENT.x_pub)
    work(w.node)
    assert [fields.get("code") for _, fields in said(w.node, w.now)] == [messages.REFUSE_PAIRED]
    assert w.node.headers == []


def test_a_stored_agent_without_a_header_holds_no_hello_up():
    w = World()
    w.node.add_agent(b"\x11" * 32, SMALL_ORDER)
    w.make()
    w.run(1500)
    left_out = [event for event in w.node_events if isinstance(event, ev.AgentLeftOut)]
    assert len(left_out) == 1 and left_out[0].detail
    assert w.node.state == st.STREAMING and len(w.box) == 0
    assert [header[0] for header in w.node.headers] == [AGENT.id]


def test_header_work_that_is_lost_is_done_anew():
    for begun in (False, True):
        w = World()
        job = w.node.steps()
        if begun:
            w.node.random = short_of_memory
            try:
                crypto.run(job)
                raise AssertionError("memory was enough")
            except MemoryError:
                w.node.random = w.random
        w.make()
        w.run(WORK_LOST_MS - 1000, 200)
        assert w.node.state == st.IDLE
        w.run(4000, 200)
        assert w.node.state == st.STREAMING and len(w.box) == 0 and len(w.node.headers) == 1


def test_one_pair_request_at_a_time_and_one_signature_a_second():
    w = World()
    w.run(200)
    said(w.node, w.now)
    known = {"ed_pub": AGENT.ed_pub, "x_pub": AGENT.x_pub}
    for n in range(400):
        ask(w.node, w.now, nonce=n.to_bytes(16, "big"), **known)
    assert work(w.node) == 1 and w.node.rejected["pairing_busy"] == 399
    assert len(said(w.node, w.now)) == 1
    ask(w.node, w.now + PAIR_EVERY_MS - 1, **known)
    assert work(w.node) == 0
    ask(w.node, w.now + PAIR_EVERY_MS, **known)
    assert work(w.node) == 1
    # A new agent waits for nothing but the request that is at work.
    now = w.now + PAIR_EVERY_MS
    ask(w.node, now, ed_pub=STRANGER.ed_pub, x_pub=STRANGER.x_pub)
    assert work(w.node) == 1 and len(w.node.headers) == 2


def test_pairing_work_that_is_lost_bars_nobody_for_good():
    w = World(paired=False)
    w.run(200)
    ask(w.node, w.now, ed_pub=AGENT.ed_pub, x_pub=AGENT.x_pub)
    assert w.node.steps() is not None
    ask(w.node, w.now + WORK_LOST_MS - 1, ed_pub=AGENT.ed_pub, x_pub=AGENT.x_pub)
    assert work(w.node) == 0
    ask(w.node, w.now + WORK_LOST_MS, ed_pub=AGENT.ed_pub, x_pub=AGENT.x_pub)
    assert work(w.node) == 1 and len(w.node.headers) == 1


def test_refusals_and_replies_that_wait_for_the_wire_are_few():
    w = World()
    work(w.node)
    for n in range(100):
        w.now += PAIR_EVERY_MS
        w.node.feed(cobs.encode(messages.solicit(2)), w.now)
        w.node.refuse_pairing()
        ask(w.node, w.now, nonce=n.to_bytes(16, "big"), ed_pub=AGENT.ed_pub, x_pub=AGENT.x_pub)
        work(w.node)
        w.node.tick(w.now)
    kinds = [kind for kind, _ in said(w.node, w.now)]
    assert kinds.count(messages.MSG_REFUSAL) == 2 and kinds.count(messages.MSG_HELLO) == 1
    assert len(kinds) <= MAX_CONTROL + 1

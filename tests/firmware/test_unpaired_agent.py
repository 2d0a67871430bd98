"""An agent that was un-paired: what it can read from then on, and what not."""

import os

from protocol import cobs, frames, messages
from protocol import session_events as ev


def hellos(raw: bytes) -> list[dict]:
    """The hellos in what a node said, in order."""
    clear = [one for one in cobs.Decoder().feed(raw) if messages.sort(one) == messages.SORT_CLEAR]
    parsed = [messages.parse_clear(one) for one in clear]
    return [fields for kind, fields in parsed if kind == messages.MSG_HELLO]


def test_the_next_boot_is_closed_to_it_and_open_to_the_other(make_node, make_agent):
    node = make_node()
    one = make_agent(node.port)
    one.until(lambda: len(one.of(frames.KIND_VITALS)) > 1)
    node.bench.pins["BUTTON"] = 1
    two = make_agent(node.port)
    two.pairing = False
    two.session.request_pairing(os.urandom(16))
    two.until(lambda: two.known)
    node.bench.pins["BUTTON"] = 0
    node.reset(hard=True)
    begun = len(one.events)
    one.until(lambda: any(isinstance(e, ev.Live) for e in one.events[begun:]))
    boot = max(one.frames)
    newest = hellos(one.raw)[-1]["boots"][0]
    assert newest[0] == boot and {h[0] for h in newest[1]} == {one.identity.id, two.identity.id}

    unpair_id = os.urandom(8)
    one.session.unpair(unpair_id)
    one.until(
        lambda: any(body[frames.ANSWER_ID] == unpair_id for _, _, body in one.of(frames.KIND_ANSWER, boot))
    )
    # The boot that ran opened to the very end, the next does not open at all.
    two.until(lambda: two.frames and max(two.frames) > boot and len(two.of(frames.KIND_VITALS)) > 1)
    after = hellos(two.raw)[-1]["boots"][0]
    assert after[0] == max(two.frames) and [h[0] for h in after[1]] == [two.identity.id]
    assert one.identity.ed_pub not in (node.flash_dir / "state" / "agents").read_bytes()
    assert two.identity.ed_pub in (node.flash_dir / "state" / "agents").read_bytes()
    refused = one.session.rejected.copy()
    one.session.solicit()
    one.until(lambda: one.session.rejected.get("no_header", 0) > refused.get("no_header", 0))
    assert max(one.frames) == boot
    assert not told(one), "it knows"


def told(agent) -> list[str]:
    """Of whom a node said to this agent that it was un-paired, in all boots."""
    every = [body for boot in agent.frames for _, _, body in agent.of(frames.KIND_EVENT, boot)]
    gone = [body for body in every if body[frames.EVENT_CODE] == frames.EVENT_UNPAIRED]
    assert all(body[frames.EVENT_PAST] for body in gone)
    return [body[frames.EVENT_TEXT] for body in gone]


def test_the_others_are_told_again_until_one_of_them_knows(make_node, make_agent):
    node = make_node()
    one = make_agent(node.port)
    one.until(lambda: one.known and len(one.of(frames.KIND_VITALS)) > 1)
    node.bench.pins["BUTTON"] = 1
    two = make_agent(node.port)
    two.pairing = False
    two.session.request_pairing(os.urandom(16))
    two.until(lambda: two.known)
    node.bench.pins["BUTTON"] = 0
    record = node.flash_dir / "state" / "unpaired"
    node.reset(hard=True)
    begun = len(one.events)
    one.until(lambda: any(isinstance(e, ev.Live) for e in one.events[begun:]))
    one.session.unpair(os.urandom(8))
    one.until(record.exists)
    one.close()

    two.acking = False
    two.until(lambda: told(two) == [one.identity.id.hex()])
    node.reset(hard=True)
    two.until(lambda: len(told(two)) == 2)
    assert record.exists()
    two.acking = True
    two.until(lambda: not record.exists())
    boot = max(two.frames)
    node.reset(hard=True)
    two.until(lambda: max(two.frames) > boot and len(two.of(frames.KIND_VITALS)) > 1)
    two.whole()
    assert told(two) == [one.identity.id.hex()] * 2

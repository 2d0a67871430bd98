"""Bad keys of others: an agent's that nothing can be agreed on with is not stored, or ends no node where it
is; a damaged record of those to believe is told of.
"""

import os

from firmware.flash import Records
from protocol import cbor, cobs, frames, messages
from protocol import session_events as ev
from tests.firmware.test_app import events

SMALL_ORDER = bytes(32)


def test_it_is_refused_and_the_next_boot_is_as_ever(make_node, make_agent):
    node = make_node()
    agent = make_agent(node.port)
    agent.pairing = False
    agent.until(lambda: any(isinstance(event, ev.Announced) for event in agent.events))
    agent.send(b"\0" + cobs.encode(messages.pair_request(1, os.urandom(32), SMALL_ORDER, os.urandom(16))))
    refused = agent.until(lambda: [event for event in agent.events if isinstance(event, ev.Refused)])
    assert refused[0].code == messages.REFUSE_MALFORMED
    assert not (node.flash_dir / "state" / "agents").exists()
    node.reset(hard=True)
    agent.pairing = True
    agent.until(lambda: agent.of(frames.KIND_BOOT))


def test_a_stored_one_is_told_of_and_holds_nothing_up(make_node, make_agent, tmp_path):
    state = tmp_path / "node" / "state"
    state.mkdir(parents=True)
    Records(str(state)).write("agents", cbor.dumps([[b"e" * 32, SMALL_ORDER]]))
    node = make_node()
    agent = make_agent(node.port)
    told = agent.until(lambda: events(agent, frames.EVENT_INTERNAL_ERROR))
    assert told[0][2][frames.EVENT_TEXT].startswith("agent ")


def test_damaged_authorities_are_told_of_at_the_boot(make_node, make_agent, tmp_path):
    state = tmp_path / "node" / "state"
    state.mkdir(parents=True)
    (state / "authorities").write_bytes(b"VWR1damaged")
    agent = make_agent(make_node().port)
    told = agent.until(lambda: events(agent, frames.EVENT_INTERNAL_ERROR))
    assert told[0][2][frames.EVENT_TEXT] == "authorities: damaged"
    assert (state / "authorities.bad").read_bytes() == b"VWR1damaged"

"""The agents that a node has keys of, as they change: a pairing, an un-pairing. Loaded for one of them."""

from firmware.flash import FlashError
from firmware.keys import AGENTS_RECORD
from protocol import cbor, frames
from protocol.errors import ProtocolError
from protocol.identity import node_id as party_id
from protocol.messages import MAX_HEADERS


def keep_pair(node, ed_pub, x_pub):
    """Whether the agent is on flash now: there may be as many as a hello has headers for."""
    node.drain()
    try:
        if not node.start.store.add_agent(ed_pub, x_pub):
            return False
    except FlashError as error:
        node.report(frames.EVENT_INTERNAL_ERROR, frames.PRIORITY_MEDIUM, None, str(error))
        return False
    node.start.agents.append((ed_pub, x_pub))
    node.report(frames.EVENT_PAIRED, frames.PRIORITY_INFO, None, party_id(ed_pub, x_pub).hex())
    return True


def store_pair(records, ed_pub, x_pub):
    """KeyStore.add_agent."""
    agents = _stored_pairs(records)
    new = party_id(ed_pub, x_pub)
    if all(party_id(ed, x) != new for ed, x in agents):
        if len(agents) >= MAX_HEADERS:
            return False
        agents.append((ed_pub, x_pub))
        _write_pairs(records, agents)
    return True


def remove_pair(records, agent_id):
    """KeyStore.remove_agent."""
    agents = _stored_pairs(records)
    others = [(ed, x) for ed, x in agents if party_id(ed, x) != agent_id]
    if len(others) < len(agents):
        _write_pairs(records, others)


def _stored_pairs(records):
    payload = records.read(AGENTS_RECORD)
    try:
        return [] if payload is None else cbor.loads(payload)
    except ProtocolError as error:
        raise FlashError(records.path(AGENTS_RECORD), str(error))


def _write_pairs(records, agents):
    records.write(AGENTS_RECORD, cbor.dumps([[ed, x] for ed, x in agents]))

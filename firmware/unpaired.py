"""Which agents were un-paired, kept on flash until another agent knows.

The boot that runs is open to the agent that goes, and what is sealed in it may go to that one alone: the next
boot tells. The record, `unpaired`, is CBOR [agent id, …]. It is written before the agent leaves flash: a cut
between the two leaves one that is paired still, of which nothing is told.
"""

from firmware.aftermath import UNPAIRED_RECORD
from firmware.flash import FlashError
from protocol import cbor, frames
from protocol.errors import ProtocolError
from protocol.identity import node_id as party_id

MAX_KEPT = 8


def note(records, agent_id):
    """Have the next boot tell that this agent was un-paired. Raises FlashError."""
    _write(records, [one for one in _read(records) if one != agent_id] + [agent_id])


def tell(start, sealer):
    """Seal an event for each that is to be told; [(its number, agent id), …]."""
    told = []
    paired = [party_id(pair[0], pair[1]) for pair in start.agents]
    for agent_id in _read(start.records):
        if agent_id in paired:
            continue
        body = {
            frames.EVENT_CODE: frames.EVENT_UNPAIRED,
            frames.EVENT_PRIORITY: frames.PRIORITY_INFO,
            frames.EVENT_TEXT: agent_id.hex(),
            frames.EVENT_PAST: True,
        }
        told.append((sealer.seal(frames.KIND_EVENT, body, None, True), agent_id))
    return told


def arrived(records, agent_id):
    """An agent knows of this one; others may have been noted meanwhile. Raises FlashError."""
    others = [one for one in _read(records) if one != agent_id]
    if others:
        _write(records, others)
    else:
        records.remove(UNPAIRED_RECORD)


def _read(records):
    """The agents' ids. A damaged record is set aside."""
    try:
        payload = records.read(UNPAIRED_RECORD)
        return [] if payload is None else cbor.loads(payload)
    except (FlashError, ProtocolError):
        records.set_aside(UNPAIRED_RECORD)
        return []


def _write(records, agent_ids):
    records.write(UNPAIRED_RECORD, cbor.dumps(agent_ids[-MAX_KEPT:]))

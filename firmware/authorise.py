"""Whose orders a node believes: given to it at its kit, with a pair request over its cable, while somebody
holds the button. Loaded for one and forgotten after it.

A press for something else (a measurement, an alarm) is short; so an agent that asks at that moment gets
nothing. The record is written before the answer is signed, and holds from then on.
"""

from firmware import interlocks
from firmware.flash import FlashError
from firmware.keys import AUTHORITIES_RECORD
from protocol import cbor, frames, messages
from protocol.checks import is_bytes_list, is_list
from protocol.errors import ProtocolError
from protocol.identity import node_id as party_id

HOLD_MS = 5000
LOOK_MS = 50
MAX_AUTHORITIES = 4


def answer_steps(node, requests, asked):
    """Slow work: pair with `asked` (ed25519 public, x25519 public, nonce, authority) if the node takes its
    authority; else refuse.
    """
    if not _is_agents(node, asked) and (yield from _taken_steps(node, asked[3])):
        requests.pair(*asked)
    else:
        node.session.refuse_pairing(messages.REFUSE_CONSENT)


def _is_agents(node, asked):
    """Whether the key is an agent's: who passes orders on gives none."""
    key = asked[3][:1]
    return key == [asked[0]] or key in [[pair[0]] for pair in node.start.agents]


def _taken_steps(node, authority):
    """Slow work: whether the button was held for HOLD_MS and the node believes `authority` ([ed25519 public,
    x25519 public]) now; []: whether it believes nobody any more.
    """
    clock, board = node.clock, node.board
    begun_ms = looked_ms = clock.now_ms()
    if not board.consent() or interlocks.refused(node, interlocks.CONFIG):
        return False
    now_ms = begun_ms
    while now_ms - begun_ms < HOLD_MS:
        yield
        now_ms = clock.now_ms()
        if now_ms - looked_ms >= LOOK_MS:
            looked_ms = now_ms
            if not board.consent():
                return False
    node.drain()
    try:
        return _keep(node, authority)
    except FlashError as error:
        node.report(frames.EVENT_INTERNAL_ERROR, frames.PRIORITY_MEDIUM, None, str(error))
        return False


def _keep(node, authority):
    """Onto flash, then into force; False where there are as many as the record holds."""
    start = node.start
    kept = _stored(start.records) if authority else []
    text = "none"
    if authority:
        who = party_id(authority[0], authority[1])
        if who not in [party_id(one[0], one[1]) for one in kept]:
            if len(kept) >= MAX_AUTHORITIES:
                return False
            kept.append(authority)
        text = who.hex()
    start.records.write(AUTHORITIES_RECORD, cbor.dumps(kept))
    start.authorities = {party_id(one[0], one[1]): one[0] for one in kept}
    node.report(frames.EVENT_AUTHORITIES, frames.PRIORITY_INFO, None, text)
    return True


def _stored(records):
    """Those of the record that are two keys. One that is damaged was set aside when the node started."""
    try:
        payload = records.read(AUTHORITIES_RECORD)
        found = [] if payload is None else cbor.loads(payload)
    except ProtocolError:
        return []
    return [one for one in found if is_bytes_list(one, (32, 32))] if is_list(found) else []

"""What a node does for whoever asks while somebody holds its button: pair, over a radio or where the agent
wants to know; believe an authority's orders. Loaded for one request and forgotten after it.

A press for something else (a measurement, an alarm) is short; so an agent that asks at that moment gets
nothing. An authority's record is written before the answer is signed, and holds from then on.
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


def answer_steps(node, requests, asked, cable):
    """Slow work: pair with `asked` (ed25519 public, x25519 public, nonce, authority, button) if the button is
    held and the node takes its authority; else refuse. `cable`: it came over that.
    """
    code = messages.REFUSE_CONSENT
    begun_ms = node.clock.now_ms()
    authority = asked[3]
    good = authority is None or not (_is_agents(node, asked) or interlocks.refused(node, interlocks.CONFIG))
    good = good and (yield from _held_steps(node))
    if not cable and begun_ms < requests.contested_ms:
        good = False
        code = messages.REFUSE_CONTESTED
    if good and (authority is None or _taken(node, authority)):
        requests.pair(*(asked + (True,)))
    else:
        node.session.refuse_pairing(code)


def _is_agents(node, asked):
    """Whether the key is an agent's: who passes orders on gives none."""
    key = asked[3][:1]
    return key == [asked[0]] or key in [[pair[0]] for pair in node.start.agents]


def _taken(node, authority):
    """Whether the node believes `authority` ([ed25519 public, x25519 public]) now; []: whether it believes
    nobody any more.
    """
    node.drain()
    try:
        return _keep(node, authority)
    except FlashError as error:
        node.report(frames.EVENT_INTERNAL_ERROR, frames.PRIORITY_MEDIUM, None, str(error))
        return False


def _held_steps(node):
    """Slow work: whether the button is held, and for HOLD_MS on end."""
    clock, board = node.clock, node.board
    begun_ms = looked_ms = now_ms = clock.now_ms()
    if not board.consent():
        return False
    while now_ms - begun_ms < HOLD_MS:
        yield
        now_ms = clock.now_ms()
        if now_ms - looked_ms >= LOOK_MS:
            looked_ms = now_ms
            if not board.consent():
                return False
    return True


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

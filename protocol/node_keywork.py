"""A node's slow key work, in slices: boot headers, answers to pair requests, the keys of a connection.

docs/wire-protocol.md §4 and §5. Seldom needed, so a node loads it when it is (on_demand.py): the first
argument of each function is the NodeParty or NodeSession whose work it is.
"""

# pyright: reportPrivateUsage=false

from protocol import crypto, messages, on_demand
from protocol import session_events as ev
from protocol import session_states as st
from protocol.errors import ProtocolError
from protocol.identity import pair_message
from protocol.seal import receive_downlink_steps, wrap_header_steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from protocol.node_party import NodeParty, Steps
    from protocol.session_node import NodeSession


def header_steps(party: "NodeParty", agent_id: bytes, x_pub: bytes) -> "Steps":
    """Wrap the boot's key for a paired agent; the session may begin when all have a header."""
    if agent_id not in party._without_header():
        return
    try:
        header = yield from _wrap_steps(party, agent_id, x_pub)
    except ProtocolError as e:
        party.forget_agent(agent_id)
        party._events.append(ev.AgentLeftOut(agent_id, str(e)))
        return
    if agent_id in party._agents:
        party.headers.append(header)
        party._close()


def _wrap_steps(party: "NodeParty", agent_id: bytes, x_pub: bytes) -> "Generator[None, None, list[bytes]]":
    enc, wrapped = yield from wrap_header_steps(
        party.boot.K, party.boot.boot_id, party.identity, agent_id, x_pub, party.random(32)
    )
    return [agent_id, enc, wrapped]


def pair_steps(
    party: "NodeParty",
    agent_id: bytes,
    ed_pub: bytes,
    x_pub: bytes,
    nonce: bytes,
    keep: "Any",
    authority: "Any",
    button: bool,
) -> "Steps":
    """The answer to a pair request; see NodeParty.accept_pairing."""
    mine = party.identity
    new = agent_id not in party._agents
    try:
        if new:
            header = yield from _wrap_steps(party, agent_id, x_pub)
            if keep is not None and not keep(ed_pub, x_pub):
                return party.refuse_pairing()
            party._agents[agent_id] = x_pub
            party.elsewhere.paired(agent_id)
            party.headers.append(header)
        on_demand.forget(on_demand.AGREEING)
        message = pair_message(ed_pub, x_pub, mine.ed_pub, mine.x_pub, nonce, authority, button)
        signature = yield from crypto.ed25519_sign_steps(mine.ed_seed, mine.ed_pub, message)
        party._say_once(messages.pair_reply(messages.VERSION, mine.ed_pub, mine.x_pub, nonce, signature))
        if new:
            party.paired = True
            party._close()
    except ProtocolError as e:
        party._reject(e.cause, str(e))
        party._refuse(messages.REFUSE_MALFORMED)
    finally:
        party._pairing = False


def open_steps(session: "NodeSession", fields: "dict[str, Any]", now_ms: int) -> "Steps":
    """The downlink's keys from a welcome's `fields`; what came sealed meanwhile is taken then."""
    agent_id, nonce = fields["agent_id"], fields["nonce"]
    try:
        down = yield from receive_downlink_steps(
            fields["enc"],
            session.identity,
            agent_id,
            session._agents[agent_id],
            session.boot.boot_id,
            nonce,
            fields["version"],
        )
    except ProtocolError as e:
        session._reject(e.cause, str(e))
        down = None
    if nonce != session._nonce or session.state != st.OPENING:
        return
    if down is None:
        session.state = st.step(st.NODE, session.state, st.OPEN_FAILED)
        return
    session._down = down
    early = session._early
    session._early = []
    for message, stamp in early:
        session._guarded(session._sealed, message, now_ms, stamp)

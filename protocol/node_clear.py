"""What a node does about clear messages: its hello, and what agents answer to it.

docs/wire-protocol.md §4. Between two connections a node needs none of it, so it is loaded when a message
comes or a hello is due (on_demand.py): the first argument of each function is the NodeSession.
"""

# pyright: reportPrivateUsage=false

from protocol import messages, node_hello
from protocol import session_events as ev
from protocol import session_states as st
from protocol.errors import HelloError
from protocol.identity import node_id as party_id
from protocol.session_node import SOLICIT_EVERY_MS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from protocol.session_node import NodeSession


def new_hello(session: "NodeSession") -> bytes:
    """A hello of all boots that still hold frames."""
    session.earlier = [boot for boot in session.earlier if boot.box.waiting()]
    body, session._listed, session._left_out = node_hello.make(
        session.identity,
        session._nonce,
        session.conn,
        [session.boot.boot_id, session.headers, session.box],
        session.earlier,
        session._agents,
    )
    return messages.hello(body, session.boot.hello_tag(body))


def take(session: "NodeSession", message: bytes, now_ms: int) -> None:
    """A clear message. HelloError for one that cannot be accepted."""
    try:
        kind, fields = messages.parse_down(message)
    except HelloError as e:
        if e.cause == "unknown_message":
            return session._carried(e.cause)
        if e.code == messages.REFUSE_VERSION:
            session._refuse(e.code, messages.VERSIONS)
        raise
    if kind == messages.MSG_WELCOME:
        _welcome(session, fields, now_ms)
    elif kind == messages.MSG_SOLICIT:
        if now_ms - session._solicited_ms >= SOLICIT_EVERY_MS and session.state != st.IDLE:
            session._solicited_ms = now_ms
            session._begin(now_ms)
    elif kind == messages.MSG_PAIR_REQUEST:
        _pair_request(session, fields, now_ms)
    elif kind == messages.MSG_REFUSAL:
        session._events.append(ev.Refused(fields["code"], fields["versions"]))
    else:
        raise HelloError("a node takes no such clear message", 0)
    return None


def _welcome(session: "NodeSession", fields: "dict[str, Any]", now_ms: int) -> None:
    if fields["nonce"] != session._nonce:
        return session._reject("replayed_welcome", "session: not for this connection")
    if fields["agent_id"] not in session._agents:
        return session._reject("unknown_agent", "session: welcome from an agent that is not paired")
    if session.state != st.GREETING:
        return None
    session.state = st.step(st.NODE, session.state, st.WELCOME)
    session._since_ms = now_ms
    session.agent_id = fields["agent_id"]
    session._jobs.append(session._open_steps(fields, now_ms))
    return None


def _pair_request(session: "NodeSession", fields: "dict[str, Any]", now_ms: int) -> None:
    if session._pair_waits(party_id(fields["ed_pub"], fields["x_pub"]), now_ms):
        return session._reject("pairing_busy", "session: pair request before the last is answered")
    session._asked_ms = now_ms
    session._events.append(
        ev.PairAsked(
            fields["ed_pub"], fields["x_pub"], fields["nonce"], fields["authority"], fields["button"]
        )
    )
    return None

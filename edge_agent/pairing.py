"""Pairing over the cable: the agent shows its public keys, the node answers with its own, signed for both."""

import os
import time
from collections.abc import Callable

from edge_agent.config import LinkConfig
from edge_agent.keys import PublicKeys
from edge_agent.links.ports import PortError, named, open_port, read_some
from protocol import messages
from protocol import session_events as ev
from protocol.identity import Identity
from protocol.session_agent import AgentSession

# A node signs in slices between its samples, which takes an ESP32 a second or two.
TIMEOUT_S = 30.0
REPEAT_S = 8.0


class PairingError(Exception):
    """No pairing came about. `problem`: why; `hint`: what to do."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(f"{problem} ({hint})")
        self.problem = problem
        self.hint = hint


def exchange(
    link: LinkConfig,
    identity: Identity,
    timeout_s: float = TIMEOUT_S,
    monotonic: Callable[[], float] = time.monotonic,
) -> PublicKeys:
    """The keys of the node on that port, which has signed that it pairs with `identity`.

    PortError, PairingError.
    """
    port = open_port(link)
    try:
        # Framing and parsing as in a session; nobody is known here, so nothing else can come of it.
        session = AgentSession(identity, _nobody, _nobody, os.urandom)
        begun = monotonic()
        asked = -REPEAT_S
        heard = False
        while monotonic() - begun < timeout_s:
            now = monotonic() - begun
            if now - asked >= REPEAT_S:
                asked = now
                session.request_pairing(os.urandom(16))
            data = session.pull(int(now * 1000))
            if data:
                port.write(data)
            for event in session.feed(read_some(port), int(now * 1000)):
                heard = True
                keys = _outcome(event)
                if keys is not None:
                    return keys
    except OSError as e:
        raise named(link.port, e) from e
    finally:
        port.close()
    if heard:
        raise PairingError("something speaks on that port, but no node answered", "is it the right port?")
    raise PairingError("nothing answers on that port", "is the node running? press its reset button")


def _nobody(node: bytes) -> None:
    return None


def _outcome(event: object) -> PublicKeys | None:
    if isinstance(event, ev.PairReply):
        if not event.signature_ok:
            raise PairingError(
                "the answer is not signed by the keys in it", "somebody is on the line; try again"
            )
        keys = PublicKeys(event.ed_pub, event.x_pub)
        if not keys.agrees:
            raise PairingError(
                "nothing can be encrypted with the node's X25519 key: it is a point of small order",
                "this is no genuine node, or its flash is damaged: erase it and pair again",
            )
        return keys
    if isinstance(event, ev.Refused):
        if event.code == messages.REFUSE_PAIRED:
            raise PairingError(
                "the node is paired with another agent already",
                "hold its button while pairing; if it has eight agents, un-pair one, or erase it",
            )
        if event.code == messages.REFUSE_VERSION:
            raise PairingError(
                "the node speaks another version of the protocol", "update the node or the agent"
            )
    return None


__all__ = ("PairingError", "PortError", "exchange")

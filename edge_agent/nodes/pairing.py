"""Pairing on a port that this process opens itself, where no agent runs on it: the agent shows its public
keys, the node answers with its own, signed for both.

With them may go an authority, whose orders the node believes from then on, or a label that the node's keys
must be those of: while somebody holds its button.
"""

import os
import time
from collections.abc import Callable

from edge_agent.config import LinkConfig
from edge_agent.keys import PublicKeys
from edge_agent.links.ports import PortError, named, open_port, read_some
from edge_agent.nodes.pairing_label import Label
from protocol import messages
from protocol import session_events as ev
from protocol.identity import Identity, fingerprint_text
from protocol.session_agent import AgentSession

# A node signs in slices between its samples, which takes an ESP32 a second or two.
TIMEOUT_S = 30.0
REPEAT_S = 8.0
# While somebody is to hold the button, which takes 5 s of it; nothing wears out by asking.
HOLD_TIMEOUT_S = 90.0
HOLD_S = 5
ASK_AGAIN_S = 1.0


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
    *,
    authority: list[bytes] | None = None,
    label: Label | None = None,
) -> PublicKeys:
    """The keys of the node on that port, which has signed that it pairs with `identity`.

    `authority`: whose orders it is to believe, too, which it has signed then (Ed25519 and X25519 public key);
    empty: nobody's any more. `label`: the node's, which has to have its button held then. PortError,
    PairingError.
    """
    by_button = authority is not None or label is not None
    repeat_s = ASK_AGAIN_S if by_button else REPEAT_S
    port = open_port(link)
    try:
        # Framing and parsing as in a session; nobody is known here, so nothing else can come of it.
        session = AgentSession(identity, _nobody, _nobody, os.urandom)
        begun = monotonic()
        asked = -REPEAT_S
        heard = False
        # One request, however often it is said: the answer is to this nonce.
        nonce = os.urandom(16)
        held = True
        while monotonic() - begun < timeout_s:
            now = monotonic() - begun
            if now - asked >= repeat_s:
                asked = now
                session.request_pairing(nonce, authority, label is not None)
            data = session.pull(int(now * 1000))
            if data:
                port.write(data)
            for event in session.feed(read_some(port), int(now * 1000)):
                heard = True
                if by_button and _not_held(event):
                    held = False
                    continue
                keys = _outcome(event, by_button)
                if keys is not None:
                    return _meant(keys, label)
    except OSError as e:
        raise named(link.port, e) from e
    finally:
        port.close()
    if not held and authority is None:
        raise PairingError(
            "the node answers, and nobody held its button",
            f"try again, and hold it until the command ends, {HOLD_S} s at least",
        )
    if not held:
        raise PairingError(
            "the node takes no authority without its button",
            "try again, and hold it until the command ends, 5 s at least; if it was held: an alarm is on, the"
            " cuff is not empty, or the node believes four authorities already",
        )
    if heard:
        raise PairingError("something speaks on that port, but no node answered", "is it the right port?")
    raise PairingError("nothing answers on that port", "is the node running? press its reset button")


def _nobody(node: bytes) -> None:
    return None


def _not_held(event: object) -> bool:
    return isinstance(event, ev.Refused) and event.code == messages.REFUSE_CONSENT


def _meant(keys: PublicKeys, label: Label | None) -> PublicKeys:
    if label is None or label.fits(keys.fingerprint):
        return keys
    near = label.mistyped(keys.fingerprint)
    raise PairingError(
        f"the node on that port is not the one of the label: {fingerprint_text(keys.fingerprint)}",
        f"look at the label again, {near}" if near else "is it the right node, and the right port?",
    )


def _outcome(event: object, by_button: bool = False) -> PublicKeys | None:
    if isinstance(event, ev.PairReply):
        if not event.signature_ok and by_button:
            raise PairingError(
                "the node has not signed that it takes this with its button held",
                "its firmware is too old for it, or somebody is on the line: update it, and try again",
            )
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

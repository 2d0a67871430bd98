"""Nodes that are not paired with this agent, and the ones among them that it asks to be: on whose word, how,
and what comes of it.

Asked is who says hello and is meant: by a label that somebody gave (LABEL: only with the node's button), by
somebody who has compared its fingerprint (COMMAND), by a kit file (EXPECTED), or, on a cable, by nobody yet
(BUTTON: whoever holds the node's button). Nothing in a hello of such a node is verified; what counts is the
signature of its reply, by the keys that were meant.

A pairing is two durable steps, each tried again until the disk takes it: stated (the chain), then kept
(peers.json). An agent that ends before the second is not paired; its node believes that it is, says so in its
next hello, and is asked again.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, cast

from edge_agent.custody import audit
from edge_agent.keys import PublicKeys
from edge_agent.nodes.errands import CLAIM, Errand, Errands, said
from edge_agent.nodes.hub import Hub, Stranger
from edge_agent.nodes.kit import Expected, KitError, KitNode
from edge_agent.nodes.pairing_label import ALL_DIGITS, MIN_DIGITS, Label
from edge_agent.nodes.peers import PeersError
from edge_agent.ops.logs import about
from edge_agent.store.items import Outcome
from protocol import cbor, messages
from protocol import session_events as ev
from protocol.errors import CborError
from protocol.identity import fingerprint_text

log = logging.getLogger("vitalwire.claims")

DIGITS = set("0123456789abcdef")
LABEL, COMMAND, EXPECTED, BUTTON = "label", "command", "expected", "button"
# A node that is not paired says hello at least every 8 s.
PRESENT_MS = 30_000
# While its button is waited for; and after anything else, such as silence: a node signs for a second or two.
ASK_AGAIN_MS = 1000
ASK_SELDOM_MS = 5000
# By their buttons, without anybody's word, so many nodes an hour: something that is plugged in could be
# another node every second, and sign that a button was held.
MOST_BY_BUTTON = 32
HOUR_MS = 3_600_000
# What people are told to do, with the second that may pass until it is asked.
HOLD = "hold its button for 6 s"


class Claimant(Protocol):
    """What is needed of a session on a link. `cable`: whoever is at the far end is within reach here."""

    port: str
    cable: bool

    def ask_pairing(self, nonce: bytes, button: bool) -> None:
        """Send a pair request."""
        ...

    def invite(self) -> None:
        """Ask for a hello."""
        ...


class _Wish:
    """What a command asks for. `why`: what has stood in its way so far."""

    def __init__(self, errand: Errand, label: Label, how: str, uid: int) -> None:
        self.errand = errand
        self.label = label
        self.how = how
        self.by = audit.by_user(uid)
        self.why = ""
        self.answer: tuple[bool, str] | None = None


class _Asked:
    """One node that is asked on one link. `due_ms`: when again; `nonce`: of the request, however often."""

    def __init__(self, node: bytes, how: str, wish: "_Wish | None") -> None:
        self.node = node
        self.how = how
        self.wish = wish
        self.nonce = os.urandom(16)
        self.due_ms = 0


class _Heard(NamedTuple):
    node: bytes
    stranger: Stranger
    at_ms: int


class _Pairing:
    """A reply that was right, on its way to the disk."""

    def __init__(self, keys: PublicKeys, asked: _Asked, claimant: Claimant) -> None:
        self.keys = keys
        self.asked = asked
        self.claimant = claimant
        self.stated = self.durable = False

    def __call__(self, _: Outcome) -> None:
        self.durable = True


class Claims:
    """What sessions are told here they hear in the event loop's thread. `by_button`: whether whoever holds a
    node's button at a cable may pair it.
    """

    def __init__(
        self,
        hub: Hub,
        errands: Errands,
        expected: Expected,
        by_button: bool,
        unix_ms: Callable[[], int],
    ) -> None:
        self._hub = hub
        self._errands = errands
        self._expected = expected
        self._by_button = by_button
        self._unix_ms = unix_ms
        self._heard: dict[Claimant, _Heard] = {}
        self._asked: dict[Claimant, _Asked] = {}
        self._wishes: dict[str, _Wish] = {}
        self._pairings: dict[bytes, _Pairing] = {}
        self._problem = ""
        self._by_button_ms: deque[int] = deque(maxlen=MOST_BY_BUTTON)

    # What a session tells

    def heard(self, claimant: Claimant, node: bytes, stranger: Stranger) -> None:
        """A node that is not paired said hello there."""
        self._heard[claimant] = _Heard(node, stranger, self._hub.now_ms())

    def left(self, claimant: Claimant) -> None:
        """Whoever was there is not any more."""
        self._heard.pop(claimant, None)
        self._asked.pop(claimant, None)

    def asks(self, claimant: Claimant) -> bool:
        """Whether the node there is being asked to pair."""
        return claimant in self._asked

    def refused(self, claimant: Claimant, code: int) -> bool:
        """The node there refuses; whether that was to be expected."""
        asked = self._asked.get(claimant)
        if asked is None:
            return False
        waits = code in (messages.REFUSE_CONSENT, messages.REFUSE_CONTESTED)
        asked.due_ms = self._hub.now_ms() + (ASK_AGAIN_MS if waits else ASK_SELDOM_MS)
        if asked.wish is not None:
            asked.wish.why = f"it answers on {claimant.port}: {messages.REFUSE_NAMES.get(code, code)}"
        return waits

    def replied(self, claimant: Claimant, reply: ev.PairReply) -> None:
        """The node there says that it has paired."""
        asked = self._asked.pop(claimant, None)
        if asked is None:
            return
        keys = PublicKeys(reply.ed_pub, reply.x_pub)
        why = self._wrong(asked, keys, reply.signature_ok)
        if why:
            self._hub.reject("bad_pairing", why, claimant.port)
            if asked.wish is not None:
                asked.wish.answer = False, f"on {claimant.port} {why}"
            else:
                asked.due_ms = self._hub.now_ms() + ASK_SELDOM_MS
                self._asked[claimant] = asked
                asked.nonce = os.urandom(16)
            return
        if asked.how == BUTTON:
            self._by_button_ms.append(self._hub.now_ms())
            if self._too_many:
                log.warning(
                    "%d nodes were paired by their buttons within an hour: no more of them", MOST_BY_BUTTON
                )
        self._pairings[keys.id] = _Pairing(keys, asked, claimant)

    def _wrong(self, asked: _Asked, keys: PublicKeys, signed: bool) -> str:
        """Why this reply pairs nobody, or nothing."""
        if not signed:
            return "the answer is not signed by the keys in it over what was asked: somebody is on the line"
        wish, kit = asked.wish, self._kit().get(asked.node)
        meant = keys.id == asked.node
        if wish is not None:
            meant = meant and wish.label.fits(keys.fingerprint)
        elif asked.how == EXPECTED:
            meant = kit is not None and kit.keys == keys
        if not meant:
            return f"another node answered than was asked: {fingerprint_text(keys.fingerprint)}"
        if not keys.agrees:
            return "nothing can be encrypted with the node's X25519 key: it is a point of small order"
        return ""

    # The owner calls

    def step(self, waiting: Iterable[Errand]) -> None:
        """Take up errands, ask who is to be asked, keep who has answered; a few times a second."""
        now_ms = self._hub.now_ms()
        self._take_up(waiting)
        self._try(self._settle, None)
        for claimant, heard in list(self._heard.items()):
            if now_ms - heard.at_ms > PRESENT_MS:
                self.left(claimant)
            elif heard.node not in self._pairings:
                self._ask(claimant, heard, now_ms)
        for node, pairing in list(self._pairings.items()):
            if self._try(self._keep, pairing):
                del self._pairings[node]
        self._answer()

    def wants(self, node: bytes) -> bool:
        """Whether somebody asks for that node, or a kit file has it."""
        asked = any(wish.answer is None and wish.label.node == node for wish in self._wishes.values())
        return asked or node in self._kit()

    def told(self, node: bytes) -> dict[str, Any]:
        """For the status: whether that node is expected, and on whose word it is being asked. One that has
        just said hello is, too, though its turn is only the next step: what people are to do depends on it.
        """
        heard = [] if node in self._pairings else [one for one in self._heard.items() if one[1].node == node]
        asked = next((how for one in heard if (how := self._reason(*one)[0])), None)
        return {"expected": node in self._kit(), "asked": asked}

    @property
    def expected(self) -> list[KitNode]:
        """Those of kit files that have not come yet."""
        return list(self._kit().values())

    # Within

    def _kit(self) -> dict[bytes, KitNode]:
        try:
            return self._expected.all()
        except (KitError, OSError) as e:
            self._say(str(e))
            return {}

    def _settle(self, _: object) -> bool:
        """One that was paired is expected no more, also where the last step of that was never done."""
        found = self._expected.all()
        if found:
            peers = self._hub.peers
            for node in (found.keys() & set(peers.ids())) - peers.parted().keys() - self._pairings.keys():
                self._expected.remove(node, 0)
        return True

    def _say(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("claims: %s; trying again", problem)
        self._problem = problem

    def _try(self, work: Callable[[Any], bool], what: Any) -> bool:
        try:
            return work(what)
        except (KitError, PeersError, OSError) as e:
            self._say(said(e) if isinstance(e, OSError) else str(e))
            return False

    def _take_up(self, waiting: Iterable[Errand]) -> None:
        there = {errand.id: errand for errand in waiting if errand.what == CLAIM}
        self._wishes = {key: wish for key, wish in self._wishes.items() if key in there}
        for key, errand in there.items():
            if key not in self._wishes:
                wish = self._wishes[key] = _wish(errand)
                # Of whoever has gone meanwhile the link says nothing by itself.
                if wish.answer is None and wish.label.node not in {h.node for h in self._heard.values()}:
                    for claimant in self._heard:
                        claimant.invite()

    def _ask(self, claimant: Claimant, heard: _Heard, now_ms: int) -> None:
        how, wish = self._reason(claimant, heard)
        asked = self._asked.get(claimant)
        if not how:
            self._asked.pop(claimant, None)
            return
        if asked is None or (asked.node, asked.how, asked.wish) != (heard.node, how, wish):
            asked = self._asked[claimant] = _Asked(heard.node, how, wish)
            about(log, node=heard.node.hex(), link=claimant.port).info(
                "%s: asking node %s to pair (%s)", claimant.port, heard.node.hex(), how
            )
        if now_ms >= asked.due_ms:
            asked.due_ms = now_ms + ASK_SELDOM_MS
            claimant.ask_pairing(asked.nonce, how in (LABEL, BUTTON))

    def _reason(self, claimant: Claimant, heard: _Heard) -> tuple[str, "_Wish | None"]:
        """Why the node there is to be asked; "": it is not."""
        node, (_, _, _, keys, ours) = heard.node, heard.stranger
        for wish in self._wishes.values():
            fits = wish.label.node == node if keys is None else wish.label.fits(keys.fingerprint)
            if wish.answer is None and fits:
                return wish.how, wish
        if keys is None and not ours:
            return "", None
        kit = self._kit().get(node)
        if kit is not None and (keys is None or kit.keys == keys):
            return EXPECTED, None
        return (BUTTON, None) if self._by_button and claimant.cable and not self._too_many else ("", None)

    @property
    def _too_many(self) -> bool:
        """Whether no more are asked for their buttons now."""
        oldest = self._by_button_ms[0] if len(self._by_button_ms) == MOST_BY_BUTTON else None
        return oldest is not None and self._hub.now_ms() - oldest < HOUR_MS

    def _keep(self, pairing: _Pairing) -> bool:
        """One step further; whether it is done."""
        asked, node = pairing.asked, pairing.keys.id
        if not pairing.stated:
            pairing.stated = True
            by = audit.AGENT if asked.wish is None else asked.wish.by
            self._hub.ingest.add(audit.action("pair", by, node, self._unix_ms(), how=asked.how), pairing)
        if not pairing.durable:
            return False
        new = self._hub.peers.add(pairing.keys, 0)
        self._expected.remove(node, 0)
        self._say("")
        log.info("paired with node %s (%s)", node.hex(), asked.how)
        if asked.wish is not None:
            what = "paired with" if new else "was paired already with"
            asked.wish.answer = True, f"{what} node {node.hex()}"
        self._hub.unpaired.pop(node, None)
        self._heard.pop(pairing.claimant, None)
        pairing.claimant.invite()
        return True

    def _answer(self) -> None:
        now_ms = self._unix_ms()
        for wish in self._wishes.values():
            if wish.answer is None and wish.label.node in self._hub.live:
                keys = self._hub.lookup(wish.label.node)
                if keys is not None and wish.label.fits(PublicKeys(*keys).fingerprint):
                    wish.answer = True, f"was paired already with node {wish.label.node.hex()}"
            if wish.answer is None and wish.errand.until_ms < now_ms and not self._under_way(wish):
                wish.answer = False, self._silence(wish)
            if wish.answer is not None:
                try:
                    self._errands.answer(wish.errand, *wish.answer)
                except OSError as e:
                    self._say(said(e))

    def _under_way(self, wish: _Wish) -> bool:
        return any(pairing.asked.wish is wish for pairing in self._pairings.values())

    def _silence(self, wish: _Wish) -> str:
        """Why a node was not paired in time."""
        if wish.why:
            return f"node {wish.label.node.hex()} was not paired: {wish.why}; try again, and {HOLD}"
        for stranger in self._hub.unpaired.values():
            near = "" if stranger.keys is None else wish.label.mistyped(stranger.keys.fingerprint)
            if near:
                return (
                    "no node with that label has said hello, but one whose label is very like it: look at"
                    f" the label again, {near}"
                )
        seen = ", ".join(f"{node.hex()} on {one.port}" for node, one in self._hub.unpaired.items())
        return (
            "no node with that label has said hello to this agent: is it switched on, and in reach or on a"
            f" cable? Unpaired here: {seen or 'none'}"
        )


def _wish(errand: Errand) -> _Wish:
    """What an errand asks for; one of another version is answered at once."""
    try:
        told = cbor.loads(bytes.fromhex(errand.data))
        told = cast("dict[str, Any]", told if isinstance(told, dict) else {})
    except CborError:
        told = {}
    digits, how, uid = told.get("label"), told.get("how"), told.get("uid")
    sound = isinstance(digits, str) and MIN_DIGITS <= len(digits) <= ALL_DIGITS and not set(digits) - DIGITS
    if isinstance(digits, str) and sound and how in (LABEL, COMMAND) and type(uid) is int:
        return _Wish(errand, Label(digits), how, uid)
    wish = _Wish(errand, Label("0" * ALL_DIGITS), LABEL, 0)
    wish.answer = False, "the errand is not one that this version makes"
    return wish

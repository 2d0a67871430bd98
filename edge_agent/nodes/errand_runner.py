"""What the agent does about errands: orders to nodes, and nodes that are to be forgotten."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from edge_agent.custody.audit import by_user
from edge_agent.nodes.errands import IDENTIFY, OF_NODES, ORDER, UNPAIR, Errand, Errands, said
from edge_agent.nodes.orders import GRACE_MS, Order, Orders
from edge_agent.nodes.peers import Peers, PeersError
from edge_agent.store.items import Outcome
from protocol import frames
from protocol.errors import ProtocolError

log = logging.getLogger("vitalwire.errands")

T = TypeVar("T")

# Of the data of an errand, in hex: more is no user of any machine.
UID_DIGITS = 40

# After its time an errand's order ends by itself, within the grace that orders have; then the clock answers.
CLOCK_MS = GRACE_MS + 2000


class _Statement:
    """That a node is not paired any more: `durable` is set between two steps, when it is on the disk."""

    def __init__(self, agreed: bool) -> None:
        self.agreed = agreed
        self.durable = False

    def __call__(self, _: Outcome) -> None:
        self.durable = True


class Runner:
    """Runs errands: orders to nodes, and what comes of their answers; `others`: those that are about no node,
    for somebody else. `drop(node)`: end the session with a node that is forgotten without its word.

    A node is forgotten in three durable steps: noted as parted (peers.json), stated (the chain), removed
    (peers.json). Each is tried again until the disk takes it, also when nobody waits for it any more, and by
    the next agent if this one ends in between: then it is stated twice rather than never.
    """

    def __init__(
        self,
        errands: Errands,
        orders: Orders,
        peers: Peers,
        drop: Callable[[bytes], None],
        unix_ms: Callable[[], int],
    ) -> None:
        self._errands = errands
        self._orders = orders
        self._peers = peers
        self._drop = drop
        self._unix_ms = unix_ms
        self._waiting: dict[str, Errand] = {}
        self.others: list[Errand] = []
        self._open: dict[str, tuple[Errand, Order]] = {}
        self._agreed: dict[bytes, bytes] = {}
        self._statements: dict[bytes, _Statement] = {}
        self._answers: dict[str, tuple[bool, str]] = {}
        self._problems: dict[str, str] = {}

    def step(self) -> None:
        """Take up what is new, drop what was taken back, answer what is done; a few times a second.

        What the disk refuses is logged once and tried again by the next step.
        """
        now_ms = self._unix_ms()
        found = self._try("errands", self._errands.waiting, now_ms)
        if found is not None:
            self._waiting = {errand.id: errand for errand in found if errand.what in OF_NODES}
            self.others = [errand for errand in found if errand.what not in OF_NODES]
        # An answer counts before any clock, and whether or not somebody waits for it.
        for errand, order in list(self._open.values()):
            if order.outcome is not None:
                del self._open[errand.id]
                self._ended(errand, order, now_ms)
        for errand, order in list(self._open.values()):
            if errand.id not in self._waiting:
                self._unwanted(order)
            elif errand.until_ms + CLOCK_MS < now_ms:
                # Its order is another's too, or the clock was set: the order has its own end, and its answer
                # counts until then.
                self._say(errand, False, _silence(errand, order))
                self._unwanted(order)
        self._part()
        for errand in self._waiting.values():
            if errand.id not in self._open and errand.id not in self._answers:
                self._take_up(errand, now_ms)
        for key, (good, text) in list(self._answers.items()):
            errand = self._waiting.get(key)
            if errand is None:
                del self._answers[key]
            else:
                self._try(key, self._errands.answer, errand, good, text)
        known = {"errands", "peers", *self._waiting, *(node.hex() for node in self._leaving())}
        self._problems = {key: text for key, text in self._problems.items() if key in known}

    @property
    def leaving(self) -> bool:
        """Whether a node is to be forgotten, and is not yet."""
        return bool(self._leaving())

    def _try(self, key: str, work: Callable[..., T], *args: object) -> T | None:
        """The result; None when it cannot be done now. `key`: an errand's id, or what else it is about."""
        try:
            done = work(*args)
        except (OSError, PeersError) as e:
            text = said(e)
            if self._problems.get(key) != text:
                log.warning("errands: %s; trying again", text)
            self._problems[key] = text
            return None
        self._problems.pop(key, None)
        return done

    def _say(self, errand: Errand, good: bool, text: str) -> None:
        """Answer as soon as the disk takes it, if it is still wanted then."""
        self._answers[errand.id] = (good, text)

    # Orders

    def _take_up(self, errand: Errand, now_ms: int) -> None:
        node = bytes.fromhex(errand.node)
        if errand.what == UNPAIR and node in self._leaving():
            if errand.until_ms + CLOCK_MS < now_ms:
                agreed = node in self._agreed or self._statements[node].agreed
                how = "has forgotten this agent" if agreed else "is paired as before"
                more = "it is forgotten here once the agent's disk takes writes again"
                self._say(errand, False, f"node {errand.node} {how}; {more}")
        elif errand.until_ms >= now_ms:
            self._try(errand.id, self._begin, errand, node, now_ms)
        elif errand.id in self._problems:
            self._say(errand, False, f"node {errand.node} was asked nothing: {self._problems[errand.id]}")
        else:
            self._say(errand, False, f"the time to ask node {errand.node} was over before the agent could")

    def _begin(self, errand: Errand, node: bytes, now_ms: int) -> None:
        """Also after an order that expired before the errand did: none is valid for longer than an hour."""
        if self._peers.lookup(node) is None:
            # Forgotten already, it may be by an agent that ended before it could say so.
            self._say(errand, errand.what == UNPAIR, f"node {errand.node} is not paired with this agent")
            return
        left_s = (errand.until_ms - now_ms) / 1000
        if errand.what == IDENTIFY:
            order = self._orders.command(node, frames.OP_IDENTIFY, valid_s=left_s)
        elif errand.what == ORDER:
            try:
                order = self._orders.local(node, bytes.fromhex(errand.data), left_s)
            except ProtocolError as e:
                self._say(errand, False, f"node {errand.node} was asked nothing: {e.detail}")
                return
        elif errand.force:
            self._peers.part(node, None, 0)
            return
        else:
            order = self._asked(node) or self._orders.unpair(node, left_s)
        self._open[errand.id] = (errand, order)

    def _asked(self, node: bytes) -> Order | None:
        """Of several un-pairings of a node one is sent, and answers for all. One that leaves no more would
        leave a new errand unasked.
        """
        for errand, order in self._open.values():
            if errand.what == UNPAIR and order.node == node and self._orders.leaves(order):
                return order
        return None

    def _unwanted(self, order: Order) -> None:
        """Withdraw it, unless another errand waits for it. What had left is heard of until its end."""
        wanted = any(
            one is order and key in self._waiting and key not in self._answers
            for key, (_, one) in self._open.items()
        )
        if not wanted and order.outcome is None and not order.withdrawn:
            self._orders.withdraw(order)

    def _ended(self, errand: Errand, order: Order, now_ms: int) -> None:
        done = order.result in (frames.RESULT_DONE, frames.RESULT_BEGUN)
        if order.outcome == "answered" and errand.what == UNPAIR and done:
            self._agreed[order.node] = order.id
        elif order.outcome == "answered":
            more = f" ({order.detail})" if order.detail else ""
            text = f"node {errand.node} answers: {order.result_name}{more}"
            self._say(errand, done, text if done else text + _hint(errand))
        elif order.outcome == "new_boot":
            text = f"node {errand.node} began anew before it answered: whether it did is not known"
            self._say(errand, False, text)
        elif errand.until_ms <= now_ms:
            self._say(errand, False, _silence(errand, order))

    # Nodes that are to be forgotten

    def _leaving(self) -> set[bytes]:
        return {*self._agreed, *self._statements}

    def _part(self) -> None:
        """One step further with each."""
        for node, order in list(self._agreed.items()):
            if self._try(node.hex(), self._peers.part, node, order, 0) is not None:
                del self._agreed[node]
        parted = self._try("peers", self._peers.parted)
        if parted is None:
            return
        for node in [node for node in self._statements if node not in parted]:
            # Paired again meanwhile.
            del self._statements[node]
        for node, order in parted.items():
            statement = self._statements.get(node)
            if statement is None:
                statement = self._statements[node] = _Statement(order is not None)
                detail: dict[str, Any] = {"node": node, "node_agreed": order is not None}
                if order is not None:
                    detail["order"] = order
                detail |= self._why(node)
                asked = [errand.data for errand in self._waiting.values() if errand.node == node.hex()]
                uid = bytes.fromhex(asked[0][:UID_DIGITS]) if asked else b""
                if uid.isdigit():
                    detail["asked"] = by_user(int(uid))
                self._orders.state("node_unpaired", detail, statement)
            if statement.durable and self._try(node.hex(), self._peers.remove, node, 0) is not None:
                del self._statements[node]
                if order is None:
                    self._drop(node)
                self._forgotten(node, order is not None)

    def _why(self, node: bytes) -> dict[str, Any]:
        """What more is to be said of a node that goes: whither, or that it is lost."""
        why: dict[str, Any] = {}
        to = self._try("peers", self._peers.moving)
        if to and node in to:
            why["moved_to"] = to[node]
        if self._try("peers", self._peers.wiping, node):
            why["wiped"] = True
        return why

    def _forgotten(self, node: bytes, agreed: bool) -> None:
        unasked = "without its word: it still takes us for its agent"
        told = "it has forgotten this agent" if agreed else unasked
        for errand in self._waiting.values():
            if (errand.what, errand.node) == (UNPAIR, node.hex()):
                self._say(errand, True, f"node {errand.node} is not paired any more; {told}")


def _silence(errand: Errand, order: Order) -> str:
    """Why there is no answer."""
    if order.sent:
        return f"node {errand.node} did not answer in time{_hint(errand)}"
    if order.boot is not None and not order.stated:
        return f"node {errand.node} was asked nothing: the agent's disk took no writes in that time"
    return f"node {errand.node} did not answer in time: it was not reached{_hint(errand)}"


def _hint(errand: Errand) -> str:
    return "; --force forgets it without its word" if errand.what == UNPAIR else ""

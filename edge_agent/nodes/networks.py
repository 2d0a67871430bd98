"""What people ask of a node's Wi-Fi: to join a network, or to forget it. The order, and what came of it.

The password goes from the command to the agent encrypted to the agent's key, from the agent to the node
sealed as every order, and nowhere else: what is stated of the order is the network, and whether there was a
password (Order.stated_body).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_agent.nodes.errands import WIFI, Errand, Errands, said
from edge_agent.nodes.hub import Hub
from edge_agent.nodes.orders import Order
from protocol import cbor, frames, remote_seal
from protocol.checks import is_bytes, is_list
from protocol.errors import ProtocolError
from protocol.identity import Identity

log = logging.getLogger("vitalwire.errands")

JOIN, FORGET = "join", "forget"


@dataclass
class _Asked:
    """An errand under way. `before`: the events about the network that there were."""

    errand: Errand
    node: bytes
    ssid: str
    order: Order
    before: list[tuple[int, int]]


def asked(node: bytes, what: str, ssid: str, password: str, agent_id: bytes, x_pub: bytes, by: str) -> bytes:
    """What an errand holds: nobody but the agent can read the password."""
    sealed = remote_seal.seal_secret(password.encode(), agent_id, x_pub)
    return cbor.dumps([node, what, ssid, sealed, by])


class Networks:
    """Answers errands about networks. `step(waiting)` a few times a second."""

    def __init__(self, hub: Hub, errands: Errands, identity: Identity, unix_ms: Callable[[], int]) -> None:
        self._hub = hub
        self._errands = errands
        self._identity = identity
        self._unix_ms = unix_ms
        self._open: dict[str, _Asked] = {}
        self._answers: dict[str, tuple[Errand, bool, str]] = {}
        self._problem = ""

    def step(self, waiting: Sequence[Errand]) -> None:
        """Do what is new, and say what is done."""
        present = {errand.id for errand in waiting}
        for errand in waiting:
            if errand.what == WIFI and errand.id not in self._open and errand.id not in self._answers:
                self._begin(errand)
        for key, one in list(self._open.items()):
            answer = self._progress(one) if key in present else (False, "nobody waits for it")
            if answer is not None:
                del self._open[key]
                if one.order.outcome is None:
                    self._hub.orders.withdraw(one.order)
                good, text = answer
                self._answers[key] = one.errand, good, text
        for key, (errand, good, text) in list(self._answers.items()):
            if key not in present:
                del self._answers[key]
            else:
                self._say(errand, good, text)

    def _begin(self, errand: Errand) -> None:
        try:
            node, what, ssid, password, by = self._read(bytes.fromhex(errand.data))
            if self._hub.lookup(node) is None:
                self._answers[errand.id] = (errand, False, f"node {node.hex()} is not paired with this agent")
                return
            left_s = max(1.0, (errand.until_ms - self._unix_ms()) / 1000)
            before = self._told(node)
            if what == JOIN:
                arguments = {frames.JOIN_SSID: ssid, frames.JOIN_PASSWORD: password}
                order = self._hub.orders.command(node, frames.OP_JOIN, arguments, valid_s=left_s)
            else:
                order = self._hub.orders.command(node, frames.OP_LEAVE, valid_s=left_s)
            order.by = by
            self._open[errand.id] = _Asked(errand, node, ssid, order, before)
        except ProtocolError as e:
            self._answers[errand.id] = (errand, False, f"the node was asked nothing: {e.detail}")

    def _read(self, data: bytes) -> tuple[bytes, str, str, str, str]:
        given = cbor.loads(data)
        if not is_list(given) or len(given) != 5:
            raise ProtocolError("not what this agent knows of networks")
        node, what, ssid, sealed, by = given
        good = is_bytes(node, 8) and what in (JOIN, FORGET) and isinstance(sealed, bytes)
        if not good or not isinstance(ssid, str) or not isinstance(by, str):
            raise ProtocolError("not a network, its password and who asks")
        try:
            return node, what, ssid, remote_seal.unseal_secret(sealed, self._identity).decode(), by
        except UnicodeDecodeError:
            raise ProtocolError("a password is text") from None

    def _told(self, node: bytes) -> list[tuple[int, int]]:
        return [
            (told["boot"], told["t_us"])
            for told in self._hub.view(node).told.events
            if told["code"] == frames.EVENT_NETWORK
        ]

    def _progress(self, one: _Asked) -> tuple[bool, str] | None:
        """The answer, once there is one."""
        name, order = one.node.hex(), one.order
        late = self._unix_ms() >= one.errand.until_ms
        if order.outcome is None or order.outcome == "expired":
            silent = f"node {name} did not answer in time" + ("" if order.sent else ": it was not reached")
            return (False, silent) if late or order.outcome else None
        if order.outcome != "answered":
            return False, f"node {name} began anew before it answered: whether it did is not known"
        if order.result == frames.RESULT_DONE:
            return True, f"node {name} has forgotten its network"
        if order.result == frames.RESULT_UNSUPPORTED:
            return False, f"node {name} has no Wi-Fi"
        if order.result != frames.RESULT_BEGUN:
            return False, f"node {name} answers: {order.result_name}"
        for told in self._hub.view(one.node).told.events:
            new = (told["boot"], told["t_us"]) not in one.before
            if told["code"] == frames.EVENT_NETWORK and new:
                if not told["value"]:
                    return True, f"node {name} is in the network {one.ssid}"
                kept = "; it keeps to the network that it had, if it had one"
                return False, f"node {name} is not in the network {one.ssid}: {told['text']}{kept}"
        still = f"node {name} tries the network {one.ssid}, and has not said how that went"
        return (False, f"{still}; vitalwire status shows it when it does") if late else None

    def _say(self, errand: Errand, good: bool, text: str) -> None:
        try:
            self._errands.answer(errand, good, text)
            self._problem = ""
        except OSError as e:
            if self._problem != said(e):
                log.warning("errands: %s; trying again", said(e))
            self._problem = said(e)

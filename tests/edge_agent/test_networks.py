"""A node's Wi-Fi network as an errand: who may ask, what is answered, and where the password is not."""

import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_agent.cli import wifi
from edge_agent.nodes.errands import WIFI, Errands
from edge_agent.nodes.networks import FORGET, JOIN, Networks, asked
from protocol import cbor, frames, remote_seal
from protocol.errors import BatchError
from tests.edge_agent.fakes import identity
from tests.edge_agent.test_orders import NODE, World

AGENT, OTHER = identity(1), identity(2)
SSID, PASSWORD = "Flat 7", "correct horse"


class Desk:
    """Networks on a folder of errands, with orders whose node this test is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.errands = Errands(folder)
        self.orders = World()
        self.events: list[dict[str, Any]] = []
        hub: Any = SimpleNamespace(
            orders=self.orders,
            lookup=lambda node: (b"", b"") if node == NODE else None,
            view=lambda _: SimpleNamespace(told=SimpleNamespace(events=self.events)),
        )
        self.unix_ms = time.time_ns() // 1_000_000
        self.networks = Networks(hub, self.errands, AGENT, lambda: self.unix_ms)

    def put(self, data: bytes) -> Any:
        return self.errands.put(WIFI, b"", self.unix_ms + 60_000, data=data)

    def step(self) -> None:
        self.networks.step(self.errands.waiting(self.unix_ms))

    def told(self, cause: int, text: str) -> None:
        event = {"code": frames.EVENT_NETWORK, "boot": 1, "t_us": len(self.events), "value": cause}
        self.events.append(event | {"text": text})

    def answer(self, errand: Any, result: int) -> dict[str, Any] | None:
        """The node answers the order that has left; what the errand's answer is then."""
        self.step()
        self.orders.sent()
        (order,) = self.orders._open.values()
        self.orders.answered(NODE, {frames.ANSWER_ID: order.id, frames.ANSWER_RESULT: result})
        self.step()
        return self.errands.answer_to(errand)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "errands")


def wanted(what: str = JOIN, node: bytes = NODE, password: str = PASSWORD) -> bytes:
    return asked(node, what, SSID, password, AGENT.id, AGENT.public()[1], "uid 0")


def test_joined(desk: Desk) -> None:
    desk.told(7, "wrong password")
    errand = desk.put(wanted())
    assert desk.answer(errand, frames.RESULT_BEGUN) is None, "an event of before says nothing"
    desk.told(0, "connected")
    desk.step()
    found = desk.errands.answer_to(errand)
    assert found == {"good": True, "text": f"node {NODE.hex()} is in the network {SSID}"}


def test_not_joined_and_why(desk: Desk) -> None:
    errand = desk.put(wanted())
    assert desk.answer(errand, frames.RESULT_BEGUN) is None
    desk.told(7, "wrong password")
    desk.step()
    found = desk.errands.answer_to(errand)
    assert found and not found["good"] and "wrong password" in found["text"]


def test_the_password_is_for_the_node_alone(desk: Desk) -> None:
    desk.put(wanted())
    for path in desk.folder.iterdir():
        assert PASSWORD.encode().hex() not in path.read_text() and PASSWORD not in path.read_text()
    desk.step()
    desk.orders.sent()
    (order,) = desk.orders._open.values()
    assert order.body[frames.ORDER_ARGS] == {1: SSID, 2: PASSWORD}
    assert order.stated_body[frames.ORDER_ARGS] == {1: SSID, 2: True}
    stated = cbor.dumps(order.stated_body) + repr(desk.orders.statements).encode()
    assert PASSWORD.encode() not in stated
    assert desk.orders.kept_back and PASSWORD not in repr(desk.orders.kept_back)


@pytest.mark.parametrize(
    ("result", "good", "text"),
    [
        (frames.RESULT_DONE, True, "has forgotten its network"),
        (frames.RESULT_UNSUPPORTED, False, "has no Wi-Fi"),
        (frames.RESULT_FAILED, False, "failed"),
    ],
)
def test_forgotten_or_not(desk: Desk, result: int, good: bool, text: str) -> None:
    found = desk.answer(desk.put(wanted(FORGET, password="")), result)
    assert found and found["good"] is good and text in found["text"]


def test_nobody_answers(desk: Desk) -> None:
    errand = desk.put(wanted())
    desk.step()
    desk.unix_ms += 61_000
    desk.step()
    found = desk.errands.answer_to(errand)
    assert found and not found["good"] and "was not reached" in found["text"]
    assert not desk.orders.open


def test_what_is_none(desk: Desk) -> None:
    sealed_for_another = asked(NODE, JOIN, SSID, PASSWORD, OTHER.id, OTHER.public()[1], "uid 0")
    no_text = remote_seal.seal_secret(b"\xff", AGENT.id, AGENT.public()[1])
    strange = cbor.dumps([NODE, JOIN, SSID, no_text, "uid 0"])
    for data in (b"", b"\x80", cbor.dumps([NODE, "dance", SSID, b"", "x"]), sealed_for_another, strange):
        errand = desk.put(data)
        desk.step()
        found = desk.errands.answer_to(errand)
        assert found and not found["good"] and "was asked nothing" in found["text"], data
    stranger = desk.put(wanted(node=bytes(8)))
    desk.step()
    found = desk.errands.answer_to(stranger)
    assert found and "is not paired" in found["text"]
    assert not desk.orders.open


def test_a_secret_is_for_one_agent() -> None:
    sealed = remote_seal.seal_secret(b"x", AGENT.id, AGENT.public()[1])
    assert remote_seal.unseal_secret(sealed, AGENT) == b"x"
    with pytest.raises(BatchError):
        remote_seal.unseal_secret(sealed, OTHER)
    with pytest.raises(BatchError):
        remote_seal.unseal_command(sealed, AGENT)


@pytest.mark.parametrize(
    ("ssid", "password", "why"),
    [
        ("", "correct horse", "1 to 32 bytes in UTF-8; this one has 0"),
        ("网" * 11, "correct horse", "this one has 33"),
        ("\udcff\udcfe", "correct horse", "the name is not UTF-8"),
        ("Flat\0 7", "correct horse", "the name has a NUL"),
        ("Flat 7", "\udcffcorrect", "the password is not UTF-8"),
        ("Flat 7", "correct\0horse", "the password has a NUL"),
        ("Flat 7", "1234567", "8 to 63 bytes, or is 64 hexadecimal digits"),
        ("Flat 7", "g" * 64, "8 to 63 bytes, or is 64 hexadecimal digits"),
        ("Flat 7", "a" * 65, "8 to 63 bytes, or is 64 hexadecimal digits"),
    ],
)
def test_what_no_network_can_have_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, ssid: str, password: str, why: str
) -> None:
    given: list[str] = []
    monkeypatch.setattr(wifi, "_ask", lambda *asked: given.append(asked[4]))
    for said, name, good in ((password, ssid, False), ("网" * 21, "网" * 10, True), ("aF" * 32, "x", True)):
        monkeypatch.setattr(wifi.sys, "stdin", io.StringIO(said + "\r\n"))
        # By its callback: a runner encodes what it is given, which is what cannot be.
        outcome = _outcome(name)
        assert outcome is None if good else why in str(outcome), outcome
    assert given == ["网" * 21, "aF" * 32]


def _outcome(ssid: str) -> Exception | None:
    join = wifi.join_command.callback
    assert join is not None
    try:
        join(None, "5ae2", ssid, False, 5.0)
    except Exception as e:
        return e
    return None

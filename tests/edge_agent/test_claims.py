"""Nodes that nobody has claimed, at a whole agent: whom it asks, on whose word, and what it keeps."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_agent import keys
from edge_agent.config import Config
from edge_agent.keys import PublicKeys
from edge_agent.nodes.claims import COMMAND, HOUR_MS, LABEL, MOST_BY_BUTTON, Claims
from edge_agent.nodes.errands import CLAIM, UNPAIR, Errand, Errands
from edge_agent.nodes.hub import Hub
from edge_agent.nodes.kit import Expected, KitNode
from edge_agent.nodes.pairing_label import Label, parse
from edge_agent.nodes.peers import Peers
from edge_agent.store.items import Outcome
from protocol import cbor, cobs, crypto, frames, messages
from protocol import session_events as ev
from protocol.identity import Identity, fingerprint_text, pair_message
from tests.edge_agent.fakes import FakeNode, Pty, Tcp, identity
from tests.edge_agent.running import Kit, Running, wait_until
from tests.edge_agent.test_cli import typed, written


@pytest.fixture
def kit(tmp_path) -> Kit:
    (tmp_path / "agent").mkdir()
    return Kit(tmp_path / "agent")


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with FakeNode(Pty(), rate=2) as node:
        yield node


def keys_of(node: FakeNode) -> PublicKeys:
    return PublicKeys(*node.identity.public())


def paired(kit: Kit, node: FakeNode) -> bool:
    return Peers(kit.folder / "peers.json").lookup(node.identity.id) is not None


def live(kit: Kit, node: FakeNode) -> bool:
    return any(one["live"] for one in kit.status["nodes"] if one["node"] == node.identity.id.hex())


def actions(kit: Kit) -> list[dict[str, Any]]:
    """What stands in the chain of who paired what."""
    told = [one["detail"] for one in kit.ledger.as_dict()["statements"] if one["code"] == "action"]
    return [one for one in told if one["what"] == "pair"]


def claim(config: Config, label: Label, how: str = LABEL, seconds: float = 60) -> tuple[Errands, Errand]:
    errands = Errands(config.errands)
    told = cbor.dumps({"uid": 7, "how": how, "label": label.digits})
    return errands, errands.put(CLAIM, b"", time.time_ns() // 1_000_000 + int(seconds * 1000), data=told)


def refusals(node: FakeNode) -> list[int]:
    """The codes with which the node has refused."""
    found = [one for one in cobs.Decoder().feed(b"".join(node.sent)) if messages.sort(one) == 1]
    told = [messages.parse_clear(message) for message in found]
    return [fields["code"] for kind, fields in told if kind == messages.MSG_REFUSAL]


def answered(config: Config, label: Label, how: str = LABEL, seconds: float = 60) -> dict[str, Any]:
    """What the running agent makes of such an errand."""
    errands, errand = claim(config, label, how, seconds)
    return wait_until(lambda: errands.answer_to(errand), "an answer")


def label_of(node: FakeNode) -> Label:
    return parse(fingerprint_text(node.identity.fingerprint))


def test_by_cable_a_node_is_paired_once_its_button_is_held(kit, node):
    with Running(kit.config(node.pipe.name)):
        wait_until(lambda: len(refusals(node)) > 1, "asked, and refused")
        [stranger] = wait_until(lambda: kit.status["unpaired"], "it is shown")
        assert stranger["asked"] == "button" and stranger["fingerprint"] == node.identity.fingerprint.hex()
        assert not paired(kit, node)
        node.pressed = True
        wait_until(lambda: live(kit, node), "live")
        assert kit.status["unpaired"] == [] and kit.status["refused_by_nodes"] == {}
    assert [(one["how"], one["by"], one["on"]) for one in actions(kit)] == [
        ("button", "agent", node.identity.id.hex())
    ]


def test_whom_the_next_step_asks_is_shown_as_asked_from_its_hello_on(kit, node, monkeypatch):
    monkeypatch.setattr(Claims, "step", lambda self, waiting: None)
    with Running(kit.config(node.pipe.name)):
        [stranger] = wait_until(lambda: kit.status["unpaired"], "it is shown")
    assert stranger["asked"] == "button" and refusals(node) == []


def test_where_only_a_command_pairs_nobody_is_asked_without_one(kit, node):
    kit.options["claim"] = "command"
    config = kit.config(node.pipe.name)
    node.pressed = True
    with Running(config):
        [stranger] = wait_until(lambda: kit.status["unpaired"], "it is shown")
        assert stranger["asked"] is None and not stranger["has_agent"]
        # Whoever compared the fingerprint has the word: no button.
        node.pressed = False
        answer = answered(config, Label(node.identity.fingerprint.hex()), COMMAND)
        assert answer["good"], answer
        wait_until(lambda: live(kit, node), "live")
    assert refusals(node) == []
    assert [(one["how"], one["by"]) for one in actions(kit)] == [("command", "uid 7")]


def test_over_a_link_that_is_no_cable_only_a_label_or_a_kit_pairs(kit):
    with FakeNode(Tcp(), rate=2) as node:
        node.radio = node.pressed = True
        config = kit.config(node.pipe.name)
        with Running(config):
            [stranger] = wait_until(lambda: kit.status["unpaired"], "it is shown")
            assert stranger["asked"] is None
            node.pressed = False
            errands, errand = claim(config, label_of(node))
            wait_until(lambda: len(refusals(node)) > 2, "asked again and again")
            assert errands.answer_to(errand) is None and not paired(kit, node)
            node.pressed = True
            wait_until(lambda: errands.answer_to(errand), "an answer")
            wait_until(lambda: live(kit, node), "live")
        assert [(one["how"], one["by"]) for one in actions(kit)] == [("label", "uid 7")]


def test_without_a_label_or_a_port_only_a_node_on_a_cable_is_meant(kit):
    """Over TCP anybody may say that he is a node: with --yes nobody compares his fingerprint."""
    with FakeNode(Tcp(), rate=2) as node:
        config = written(kit, node.pipe.name)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: kit.status["unpaired"], "it is shown")
            told = typed("pair", "--config", config, "--yes", "--wait", "1")
            assert told.exit_code == 1 and "is on a cable" in told.output, told.output
            assert f"{node.identity.id.hex()} on {node.pipe.name}: give its --label" in told.output
    assert not paired(kit, node) and actions(kit) == []


def test_a_label_pairs_nobody_else(kit, node):
    digits = node.identity.fingerprint.hex()[:32]
    with Running(kit.config(node.pipe.name)) as running:
        config = running.agent.config
        mistyped = digits[:21] + ("0" if digits[21] != "0" else "1") + digits[22:]
        wait_until(lambda: kit.status["unpaired"], "it is shown")
        answer = answered(config, Label(mistyped), seconds=0.2)
        assert not answer["good"] and "look at the label again, group 6" in answer["text"], answer
        other = answered(config, Label(identity(9).fingerprint.hex()), seconds=0.2)
        assert not other["good"] and f"{node.identity.id.hex()} on " in other["text"], other
        unpressed = answered(config, label_of(node), seconds=2)
        assert not unpressed["good"] and "nobody holds its button" in unpressed["text"], unpressed
        errands = Errands(config.errands)
        for data in (b"", cbor.dumps({"uid": 1, "how": LABEL, "label": digits[:16]}), cbor.dumps([1])):
            errand = errands.put(CLAIM, b"", 1 << 42, data=data)
            assert not wait_until(lambda e=errand: errands.answer_to(e), "an answer")["good"]
    assert not paired(kit, node) and actions(kit) == []


class Between(FakeNode):
    """Somebody on the line who passes everything on, but for the answers to pair requests."""

    def __enter__(self) -> "Between":
        super().__enter__()
        return self

    def _pair(self, event: ev.PairAsked) -> None:
        me = self.other if self.own else self.identity
        button = event.button and not self.silent
        message = pair_message(event.ed_pub, event.x_pub, *me.public(), event.nonce, None, button)
        signature = crypto.run(crypto.ed25519_sign_steps(me.ed_seed, me.ed_pub, message))
        reply = messages.pair_reply(1, *self.shown.public(), event.nonce, signature)
        self.session._control.append(reply)

    def plays(self, own: bool, shown: Identity | None = None, silent: bool = False) -> None:
        """Sign with its own keys; show those of `shown`; leave the button out of what is signed."""
        self.other = identity(77)
        self.own, self.silent = own, silent
        self.shown = shown or (self.other if own else self.identity)


@pytest.mark.parametrize("trick", ["own keys", "own signature", "no button"])
def test_somebody_in_the_middle_is_found_out(kit, trick):
    with Between(Pty(), rate=2) as node:
        node.plays(trick != "no button", node.identity if trick == "own signature" else None, True)
        if trick == "own keys":
            node.silent = False
        with Running(kit.config(node.pipe.name)) as running:
            answer = answered(running.agent.config, label_of(node))
            assert not answer["good"], answer
            said = "another node answered" if trick == "own keys" else "somebody is on the line"
            assert said in answer["text"]
            wait_until(lambda: kit.status["rejected"].get("bad_pairing"), "it is counted")
        assert Peers(kit.folder / "peers.json").ids() == [] and actions(kit) == []


def test_a_node_of_a_kit_file_is_paired_when_it_comes_and_its_entry_goes_with_it(kit, node):
    expected = Expected(kit.folder / "expected.json")
    stranger = PublicKeys(*identity(5).public())
    expected.add([KitNode(keys_of(node), "esp32_s3_kit"), KitNode(stranger)])
    with Running(kit.config(node.pipe.name)) as running:
        wait_until(lambda: live(kit, node), "live")
        wait_until(lambda: list(expected.all()) == [stranger.id], "its entry is gone")
        node.agents = []
        node.reset()
        # Un-paired it is nobody's again, and its button counts.
        errands = Errands(running.agent.config.errands)
        errands.put(UNPAIR, node.identity.id, 1 << 42, force=True)
        wait_until(lambda: not paired(kit, node), "forgotten")
        wait_until(lambda: [one["asked"] for one in kit.status["unpaired"]] == ["button"], "asked")
        assert not paired(kit, node)
    assert [one["how"] for one in actions(kit)] == ["expected"]


def test_an_expected_node_needs_its_button_over_a_radio(kit):
    with FakeNode(Tcp(), rate=2) as node:
        node.radio = True
        Expected(kit.folder / "expected.json").add([KitNode(keys_of(node))])
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(refusals(node)) > 1, "asked, and refused")
            assert not paired(kit, node)
            node.pressed = True
            wait_until(lambda: live(kit, node), "live")


@pytest.mark.parametrize("how", ["expected", "button"])
def test_a_pairing_that_only_the_node_has_is_made_whole(kit, how):
    """The agent was killed, or restored from before: the node has it, and it has not the node."""
    with FakeNode(Pty(), agent=kit.identity, rate=2) as node:
        if how == "expected":
            Expected(kit.folder / "expected.json").add([KitNode(keys_of(node))])
        with Running(kit.config(node.pipe.name)):
            if how == "button":
                wait_until(lambda: refusals(node), "asked, and refused")
                assert not paired(kit, node)
                node.pressed = True
            wait_until(lambda: live(kit, node), "live")
        assert len(actions(kit)) == 1


def test_a_pairing_that_only_the_agent_has_is_made_whole(kit, node):
    kit.pair(node)
    with Running(kit.config(node.pipe.name)):
        wait_until(lambda: refusals(node), "asked, and refused")
        node.pressed = True
        wait_until(lambda: live(kit, node), "live")


def test_a_node_of_another_agent_is_asked_on_a_label_only(kit):
    with FakeNode(Pty(), agent=identity(3), rate=2) as node:
        with Running(kit.config(node.pipe.name)) as running:
            [stranger] = wait_until(lambda: kit.status["unpaired"], "it is shown")
            assert stranger["has_agent"] and stranger["asked"] is None and stranger["fingerprint"] is None
            node.pressed = True
            answer = answered(running.agent.config, label_of(node))
            assert answer["good"], answer
            again = answered(running.agent.config, label_of(node))
            assert again["good"] and "already" in again["text"], again
            wait_until(lambda: live(kit, node), "live")
            # Whoever was paired before, or at the same time, is seen here.
            shown = typed("pair", "list", "--config", written(kit)).output
            assert f"paired with agent {identity(3).id.hex()}, too" in shown, shown
        assert len(node.agents) == 2


def test_a_move_ends_here_once_the_other_agent_has_the_node(kit, tmp_path):
    other = keys.create(tmp_path / "other.key", "agent")
    with FakeNode(Pty(), agent=kit.identity, rate=10) as node:
        kit.pair(node)
        config = written(kit, node.pipe.name)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: live(kit, node), "live")
            moved = typed("move", "--config", config, node.identity.id.hex(), "--to", tmp_path / "other.pub")
            assert moved.exit_code == 0 and other.id.hex() in moved.output, moved.output
            assert f"goes to agent {other.id.hex()}" in typed("pair", "list", "--config", config).output
            wait_until(lambda: node.held < 5, "frames arrive")
            assert node.orders == [] and paired(kit, node)
            node.agents.append(other.public())
            node.session.add_agent(*other.public())
            wait_until(lambda: not paired(kit, node), "parted")
        told = [one for one in kit.ledger.as_dict()["statements"] if one["code"] == "node_unpaired"]
        assert told[0]["detail"]["node_agreed"] and told[0]["detail"]["moved_to"] == other.id.hex()
        assert node.agents == []


def test_a_move_is_taken_back_and_an_agent_is_no_other_one(kit, node):
    kit.pair(node)
    config = written(kit)
    name = node.identity.id.hex()
    assert typed("move", "--config", config, name).exit_code == 2
    own = typed("move", "--config", config, name, "--to", kit.folder / "agent.pub")
    assert own.exit_code == 1 and "this agent's own" in own.output
    keys.create(kit.folder / "other.key", "agent")
    assert typed("move", "--config", config, name, "--to", kit.folder / "other.pub").exit_code == 0
    assert Peers(kit.folder / "peers.json").moving()
    assert typed("move", "--config", config, name, "--cancel").exit_code == 0
    assert not Peers(kit.folder / "peers.json").moving()


def test_a_lost_node_is_forgotten_and_told_so_when_it_comes_back(kit):
    with FakeNode(Pty(), agent=kit.identity, rate=10) as node:
        kit.pair(node)
        config = written(kit, node.pipe.name)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: live(kit, node), "live")
            node.plugged = False
            wiped = typed("wipe", "--config", config, "--yes", node.identity.id.hex())
            assert wiped.exit_code == 0 and "not paired any more" in wiped.output, wiped.output
            assert not paired(kit, node)
            assert f"wiped     {node.identity.id.hex()}" in typed("pair", "list", "--config", config).output
            before = kit.totals()["delivered"] + kit.totals()["pending"]
            node.plugged = True
            node.reset()
            wait_until(lambda: node.orders, "told")
            assert node.orders[0][0] == frames.KIND_UNPAIR and node.agents == []
            node.reset()
            wait_until(lambda: [one["asked"] for one in kit.status["unpaired"]] == ["button"], "nobody's")
        totals = kit.totals()
        assert totals["delivered"] + totals["pending"] == before, "nothing of it is kept"
        codes = [one["code"] for one in kit.ledger.as_dict()["statements"]]
        assert codes[-1] == "wiped_node_heard" and "node_unpaired" in codes
        # Found again: whoever holds its button at the cable has it back.
        node.pressed = True
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: live(kit, node), "live")
        assert Peers(kit.folder / "peers.json").lost() == []


class Thing:
    """Something on a cable that is another node whenever it likes, and signs that its button is held."""

    port, cable = "/dev/ttyUSB9", True

    def __init__(self, folder: Path) -> None:
        self.now_s = 1000.0
        self.nonces: list[bytes] = []
        self.peers = Peers(folder / "peers.json")
        ingest: Any = SimpleNamespace(add=lambda _, done=None: done and done(Outcome.STORED))
        self.hub = Hub(identity(1), self.peers, ingest, {}, {}, lambda: self.now_s)
        errands, expected = Errands(folder / "errands"), Expected(folder / "expected.json")
        self.claims = Claims(self.hub, errands, expected, True, lambda: int(self.now_s * 1000))

    def ask_pairing(self, nonce: bytes, button: bool) -> None:
        assert button
        self.nonces.append(nonce)

    def invite(self) -> None:
        pass

    def is_node(self, number: int) -> bool:
        """Whether it is paired as that one."""
        keys = PublicKeys(*identity(number).public())
        self.nonces.clear()
        stranger = self.hub.announced(ev.Announced(keys.id, *keys, False), self.port, 1)
        self.claims.heard(self, keys.id, stranger)
        self.claims.step([])
        for nonce in self.nonces:
            self.claims.replied(self, ev.PairReply(*keys, nonce, True))
        self.claims.step([])
        return self.peers.lookup(keys.id) is not None


def test_what_signs_that_its_button_is_held_is_not_one_node_after_the_other_without_end(tmp_path):
    thing = Thing(tmp_path)
    paired = [thing.is_node(n) for n in range(2, MOST_BY_BUTTON + 12)]
    assert paired == [True] * MOST_BY_BUTTON + [False] * 10
    thing.now_s += HOUR_MS / 1000
    assert thing.is_node(500)

"""Nodes that nobody has claimed, at a whole agent: whom it asks, on whose word, and what it keeps."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from edge_agent.config import Config
from edge_agent.keys import PublicKeys
from edge_agent.nodes.claims import COMMAND, LABEL
from edge_agent.nodes.errands import CLAIM, Errand, Errands
from edge_agent.nodes.kit import Expected, KitNode
from edge_agent.nodes.pairing_label import Label, qr_text
from edge_agent.nodes.peers import Peers
from protocol import cbor, cobs, messages
from tests.edge_agent.fakes import FakeNode, Pty, identity
from tests.edge_agent.running import Kit, Running, wait_until
from tools import cli


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


def requests(node: FakeNode, agent: Kit) -> list[dict[str, Any]]:
    """Not what was said, but what it led to: the clear messages that the node sent."""
    found = []
    for message in cobs.Decoder().feed(b"".join(node.sent)):
        if messages.sort(message) == messages.SORT_CLEAR:
            found.append(messages.parse_clear(message))
    return [fields for kind, fields in found if kind == messages.MSG_REFUSAL]


def test_by_cable_a_node_is_paired_once_its_button_is_held(kit, node):
    with Running(kit.config(node.pipe.name)):
        wait_until(lambda: len(requests(node, kit)) > 1, "asked, and refused")
        [stranger] = wait_until(lambda: kit.status["unpaired"], "it is shown")
        assert stranger["asked"] == "button" and stranger["fingerprint"] == node.identity.fingerprint.hex()
        assert not paired(kit, node)
        node.pressed = True
        wait_until(lambda: live(kit, node), "live")
        assert kit.status["unpaired"] == [] and kit.status["refused_by_nodes"] == {}
    assert [(one["how"], one["by"], one["on"]) for one in actions(kit)] == [
        ("button", "agent", node.identity.id.hex())
    ]


@pytest.mark.parametrize("why", ["claim", "url"])
def test_nobody_is_asked_where_only_a_command_pairs(kit, node, why):
    config = kit.config(node.pipe.name)
    if why == "claim":
        kit.options["claim"] = "command"
        config = kit.config(node.pipe.name)
    node.pressed = True
    with Running(config) as running:
        if why == "url":
            wait_until(lambda: running.agent.sessions, "a session")
            for session in running.agent.sessions.values():
                session.cable = False
        wait_until(lambda: kit.status["unpaired"], "it is shown")
        if why == "claim":
            time.sleep(0.5)
            assert not paired(kit, node) and kit.status["unpaired"][0]["asked"] is None
            errands, errand = claim(config, Label(node.identity.fingerprint.hex()), COMMAND)
            answer = wait_until(lambda: errands.answer_to(errand), "an answer")
            assert answer["good"], answer
            wait_until(lambda: live(kit, node), "live")

"""The text is enough: node and agent written from it alone say the vectors' connection, byte for byte."""

import ast
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from tests.docs import strangers_agent, strangers_decoder, strangers_node
from tests.docs.strangers_agent import Agent
from tests.docs.strangers_node import Node, stuffed, unstuffed
from tools.vectors.keys import untagged

VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors"
SESSION = json.loads((VECTORS / "session.json").read_text("utf-8"))


@pytest.fixture
def node() -> Node:
    secrets, random = SESSION["secrets"]["node"], SESSION["random"]
    given = (secrets["ed_seed"], secrets["x_sk"], random["boot_id"], random["content_key"])
    return Node(*(bytes.fromhex(one) for one in given))


STRANGERS = {one.__name__ for one in (strangers_node, strangers_agent, strangers_decoder)}
ANYBODYS = {"hashlib", "hmac", "typing", "cbor2", "cryptography"}


def only_strangers(tree: ast.Module) -> None:
    """Assert that a module imports nothing but libraries that anybody has, and other strangers."""
    for one in ast.walk(tree):
        if isinstance(one, ast.Import):
            names = [name.name for name in one.names]
        elif isinstance(one, ast.ImportFrom):
            assert not one.level, ast.unparse(one)
            names = [str(one.module)]
        else:
            continue
        for name in names:
            assert name in STRANGERS or name.split(".")[0] in ANYBODYS, ast.unparse(one)


@pytest.mark.parametrize("module", [strangers_node, strangers_agent, strangers_decoder])
def test_they_have_no_line_of_ours(module: ModuleType) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    only_strangers(tree)


@pytest.mark.parametrize(
    "line",
    [
        "from tests.both.sealing import sealing",
        "from tests.docs import strangers_node, test_examples",
        "from . import strangers_node",
        "from .strangers_node import Node",
        "import tests.docs.strangers_node, protocol.cbor",
        "from tests.docs.strangers_node_of_ours import Node",
    ],
)
def test_the_check_can_fail(line: str) -> None:
    with pytest.raises(AssertionError):
        only_strangers(ast.parse(line))


def test_it_says_the_whole_connection(node: Node) -> None:
    random = SESSION["random"]
    hellos = iter([bytes.fromhex(random["first_hello_nonce"]), bytes.fromhex(random["second_hello_nonce"])])
    asked = b""
    frames = sorted((step for step in SESSION["steps"] if "seq" in step), key=lambda step: step["seq"])
    made = [node.says(one["kind"], one["t_us"], untagged(one["body"])) for one in frames]
    rules: list[str] = []
    for step in SESSION["steps"]:
        wire = bytes.fromhex(step["wire"])
        rules.append(step["rule"])
        if step["rule"] == "hello":
            assert node.hello(next(hellos), 1, [[0, 1]]) == wire
        elif step["rule"] == "pair-request":
            asked = wire
        elif step["rule"] == "pair-reply":
            assert node.paired(asked, bytes.fromhex(random["header_ephemeral"])) == wire
        elif step["rule"] == "welcome":
            node.welcomed(wire)
        elif step["rule"] == "downlink-message":
            assert node.told(wire) == [step["kind"], step["t_us"], untagged(step["body"])]
        elif step["rule"] == "data-message":
            assert made[step["seq"]] == wire
    assert rules.count("hello") == 2 and rules.count("data-message") > 5 and "welcome" in rules


def test_an_agent_says_the_whole_connection() -> None:
    secrets, random = SESSION["secrets"]["agent"], SESSION["random"]
    agent = Agent(bytes.fromhex(secrets["ed_pub"]), bytes.fromhex(secrets["x_sk"]))
    ephemeral = bytes.fromhex(random["downlink_ephemeral"])
    answer = b""
    for step in SESSION["steps"]:
        wire = bytes.fromhex(step["wire"])
        if step["rule"] == "hello":
            answer = agent.hello(wire, ephemeral)
        elif step["rule"] in ("refusal", "welcome"):
            assert answer == wire
        elif step["rule"] == "solicit":
            assert agent.solicit() == wire
        elif step["rule"] == "pair-request":
            assert agent.request(bytes.fromhex(random["pair_nonce"])) == wire
        elif step["rule"] == "pair-reply":
            agent.replied(wire)
        elif step["rule"] == "data-message":
            assert agent.told(wire) == [step["kind"], step["t_us"], untagged(step["body"])]
        elif step["rule"] == "downlink-message":
            assert agent.says(step["kind"], step["t_us"], untagged(step["body"])) == wire
    assert agent.down is not None and agent.down.next > 5


def test_what_was_changed_on_the_way_does_not_open(node: Node) -> None:
    steps = {step["rule"]: bytes.fromhex(step["wire"]) for step in reversed(SESSION["steps"])}
    node.hello(bytes.fromhex(SESSION["random"]["first_hello_nonce"]), 1, [[0, 1]])
    node.paired(steps["pair-request"], bytes.fromhex(SESSION["random"]["header_ephemeral"]))
    node.hello(bytes.fromhex(SESSION["random"]["second_hello_nonce"]), 1, [[0, 1]])
    node.welcomed(steps["welcome"])
    changed = bytearray(steps["downlink-message"])
    changed[-3] ^= 1
    with pytest.raises(InvalidTag):
        node.told(bytes(changed))
    assert node.told(steps["downlink-message"])[0] == 33


@pytest.mark.parametrize("one", json.loads((VECTORS / "cobs.json").read_text("utf-8"))["messages"])
def test_its_framing_is_that_of_the_vectors(one: Any) -> None:
    message, encoded = bytes.fromhex(one["message"]), bytes.fromhex(one["encoded"])
    assert stuffed(message) == encoded and unstuffed(encoded[:-1]) == message


WAVEFORMS = json.loads((VECTORS / "waveform.json").read_text("utf-8"))


@pytest.mark.parametrize("one", WAVEFORMS["blocks"], ids=lambda one: one["name"])
def test_its_decoder_gives_the_samples_of_the_vectors(one: Any) -> None:
    assert strangers_decoder.decode(bytes.fromhex(one["block"]), len(one["samples"])) == one["samples"]


@pytest.mark.parametrize("one", WAVEFORMS["malformed"], ids=lambda one: one["name"])
def test_its_decoder_refuses_what_the_vectors_call_malformed(one: Any) -> None:
    with pytest.raises(strangers_decoder.Refused):
        strangers_decoder.decode(bytes.fromhex(one["block"]), one["n"])

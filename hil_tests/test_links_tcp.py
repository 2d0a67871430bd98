"""A kit on Wi-Fi and a whole agent: given a network by command, found by mDNS, from the cable to the air and
back, over restarts of the agent, without a frame lost.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from boards.virtual.air import AccessPoint
from hil_tests.nodes import Node, RigNode
from hil_tests.rig_file import RigFile
from hil_tests.stack import COMMAND, PATIENCE_S, ROOT, Stack

pytestmark = pytest.mark.usefixtures("own_multicast")

SPEED = 4.0


@pytest.fixture
def network(rig: RigFile) -> AccessPoint:
    """The network around the kit."""
    return AccessPoint(rig.ssid or "Flat 7", rig.password or "correct horse battery")


@pytest.fixture
def home(
    new_node: Callable[..., Node], kit_dir: Path, network: AccessPoint, tmp_path: Path
) -> Iterator[tuple[Node, Stack]]:
    """A kit that is paired over its cable with an agent that listens on TCP, too, and says so by mDNS."""
    node = new_node(kit_dir, speed=SPEED)
    node.start()
    if isinstance(node, RigNode):
        node.air.set([network])
    stack = Stack(tmp_path / "stack", [node.port])
    try:
        stack.start()
        yield node, stack
    finally:
        stack.close()


def listen(stack: Stack, rig: RigFile) -> None:
    """Have the agent listen at a port that nobody else has, from its next start."""
    text = stack.config.read_text().partition("[tcp]")[0]
    where = f"{rig.listen or '127.0.0.1'}:{stack.own_port()}"
    stack.config.write_text(f'{text}[tcp]\nlisten = "{where}"\nmdns = "always"\n')


def again(stack: Stack) -> None:
    assert stack.stop("agent") == 0
    stack.start_agent()


def wifi(stack: Stack, *words: str, password: str = "") -> subprocess.CompletedProcess[str]:
    """What somebody types, and the password that is asked for."""
    return subprocess.run(
        [*COMMAND, "wifi", words[0], "--config", str(stack.config), *words[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        input=password + "\n",
        timeout=PATIENCE_S,
    )


def link(stack: Stack) -> str:
    """Where the node is, as the agent shows it."""
    nodes: list[dict[str, Any]] = stack.status()["nodes"]
    return nodes[0]["link"] or "" if nodes and nodes[0]["live"] else ""


@pytest.mark.bench("power", "cable", has=("wifi",), keys=("wifi.ssid", "wifi.listen"))
def test_given_a_network_by_the_agent_it_moves_to_the_air_and_back(
    home: tuple[Node, Stack], network: AccessPoint, rig: RigFile
) -> None:
    node, stack = home
    stack.wait_until("the node is live", lambda: link(stack) == node.port)
    listen(stack, rig)
    again(stack)
    stack.wait_until("the node is live again", lambda: link(stack) == node.port)
    name = stack.status()["nodes"][0]["node"][:8]

    wrong = wifi(stack, "join", name, "--ssid", network.ssid, password="not the password")
    assert wrong.returncode == 1 and "wrong password" in wrong.stderr, wrong
    right = wifi(stack, "join", name, "--ssid", network.ssid, password=network.password)
    assert right.returncode == 0 and f"is in the network {network.ssid}" in right.stdout, right

    def in_the_air() -> bool:
        return link(stack).startswith("tcp ")

    def at_the_cable() -> bool:
        return link(stack) == node.port

    node.unplug()
    stack.wait_until("the node is in the air", in_the_air)
    node.replug()
    stack.wait_until("the node is at the cable", at_the_cable)
    node.unplug()
    stack.wait_until("the node is in the air again", in_the_air)
    # The agent is killed, and comes back at another port.
    listen(stack, rig)
    stack.kill("agent")
    stack.start_agent()
    stack.wait_until("the node has found the agent again", in_the_air)
    told = stack.status()["tcp"]
    assert told["mdns"]["name"].startswith("Vitalwire ") and told["mdns"]["problem"] is None

    node.stop()
    ledger = stack.wait_settled()
    assert ledger["balanced"] and ledger["totals"]["unexplained"] == 0, ledger
    stack.assert_sound()
    everything_but_the_flash(stack, network)


def everything_but_the_flash(stack: Stack, network: AccessPoint) -> None:
    """The password is nowhere in what agent and collector keep, log, state or export."""
    secret = network.password.encode()
    places = [path for path in stack.folder.rglob("*") if path.is_file()]
    assert len(places) > 10
    for path in places:
        data = path.read_bytes()
        assert secret not in data and secret.hex().encode() not in data, path
    shown = stack.command("ledger", "--config", str(stack.config), "--json", ok=False)
    assert network.password not in shown and network.ssid not in shown

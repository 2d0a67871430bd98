"""Whose a node is: by its cable and its button, by its label over TCP, with somebody in between, to another
agent, as a lost one, and over power cuts.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serial

from edge_agent import keys
from edge_agent.cli.pair import listed
from edge_agent.config import load
from edge_agent.custody.audit import ACTION
from edge_agent.nodes.pairing_label import qr_text
from hil_tests.nodes import Node, RigNode
from hil_tests.stack import Stack, StackError
from protocol import cbor, cobs, messages
from protocol.identity import Identity, fingerprint_text


class Home(Stack):
    """An agent alone, that nobody has paired with anything."""

    def begin(self, tcp: bool = False) -> "Home":
        self.folder.mkdir(parents=True, exist_ok=True)
        links = "".join(f'[[links]]\nport = "{port}"\n' for port in self.ports)
        if tcp:
            self.tcp_port = self.own_port()
            links += f'[tcp]\nlisten = "127.0.0.1:{self.tcp_port}"\n'
        self.config.write_text(f'[agent]\nstate_dir = "{self.agent_dir}"\n{links}')
        self.start_agent()
        self.wait_until("the agent runs", lambda: self.status()["state"] == "running")
        return self

    def vitalwire(self, command: str, *words: str) -> str:
        return self.command(command, "--config", str(self.config), *words)

    def how(self) -> list[tuple[str, str]]:
        """How each node was paired, by the agent's chain."""
        told = [one["detail"] for one in self.ledger()["statements"] if one["code"] == ACTION]
        return [(one["how"], one["on"]) for one in told if one["what"] == "pair"]

    def pairs(self) -> dict[str, Any]:
        """As `vitalwire pair list --json` has it; a test polls it too often for a process each."""
        return listed(load(self.config))

    def paired(self, live: bool = True) -> str:
        """The id of its one node, once that is there."""

        def one() -> str:
            found = self.pairs()["paired"]
            return found[0]["node"] if len(found) == 1 and found[0]["live"] in (True, live) else ""

        return self.wait_until("a paired node", one)

    def stranger(self) -> dict[str, Any]:
        """The one node that it hears and is not paired with."""
        return self.wait_until("a node that is nobody's", lambda: self.pairs()["unpaired"])[0]

    def produces(self, more: int = 10) -> None:
        """Wait until so many more frames are on its disk."""
        before = self.stored()
        self.wait_until("frames", lambda: self.stored() >= before + more)

    def stored(self) -> int:
        return self.status()["store"]["frames"]


@pytest.fixture
def make_home(tmp_path: Path) -> Iterator[Callable[..., Home]]:
    homes: list[Home] = []

    def make(*ports: str, tcp: bool = False) -> Home:
        homes.append(Home(tmp_path / f"home{len(homes)}", list(ports)))
        return homes[-1].begin(tcp)

    yield make
    for home in homes:
        home.close()


class Pump:
    """A node's serial port as a TCP connection to an agent; `change` may put another message in the place of
    each one that goes to the node.
    """

    def __init__(self, node: Node, port: int) -> None:
        self.change: Callable[[bytes], bytes] = lambda message: message
        self._serial = serial.Serial(node.port, timeout=0.02)
        self._port = port
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), 5) as pipe:
                    self._carry(pipe)
            except OSError:
                time.sleep(0.1)

    def _carry(self, pipe: socket.socket) -> None:
        pipe.settimeout(0.01)
        decoder = cobs.Decoder()
        while not self._ended.is_set():
            data = self._serial.read(self._serial.in_waiting or 1)
            if data:
                pipe.sendall(data)
            try:
                data = pipe.recv(4096)
            except TimeoutError:
                continue
            if not data:
                return
            for message in decoder.feed(data):
                self._serial.write(b"\0" + cobs.encode(self.change(message)))

    def close(self) -> None:
        self._ended.set()
        self._thread.join(10)
        self._serial.close()


@pytest.mark.bench("button", "power", "cable")
def test_by_cable_and_button_then_to_another_agent_then_lost(make_node, make_home) -> None:
    node: Node = make_node().start()
    home: Home = make_home(node.port)
    stranger = home.stranger()
    own = node.public_keys()
    assert stranger["fingerprint"] == own.fingerprint.hex() and stranger["asked"] == "button"
    assert home.pairs()["paired"] == []
    with node.held():
        assert home.paired() == own.id.hex()
    home.produces()
    assert home.how() == [("button", own.id.hex())]

    # To another agent: nothing changes here until the node is paired there, too.
    other: Home = Home(home.folder.parent / "other", [node.port])
    try:
        there = keys.create(other.agent_dir / "agent.key", "agent").id.hex()
        home.vitalwire("move", own.id.hex(), "--to", str(other.agent_dir / "agent.pub"))
        home.produces()
        assert home.pairs()["paired"][0]["moving"] == there
        assert home.stop("agent") == 0
        assert other.begin().stranger()["has_agent"]
        with node.held():
            said = other.vitalwire("pair", "--label", fingerprint_text(own.fingerprint).upper())
        assert f"paired with node {own.id.hex()}" in said
        other.paired()
        other.produces()
        assert other.stop("agent") == 0
        home.start_agent()
        home.wait_until("it has gone", lambda: home.pairs()["paired"] == [])
        [gone] = [one for one in home.ledger()["statements"] if one["code"] == "node_unpaired"]
        assert gone["detail"]["moved_to"] == there and gone["detail"]["node_agreed"]
        assert home.stop("agent") == 0
        other.start_agent()
        other.paired()
        other.produces()

        # Lost, and found again.
        node.unplug()
        said = other.vitalwire("wipe", "--yes", own.id.hex())
        assert "is not paired any more" in said and other.pairs()["wiped"] == [own.id.hex()]
        node.reset()
        node.replug()
        heard = "wiped_node_heard"
        other.wait_until("it is told", lambda: heard in [one["code"] for one in other.ledger()["statements"]])
        stranger = other.stranger()
        assert stranger["node"] == own.id.hex() and not stranger["has_agent"], "it has forgotten us"
        for one in (home, other):
            ledger = one.ledger()
            assert ledger["balanced"] and ledger["totals"]["unexplained"] == 0, ledger
    finally:
        other.close()


@pytest.mark.bench("button")
def test_by_label_over_tcp_with_somebody_in_between(make_node, make_home) -> None:
    node: Node = make_node().start()
    home: Home = make_home(tcp=True)
    own = node.public_keys()
    code = qr_text(own.fingerprint)
    pump = Pump(node, home.tcp_port)
    try:
        assert home.stranger()["asked"] is None, "over TCP nobody is asked without a label"
        wrong = qr_text(bytes((own.fingerprint[0] ^ 1,)) + own.fingerprint[1:])
        mistyped = refused(home, "pair", "--label", wrong, "--wait", "1")
        assert "no node with that label" in mistyped and "look at the label again, group 1" in mistyped
        assert "is it switched on" in refused(home, "pair", "--label", qr_text(bytes(32)), "--wait", "1")
        assert "nobody holds its button" in refused(home, "pair", "--label", code, "--wait", "3")
        with node.held():
            pump.change = other_agents(keys.create(home.folder / "eve.key", "agent"))
            said = refused(home, "pair", "--label", code)
            assert "somebody is on the line" in said, said
            pump.change = lambda message: message
            # Eve has the node now, which shows; a paired one needs the button, and it is held.
            assert "paired with node" in home.vitalwire("pair", "--label", code)
        home.paired()
        home.produces()
        assert home.how() == [("label", own.id.hex())]
        assert home.ledger()["balanced"]
    finally:
        pump.close()


def refused(home: Home, *words: str) -> str:
    """What a command says that fails."""
    with pytest.raises(StackError) as raised:
        home.vitalwire(*words)
    return str(raised.value)


def other_agents(eve: Identity) -> Callable[[bytes], bytes]:
    """Each pair request becomes one of hers."""

    def change(message: bytes) -> bytes:
        if messages.sort(message) == messages.SORT_CLEAR:
            kind, fields = messages.parse_clear(message)
            if kind == messages.MSG_PAIR_REQUEST:
                return messages.pair_request(1, *eve.public(), fields["nonce"], None, fields["button"])
        return message

    return change


@pytest.mark.bench("button", "power")
def test_power_cuts_and_kills_in_the_middle_leave_it_paired_or_not(make_node, make_home) -> None:
    node: Node = make_node().start()
    home: Home = make_home(node.port)
    own = node.public_keys()
    home.stranger()
    with node.held():
        # The button is watched for 5 s; then come its header, its flash, its signature, our disk.
        for moment_s in (4.9, 5.3):
            time.sleep(moment_s)
            node.power_cycle()
            home.kill("agent")
            home.start_agent()
        assert home.paired() == own.id.hex()
    home.produces()
    assert home.pairs()["paired"][0]["others"] == []
    if isinstance(node, RigNode):
        stored = cbor.loads((node.flash_dir / "state" / "agents").read_bytes()[8:])
        assert stored == [list(keys.load_public(home.agent_dir / "agent.pub"))]
    ledger = home.ledger()
    assert ledger["balanced"] and ledger["totals"]["unexplained"] == 0

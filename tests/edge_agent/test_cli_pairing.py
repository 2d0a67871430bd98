"""`vitalwire pair` at a cable, as a person types it: who is paired, who is refused, and whose the port is."""

import threading
import time
from contextlib import closing

import pytest

from edge_agent.nodes import pairing
from edge_agent.nodes.peers import Peers
from edge_agent.ops import status
from protocol.node_party import PAIR_EVERY_MS
from tests.edge_agent.fakes import FakeNode, Pty, Tcp, identity
from tests.edge_agent.running import PATIENCE_S, Kit, Running, free_port, wait_until
from tests.edge_agent.test_cli import typed, written


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


@pytest.mark.parametrize("pipe", [Pty, Tcp])
def test_pairing_over_the_cable(kit, pipe, monkeypatch):
    # A node that has just answered an agent that it knows lets its next request pass.
    monkeypatch.setattr(pairing, "REPEAT_S", PAIR_EVERY_MS / 1000)
    with FakeNode(pipe()) as node:
        config = written(kit, node.pipe.name)
        asked = typed("pair", "--config", config, "--port", node.pipe.name)
        assert asked.exit_code == 1 and "give --yes" in asked.output, asked.output
        assert f"agent  {kit.identity.id.hex()}" in asked.output and "made now" not in asked.output
        asked = typed("pair", "--config", config, "--port", node.pipe.name, answer="n\n")
        assert asked.exit_code == 1 and not Peers(kit.folder / "peers.json").ids()
        paired = typed("pair", "--config", config, "--port", node.pipe.name, answer="y\n")
        assert paired.exit_code == 0 and "paired with" in paired.output and "fingerprint" in paired.output
        assert Peers(kit.folder / "peers.json").ids() == [node.identity.id]
        again = typed("pair", "--config", config, "--port", node.pipe.name)
        assert again.exit_code == 0 and "already" in again.output
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 10 and node.held < 5, "streaming after pairing")


def test_a_node_of_somebody_else_does_not_pair(kit):
    with FakeNode(Pty(), agent=identity(77)) as node:
        result = typed("pair", "--config", written(kit), "--port", node.pipe.name, "--yes")
    assert result.exit_code == 1 and "paired with another agent" in result.output
    assert not (kit.folder / "peers.json").exists()


def test_pairing_on_a_port_that_is_missing_busy_or_silent(kit, monkeypatch):
    config = written(kit)
    missing = typed("pair", "--config", config, "--port", str(kit.folder / "ttyS9"), "--yes")
    assert missing.exit_code == 1 and "no such port" in missing.output and "plug" in missing.output
    nobody = typed("pair", "--config", config, "--port", f"socket://127.0.0.1:{free_port()}", "--yes")
    assert nobody.exit_code == 1 and "nobody answers" in nobody.output
    monkeypatch.setattr("edge_agent.nodes.pairing.exchange.__defaults__", (0.6, time.monotonic))
    pipe = Pty()
    silent = typed("pair", "--config", config, "--port", pipe.name, "--yes")
    assert silent.exit_code == 1 and "nothing answers" in silent.output
    with Running(kit.config(pipe.name)) as running:
        wait_until(lambda: running.agent.links and running.agent.links[pipe.name].ready, "the port in use")
        busy = typed("pair", "--config", config, "--port", pipe.name, "--no-authorities")
        assert busy.exit_code == 1 and "another program" in busy.output
        nobody = typed("pair", "--config", config, "--port", pipe.name, "--yes", "--wait", "1")
        assert nobody.exit_code == 1 and "no node without an agent" in nobody.output
    pipe.close()


def test_the_port_of_an_agent_that_has_not_reported_yet_is_the_agents(kit, monkeypatch):
    looked = threading.Event()
    read, write = status.read, status.write

    def looks(path):
        try:
            return read(path)
        finally:
            looked.set()

    def reports(*args):
        assert looked.wait(PATIENCE_S), "nobody looks"
        write(*args)

    monkeypatch.setattr(status, "read", looks)
    monkeypatch.setattr(status, "write", reports)
    with closing(Pty()) as pipe, Running(kit.config(pipe.name)):
        nobody = typed("pair", "--config", written(kit), "--port", pipe.name, "--yes", "--wait", "1")
    assert nobody.exit_code == 1 and "no node without an agent" in nobody.output, nobody.output


def test_the_port_that_the_agent_does_not_hold_is_opened(kit):
    with Running(kit.config()), FakeNode(Pty()) as node:
        result = typed("pair", "--config", written(kit), "--port", node.pipe.name, "--yes")
    assert result.exit_code == 0 and "paired with node" in result.output, result.output


def test_a_forged_pairing_answer_is_refused(kit):
    class Liar(FakeNode):
        def _pair(self, event):
            from protocol import messages

            keys = self.identity.public()
            self.session._control.append(messages.pair_reply(1, *keys, event.nonce, bytes(64)))

    with Liar(Pty()) as node:
        result = typed("pair", "--config", written(kit), "--port", node.pipe.name, "--yes")
    assert result.exit_code == 1 and "not signed" in result.output


def test_a_node_whose_key_agrees_with_nobody_is_refused(kit):
    class Weak(FakeNode):
        def _pair(self, event):
            from protocol import crypto, messages
            from protocol.identity import pair_message

            own = self.identity
            keys = (own.ed_pub, bytes(32))
            message = pair_message(event.ed_pub, event.x_pub, *keys, event.nonce)
            signed = crypto.run(crypto.ed25519_sign_steps(own.ed_seed, own.ed_pub, message))
            self.session._control.append(messages.pair_reply(1, *keys, event.nonce, signed))

    with Weak(Pty()) as node:
        result = typed("pair", "--config", written(kit), "--port", node.pipe.name, "--yes")
    assert result.exit_code == 1 and "small order" in result.output
    assert not (kit.folder / "peers.json").exists()

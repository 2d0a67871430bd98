"""Commands of a clinic over a broker, through an agent, to a node on the real VM, and what becomes of them.

What moved is judged on the arm itself, by the pump, not by what anybody says.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from binascii import crc32
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from boards.virtual.rig import VirtualNode
from edge_agent import keys
from edge_agent.remote.ordering import new_command
from hil_tests.stack import COMMAND, PATIENCE_S, ROOT, Stack
from protocol import cbor, crypto, receipts, remote, remote_seal
from protocol.errors import BatchError
from protocol.identity import Identity
from protocol.remote import Answer, Command

# The node's time runs so much faster than the agent's, and so does the person's.
SPEED = 8
# A command that nobody has answered for so long was lost.
AGAIN_S = 30.0
PUMP = 2  # in a row of the cuff's history


def believing(node: VirtualNode, authority: Identity) -> None:
    """Put the authority on the flash of a node that is off, as its kit would have (firmware/authorise.py)."""
    payload = cbor.dumps([list(authority.public())])
    folder = node.flash_dir / "state"
    folder.mkdir(parents=True)
    (folder / "authorities").write_bytes(b"VWR1" + crc32(payload).to_bytes(4, "big") + payload)


class Clinic:
    """An authority's end of the broker."""

    def __init__(self, stack: Stack, key: Path) -> None:
        self.stack = stack
        self.key = key
        self.authority = keys.load(key)
        self.agent = keys.load_public(stack.agent_dir / "agent.pub")
        self.node = bytes.fromhex(stack.status()["nodes"][0]["node"])
        self.heard: list[bytes] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = lambda client, data, message: self.heard.append(bytes(message.payload))
        self._client.on_connect = self._connected
        listening = threading.Event()
        self._client.on_subscribe = lambda *_: listening.set()
        self._client.connect("127.0.0.1", stack.broker_port)
        self._client.loop_start()
        assert listening.wait(PATIENCE_S)

    def _connected(self, client: paho.Client, *_: object) -> None:
        client.subscribe(f"{self._topic}/answer", qos=1)

    @property
    def _topic(self) -> str:
        return f"vitalwire/1/{self.agent.id.hex()}"

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def command(self, operation: str, **more: Any) -> Command:
        now_ms = time.time_ns() // 1_000_000
        made = new_command(self.authority, self.agent.id, self.node, operation, None, now_ms)
        return replace(made, **more)

    def say(self, command: Command, signer: Identity | None = None) -> "Answer | str":
        """The next answer to it, or the cause of the hint that names it."""
        signed = remote.make_command(signer or self.authority, command)
        message = remote_seal.seal_command(signed, self.agent.id, self.agent.x_pub)
        since, said_s = len(self.heard), -AGAIN_S

        def answered() -> "Answer | str | None":
            nonlocal said_s
            for one in self.heard[since:]:
                found = self._answer(one, message, command)
                if found is not None:
                    return found
            # What is said twice is answered twice, and the second answer may be taken for the next one's.
            if time.monotonic() - said_s >= AGAIN_S:
                said_s = time.monotonic()
                self._client.publish(f"{self._topic}/command", message, qos=1)
            return None

        return self.stack.wait_until("an answer", answered)

    def _answer(self, heard: bytes, message: bytes, command: Command) -> "Answer | str | None":
        """What was heard, if it is about that."""
        with contextlib.suppress(BatchError):
            hint = receipts.parse_refusal(heard)
            return hint.code if hint.refused == crypto.sha256(message) else None
        answer = remote.open_answer(remote_seal.unseal_answer(heard, self.authority), self.agent.ed_pub)
        return answer if answer.command_id == command.command_id else None

    def cause(self, command: Command, signer: Identity | None = None) -> str:
        """Why it was refused."""
        said = self.say(command, signer)
        return said if isinstance(said, str) else said.cause

    def ordering(self, *words: str) -> "subprocess.Popen[str]":
        """`vitalwire collector order …`, which runs until its command has an end."""
        whom = ["--agent", self.agent.id.hex(), "--node", self.node.hex()]
        state = ["--state", str(self.stack.collector_dir)]
        broker = ["--broker", f"mqtt://127.0.0.1:{self.stack.broker_port}", "--authority", str(self.key)]
        return subprocess.Popen(
            [*COMMAND, "collector", "order", *state, *whom, *broker, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=dict(os.environ, PYTHONUNBUFFERED="1"),
        )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Its exit status and what it said."""
    said, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, said


@pytest.fixture
def node(make_node: Any, tmp_path: Path) -> VirtualNode:
    """A node with a cuff that believes the authority of `clinic.key`."""
    authority = keys.create(tmp_path / "clinic.key", "authority")
    made: VirtualNode = make_node(speed=SPEED, bp_mmhg=(128.0, 82.0))
    believing(made, authority)
    return made.start()


@pytest.fixture
def clinic(node: VirtualNode, make_stack: Any, tmp_path: Path) -> Iterator[Clinic]:
    """Its agent carries out some of what that authority orders."""
    stack: Stack = make_stack(node)
    config = ["--config", str(stack.config)]
    may = [word for name in ("bp", "identify", "strip") for word in ("--may", name)]
    # The running agent records it; before that has begun, the command would be an agent itself.
    stack.wait_until("a live node", lambda: any(one["clock"] for one in stack.status()["nodes"]))
    stack.command("authority", "add", *config, str(tmp_path / "clinic.pub"), *may)
    made = Clinic(stack, tmp_path / "clinic.key")
    yield made
    made.close()


def moved(node: VirtualNode) -> bool:
    return any(row[PUMP] for row in node.bench.cuff_history(0))


def test_what_is_right_is_done_and_what_is_not_is_refused_by_name(clinic: Clinic, node: VirtualNode) -> None:
    status, said = ended(clinic.ordering("identify"))
    assert status == 0 and said.rstrip().endswith("done"), said
    status, said = ended(clinic.ordering("strip", "--channel", "ecg", "--seconds", "2"))
    assert status == 0 and "done" in said and "in frame" in said, said

    stranger = keys.create(clinic.key.with_name("stranger.key"), "authority")
    assert clinic.cause(clinic.command("identify"), stranger) == "bad_signature"
    assert clinic.cause(clinic.command("identify", authority=stranger.id), stranger) == "unknown_authority"
    assert clinic.cause(clinic.command("restart")) == "not_authorised"
    assert clinic.cause(clinic.command("bp", agent_id=bytes(8))) == "wrong_agent"
    assert clinic.cause(clinic.command("bp", node_id=bytes(8))) == "unknown_node"
    past = clinic.command("bp")
    old = replace(past, made_ms=past.made_ms - 300_000, expires_ms=past.made_ms - 200_000)
    assert clinic.cause(old) == "expired"

    command = clinic.command("bp")
    offered = clinic.say(command)
    assert isinstance(offered, Answer) and offered.offer is not None, offered
    boot = (int.from_bytes(offered.offer.boot_id[:4], "big") + 1).to_bytes(4, "big")
    other_boot = replace(offered.offer, boot_id=boot + offered.offer.boot_id[4:])
    assert clinic.cause(remote.sign_order(clinic.authority, command, other_boot)) == "wrong_boot"
    forged = clinic.command("bp")
    offered = clinic.say(forged)
    assert isinstance(offered, Answer) and offered.offer is not None, offered
    assert clinic.cause(remote.sign_order(stranger, forged, offered.offer)) == "bad_order_signature"
    # The id of what was refused, for something else.
    assert clinic.cause(replace(forged, operation="identify")) == "replayed"
    assert not moved(node)
    node.stop()
    clinic.stack.wait_settled()
    clinic.stack.assert_sound()


def test_a_measurement_waits_for_the_button_and_outlives_the_agent(clinic: Clinic, node: VirtualNode) -> None:
    nobody = clinic.ordering("bp", "--cuff", "medium")
    status, said = ended(nobody)
    assert status == 1 and "(consent)" in said and not moved(node), said

    asked = clinic.ordering("bp", "--cuff", "medium")
    assert asked.stdout is not None
    lines: list[str] = []
    while not any("begun" in line for line in lines):
        lines.append(asked.stdout.readline())
        assert lines[-1], lines
    clinic.stack.kill("agent")
    node.press()
    clinic.stack.wait_until("the pump", lambda: moved(node))
    clinic.stack.start_agent()
    status, said = ended(asked)
    assert status == 0 and "done: measured; in frame" in said, said
    node.stop()
    clinic.stack.wait_settled()
    clinic.stack.assert_sound()
    log = (clinic.stack.folder / "agent.log").read_text()
    assert log.count(": bp of node") == 2, "each was received once"
    sys.stdout.write(said)

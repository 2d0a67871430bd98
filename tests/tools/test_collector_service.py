"""The collector as a process, at a real broker."""

import json
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from click.testing import CliRunner
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent import keys
from protocol import batch, frames, receipts
from tools.collector.commands import command
from tools.collector.service import Broker, BrokerError
from tools.demo.broker import LOOPBACK
from tools.demo.processes import Child, ChildError

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_700_000_000_000
# For whatever a test waits for. Normally that takes a moment; on a busy machine it takes as long as it takes.
PATIENCE_S = 60.0


class Agent:
    """An agent's end of the wire: sends batches, keeps the answers."""

    def __init__(self, folder: Path, collector: keys.PublicKeys, port: int):
        self.identity = keys.create(folder / "agent.key", "agent")
        self.collector = collector
        self.topic = f"vitalwire/1/{self.identity.id.hex()}"
        self.answers: queue.Queue[bytes] = queue.Queue()
        self.number, self.previous = 0, batch.FIRST_PREVIOUS
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = lambda _c, _d, message: self.answers.put(bytes(message.payload))
        self._client.on_connect = lambda client, *_: client.subscribe(f"{self.topic}/receipt", qos=1)
        listening = threading.Event()
        self._client.on_subscribe = lambda *_: listening.set()
        self._client.connect(LOOPBACK, port, keepalive=20)
        self._client.loop_start()
        assert listening.wait(PATIENCE_S)

    def make(self) -> bytes:
        plaintext = frames.pack(frames.KIND_VITALS, self.number, {frames.VITALS_FLAGS: 0})
        entries = [batch.frame_entry(bytes(8), bytes(12), self.number, plaintext, NOW)]
        head = batch.make_head(self.identity.id, b"chain--1", self.number, self.previous, entries, NOW)
        self.number, self.previous = self.number + 1, batch.head_hash(head)
        clear = batch.encode_batch(batch.sign_head(self.identity, head), entries)
        return batch.seal_batch(clear, self.identity.id, self.collector.x_pub, self.collector.id)

    def publish(self, what: str, message: bytes) -> None:
        self._client.publish(f"{self.topic}/{what}", message, qos=1).wait_for_publish(PATIENCE_S)

    def receipt(
        self, number: int | None = None, statement: str = receipts.RECEIPT, timeout_s: float = PATIENCE_S
    ) -> receipts.Receipt:
        """The next one for that number: a broker may bring a batch again, and with it an older answer."""
        while True:
            answer = receipts.verify_receipt(self.answers.get(timeout=timeout_s), self.collector.ed_pub)
            if answer.statement == statement and (statement == receipts.HEAD or answer.number == number):
                return answer

    def deliver(self, message: bytes, number: int) -> None:
        """Have a receipt for a batch that was published, and publish it again while there is none."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                self.receipt(number, timeout_s=5)
            except queue.Empty:
                self.publish("batch", message)
            else:
                return
        pytest.fail(f"no receipt for number {number}")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Site:
    """Broker and collector; `start()` and `kill()` the latter."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.state = folder / "collector"
        self.broker = Child("broker", ["broker"], folder / "broker.log", ready="listening on ")
        self.port = int(self.broker.said.rpartition(":")[2])
        identity = keys.create(self.state / "collector.key", "collector")
        self.agent = Agent(folder, keys.PublicKeys(*identity.public()), self.port)
        self.start()

    def start(self) -> None:
        url = f"mqtt://{LOOPBACK}:{self.port}"
        arguments = ["collector", "run", "--state", str(self.state), "--broker", url]
        self.collector = Child("collector", arguments, self.folder / "collector.log")

    def status(self) -> dict:
        return json.loads((self.state / "status.json").read_text())

    def wait(self, fact):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.collector.check()
            if (self.state / "status.json").exists() and fact(self.status()):
                return
            time.sleep(0.1)
        pytest.fail(f"not within {PATIENCE_S} s: {self.status()}")

    def trust(self) -> None:
        arguments = ["trust", "--state", str(self.state), str(self.folder / "agent.pub")]
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code == 0, result.output

    def close(self) -> None:
        self.agent.close()
        self.collector.stop()
        self.broker.stop()


@pytest.fixture
def site(tmp_path):
    pytest.importorskip("iotcore", reason="no embedded broker here")
    site = Site(tmp_path)
    yield site
    site.close()


def test_from_refusal_to_receipt_through_a_kill(site):
    agent = site.agent
    site.wait(lambda s: s["connected"])
    first = agent.make()
    agent.publish("batch", first)
    refusal = receipts.parse_refusal(agent.answers.get(timeout=PATIENCE_S))
    assert refusal.code == "unknown_agent"
    site.wait(lambda s: s["refused"] == {"unknown_agent": 1})

    # Trusted while it runs: no restart.
    site.trust()
    agent.publish("batch", first)
    receipt = agent.receipt(0)
    assert (receipt.stored, receipt.duplicates) == (1, 0)

    # What arrives while the collector is dead waits at the broker, or is sent again by the agent.
    site.collector.kill()
    second = agent.make()
    agent.publish("batch", second)
    site.start()
    agent.deliver(second, 1)
    agent.publish("batch", second)
    assert agent.receipt(1).head_hash == agent.previous

    second_collector = ["run", "--state", str(site.state), "--broker", "mqtt://127.0.0.1:9"]
    refused = CliRunner().invoke(command, second_collector)
    assert refused.exit_code == 1
    assert f"another collector (pid {site.collector.pid})" in refused.output

    agent.publish("ask", receipts.make_ask(agent.identity.id, b"a nonce."))
    head = agent.receipt(statement=receipts.HEAD)
    assert (head.number, head.nonce) == (1, b"a nonce.")

    assert site.collector.stop() == 0
    status = site.status()
    assert (status["state"], status["batches"], status["frames"]) == ("stopped", 2, 2)
    assert status["batches_again"] >= 1
    assert status["linkage"] == {"linked": 2, "waiting": 0, "broken": 0}
    verified = CliRunner().invoke(command, ["verify", "--state", str(site.state), "--json"])
    assert verified.exit_code == 0, verified.output
    assert json.loads(verified.output)["frames"] == 2


def test_a_damaged_store_is_set_aside_at_the_start_and_said(site):
    agent = site.agent
    site.wait(lambda s: s["connected"])
    site.trust()
    first = agent.make()
    agent.publish("batch", first)
    agent.receipt(0)
    assert site.collector.stop() == 0
    store = site.state / "collector.sqlite3"
    pages = bytearray(store.read_bytes())
    pages[4096:] = bytes(len(pages) - 4096)
    store.write_bytes(pages)
    site.start()
    site.wait(lambda s: s["state"] == "running" and s["connected"] and s["batches"] == 0)
    (alarm,) = site.status()["alarms"]
    assert alarm["code"] == "store_set_aside"
    assert "collector.sqlite3.corrupt-1" in alarm["detail"]
    assert (site.state / "collector.sqlite3.corrupt-1").read_bytes() == bytes(pages)
    assert "the store collector.sqlite3 was damaged" in site.collector.log.read_text()
    agent.publish("ask", receipts.make_ask(agent.identity.id, b"a nonce."))
    assert agent.receipt(statement=receipts.HEAD).chain_id is None
    agent.publish("batch", first)
    agent.receipt(0)


def test_a_store_damaged_under_it_ends_it_with_a_sentence(tmp_path, monkeypatch):
    def run(_service):
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr("tools.collector.service.Service.run", run)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    result = CliRunner().invoke(command, ["run", "--state", str(tmp_path)])
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert result.exit_code == 1
    assert "malformed" in result.output
    assert "at its next start it sets this one aside" in result.output


def test_a_dead_broker_is_waited_for(tmp_path):
    arguments = ["collector", "run", "--state", str(tmp_path), "--broker", "mqtt://127.0.0.1:9"]
    collector = Child("collector", arguments, tmp_path / "collector.log")
    try:
        deadline = time.monotonic() + PATIENCE_S
        status = {}
        while not status.get("broker_problem") and time.monotonic() < deadline:
            collector.check()
            path = tmp_path / "status.json"
            if path.exists():
                status = json.loads(path.read_text())
            time.sleep(0.1)
        assert not status["connected"] and status["broker_problem"].startswith("cannot connect: ")
        assert "refused" in status["broker_problem"]
    finally:
        assert collector.stop() == 0


def test_a_child_that_ends_says_why(tmp_path):
    with pytest.raises(ChildError) as caught:
        Child("collector", ["collector", "no-such-thing"], tmp_path / "log", ready="never")
    assert caught.value.status == 2
    assert "No such command" in caught.value.tail


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "mqtt://h:notaport", "mqtt://user:pw@h", "nonsense"])
def test_a_strange_broker_address_is_refused(url):
    with pytest.raises(BrokerError) as caught:
        Broker.of_url(url, None, None, None)
    assert caught.value.url == url


def test_broker_addresses():
    assert Broker.of_url("mqtt://h", None, None, None) == Broker("h", 1883)
    assert Broker.of_url("mqtts://h:1234", "u", None, None) == Broker("h", 1234, True, "u")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--broker", "nonsense"], "expected mqtt://host"),
        (["run", "--broker", "mqtt://h", "--username", "u", "--password-file", "/nowhere"], "password file"),
        (["trust", "/nowhere/agent.pub"], "there is no such file"),
        (["verify"], "no collector has run with the state folder"),
        (["completeness"], "no collector has run with the state folder"),
        (["completeness", "--database", "/nowhere/a.db"], "there is no such store"),
        (["keys rotate"], "vitalwire collector run"),
        (["status"], "has the collector run there?"),
        (["samples", "--node", "xyzt"], "16 hex digits, or the first of them (4 at least)"),
        (["samples", "--node", "118"], "16 hex digits, or the first of them (4 at least)"),
        (["samples", "--node", "1189"], "no collector has run with the state folder"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(tmp_path, arguments, words):
    result = CliRunner().invoke(
        command, [*arguments[0].split(), "--state", str(tmp_path / "new"), *arguments[1:]]
    )
    assert result.exit_code != 0
    assert words in result.output
    assert "Traceback" not in result.output


def test_ctrl_c_ends_it_in_order(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tools.cli",
            "collector",
            "run",
            "--state",
            str(tmp_path),
            "--broker",
            "mqtt://127.0.0.1:9",
        ],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr:
        assert "0 agents known" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "stopped"

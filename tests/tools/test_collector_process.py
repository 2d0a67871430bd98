"""The collector as a process between a real Mosquitto with client certificates and a real PostgreSQL."""

import json
import os
import ssl
import threading
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent import keys
from protocol import batch, receipts
from tests.tools.collector_rig import AGENT, frame
from tools.collector.store import Store
from tools.demo.broker import LOOPBACK
from tools.demo.processes import Child

PATIENCE_S = 60.0


def wait(fact, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)


class Site:
    """Agent, broker, collector; the collector's state in `state`."""

    def __init__(self, folder, broker, authority, database: str):
        self.state, self.log = folder / "state", folder / "log"
        self.identity = keys.create(self.state / "collector.key", "collector")
        agent = keys.PublicKeys(*AGENT.public())
        keys.write_public(self.state / "agents" / "agent.pub", "agent", agent)
        certificate, key = authority.client("collector")
        options = ["--ca-file", authority.ca_file, "--cert-file", certificate, "--cert-key-file", key]
        arguments = [
            "collector",
            "run",
            "--state",
            self.state,
            "--broker",
            broker.url,
            "--database",
            database,
        ]
        self.collector = Child("collector", [str(one) for one in (*arguments, *options)], self.log)
        self.receipts: dict[int, bytes] = {}
        self._number, self._previous = 0, batch.FIRST_PREVIOUS
        self._client = self._connect(broker, authority)

    def _connect(self, broker, authority) -> mqtt.Client:
        context = ssl.create_default_context(cafile=str(authority.ca_file))
        context.load_cert_chain(*authority.client("agent"))
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.tls_set_context(context)
        listening = threading.Event()
        client.on_connect = lambda c, *_: c.subscribe(f"vitalwire/1/{AGENT.id.hex()}/receipt", qos=1)
        client.on_subscribe = lambda *_: listening.set()
        client.on_message = self._on_message
        client.connect(LOOPBACK, broker.port)
        client.loop_start()
        assert listening.wait(PATIENCE_S)
        return client

    def _on_message(self, _client, _data, message) -> None:
        receipt = receipts.verify_receipt(bytes(message.payload), self.identity.ed_pub)
        self.receipts[receipt.number] = bytes(message.payload)

    def send(self) -> int:
        number = self._number
        entries = [frame(number)]
        head = batch.make_head(AGENT.id, b"chain--1", number, self._previous, entries, 0)
        clear = batch.encode_batch(batch.sign_head(AGENT, head), entries)
        sealed = batch.seal_batch(clear, AGENT.id, self.identity.x_pub, self.identity.id)
        self._client.publish(f"vitalwire/1/{AGENT.id.hex()}/batch", sealed, qos=1)
        self._number, self._previous = number + 1, batch.head_hash(head)
        return number

    def status(self) -> dict:
        self.collector.check()
        try:
            return json.loads((self.state / "status.json").read_text())
        except FileNotFoundError:
            return {"connected": False, "store_problem": ""}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self.collector.stop()


@pytest.fixture
def site(tmp_path, mosquitto, authority, postgres):
    broker = mosquitto(authority=authority, persistence=True)
    site = Site(tmp_path, broker, authority, postgres)
    yield site
    site.close()


def test_while_the_database_is_away_nothing_is_promised(site, postgres, postgres_server):
    wait(lambda: site.status()["connected"], "connected")
    first = site.send()
    wait(lambda: first in site.receipts, "a receipt")
    postgres_server.kill()
    waiting = [site.send() for _ in range(5)]
    wait(lambda: site.status()["store_problem"], "it says that the database is away")
    assert not set(waiting) & site.receipts.keys()
    postgres_server.start()
    # Nothing is sent again: the broker had no acknowledgement, or the collector has the messages.
    wait(lambda: set(waiting) <= site.receipts.keys(), "receipts for what waited")
    wait(lambda: site.status().get("batches") == 6, "it has counted them")
    facts = site.status()
    assert (facts["frames"], facts["linkage"]["linked"], facts["store_problem"]) == (6, 6, "")
    assert facts["store"] == postgres
    store = Store(postgres, read_only=True)
    assert store.db.execute("SELECT count(*) FROM frames").fetchone() == (6,)
    store.close()


def test_a_database_that_is_away_at_the_start_is_waited_for(tmp_path, postgres, postgres_server):
    postgres_server.kill()
    log = tmp_path / "log"
    arguments = ["collector", "run", "--state", str(tmp_path / "state"), "--broker", "mqtt://127.0.0.1:9"]
    collector = Child("collector", [*arguments, "--database", postgres], log)
    try:
        wait(lambda: "trying again until it works" in log.read_text(), "it says so")
        postgres_server.start()
        wait(lambda: "0 agents known" in log.read_text(), "it goes on")
    finally:
        if not postgres_server.running:
            postgres_server.start()
        assert collector.stop() == 0
    assert os.environ.get("PGPASSWORD") is None or os.environ["PGPASSWORD"] not in log.read_text()


def test_a_certificate_that_cannot_be_read_is_said(tmp_path):
    log = tmp_path / "log"
    arguments = ["collector", "run", "--state", str(tmp_path / "state"), "--broker", "mqtts://127.0.0.1:9"]
    collector = Child("collector", [*arguments, "--cert-file", str(tmp_path / "none.crt")], log)
    wait(lambda: not collector.running, "it ends")
    assert collector.stop() == 1
    assert "none.crt" in log.read_text() and "Traceback" not in log.read_text()

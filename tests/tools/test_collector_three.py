"""Three collectors on one shared subscription and one database: real Mosquitto, real PostgreSQL, kills."""

import json
import random
import shutil
import threading
import time
from contextlib import closing

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent import keys
from protocol import batch, receipts
from tests.tools.collector_rig import NODE_KEYS, attestation, frame, make_identity, vitals
from tools.collector import status, verify
from tools.collector.store import Store
from tools.demo.broker import LOOPBACK
from tools.demo.processes import Child, tail

PATIENCE_S = 60.0
AGENTS = [make_identity(n) for n in (21, 22)]
BATCHES, EACH = 40, 5
FIRST = 5
"""No collector is killed before so many batches of each agent were sent."""
NOW = 1_700_000_000_000


class Sender:
    """An agent's end: publishes its batches, notes every receipt, sends again what has none."""

    def __init__(self, identity, collector: keys.PublicKeys, collector_id: bytes, port: int):
        self.identity, self.collector = identity, collector
        self.topic = f"vitalwire/1/{identity.id.hex()}"
        self.receipts: dict[int, set[bytes]] = {}
        self.refusals: list[str] = []
        self.messages = self._make(collector_id)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe(f"{self.topic}/receipt", qos=1)
        listening = threading.Event()
        self._client.on_subscribe = lambda *_: listening.set()
        self._client.connect(LOOPBACK, port, keepalive=30)
        self._client.loop_start()
        assert listening.wait(PATIENCE_S)

    def _make(self, collector_id: bytes) -> list[bytes]:
        found, previous = [], batch.FIRST_PREVIOUS
        for number in range(BATCHES):
            first = number * EACH
            entries = [frame(seq) for seq in range(first, first + EACH)]
            if number == 0:
                entries.append(NODE_KEYS)
            if number == BATCHES // 2:
                entries.append(frame(100_000, attestation([vitals(seq) for seq in range(EACH)])))
            head = batch.make_head(self.identity.id, b"chain--1", number, previous, entries, NOW)
            previous = batch.head_hash(head)
            clear = batch.encode_batch(batch.sign_head(self.identity, head), entries)
            found.append(batch.seal_batch(clear, self.identity.id, self.collector.x_pub, collector_id))
        return found

    def _on_message(self, _client, _data, message) -> None:
        if receipts.is_refusal(message.payload):
            self.refusals.append(receipts.parse_refusal(message.payload).code)
            return
        answer = receipts.verify_receipt(bytes(message.payload), self.collector.ed_pub)
        self.receipts.setdefault(answer.number, set()).add(bytes(message.payload))

    def send(self, number: int) -> None:
        self._client.publish(f"{self.topic}/batch", self.messages[number], qos=1)

    @property
    def missing(self) -> list[int]:
        return [number for number in range(BATCHES) if number not in self.receipts]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Collector:
    """One of the three, with a state folder of its own; `start` after `kill` is the same one again."""

    def __init__(self, folder, url: str, address: str):
        self.folder = folder
        self._arguments = ["collector", "run", "--state", str(folder), "--broker", url, "--database", address]
        self.child: Child | None = None
        self.start()

    def start(self) -> None:
        (self.folder / "status.json").unlink(missing_ok=True)
        self.child = Child("collector", self._arguments, self.folder / "log")

    def status(self) -> dict:
        path = self.folder / "status.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def connected(self) -> bool:
        self.child.check()
        return self.status().get("connected", False)


def writers(store: Store) -> int:
    """How many of the collectors have stored something."""
    return len(store.db.execute("SELECT DISTINCT writer FROM counters WHERE name = 'stored'").fetchall())


def wait(fact, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)


def wait_for_writers(postgres: str, count: int) -> None:
    with closing(Store(postgres, read_only=True)) as store:
        wait(lambda: writers(store) == count, "the subscription is shared: each takes some")


@pytest.mark.parametrize("seed", [20261122])
def test_each_frame_once_though_one_is_killed(tmp_path, mosquitto, postgres, seed):
    dice = random.Random(seed)
    broker = mosquitto(persistence=True)
    identity = keys.create(tmp_path / "collector.key", "collector")
    public = keys.PublicKeys(*identity.public())
    folders = [tmp_path / f"state-{n}" for n in range(3)]
    for folder in folders:
        folder.mkdir(mode=0o700)
        shutil.copy2(tmp_path / "collector.key", folder)
        for agent in AGENTS:
            keys.write_public(
                folder / "agents" / f"{agent.id.hex()}.pub", "agent", keys.PublicKeys(*agent.public())
            )
    senders = [Sender(agent, public, identity.id, broker.port) for agent in AGENTS]
    collectors = [Collector(folder, broker.url, postgres) for folder in folders]
    try:
        wait(lambda: all(one.connected for one in collectors), "three collectors connected")
        killed = 0
        kills = {dice.randrange(FIRST, BATCHES - 5) for _ in range(3)}
        order = {sender: dice.sample(range(BATCHES), BATCHES) for sender in senders}
        for n in range(BATCHES):
            for sender in senders:
                sender.send(order[sender][n])
            time.sleep(dice.random() * 0.02)
            if n == FIRST - 1:
                # One that is killed before may come back when the others have done it all.
                wait_for_writers(postgres, len(collectors))
            if n in kills:
                victim = dice.choice(collectors)
                victim.child.kill()
                victim.start()
                killed += 1
        deadline = time.monotonic() + PATIENCE_S
        while left := [(sender, number) for sender in senders for number in sender.missing]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
            for sender, number in left:
                if number in sender.missing:
                    sender.send(number)
        told = [(one.status(), one.child.running, tail(one.child.log)) for one in collectors]
        assert not [(sender.missing, sender.refusals) for sender in senders if sender.missing], told
        assert killed == len(kills)
        wait(lambda: all(one.connected for one in collectors), "the killed are back")
    finally:
        for sender in senders:
            sender.close()
        for one in collectors:
            one.child.stop()
    # One receipt for each batch, byte for byte, whichever collector gave it, and how often.
    assert all(len(given) == 1 for sender in senders for given in sender.receipts.values())
    store = Store(postgres, read_only=True)
    facts = status.summary(store, NOW)
    frames_there = BATCHES * EACH + 1
    assert (facts["batches"], facts["frames"], facts["duplicates"]) == (
        2 * BATCHES,
        frames_there,
        frames_there,
    )
    assert facts["linkage"] == {"linked": 2 * BATCHES, "waiting": 0, "broken": 0}
    assert facts["attestations"] == {"proved": 1, "pending": 0, "failed": 0}
    agents = {agent.id: agent.ed_pub for agent in AGENTS}
    report = verify.verify(store, public.ed_pub, agents.get)
    assert report.sound, (seed, report.problems)
    assert writers(store) == len(collectors)
    store.close()

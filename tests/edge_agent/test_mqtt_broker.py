"""The MQTT outlet at a real Mosquitto: certificates, permissions, limits, versions, kills."""

import asyncio
import os
import shutil
import signal
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_agent.backoff import Backoff
from edge_agent.config import MqttConfig
from edge_agent.forward.mqtt import OVERHEAD, MqttOutlet
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import PATIENCE_S, Broker, Collecting, Kit, Running, free_port, wait_until
from tests.services import Authority

AGENT = bytes.fromhex("1189a7ff7734cef4")
TOPIC = f"vitalwire/1/{AGENT.hex()}"
ACL = (
    "pattern write vitalwire/1/%u/batch\npattern write vitalwire/1/%u/ask\n"
    "pattern write vitalwire/1/%u/answer\n"
    "pattern read vitalwire/1/%u/receipt\npattern read vitalwire/1/%u/command\n"
    "user collector\ntopic read vitalwire/1/+/batch\ntopic read vitalwire/1/+/ask\n"
    "topic write vitalwire/1/+/receipt\n"
)


class Owner:
    def __init__(self) -> None:
        self.greeted = 0
        self.lost = 0
        self.heard: list[bytes] = []

    def connected(self) -> None:
        self.greeted += 1

    def disconnected(self) -> None:
        self.lost += 1

    def received(self, message: bytes) -> None:
        self.heard.append(message)


async def until(fact, what: str):
    async with asyncio.timeout(PATIENCE_S):
        while not (found := fact()):
            await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def outlet(port: int, **options):
    config = MqttConfig("127.0.0.1", port, **options)
    made = MqttOutlet(config, AGENT, Owner(), Backoff(first_s=0.05, max_s=0.2))
    made.start()
    try:
        yield made, made._owner
    finally:
        await made.stop()


class Far:
    """A client at the broker: what it hears on a batch topic, and what it says."""

    def __init__(self, port: int, tls: dict | None = None, version=MQTTProtocolVersion.MQTTv5) -> None:
        self.heard: list[bytes] = []
        self.subscribed = False
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="far", protocol=version)
        if tls:
            self.client.tls_set(**tls)
        self.client.on_connect = lambda client, *_: client.subscribe("vitalwire/1/+/batch", qos=1)
        self.client.on_subscribe = self._subscribed
        self.client.on_message = lambda client, _, message: self.heard.append(message.payload)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect_async("127.0.0.1", port)

    def _subscribed(self, *_) -> None:
        self.subscribed = True

    def __enter__(self):
        self.client.loop_start()
        return self

    def __exit__(self, *_) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def files(ca: Authority, name: str, **more) -> dict:
    certificate, key = ca.client(name, **more)
    return {"tls": True, "ca_file": ca.ca_file, "cert_file": certificate, "cert_key_file": key}


def test_a_client_certificate_lets_in_and_what_is_published_arrives(authority, mosquitto):
    broker = mosquitto(authority)
    certificate, key = authority.client("collector")
    far_tls = {"ca_certs": str(authority.ca_file), "certfile": str(certificate), "keyfile": str(key)}

    async def main() -> None:
        async with outlet(broker.port, **files(authority, AGENT.hex())) as (made, owner):
            with Far(broker.port, far_tls) as far:
                await until(lambda: made.connected and far.subscribed, "both connected")
                made.publish(b"batch")
                await until(lambda: far.heard == [b"batch"], "the batch")
                far.client.publish(f"{TOPIC}/receipt", b"receipt", qos=1)
                await until(lambda: owner.heard == [b"receipt"], "the receipt")
            assert made.status()["certificate_expires"] > datetime.now(UTC).isoformat()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["none", "stranger", "expired", "missing", "other key", "wrong server"])
def test_what_is_wrong_with_a_certificate_is_named_and_mended_while_running(
    tmp_path,
    authority,
    mosquitto,
    how,
):
    """A wrong one is told with what to do; the right one put in its place is taken at the next attempt."""
    broker = mosquitto(authority)
    good = files(authority, AGENT.hex())
    stranger = Authority(tmp_path / "stranger")
    past = datetime.now(UTC) - timedelta(days=1)
    wrong = {
        "none": {"tls": True, "ca_file": authority.ca_file},
        "stranger": {**files(stranger, AGENT.hex()), "ca_file": authority.ca_file},
        "expired": files(authority, AGENT.hex(), not_after=past),
        "missing": {**good, "cert_key_file": tmp_path / "nowhere.key"},
        "other key": {**good, "cert_key_file": authority.client("x")[1]},
        "wrong server": {**good, "ca_file": stranger.ca_file},
    }[how]
    said = {
        "none": "set cert_file",
        "stranger": "get one that it trusts",
        "expired": "renew it",
        "missing": "cert_key_file cannot be used",
        "other key": "is not the key of",
        "wrong server": "ca_file must hold it",
    }[how]
    # The files are renamed into place, as certbot does.
    placed = {key: tmp_path / key if key.endswith("_file") else value for key, value in wrong.items()}
    for key, value in wrong.items():
        if key.endswith("_file") and value.exists():
            shutil.copy(value, placed[key])

    async def main() -> None:
        async with outlet(broker.port, **placed) as (made, owner):
            # Sometimes the broker is gone before its alert is read: that attempt cannot say why.
            await until(lambda: owner.lost >= 2 and said in (made.problem or ""), said)
            assert not made.connected
            if how == "none":
                return
            for key in ("ca_file", "cert_file", "cert_key_file"):
                shutil.copy(good[key], tmp_path / "new")
                (tmp_path / "new").rename(placed[key])
            await until(lambda: made.connected, "connected with the right certificate")
            assert made.problem is None

    asyncio.run(main())


def test_a_rotated_certificate_is_taken_at_the_next_connection(tmp_path, authority, mosquitto):
    """The broker trusts another authority after its restart: the connection comes back by itself."""
    broker = mosquitto(authority)
    placed = files(authority, AGENT.hex())

    async def main() -> None:
        async with outlet(broker.port, **placed) as (made, owner):
            await until(lambda: made.connected, "connected")
            new = Authority(tmp_path / "new")
            server, server_key = new.server()
            broker.stop()
            config = broker._config.read_text()
            lines = {"cafile": new.ca_file, "certfile": server, "keyfile": server_key}
            kept = [line for line in config.splitlines() if line.split(" ")[0] not in lines]
            broker._config.write_text("\n".join([*kept, *(f"{k} {v}" for k, v in lines.items()), ""]))
            broker.start()
            await until(lambda: "ca_file must hold it" in (made.problem or ""), "the reason")
            for key, path in files(new, AGENT.hex()).items():
                if key != "tls":
                    shutil.copy(path, placed[key])
            await until(lambda: made.connected and owner.greeted == 2, "connected again")

    asyncio.run(main())


def test_a_topic_that_is_not_allowed_is_named_and_goes_when_it_is(tmp_path, authority, mosquitto):
    acl = tmp_path / "acl"
    acl.write_text(ACL)
    broker = mosquitto(authority, lines=(f"acl_file {acl}",))
    certificate, key = authority.client("collector")
    far_tls = {"ca_certs": str(authority.ca_file), "certfile": str(certificate), "keyfile": str(key)}

    async def main() -> None:
        async with outlet(broker.port, **files(authority, "another-agent")) as (made, _):
            await until(lambda: made.connected, "connected")
            made.publish(b"batch")
            problem = await until(lambda: made.problem, "the refusal")
            assert "does not let us publish" in problem and "allow it" in problem
            acl.write_text(ACL + f"user another-agent\ntopic write {TOPIC}/batch\n")
            os.kill(broker.pid, signal.SIGHUP)
            made.publish(b"batch")
            await until(
                lambda: made.connected and made.publish(b"again") is None and not made.problem, "allowed"
            )
        async with outlet(broker.port, **files(authority, AGENT.hex())) as (made, owner):
            with Far(broker.port, far_tls) as far:
                await until(lambda: made.connected and far.subscribed, "both connected")
                made.publish(b"batch")
                await until(lambda: b"batch" in far.heard, "what is allowed")
                far.client.publish(f"{TOPIC}/receipt", b"receipt", qos=1)
                await until(lambda: owner.heard, "the receipt")
                assert made.problem is None

    asyncio.run(main())


def test_the_brokers_packet_limit_is_known_and_kept(mosquitto):
    broker = mosquitto(lines=("max_packet_size 20000",))

    async def main() -> None:
        async with outlet(broker.port) as (made, owner):
            with Far(broker.port) as far:
                await until(lambda: made.connected and far.subscribed, "connected")
                assert made.max_message == 20000 - OVERHEAD == made.status()["max_message"]
                made.too_large(7, 30_000)
                assert (
                    "batch 7" in made.problem
                    and "max_packet_size" in made.problem
                    and "30064" in made.problem
                )
                made.publish(bytes(made.max_message))
                await until(lambda: far.heard, "the greatest message goes")
                assert owner.lost == 0
        async with outlet(broker.port, max_packet_bytes=16_384) as (made, _):
            await until(lambda: made.connected, "connected")
            assert made.max_message == 16_384 - OVERHEAD

    asyncio.run(main())


def test_no_more_is_on_its_way_than_the_broker_takes(mosquitto, monkeypatch):
    broker = mosquitto(lines=("max_inflight_messages 3",))
    on_the_way: list[int] = []

    async def main() -> None:
        async with outlet(broker.port) as (made, owner):
            with Far(broker.port) as far:
                await until(lambda: made.connected and far.subscribed, "connected")
                assert made._at_once == 3
                publish = paho.Client.publish

                def counted(client, *arguments, **named):
                    on_the_way.append(made._unacknowledged)
                    return publish(client, *arguments, **named)

                monkeypatch.setattr(paho.Client, "publish", counted)
                for n in range(50):
                    made.publish(b"%d" % n)
                await until(lambda: len(far.heard) == 50, "all of them")
                assert far.heard == [b"%d" % n for n in range(50)]
                await until(lambda: made._unacknowledged == 0, "all acknowledged")
                assert max(on_the_way) == 3 and len(on_the_way) == 50
                assert owner.lost == 0

    asyncio.run(main())


def test_a_broker_of_3_1_1_only(tmp_path):
    """rumqttd on MQTT 3.1.1: Mosquitto 2.0 cannot be kept from speaking 5."""

    async def main() -> None:
        with Broker(tmp_path, "v4") as broker:
            async with outlet(broker.port, max_packet_bytes=30_000) as (made, _):
                await until(lambda: made.connected, "connected")
                assert made.spoken == "3.1.1" and made.max_message == 30_000 - OVERHEAD
                with Far(broker.port, version=MQTTProtocolVersion.MQTTv311) as far:
                    await until(lambda: far.subscribed, "the other side")
                    made.publish(b"batch")
                    await until(lambda: far.heard == [b"batch"], "the batch")

    asyncio.run(main())


def test_commands_come_and_answers_go_where_somebody_wants_them(mosquitto):
    broker = mosquitto()
    commands: list[bytes] = []

    async def main() -> None:
        config = MqttConfig("127.0.0.1", broker.port)
        made = MqttOutlet(config, AGENT, Owner(), Backoff(first_s=0.05, max_s=0.2))
        made.commanded = commands.append
        made.start()
        try:
            with Far(broker.port) as far:
                await until(lambda: made.connected and far.subscribed, "connected")
                far.client.subscribe(f"{TOPIC}/answer", qos=1)
                far.client.publish(f"{TOPIC}/command", b"order", qos=1)
                await until(lambda: commands == [b"order"], "the command")
                made.answer(b"done")
                await until(lambda: far.heard == [b"done"], "the answer")
            assert made._owner.heard == []
        finally:
            await made.stop()

    asyncio.run(main())


def test_a_killed_broker_is_waited_for_and_its_session_resumed(mosquitto):
    """What is said to us while we are away is kept by the broker: a receipt is not lost with a connection."""
    broker = mosquitto(persistence=True)

    async def main() -> None:
        async with outlet(broker.port) as (made, owner):
            await until(lambda: made.connected, "connected")
            broker.kill()
            await until(lambda: not made.connected, "noticed")
            assert made.problem
            broker.start()
            await until(lambda: made.connected and owner.greeted == 2, "connected again")
        with Far(broker.port) as far:
            await until(lambda: far.subscribed, "the other side")
            far.client.publish(f"{TOPIC}/receipt", b"while away", qos=1).wait_for_publish(PATIENCE_S)
        async with outlet(broker.port) as (made, owner):
            await until(lambda: owner.heard == [b"while away"], "what came while we were away")

    asyncio.run(main())


def test_a_broker_that_is_not_there_is_told(tmp_path):
    async def main() -> None:
        async with outlet(free_port()) as (made, owner):
            await until(lambda: owner.lost >= 3, "attempts")
            assert "refused" in made.problem.lower() and made.status()["connected"] is False

    asyncio.run(main())


def test_a_backlog_is_signed_in_batches_that_the_broker_takes(tmp_path, mosquitto):
    """Nothing is signed before the collector was asked, so the limit is known before the first batch."""
    broker = mosquitto(lines=("max_packet_size 20000",))
    broker.stop()
    kit = Kit(tmp_path)
    far = kit.collect(broker.port)
    with FakeNode(Pty(), agent=kit.identity, rate=400) as node:
        kit.pair(node)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 800, "frames")
            node.making = False
            wait_until(lambda: node.held == 0, "every frame acknowledged")
            broker.start()
            with Collecting(far, broker.port) as collecting:
                wait_until(lambda: kit.totals()["delivered"] == len(node.made), "everything delivered")
            said = wait_until(lambda: (m := kit.status["forward"]["mqtt"])["max_message"] and m, "a status")
            assert said["problem"] is None and said["max_message"] == 20000 - OVERHEAD
    sizes = [len(payload) for kind, payload in collecting.messages if kind == "batch"]
    assert max(sizes) <= 20000 and sum(sizes) > 40000

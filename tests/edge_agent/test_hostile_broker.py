"""A real agent at a real Mosquitto where somebody else may publish, too; old orders; wrong certificates."""

import os
import shutil
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from edge_agent.keys import PublicKeys
from edge_agent.remote.authorities import Authorities
from protocol import receipts, remote, remote_seal
from protocol.remote import Command
from tests.edge_agent.fakes import StubCollector, identity
from tests.edge_agent.hostile import Besieged, Publisher
from tests.edge_agent.running import Collecting, wait_until
from tests.edge_agent.test_mqtt_broker import ACL, files

MESSAGES = int(os.environ.get("HOSTILE_MESSAGES", "10000"))
MOST_KB = 40_000
DAY_NS = 24 * 3600 * 10**9


def forwarder(besieged: Besieged) -> dict:
    return besieged.kit.status["forward"]["mqtt"]


def command_for(besieged: Besieged, authority, expires_s: int = 3600) -> bytes:
    agent = besieged.kit.identity
    now_ms = time.time_ns() // 1_000_000
    command = Command(
        agent_id=agent.id,
        node_id=besieged.node.identity.id,
        command_id=os.urandom(8),
        operation=remote.IDENTIFY,
        made_ms=now_ms,
        expires_ms=now_ms + expires_s * 1000,
        authority=authority.id,
    )
    return remote_seal.seal_command(remote.make_command(authority, command), agent.id, agent.x_pub)


def test_ten_thousand_forgeries_of_whoever_may_publish(tmp_path, mosquitto):
    """Receipts, heads, refusals, commands, noise, 100 MB in one message: nothing is freed, nothing moves."""
    broker = mosquitto()
    besieged = Besieged(tmp_path, rate=60)
    agent, stranger = besieged.kit.identity, StubCollector(besieged.kit.identity, 1234)
    far = besieged.kit.collect(broker.port)
    topic = f"vitalwire/1/{agent.id.hex()}"
    with Collecting(far, broker.port), besieged, Publisher(broker.port) as enemy:
        wait_until(lambda: len(far.batches) >= 2, "batches")
        far.deaf = True
        besieged.keeps_serving()
        batch = next(iter(far.batches.values()))
        old = far.receipt(batch)
        forged = [
            *(stranger.receipt(one) for one in list(far.batches.values())[:20]),
            receipts.make_head_statement(stranger.identity, agent.id, None, 0, 0, 1, bytes(16), None),
            receipts.make_head_statement(far.identity, agent.id, None, 0, 0, 1, bytes(16), None),
            receipts.make_refusal(agent.id, "unknown_agent", "x" * 3000),
            old[:-1] + bytes([old[-1] ^ 1]),
            old,
            os.urandom(8000),
            b"",
        ]
        orders = [command_for(besieged, stranger.identity) for _ in range(20)]
        delivered = len(far.frames)
        with besieged.bounded(MOST_KB):
            enemy.say(f"{topic}/receipt", bytes(100_000_000)).wait_for_publish(60)
            enemy.say(f"{topic}/command", bytes(100_000_000)).wait_for_publish(60)
            for n in range(0, MESSAGES, 2):
                enemy.say(f"{topic}/receipt", forged[n // 2 % len(forged)])
                last = enemy.say(f"{topic}/command", orders[n // 2 % len(orders)])
            last.wait_for_publish(60)
            wait_until(lambda: forwarder(besieged)["rejected"].get("bad_signature", 0) > 100, "receipts")
            wait_until(lambda: besieged.rejected("command_rate") > 1000, "commands")
            assert besieged.rejected("command_unknown_authority") > 0
        assert besieged.kit.totals()["delivered"] == delivered == len(far.frames)
        assert besieged.node.orders == []
        far.deaf = False
        # The pauses between repetitions have doubled all the while that nobody answered.
        wait_until(lambda: len(far.frames) > delivered + 50, "what waited is delivered", 200)
        wait_until(lambda: besieged.kit.totals()["delivered"] > delivered, "and told to be")


def test_a_command_that_is_played_again_after_kills_and_clock_steps_of_a_day(tmp_path, mosquitto):
    broker = mosquitto()
    besieged = Besieged(tmp_path, rate=60)
    far, clinic = besieged.kit.collect(broker.port), identity(77)
    Authorities(tmp_path / "authorities").add(PublicKeys(*clinic.public()), ["all"])
    topic = f"vitalwire/1/{besieged.kit.identity.id.hex()}/command"

    def answered() -> dict[str, int]:
        return besieged.kit.status["commands"]["answered"]

    def ready() -> bool:
        now = besieged.kit.status
        here = now["pid"] == besieged.pid and now["forward"]["mqtt"]["connected"]
        return bool(here and now["tcp"]["live"] and now["nodes"][0]["clock"])

    with Collecting(far, broker.port), besieged, Publisher(broker.port) as enemy:
        wait_until(ready, "the node's clock is known")
        message = command_for(besieged, clinic)
        enemy.say(topic, message)
        wait_until(lambda: answered().get(remote.DONE), "it is carried out")
        once = len(besieged.node.orders)
        assert once
        for step_ns in (DAY_NS, -DAY_NS):
            besieged.kill()
            besieged.steering.clock_ns = step_ns
            besieged.start()
            wait_until(ready, "the broker and the node's clock are there again")
            enemy.say(topic, message)
            before = besieged.rejected("command_unknown_authority")
            enemy.say(topic, command_for(besieged, identity(5)))
            wait_until(lambda b=before: besieged.rejected("command_unknown_authority") > b, "both were read")
            besieged.keeps_serving(90)
            assert len(besieged.node.orders) == once


def test_certificates_and_topics_that_are_wrong_stop_no_collecting(tmp_path, authority, mosquitto):
    """Expired, then without a topic: frames are acknowledged all the while, and delivered in the end."""
    acl = tmp_path / "acl"
    acl.write_text("pattern read vitalwire/1/%u/receipt\npattern read vitalwire/1/%u/command\n")
    broker = mosquitto(authority, lines=(f"acl_file {acl}",))
    besieged = Besieged(tmp_path, rate=60)
    name = besieged.kit.identity.id.hex()
    good = files(authority, name)
    placed = {key: tmp_path / f"{key}.pem" for key in ("ca_file", "cert_file", "cert_key_file")}

    def place(which: dict) -> None:
        for key, path in placed.items():
            shutil.copy(which[key], tmp_path / "new")
            (tmp_path / "new").rename(path)

    def problem_says(words: str) -> None:
        wait_until(lambda: words in (forwarder(besieged)["problem"] or ""), words)
        besieged.keeps_serving()

    def allow(rules: str) -> None:
        acl.write_text(rules)
        os.kill(broker.pid, signal.SIGHUP)

    place(files(authority, name, not_after=datetime.now(UTC) - timedelta(days=1)))
    far = besieged.kit.collect(broker.port)
    collecting = Collecting(far, broker.port)
    certificate, key = authority.client("collector")
    collecting.client.tls_set(str(authority.ca_file), str(certificate), str(key))
    besieged.kit.mqtt = replace(besieged.kit.mqtt, tls=True)
    besieged.more = "\n".join(f'{key} = "{path}"' for key, path in placed.items())
    with collecting, besieged:
        problem_says("renew it")
        place(good)
        problem_says("does not let us publish")
        assert not far.frames
        allow(ACL)
        wait_until(lambda: len(far.frames) > 20, "delivered")
        goal = besieged.acknowledged
        wait_until(lambda: besieged.kit.totals()["delivered"] >= goal, "all that waited, too")

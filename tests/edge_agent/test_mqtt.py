"""Delivery through a real MQTT broker (iotcore): both versions, dead brokers, forged answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from edge_agent import keys
from edge_agent.custody.verify import verify
from protocol import batch as wire
from tests.edge_agent.fakes import FakeNode, Pty, StubCollector
from tests.edge_agent.running import Broker, Collecting, Kit, Running, free_port, wait_until


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


@pytest.fixture
def node(kit):
    with FakeNode(Pty(), agent=kit.identity, rate=40, max_bytes=2_000_000) as node:
        kit.pair(node)
        yield node


def delivered(kit, node) -> None:
    """The node stops; everything that it made ends with a receipt and at the collector, once."""
    node.making = False
    wait_until(lambda: node.held == 0, "every frame acknowledged")

    def done() -> bool:
        totals = kit.totals()
        return totals["produced"] == totals["delivered"] == len(node.made)

    try:
        wait_until(done, "everything delivered")
    except AssertionError as e:
        raise AssertionError(
            f"{e}; {kit.totals()}, made {len(node.made)}, {kit.status.get('forward')}"
        ) from None
    assert {(boot, seq): data for (_, boot, seq), data in kit.collector.frames.items()} == node.made
    assert kit.collector.duplicates == 0 and kit.ledger.balanced


def proved(kit) -> None:
    agent = keys.load_public(kit.folder / "agent.pub")
    results = verify(kit.folder / "agent.db", agent, keys.load_public(kit.folder / "collector.pub"))
    assert all(result.good for result in results), results


@pytest.mark.parametrize(("version", "spoken"), [("v5", "5"), ("v4", "3.1.1")])
def test_from_the_node_to_a_verified_receipt(kit, node, tmp_path, version, spoken):
    with Broker(tmp_path, version) as broker:
        far = kit.collect(broker.port)
        protocol = MQTTProtocolVersion.MQTTv5 if version == "v5" else MQTTProtocolVersion.MQTTv311
        with Collecting(far, broker.port, protocol), Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 60, "frames")
            delivered(kit, node)
            forward = wait_until(lambda: (m := kit.status["forward"]["mqtt"])["connected"] and m, "a status")
            assert forward["protocol"] == spoken and forward["problem"] is None
            custody = wait_until(lambda: (c := kit.status["custody"])["receipts"] and c, "receipts")
            assert custody["chains"] == 1 and custody["forks"] == 0
    proved(kit)


def test_a_dead_broker_blocks_nothing_and_is_waited_for(kit, node, tmp_path):
    port = free_port()
    far = kit.collect(port)
    with Running(kit.config(node.pipe.name)):
        wait_until(lambda: len(node.made) > 60 and node.held < 5, "frames stored all the while")
        wait_until(lambda: kit.status.get("forward", {}).get("mqtt", {}).get("problem"), "the problem named")
        assert not kit.status["forward"]["mqtt"]["connected"]
        assert kit.totals()["delivered"] == 0
        with Broker(tmp_path, port=port) as broker, Collecting(far, broker.port):
            delivered(kit, node)
            broker.stop()
            node.making = True
            made = len(node.made)
            wait_until(lambda: len(node.made) > made + 40 and node.held < 5, "frames stored all the while")
            wait_until(
                lambda: kit.status["custody"]["batches"] > len(far.batches), "batches made all the while"
            )
            broker.start()
            delivered(kit, node)
    proved(kit)


def test_a_collector_that_comes_late_and_one_that_forgets_to_answer(kit, node, tmp_path):
    with Broker(tmp_path) as broker:
        far = kit.collect(broker.port)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: kit.status.get("custody", {}).get("asking_collector"), "the question")
            wait_until(lambda: len(node.made) > 40 and node.held < 5, "frames")
            assert kit.status["custody"]["batches"] == 0
            with Collecting(far, broker.port):
                wait_until(lambda: len(far.batches) > 2, "batches")
                far.deaf = True
                wait_until(
                    lambda: kit.status["forward"]["mqtt"]["in_flight"] > 3, "batches without a receipt"
                )
                far.deaf = False
                delivered(kit, node)
                wait_until(lambda: kit.status["forward"]["mqtt"]["resent"] > 0, "repetitions counted")
    proved(kit)


def test_forged_answers_are_counted_and_deliver_nothing(kit, node, tmp_path):
    with Broker(tmp_path) as broker:
        far = kit.collect(broker.port)
        stranger = StubCollector(kit.identity, 1234)
        with Collecting(far, broker.port) as collecting, Running(kit.config(node.pipe.name)):
            wait_until(lambda: far.newest, "batches")
            far.deaf = True
            # The last that came may be on its way into the books; one that comes from now on is not.
            come = len(collecting.messages)

            def unanswered() -> wire.Batch | None:
                for kind, payload in reversed(collecting.messages[come:]):
                    if kind == "batch":
                        _, clear = wire.open_batch(payload, far.identity)
                        batch = wire.parse_batch(clear, kit.identity.ed_pub, kit.identity.id)
                        return None if (batch.chain_id, batch.number) in far.batches else batch
                return None

            batch = wait_until(unanswered, "a batch that has no receipt")
            collecting.say(stranger.receipt(batch))
            collecting.say(b"nonsense")
            wait_until(lambda: len(kit.status["forward"]["mqtt"]["rejected"]) >= 2, "forgeries counted")
            assert kit.status["forward"]["mqtt"]["rejected"]["bad_signature"] == 1
            # What the true collector has answered, and nothing else.
            wait_until(lambda: kit.totals()["delivered"] == len(far.frames), "true receipts taken")
            assert (batch.chain_id, batch.number) not in far.batches
            far.deaf = False
            far.refuse = "maintenance"
            wait_until(lambda: kit.status["forward"]["mqtt"]["last_refusal"], "a refusal shown")
            far.refuse = None


def test_a_killed_agent_goes_on_where_it_was(kit, node, tmp_path):
    with Broker(tmp_path) as broker:
        far = kit.collect(broker.port)
        with Collecting(far, broker.port):
            for _ in range(2):
                seen = len(far.frames)
                with Running(kit.config(node.pipe.name)):
                    wait_until(lambda seen=seen: len(far.frames) > seen + 20, "frames")
            with Running(kit.config(node.pipe.name)):
                delivered(kit, node)
    assert len({chain for chain, _ in far.batches}) == 1
    assert sorted(number for _, number in far.batches) == list(range(len(far.batches)))
    proved(kit)


@contextmanager
def refusing(port: int, answer: bytes) -> Iterator[list[bytes]]:
    """A broker of old: to the first three CONNECTs, which it gives, it says `answer` and hangs up."""
    server = socket.create_server(("127.0.0.1", port))
    heard: list[bytes] = []

    def serve() -> None:
        with server, suppress(OSError):
            for _ in range(3):
                peer, _ = server.accept()
                with peer:
                    heard.append(peer.recv(1000))
                    peer.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield heard
    with suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b""])
def test_a_broker_that_does_not_speak_mqtt_5_is_tried_with_3_1_1(kit, answer):
    port = free_port()
    kit.collect(port)
    with refusing(port, answer) as heard, Running(kit.config()):
        wait_until(lambda: kit.status, "a status")
        # The name of the protocol is followed by its level, 4 for 3.1.1.
        wait_until(lambda: any(b"\x04MQTT\x04" in connect for connect in heard), "the other version")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 40, b"\x20\x01\x00"])
def test_something_that_is_no_broker_is_told_and_tried_again(kit, answer):
    port = free_port()
    kit.collect(port)
    with refusing(port, answer), Running(kit.config()) as running:
        wait_until(lambda: kit.status, "a status")
        wait_until(lambda: running.agent.delivery.channel("mqtt").outlet.attempts >= 3, "more attempts")
        assert wait_until(lambda: kit.status["forward"]["mqtt"]["problem"], "the problem told")


def test_a_broker_that_says_that_another_took_our_place_is_understood(kit):
    """A copied state directory connects as this agent does. Mosquitto 2.0.11 hangs up without a word; others
    say why: DISCONNECT, session taken over.
    """
    port = free_port()
    kit.collect(port)
    with refusing(port, bytes.fromhex("2003000000e0018e")), Running(kit.config()):
        told = wait_until(
            lambda: (m := kit.status.get("forward", {}).get("mqtt", {})).get("taken_over") and m, "it"
        )
        assert "another client took this agent's place" in told["problem"]


@pytest.mark.parametrize("reconnect", [True, False])
def test_a_collector_restored_from_a_backup_gets_again_what_it_had(
    kit, node, tmp_path, monkeypatch, reconnect
):
    """On the next connection to the broker; without one, at the next question in passing."""
    monkeypatch.setattr("edge_agent.forward.channels.ASK_EVERY_S", 3600 if reconnect else 0.5)
    with Broker(tmp_path) as broker:
        far = kit.collect(broker.port)
        with Collecting(far, broker.port), Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 60, "frames")
            delivered(kit, node)
            if reconnect:
                broker.stop()
            far.batches, far.frames, far.newest = {}, {}, None
            if reconnect:
                broker.start()
            wait_until(lambda: len(far.frames) == len(node.made), "everything sent again")
            custody = wait_until(lambda: (c := kit.status["custody"])["sent_again"] and c, "the status")
            assert "sent again" in custody["collector_said"] and custody["chains"] == 1
    assert {(boot, seq): data for (_, boot, seq), data in far.frames.items()} == node.made
    proved(kit)

"""Several collectors on one PostgreSQL database, and one whose database comes and goes."""

import random
import threading
import time

import pytest
from click.testing import CliRunner

from edge_agent.keys import PublicKeys
from protocol import batch, frames, receipts
from tests.tools.collector_rig import (
    AGENT,
    BOOT,
    COLLECTOR,
    NODE,
    NODE_KEYS,
    NOW,
    Chain,
    attestation,
    frame,
    make_identity,
    vitals,
)
from tools.collector import database, status, verify
from tools.collector.commands import command
from tools.collector.intake import Intake
from tools.collector.store import Store, StoreError
from tools.collector.trust import Trust

PATIENCE_S = 120.0
OTHER_AGENT = make_identity(9)


@pytest.fixture
def place(postgres):
    return postgres


EACH = 4


def chains_of(agent, seed: int, batches: int) -> list[tuple[str, bytes]]:
    """An agent's batches: frames of a node that another agent hears too, with its attestation."""
    chain = Chain(agent, b"chain-%02d" % seed)
    messages = []
    for n in range(batches):
        entries = [NODE_KEYS] if n == batches // 2 else []
        entries += [frame(seq) for seq in range(n * EACH, (n + 1) * EACH)]
        if n == 1:
            plaintexts = [vitals(seq) for seq in range(EACH)]
            entries.append(frame(10_000, attestation(plaintexts)))
        messages.append((f"vitalwire/1/{agent.id.hex()}/batch", chain.make(entries)))
    return messages


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_collectors_at_once_store_each_frame_once_and_give_one_receipt(rig, postgres, seed):
    rig.trust.add(PublicKeys(*OTHER_AGENT.public()))
    batches = 12
    messages = chains_of(AGENT, 1, batches) + chains_of(OTHER_AGENT, 2, batches)
    answers: dict[bytes, set[bytes]] = {payload: set() for _, payload in messages}
    failures: list[Exception] = []
    together = threading.Barrier(3)

    def collect(n: int) -> None:
        dice = random.Random(seed * 10 + n)
        mine = dice.sample(messages, len(messages))
        store = Store(postgres, writer=bytes([n]) * 4)
        intake = Intake(store, COLLECTOR, Trust(rig.trust.folder), lambda: NOW + n)
        try:
            together.wait(PATIENCE_S)
            while mine:
                some, mine = mine[: dice.randint(1, 4)], mine[4:]
                for (_, payload), replies in zip(some, intake.handle_all(some), strict=True):
                    answers[payload].add(replies[0].payload)
        except Exception as e:
            failures.append(e)
        finally:
            store.close()

    threads = [threading.Thread(target=collect, args=(n,)) for n in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(PATIENCE_S)
    assert not failures
    # Each took some of the messages only: now the rest.
    for topic, payload in messages:
        (reply,) = rig.intake.handle(topic, payload)
        answers[payload].add(reply.payload)
    assert all(len(given) == 1 for given in answers.values())
    for given in answers.values():
        receipts.verify_receipt(next(iter(given)), COLLECTOR.ed_pub)
    frames_there = batches * EACH + 1
    facts = status.summary(rig.store, NOW)
    assert (facts["batches"], facts["frames"]) == (2 * batches, frames_there)
    assert facts["duplicates"] == frames_there
    assert facts["linkage"] == {"linked": 2 * batches, "waiting": 0, "broken": 0}
    assert facts["attestations"] == {"proved": 1, "pending": 0, "failed": 0}
    assert facts["alarms_total"] == 0
    keys = {AGENT.id: AGENT.ed_pub, OTHER_AGENT.id: OTHER_AGENT.ed_pub}
    report = verify.verify(rig.store, COLLECTOR.ed_pub, keys.get)
    assert report.sound, report.problems


def test_collectors_that_begin_at_once_make_one_set_of_tables(postgres):
    together, failures = threading.Barrier(4), []

    def begin() -> None:
        together.wait(PATIENCE_S)
        try:
            Store(postgres).close()
        except Exception as e:
            failures.append(e)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(PATIENCE_S)
    assert not failures


def test_two_that_get_the_same_batch_at_the_same_moment(rig, postgres):
    """The second waits for the first, and gives its receipt."""
    message = (f"vitalwire/1/{AGENT.id.hex()}/batch", Chain().make([frame(n) for n in range(3)]))
    first, second = Store(postgres, writer=b"1111"), Store(postgres, writer=b"2222")
    answered: list[bytes] = []
    intake = Intake(second, COLLECTOR, rig.trust, lambda: NOW + 77)
    waiting = threading.Thread(target=lambda: answered.append(intake.handle(*message)[0].payload))
    with first.transaction([AGENT.id, NODE.id]):
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(PATIENCE_S)
    assert rig.intake.handle(*message)[0].payload == answered[0]
    assert rig.status["frames"] == 3
    first.close()
    second.close()


def _sent(rig, message) -> bytes:
    """What is answered once the connection is tried again, which is not at once."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return rig.send(message)
        except database.unavailable():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_server_that_is_away_is_told_apart_and_found_again(rig, postgres_server):
    chain = Chain()
    first, second = chain.make([frame(0)]), chain.make([frame(1)])
    receipt = rig.send(first)
    postgres_server.kill()
    for _ in range(2):
        with pytest.raises(database.unavailable()):
            rig.send(second)
    postgres_server.start()
    assert _sent(rig, first) == receipt
    assert rig.receipt(second).stored == 1
    assert rig.verify().sound


def test_a_connection_that_ends_within_a_transaction_leaves_nothing(rig, postgres, monkeypatch):
    message = Chain().make([NODE_KEYS, frame(0)])
    other = Store(postgres)
    with monkeypatch.context() as m:
        m.setattr(
            "tools.collector.linkage.settle",
            lambda *_: other.db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchall(),
        )
        with pytest.raises(database.unavailable()):
            rig.send(message)
    assert rig.receipt(message).stored == 2
    assert rig.verify().sound
    other.close()


def test_a_frozen_collector_holds_the_others_up_only_for_a_while(postgres, monkeypatch):
    monkeypatch.setattr(database, "IDLE_S", 1)
    frozen, other = Store(postgres, writer=b"1111"), Store(postgres, writer=b"2222")
    frozen.db.begin([AGENT.id])
    frozen.count("stored", "frames")
    with other.transaction([AGENT.id]):
        assert other.counters("stored") == {}
    with pytest.raises(database.unavailable()):
        frozen.db.commit()
    frozen.close()
    other.close()


SECRET = "correct-horse"


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://clinic:{SECRET}@127.0.0.1:1/v",
        f"postgresql://127.0.0.1:1/v?password={SECRET}",
        f"postgresql://clinic:{SECRET}@[bad:1/v",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(tmp_path, address):
    result = CliRunner().invoke(command, ["run", "--state", str(tmp_path), "--database", address])
    assert result.exit_code == 1
    assert SECRET not in result.output
    assert "PGPASSWORD" in result.output or "expected postgresql://" in result.output


def test_a_password_from_the_environment_is_used_and_never_shown(postgres, postgres_server, monkeypatch):
    address = postgres.replace("vitalwire@", "locked@")
    with pytest.raises(database.unavailable()) as caught:
        Store(address)
    assert "password" in str(caught.value)
    monkeypatch.setenv("PGPASSWORD", postgres_server.password)
    reader = Store(postgres)
    reader.db.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO locked")
    reader.close()
    store = Store(address)
    assert store.name.startswith("postgresql://locked@127.0.0.1:")
    assert postgres_server.password not in store.name + repr(vars(store.db))
    assert "fsync off" in store.db.warning
    store.close()


def test_a_reader_of_an_empty_database_makes_nothing_in_it(postgres):
    with pytest.raises(StoreError, match="run the collector first"):
        Store(postgres, read_only=True)


def test_text_that_postgres_cannot_hold_is_no_reason_to_lose_a_batch(rig):
    first = Chain()
    rig.receipt(first.make([frame(0)]))
    second = Chain(chain=b"chain--2")
    cited = (first.chain, 0, first.previous)
    strange = frames.pack(frames.KIND_EVENT, 1, {frames.EVENT_CODE: 1, frames.EVENT_PRIORITY: 0, 99: "a\0b"})
    entries = [frame(1, strange), batch.statement_entry("a\0b", {})]
    rig.receipt(second.make(entries, cited=cited, reason="store\0restored"))
    assert rig.store.frame(NODE.id, BOOT, 1) == strange
    assert rig.verify().sound, rig.verify().problems

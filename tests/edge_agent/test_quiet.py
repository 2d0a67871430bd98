"""A command that finds no agent running opens the store itself, quietly: it decides nothing that is the
collector's, or another far end's, to decide.
"""

import asyncio
from contextlib import closing
from dataclasses import replace

import pytest

from edge_agent.cli.people_asking import record_action
from edge_agent.config import Config
from edge_agent.config.values import FhirConfig, MqttConfig
from edge_agent.custody.rotation import Rotation
from edge_agent.keys import PublicKeys, load_or_create, write_public
from edge_agent.nodes.errands import ROTATE, Errands
from edge_agent.nodes.ingest import Worker
from edge_agent.store.database import open_reader
from edge_agent.store.items import Frame, Hello
from edge_agent.store.opening import open_store
from tests.edge_agent.custody_kit import BOOT, NODE, Clock
from tests.edge_agent.fakes import StubCollector

NOBODY_LISTENS = 9
UNSIGNED = "SELECT count(*) FROM journal WHERE id > (SELECT coalesce(max(last_id), 0) FROM batches)"


@pytest.fixture
def config(tmp_path) -> Config:
    """An agent with a collector that cannot be reached."""
    identity = load_or_create(tmp_path / "agent.key", "agent")
    public = tmp_path / "collector.pub"
    write_public(public, "collector", PublicKeys(*StubCollector(identity).identity.public()))
    return Config(
        tmp_path, tmp_path / "agent.key", (), mqtt=MqttConfig("127.0.0.1", NOBODY_LISTENS), collector=public
    )


def asked(config: Config, sql: str) -> int:
    with closing(open_reader(config)) as db:
        return db.execute(sql).fetchone()[0]


def test_nothing_is_signed_before_the_collector_was_asked(config) -> None:
    """A store that was restored does not know which numbers are used: what it signed would be a fork."""
    record_action(config, "look", b"")
    assert asked(config, "SELECT count(*) FROM batches") == 0
    assert asked(config, UNSIGNED) > 0, "the agent signs it when it knows"


def test_without_a_collector_it_is_signed_at_once(config) -> None:
    record_action(replace(config, mqtt=None, collector=None), "look", b"")
    assert asked(config, UNSIGNED) == 0


def signed_and_sent_to_one(config: Config) -> None:
    """A batch of 200 KB, with the collector's receipt and without that of the server."""
    alone = replace(config, mqtt=None, collector=None)
    record_action(alone, "look", b"")
    identity = load_or_create(config.key, "agent")
    with closing(open_store(config.store, identity.id, Clock()())[0]) as store:
        store.commit([Hello(NODE.id, NODE.ed_pub, NODE.x_pub, 1, 1)])
        store.commit([Frame(NODE.id, BOOT, n, bytes(1000), 1_790_000_000_000) for n in range(200)])
    record_action(alone, "look", b"")
    assert asked(config, UNSIGNED) == 0
    with closing(open_store(config.store, identity.id, Clock()())[0]) as store, store.transaction() as db:
        db.execute("INSERT INTO receipts SELECT id, 'mqtt', x'00', 0 FROM batches")


def test_what_a_required_far_end_has_not_is_not_called_delivered(config) -> None:
    signed_and_sent_to_one(config)
    assert asked(config, "SELECT sum(delivered) FROM batches") == 0
    both = replace(config, fhir=FhirConfig("https://127.0.0.1:9/fhir", required=True))
    record_action(both, "look", b"")
    assert asked(config, "SELECT sum(delivered) FROM batches") == 0


class Asking:
    """A custody that does not know yet which numbers are used."""

    def __init__(self) -> None:
        self.asking = True
        self.rotated = 0

    def rotate(self):
        self.rotated += 1
        raise OSError(28, "No space left on device")


def test_a_key_is_not_handed_over_before_the_collector_was_asked(tmp_path) -> None:
    """The hand-over names the last batch that the old key signed."""
    custody, worker, errands = Asking(), Worker(), Errands(tmp_path)
    now = [1000]
    rotation = Rotation(errands, worker, custody, lambda: now[0])  # pyright: ignore[reportArgumentType]

    async def steps() -> None:
        for _ in range(3):
            rotation.step(errands.waiting(now[0]))
            await asyncio.sleep(0.01)

    first = errands.put(ROTATE, b"", 5000)
    asyncio.run(steps())
    assert custody.rotated == 0 and errands.answer_to(first) is None
    now[0] = 6000
    asyncio.run(steps())
    answer = errands.answer_to(first)
    assert answer is not None and not answer["good"] and "the collector has not said" in answer["text"]
    errands.take_back(first)
    custody.asking = False
    errands.put(ROTATE, b"", 9000)
    asyncio.run(steps())
    assert custody.rotated == 1
    worker.close()

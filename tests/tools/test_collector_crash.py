"""A PostgreSQL that ends in mid-transaction, with load behind it: every frame once, no receipt too early."""

from contextlib import closing

import psycopg
import pytest

from tests.tools.test_collector_process import Site, wait
from tools.collector.store import Store

# More than the broker sends ahead, so that some wait there and some in the collector.
LOAD = 40


@pytest.fixture
def site(tmp_path, mosquitto, authority, postgres):
    broker = mosquitto(authority=authority, persistence=True)
    site = Site(tmp_path, broker, authority, postgres)
    yield site
    site.close()


def waits_for_a_lock(db) -> bool:
    """Whether the collector is in a transaction that goes no further."""
    found = db.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vitalwire-collector'"
        " AND wait_event_type = 'Lock' AND xact_start IS NOT NULL"
    ).fetchone()
    return found[0] == 1


@pytest.mark.parametrize("how", ["kill", "stop_at_once"])
def test_a_database_that_ends_in_a_transaction_has_every_frame_once_afterwards(
    site, postgres, postgres_server, how
):
    wait(lambda: site.status()["connected"], "connected")
    first = site.send()
    wait(lambda: first in site.receipts, "a receipt")
    holding, looking = psycopg.connect(postgres), psycopg.connect(postgres, autocommit=True)
    with closing(holding), closing(looking):
        # Somebody's statement is in its way when part of what it stores is written already.
        holding.execute("LOCK TABLE attestations, counters IN ACCESS EXCLUSIVE MODE")
        load = [site.send() for _ in range(LOAD)]
        wait(lambda: waits_for_a_lock(looking), "the collector is in the midst of a transaction")
        assert not set(load) & site.receipts.keys(), "a receipt before the commit"
        getattr(postgres_server, how)()
        try:
            wait(lambda: "takes nothing" in site.log.read_text(), "the log says so")
            wait(lambda: site.status()["store_problem"], "the status says so")
            assert not set(load) & site.receipts.keys()
        finally:
            postgres_server.start()
    wait(lambda: set(load) <= site.receipts.keys(), "receipts for all of it")
    wait(lambda: site.status().get("batches") == 1 + LOAD, "it has counted them")
    facts = site.status()
    assert (facts["frames"], facts["linkage"]["linked"], facts["store_problem"]) == (1 + LOAD, 1 + LOAD, "")
    assert "takes everything again" in site.log.read_text()
    with closing(Store(postgres, read_only=True)) as store:
        frames = store.db.execute("SELECT count(*), count(DISTINCT seq) FROM frames").fetchone()
        receipts = store.db.execute("SELECT number, receipt FROM batches").fetchall()
    assert frames == (1 + LOAD, 1 + LOAD)
    assert dict(receipts) == site.receipts, "what was promised is what is there"

"""The keys that a node keeps: an identity made once, and the few agents it was paired with."""

import sys

from firmware.flash import FlashError
from firmware.keys import KeyStore
from protocol import cbor, crypto
from protocol.identity import node_id as party_id
from protocol.messages import MAX_HEADERS
from tests.both.node_memory import Medium, on, raises


def random(n):
    return bytes(range(n))


def test_an_identity_is_made_once():
    records = on(Medium())
    made = crypto.run(KeyStore(records).identity_steps(random, True))
    again = crypto.run(KeyStore(records).identity_steps(lambda n: b"\xff" * n, True))
    assert again.id == made.id and again.ed_seed == made.ed_seed and again.x_sk == made.x_sk


def test_an_identity_from_a_weak_pool_stays_one():
    """Whatever the pool of a later boot is; the record of an identity of old says nothing of it."""
    for strong in (False, True):
        records = on(Medium())
        for later in (strong, True, False):
            store = KeyStore(records)
            crypto.run(store.identity_steps(random, later))
            assert store.strong == strong
    records.write("identity", cbor.dumps(cbor.loads(records.read("identity"))[:4]))
    store = KeyStore(records)
    crypto.run(store.identity_steps(random, False))
    assert store.strong


def test_an_identity_that_cannot_be_kept_is_not_used():
    medium = Medium()
    store = KeyStore(on(medium))
    medium.broken = True
    raises(FlashError, lambda: crypto.run(store.identity_steps(random, True)))


def test_a_damaged_record_is_set_aside_and_told():
    medium = Medium()
    records = on(medium)
    store = KeyStore(records)
    assert store.add_agent(b"e" * 32, b"x" * 32)
    damaged = medium.files["state/agents"][:-1]
    medium.files["state/agents"] = damaged
    assert store.agents() == []
    assert store.faults == ["agents: damaged"]
    assert medium.files["state/agents.bad"] == damaged


def test_agents_are_few_and_counted_once():
    store = KeyStore(on(Medium()))
    assert store.agents() == []
    for n in range(MAX_HEADERS):
        keys = bytes((n,)) * 32
        assert store.add_agent(keys, keys)
        assert store.add_agent(keys, keys)
    assert not store.add_agent(b"z" * 32, b"z" * 32)
    assert "firmware.pairs" not in sys.modules, "what a node seldom needs goes again"
    assert [ed[0] for ed, _ in store.agents()] == list(range(MAX_HEADERS))


def test_a_record_that_is_damaged_is_not_written_over():
    """What a pairing or an un-pairing cannot read it does not take for empty: the next boot sets it aside."""
    medium = Medium()
    store = KeyStore(on(medium))
    assert store.add_agent(b"e" * 32, b"x" * 32)
    damaged = medium.files["state/agents"][:-1]
    medium.files["state/agents"] = damaged
    raises(FlashError, lambda: store.add_agent(b"n" * 32, b"n" * 32))
    raises(FlashError, lambda: store.remove_agent(party_id(b"e" * 32, b"x" * 32)))
    assert medium.files["state/agents"] == damaged

"""Stores for the benchmark of exports: one person's node in an agent's store and in a collector's.

Three frames a second, as a kit at home sends them: an ECG block, an infrared block and the vitals of each
second, every 64 frames the node's signature over them, a clock fit every minute.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from edge_agent import keys
from edge_agent.custody.custody import Custody
from edge_agent.keys import PublicKeys
from edge_agent.people.operators import Operators
from edge_agent.people.records import People
from edge_agent.store import items
from edge_agent.store.opening import open_store
from protocol import batch, cbor, crypto, frames, records
from protocol.identity import Identity, generate_steps
from tools.bench.agent_frames import BOOTED_US, STREAMS, Sealer, bodies, boot_body
from tools.collector.intake import Intake
from tools.collector.store import Store
from tools.collector.trust import Trust

RATE = 3
COMMIT = 2000
AGENT_BATCH_BYTES = 2048
"""Of the agent: some two seconds, as while the node is live. The collector's have COLLECTOR_BATCH frames."""

COLLECTOR_BATCH = 500
FIT_S = 60
BEGIN_MS = 1_763_769_600_000
BEFORE_MS = 10_000
CHAIN = b"bench--1"
KIND_ATTEST = 8


def identity(n: int) -> Identity:
    """The same in every process."""
    return crypto.run(generate_steps(bytes([n]) * 64))


AGENT, NODE, COLLECTOR, OPERATOR = (identity(n) for n in range(1, 5))
PERSON = b"measured-person1"


class Measured(NamedTuple):
    """A frame, or (`seq` None) a clock fit's entry."""

    seq: int | None
    data: bytes
    received_ms: int


class Home:
    """One boot of the node, frame by frame."""

    def __init__(self) -> None:
        self._sealer = Sealer(NODE, AGENT.id, AGENT.x_pub)
        self.boot = self._sealer.boot

    def frames(self, count: int) -> Iterator[Measured]:
        """So many frames, attestations among them, and the clock fits."""
        made = [[(kind, _of_a_body(body)) for kind, body in stream] for stream in bodies()]
        first = cbor.loads(boot_body(NODE))
        del first[frames.BOOT_INPUT]
        for n in range(count):
            t_us, received_ms = BOOTED_US + n * 1_000_000 // RATE, BEGIN_MS + n * 1000 // RATE
            if n % (FIT_S * RATE) == 0:
                fit = batch.clock_entry(NODE.id, self.boot, t_us, received_ms * 1000, 0, 1500)
                yield Measured(None, fit, received_ms)
            if n == 0:
                kind, body = frames.KIND_BOOT, cbor.dumps(first)
            elif self._sealer.attests:
                kind, body = KIND_ATTEST, self._sealer.attestation()
            else:
                stream = made[n % len(STREAMS)]
                kind, body = stream[n // RATE % len(stream)]
            yield Measured(*self._sealer.plain(kind, t_us, body), received_ms)


def _of_a_body(body: bytes) -> bytes:
    """Without its source: what a model gave is nobody's, and in no person's export."""
    fields = cbor.loads(body)
    return cbor.dumps({key: fields[key] for key in fields if key not in (frames.SOURCE, frames.SOURCE_PPG)})


def _assigned() -> bytes:
    from_ms = BEGIN_MS - BEFORE_MS
    return records.make_assignment(OPERATOR, NODE.id, PERSON, from_ms, from_ms, bytes(8))


def agent_store(folder: Path, count: int) -> None:
    """`folder`/agent.db and `folder`/operators, with so many frames in signed batches."""
    operators = Operators(folder / "operators")
    operators.add("ward", PublicKeys(*OPERATOR.public()))
    home = Home()
    store, _ = open_store(folder / "agent.db", AGENT.id, BEGIN_MS)
    with closing(store):
        # What a cut of the power would do to it is not measured.
        store.db.pragma("synchronous", "off")
        store.commit([items.Hello(NODE.id, *NODE.public(), 1, 1)])
        People(store, operators).put(_assigned(), BEGIN_MS)
        custody = Custody(store, AGENT, None, AGENT_BATCH_BYTES, lambda: BEGIN_MS)
        measured = home.frames(count)
        while group := list(islice(measured, COMMIT)):
            store.commit([_item(home, one) for one in group])
            while custody.make() is not None:
                continue


def _item(home: Home, one: Measured) -> items.Item:
    if one.seq is None:
        return items.Entry(2, one.data, one.received_ms)
    return items.Frame(NODE.id, home.boot, one.seq, one.data, one.received_ms)


def collector_store(folder: Path, count: int) -> None:
    """A collector's state folder with so many frames."""
    Operators(folder / "operators").add("ward", PublicKeys(*OPERATOR.public()))
    keys.write_public(folder / "collector.pub", "collector", PublicKeys(*COLLECTOR.public()))
    trust = Trust(folder / "agents")
    trust.add(PublicKeys(*AGENT.public()))
    home = Home()
    with closing(Store(folder / "collector.sqlite3", writer=os.urandom(4))) as store:
        intake = Intake(store, COLLECTOR, trust)
        topic = f"vitalwire/1/{AGENT.id.hex()}/batch"
        number, previous = 0, batch.FIRST_PREVIOUS
        entries = [batch.identity_entry(NODE.id, *NODE.public()), batch.assignment_entry(_assigned())]
        measured = home.frames(count)
        while group := list(islice(measured, COLLECTOR_BATCH)):
            entries += [_entry(home, one) for one in group]
            head = batch.make_head(AGENT.id, CHAIN, number, previous, entries, BEGIN_MS)
            clear = batch.encode_batch(batch.sign_head(AGENT, head), entries)
            intake.handle(topic, batch.seal_batch(clear, AGENT.id, COLLECTOR.x_pub, COLLECTOR.id))
            number, previous, entries = number + 1, batch.head_hash(head), []


def _entry(home: Home, one: Measured) -> bytes:
    if one.seq is None:
        return one.data
    return batch.frame_entry(NODE.id, home.boot, one.seq, one.data, one.received_ms)

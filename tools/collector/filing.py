"""Do the rows of the store belong together? What was signed proves a batch; this proves that no batch, and
nothing that says where one belongs, was taken away or rewritten around the signatures.
"""

from collections.abc import Iterator

from edge_agent.readable import counted, is_are
from protocol import batch as batches
from protocol.cose import split1
from protocol.errors import ProtocolError
from protocol.identity import node_id
from tools.collector.migrations import filed_under
from tools.collector.store import Store, StoredBatch, as_text

_TABLES = (
    "nodes",
    "chains",
    "batches",
    "frames",
    "statements",
    "repeats",
    "holes",
    "conflicts",
    "attestations",
    "handovers",
)

_COUNTED = {
    "batches": "SELECT count(*) FROM batches",
    "entries": "SELECT CAST(coalesce(sum(entries), 0) AS BIGINT) FROM batches",
    "wire_bytes": "SELECT CAST(coalesce(sum(wire_bytes), 0) AS BIGINT) FROM batches",
    "frames": "SELECT (SELECT count(*) FROM frames) + (SELECT count(*) FROM holes WHERE seq IS NOT NULL)",
    "duplicates": "SELECT count(*) FROM repeats",
    "conflicts": "SELECT count(*) FROM conflicts",
    "attestations": "SELECT count(*) FROM attestations",
}
"""Each counter is changed in the transaction that stores what it counts; what is erased leaves a hole."""


def strange_values(store: Store) -> Iterator[str]:
    """Columns that hold a value of another type than was ever written: nothing can be computed from them.

    PostgreSQL holds each column to its type.
    """
    if store.db.dialect != "sqlite":
        return
    for table in _TABLES:
        for _, column, declared, required, _, key in store.db.execute(
            f"PRAGMA table_info({table})"
        ).fetchall():
            allowed = "" if required or key else " AND value IS NOT NULL"
            (n,) = store.db.execute(
                f"SELECT count(*) FROM (SELECT {column} AS value FROM {table})"
                f" WHERE typeof(value) != ?{allowed}",
                (declared.lower(),),
            ).fetchone()
            if n:
                yield f"table {table}: {counted(n, 'value')} of {column} {is_are(n)} not of type {declared}"


def problems(store: Store) -> Iterator[str]:
    """What is filed wrongly, or is gone."""
    yield from _orphans(store)
    yield from _chains(store)
    yield from _nodes(store)
    counters = store.counters("stored")
    for name, question in _COUNTED.items():
        (n,) = store.db.execute(question).fetchone()
        if n != counters.get(name, 0):
            yield f"{name}: {counters.get(name, 0)} were stored, {n} are here"


def missing(agent: bytes, chain: bytes, numbers: list[int]) -> Iterator[str]:
    """The gaps in a chain of which batches with these ascending numbers are here."""
    expected = 0
    for number in numbers:
        if number > expected:
            which = f"batch {expected}" if number == expected + 1 else f"batches {expected} to {number - 1}"
            are = "is" if number == expected + 1 else "are"
            yield f"{which} of chain {chain.hex()} {are} missing (agent {agent.hex()})"
        expected = number + 1


def _orphans(store: Store) -> Iterator[str]:
    for table in ("frames", "statements", "repeats", "holes", "conflicts"):
        for row, n in store.db.execute(
            f"SELECT batch, count(*) FROM {table} WHERE batch NOT IN (SELECT id FROM batches) GROUP BY batch"
        ).fetchall():
            yield f"{n} {table} are of a batch that is not here (row {row})"


def _chains(store: Store) -> Iterator[str]:
    for agent, chain in store.db.execute(
        "SELECT DISTINCT agent, chain FROM batches EXCEPT SELECT agent, chain FROM chains"
    ).fetchall():
        yield f"chain {chain.hex()} of agent {agent.hex()} has batches, but is not in the list of chains"
    listed = store.db.execute(
        "SELECT agent, chain, newest, batches, cited_chain, cited_number, cited_hash, reason"
        " FROM chains ORDER BY id"
    ).fetchall()
    for agent, chain, newest, n, *origin in listed:
        name = f"chain {chain.hex()} of agent {agent.hex()}"
        highest, stored = store.db.execute(
            "SELECT max(number), count(*) FROM batches WHERE agent = ? AND chain = ?", (agent, chain)
        ).fetchone()
        if not stored:
            yield f"{name} is in the list of chains, but none of its {counted(n, 'batch')} is here"
            continue
        if (newest, n) != (highest, stored):
            yield (
                f"{name} is listed with {counted(n, 'batch')} up to number {newest};"
                f" {stored} up to number {highest} are here"
            )
        signed = _origin(store.batches(agent, chain, 0))
        if signed is not None and origin != signed:
            yield f"{name}: the citation or reason it is listed with is not the one that was signed"


def _origin(first: list[StoredBatch]) -> list[object] | None:
    """What the newest number 0 of a chain cites, and why.

    None when it cannot be read, which is reported of the batch.
    """
    if not first:
        return [None, None, None, None]
    try:
        fields = batches.parse_head(split1(first[-1].signed, "head")[0])
    except ProtocolError:
        return None
    return [*(fields.get(9) or (None, None, None)), as_text(fields.get(10))]


def _nodes(store: Store) -> Iterator[str]:
    """What statements are filed under; the table of nodes against the identities that agents signed for."""
    signed: dict[bytes, tuple[bytes, bytes]] = {}
    for batch, position, entry, kind, node in store.db.stream(
        "SELECT batch, position, entry, kind, node FROM statements"
    ):
        if (kind, node) != filed_under(entry):
            yield f"entry {position} of the batch in row {batch} is filed under another kind or node"
        if filed_under(entry)[0] == batches.ENTRY_IDENTITY:
            fields = batches.parse_entry(entry)
            signed[fields[1]] = (fields[2], fields[3])
    listed = {node: (ed, x) for node, ed, x in store.db.execute("SELECT node, ed25519, x25519 FROM nodes")}
    for node, keys in sorted(listed.items()):
        if node_id(*keys) != node:
            yield f"node {node.hex()}: the keys it is listed with are not its own"
        elif node not in signed:
            yield f"node {node.hex()} is listed, but no agent has introduced it"
    for node in sorted(signed.keys() - listed.keys()):
        yield f"node {node.hex()} was introduced, but is not listed"

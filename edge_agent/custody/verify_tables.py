"""Proving what a store notes beside its entries: every table that says what signed entries say, against them.

Whoever has the store's key could change a table and leave the journal alone. Here each is made again from
what is signed, as far as it is evidence; counters, cursors of what still has to be sent, and moments of this
machine's clock are none (tests/edge_agent/test_tampering.py lists them, with why).
"""

from collections.abc import Mapping
from typing import Any

from edge_agent.custody.tally import Result, Tally
from edge_agent.keys import PublicKeys
from edge_agent.ledger.hearsay import Summary
from edge_agent.ledger.ranges import Ranges
from edge_agent.nodes.views import item_of
from edge_agent.readable import counted, is_are
from edge_agent.store import details
from edge_agent.store.database import Database
from edge_agent.store.rows import JournalRow, SealBroken, class_of, journal_rows
from edge_agent.store.schema import (
    CLASS_KEPT,
    CLASS_STRIP,
    CLASS_WAVE,
    ENTRY_FRAME,
    ENTRY_STATEMENT,
    GONE_ERASED,
    GONE_EVICTED,
    GONE_RETENTION,
)
from protocol import batch as wire
from protocol import cbor, frames, handover, session_events
from protocol.cose import split1
from protocol.errors import ProtocolError
from protocol.records import MANUAL, read_record

FORWARDERS = ("mqtt", "file", "fhir")
_TELLING = tuple(
    bytes((0x83, kind)) for kind in (frames.KIND_BOOT, frames.KIND_LOSS, frames.KIND_LOST_BEFORE)
)
_RECORDS = (wire.ENTRY_ASSIGNMENT, wire.ENTRY_MANUAL, wire.ENTRY_CONSENT, wire.ENTRY_ERASURE)
# A statement of lost frames names so many ranges at most.
MOST_RANGES = 64


def tables(db: Database, agent: PublicKeys, far: Mapping[str, PublicKeys]) -> list[Result]:
    """One sentence on the chain's own tables, one on what was derived from entries, one on what is gone,
    one on people's records, one on what statements keep back.
    """
    return [_of_chains(db, agent, far), _derived(db), gone_data(db), _people(db), _details(db)]


def _of_chains(db: Database, agent: PublicKeys, far: Mapping[str, PublicKeys]) -> Result:
    tally = Tally()
    tally.equal(
        db.value("SELECT value FROM meta WHERE key = 'agent'"), agent.id, "the store is another agent's"
    )
    for node, ed_pub, x_pub in db.execute("SELECT node, ed_pub, x_pub FROM nodes"):
        tally.equal(PublicKeys(ed_pub, x_pub).id, node, f"the keys of node {node.hex()} are not its own")
    known = {
        chain: told
        for chain, *told in db.execute(
            "SELECT chain, cited_chain, cited_number, cited_hash, reason FROM chains"
        )
    }
    announced: set[tuple[bytes, bytes]] = set()
    for chain, number, made_ms, preamble, signed, delivered, batch in db.execute(
        "SELECT chain, number, made_ms, preamble, signed, delivered, id FROM batches ORDER BY id"
    ):
        name = f"batch {number} of chain {chain.hex()}"
        try:
            head = wire.parse_head(split1(signed, "head")[0])
            introduced = [wire.parse_entry(entry)[1] for entry in cbor.loads(preamble)]
        except (ProtocolError, TypeError):
            tally.wrong(f"{name} cannot be read")
            continue
        tally.equal(made_ms, head[8], f"{name} is dated otherwise than it was signed")
        if number == 0:
            told = [*(head.get(9) or [None, None, None]), head.get(10)]
            tally.equal(known.get(chain), told, f"chain {chain.hex()} does not begin as its first batch says")
        announced |= {(chain, node) for node in introduced}
        there = db.value("SELECT count(*) FROM receipts WHERE batch = ?", (batch,))
        if delivered not in (0, 1) or (delivered and not there):
            tally.wrong(f"{name} counts as delivered without a receipt")
    found = set(db.execute("SELECT chain, node FROM announced").fetchall())
    tally.equal(found, announced, "the nodes that chains announced are not those in their batches")
    _signers(db, agent, tally)
    _forwarders(db, tally)
    for chain, number, ours, theirs, evidence, _ in db.execute("SELECT * FROM forks"):
        _fork(db, tally, far, chain, number, ours, theirs, evidence)
    return tally.result(
        f"What is noted of chains, keys and forwarders is what was signed: {tally.checked} notes.",
        "Notes of chains, keys or forwarders are wrong",
    )


def _signers(db: Database, agent: PublicKeys, tally: Tally) -> None:
    rows = db.execute("SELECT ed_pub, handover, journal FROM signers ORDER BY id").fetchall()
    steps = handover.read_chain(
        agent.ed_pub, [record for _, record, _ in rows if record is not None], agent.id
    )
    expected = [agent.ed_pub, *(step.new_pub for step in steps)] if rows else []
    tally.equal([ed_pub for ed_pub, *_ in rows], expected, "the signing keys are not those handed over to")
    if rows:
        tally.equal(rows[0][1:], (None, None), "the first signing key was handed over to")
    stated: set[tuple[int, bytes]] = set()
    for (at,) in db.execute("SELECT id FROM journal WHERE kind = ?", (wire.ENTRY_HANDOVER,)).fetchall():
        for row in journal_rows(db, at, at):
            stated.add((at, wire.parse_entry(row.data or b"")[1]))
    for _, record, journal in rows[1:]:
        if (journal, record) not in stated:
            tally.wrong("a hand-over is not the one in the journal")


def _forwarders(db: Database, tally: Tally) -> None:
    for table, column in (("receipts", "forwarder"), ("cursors", "name"), ("withheld", "forwarder")):
        for (name,) in db.execute(f"SELECT DISTINCT {column} FROM {table}"):
            if name not in FORWARDERS:
                tally.wrong(f"{table} of a forwarder {name!r}, which there is not")
    for name, upto in db.execute("SELECT name, batch FROM cursors").fetchall():
        lacking = db.value(
            "SELECT count(*) FROM batches WHERE id <= ? AND pruned = 0 AND NOT EXISTS "
            "(SELECT 1 FROM receipts WHERE batch = batches.id AND forwarder = ?)",
            (upto, name),
        )
        tally.equal(
            lacking, 0, f"the cursor of {name} is behind {counted(lacking, 'batch')} without a receipt"
        )
        if upto > (db.value("SELECT max(id) FROM batches") or 0):
            tally.wrong(f"the cursor of {name} is behind batches that there are not")
    strange = db.value(
        "SELECT count(*) FROM withheld w LEFT JOIN journal j ON j.id = w.journal WHERE j.id IS NULL"
    )
    tally.equal(strange, 0, f"{counted(strange, 'entry')} {is_are(strange)} withheld that there are not")


def _fork(
    db: Database,
    tally: Tally,
    far: Mapping[str, PublicKeys],
    chain: bytes,
    number: int,
    ours: bytes,
    theirs: bytes,
    evidence: bytes,
) -> None:
    name = f"the fork at batch {number} of chain {chain.hex()}"
    mine = db.value("SELECT hash FROM batches WHERE chain = ? AND number = ?", (chain, number))
    tally.equal(ours, mine or bytes(32), f"{name}: ours is another batch")
    for party in far.values():
        try:
            told = wire.verify_receipt(evidence, party.ed_pub)
        except ProtocolError:
            continue
        named = [(told.chain_id, told.number, told.head_hash), *told.highest]
        tally.equal((chain, number, theirs) in named, True, f"{name}: the evidence says otherwise")
        return
    if far:
        tally.wrong(f"{name}: the evidence is nobody's")


def _derived(db: Database) -> Result:
    """What was taken from boot frames, loss frames and statements into tables, made again from these."""
    tally = Tally()
    boots = {(node, boot): row for row, node, boot in db.execute("SELECT id, node, boot FROM boots")}
    gone = db.value(f"SELECT count(*) FROM journal WHERE kind = {ENTRY_FRAME} AND class = 3 AND gone NOTNULL")
    gone = gone or db.value("SELECT count(*) FROM batches WHERE pruned")
    losses: set[tuple[int, int, int, int]] = set()
    stated: set[tuple[int, int, int, int]] = set()
    summaries: set[tuple[bytes, int, int, int, int]] = set()
    missing: dict[int, Ranges] = {}
    last = db.value("SELECT coalesce(max(id), 0) FROM journal")
    sorts = db.execute("SELECT class FROM journal ORDER BY id")
    for (sort,), row in zip(sorts, journal_rows(db, 0, last), strict=True):
        if row.kind != ENTRY_FRAME:
            _other(row, sort, tally)
        if row.kind == ENTRY_STATEMENT:
            _lost(row, boots, missing)
        elif (
            row.kind == ENTRY_FRAME and row.data is not None and row.node is not None and row.boot is not None
        ):
            expected = class_of(row.data)
            # A wave that somebody asked for is kept as long as a strip.
            if sort != expected and (sort, expected) != (CLASS_STRIP, CLASS_WAVE):
                tally.wrong(f"entry {row.id} is of class {sort}, not {expected}")
            if row.data[:2] in _TELLING:
                _tell(row, boots, losses, stated, summaries)
    for name, columns, made in (
        ("losses", "boot, first, count, reason", losses),
        ("stated", "boot, known_next, clean, bound_s", stated),
        ("summaries", "node, first, last, known, bound_s", summaries),
    ):
        found = set(db.execute(f"SELECT {columns} FROM {name}").fetchall())
        tally.checked += len(found)
        # What a frame said that is gone may still be noted; nothing that a frame here says may be missing.
        if made - found or (found - made and not gone):
            tally.wrong(f"{name} are not what the frames say")
    _agent_losses(db, missing, tally)
    for row, count in db.execute("SELECT id, conflicts FROM boots").fetchall():
        kept = db.value("SELECT count(*) FROM conflicts WHERE boot = ?", (row,))
        if kept > count:
            tally.wrong(f"boot {row} has {kept} conflicts, and counts {count}")
    return tally.result(
        f"What is noted of losses and earlier boots is what entries say: {tally.checked} notes.",
        "Notes are not what entries say",
    )


def _other(row: JournalRow, sort: int, tally: Tally) -> None:
    """An entry that is no frame is kept under its own type, and never evicted."""
    if sort != CLASS_KEPT:
        tally.wrong(f"entry {row.id} is no frame, and of class {sort}")
    if row.data is not None and wire.parse_entry(row.data)[0] != row.kind:
        tally.wrong(f"entry {row.id} is kept as one of type {row.kind}, which it is not")


def _tell(
    row: JournalRow,
    boots: Mapping[tuple[bytes, bytes], int],
    losses: set[tuple[int, int, int, int]],
    stated: set[tuple[int, int, int, int]],
    summaries: set[tuple[bytes, int, int, int, int]],
) -> None:
    assert row.node is not None and row.boot is not None and row.data is not None
    try:
        read = frames.unpack(row.data)
    except ProtocolError:
        return
    event = session_events.FrameIn(row.node, row.boot, row.seq or 0, row.data, read, 0)
    item, _ = item_of(event, row.made_ms)
    losses |= {(boots[row.node, row.boot], *loss) for loss in item.losses}
    losses |= {
        (boots[row.node, boot], first, count, reason) for boot, first, count, reason in item.lost_before
    }
    counter = int.from_bytes(row.boot[:4], "big")
    for said in (*item.earlier, *(() if item.previous is None else (item.previous,))):
        if isinstance(said, Summary):
            if said.last < counter:
                summaries.add((row.node, said.first, said.last, said.known, said.bound_s))
        elif int.from_bytes(said[0][:4], "big") < counter:
            stated.add((boots[row.node, said[0]], said[1], int(said[2]), said[3]))


def _lost(row: JournalRow, boots: Mapping[tuple[bytes, bytes], int], missing: dict[int, Ranges]) -> None:
    _, code, detail = wire.parse_entry(row.data or b"")
    if code != "frames_lost" or "ranges" not in detail:
        return
    ranges = missing.setdefault(boots[detail["node"], detail["boot"]], Ranges())
    for first, count in detail["ranges"]:
        ranges.add(first, count)
    if len(detail["ranges"]) >= MOST_RANGES:
        ranges.add(0, 1 << 32)


def _agent_losses(db: Database, missing: Mapping[int, Ranges], tally: Tally) -> None:
    noted: dict[int, Ranges] = {}
    for row, first, count in db.execute("SELECT boot, first, count FROM agent_losses"):
        noted.setdefault(row, Ranges()).add(first, count)
        tally.checked += 1
    for row in {*noted, *missing}:
        stated, found = missing.get(row, Ranges()), noted.get(row, Ranges())
        if list(found.minus(stated)) or (stated.count < 1 << 32 and list(stated.minus(found))):
            tally.wrong(f"frames lost at the agent, of boot {row}, are not those stated")


def gone_data(db: Database) -> Result:
    """Data that is gone: for a reason, with its hashes, and noted."""
    tally = Tally()
    for (at,) in db.execute(
        "SELECT id FROM journal WHERE (data IS NULL) != (gone NOTNULL) "
        f"OR gone NOT IN ({GONE_RETENTION}, {GONE_EVICTED}, {GONE_ERASED}) "
        "OR (gone IS NULL AND (leaf NOTNULL OR attested NOTNULL)) "
        f"OR (gone NOTNULL AND (leaf IS NULL OR (kind = {ENTRY_FRAME}) != (attested NOTNULL))) LIMIT 9"
    ):
        tally.wrong(f"entry {at} is neither here nor gone")
    causes = f"({GONE_EVICTED}, {GONE_ERASED})"
    counts = dict(
        _grouped(
            db,
            f"SELECT boot, class, gone, count(*) FROM journal WHERE kind = {ENTRY_FRAME} "
            f"AND gone IN {causes} GROUP BY boot, class, gone",
        )
    )
    noted = dict(
        _grouped(
            db,
            f"SELECT boot, class, cause, sum(count) FROM evictions WHERE cause IN {causes} "
            "GROUP BY boot, class, cause",
        )
    )
    pruned = db.value("SELECT count(*) FROM batches WHERE pruned")
    for which in {*counts, *noted}:
        tally.checked += 1
        here, told = counts.get(which, 0), noted.get(which, 0)
        if here > told or (here < told and not pruned):
            boot, sort, cause = which
            tally.wrong(
                f"{counted(here, 'frame')} of boot {boot}, class {sort}, went for reason {cause};"
                f" {told} are noted"
            )
    for first, last, boot, count in db.execute("SELECT first, last, boot, count FROM evictions").fetchall():
        if not 0 <= first <= last or count > last - first + 1:
            tally.wrong(f"{counted(count, 'frame')} of boot {boot} went between {first} and {last}")
    total = db.value("SELECT count(*) FROM journal WHERE gone NOTNULL")
    return tally.result(
        f"Of {counted(total, 'entry')} whose data is gone, the hashes and the reason are kept.",
        "What is gone is not accounted for",
    )


def _grouped(db: Database, sql: str) -> list[tuple[tuple[int, int, int], int]]:
    return [((boot, sort, cause), count) for boot, sort, cause, count in db.execute(sql)]


def _people(db: Database) -> Result:
    """The index of people's records, against the records in the journal."""
    tally = Tally()
    found = {row[0]: row for row in db.execute("SELECT * FROM records").fetchall()}
    kinds = ", ".join(map(str, _RECORDS))
    ids = db.execute(
        f"SELECT id FROM journal WHERE kind IN ({kinds}) AND data NOTNULL ORDER BY id"
    ).fetchall()
    seen: set[bytes] = set()
    for (at,) in ids:
        for row in journal_rows(db, at, at):
            record: bytes = wire.parse_entry(row.data or b"")[1]
            fields: dict[str, Any] = read_record(record)
            key = fields["record_id"]
            if key in seen:
                continue
            seen.add(key)
            names = ("person", "node_id", "forwarder", "purpose", "from_ms", "to_ms", "by", "made_at_ms")
            kept = b"" if fields["record"] == MANUAL else record
            told = (key, fields["record"], *(fields.get(n) for n in (*names, "replaces")), at, kept)
            if key in found:
                tally.equal(found[key], told, f"record {key.hex()} is not what was signed")
    gone = db.value(f"SELECT count(*) FROM journal WHERE kind IN ({kinds}) AND data IS NULL")
    extra = len(set(found) - seen)
    if extra > gone:
        tally.wrong(f"{counted(extra - gone, 'record')} {is_are(extra - gone)} in no entry")
    return tally.result(
        f"The index of people's records is what they signed: {counted(tally.checked, 'record')}.",
        "The index of people's records is wrong",
    )


def _details(db: Database) -> Result:
    """What statements keep back, against the hash that they have of it. What was erased is not here."""
    tally = Tally()
    stated: set[Any] = set()
    for (data,) in db.execute(f"SELECT data FROM journal WHERE kind = {ENTRY_STATEMENT} AND data NOTNULL"):
        told: Mapping[str, Any] = wire.parse_entry(data)[2]
        stated.add(told.get(details.HASH))
    for (name,) in db.execute("SELECT hash FROM details").fetchall():
        tally.equal(name in stated, True, f"details {name.hex()} are of no statement")
        try:
            details.read(db, name)
        except SealBroken as e:
            tally.wrong(f"details {name.hex()}: {e}")
    return tally.result(
        f"What statements keep back is what they have the hash of: {tally.checked} of them.",
        "What statements keep back is not what they have the hash of",
    )

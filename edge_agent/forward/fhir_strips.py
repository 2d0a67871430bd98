"""What the FHIR forwarder reads of strips: waveforms that a command or an alarm had kept (table `strips`).

It has a cursor over them, beside that over batches: a strip is settled when every observation of it has its
2xx or is a dead letter, and what could not go is stated in the chain with the cause. What was withheld for
want of a consent is looked for again when the batches of its frames are. Used in the store's thread.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from edge_agent.custody.custody import Custody
from edge_agent.forward.fhir_gather import NAME, Gatherer
from edge_agent.forward.fhir_map import Batch, Scene
from edge_agent.forward.fhir_shelf import Group, People, Shelf
from edge_agent.forward.fhir_waves import Wave
from edge_agent.store.changes import Changes
from edge_agent.store.database import Database
from edge_agent.store.rows import JournalRow, SealBroken, frames_of, journal_rows
from edge_agent.store.store import Store
from protocol import cbor

CURSOR = "fhir_strips"
FORWARDED = "strip_forwarded"
_STRIP = "SELECT id, node, boot, channel, frames FROM strips WHERE"


class Strip(NamedTuple):
    """A row of `strips`; `frames`: [[first number, count], …] of the boot."""

    id: int
    node: bytes
    boot: bytes
    channel: int
    frames: list[list[int]]


class Looked(NamedTuple):
    """A strip as it may go now: the waves with their subjects, the batches that hold them, and what is left
    out by cause.
    """

    waves: list[tuple[Scene, Wave]]
    group: Group
    left: Counter[str]


def next_strip(store: Store) -> Strip | None:
    """The first strip after the cursor."""
    return next(_strips(store.db, "id > ? ORDER BY id LIMIT 1", (cursor(store),)), None)


def cursor(store: Store) -> int:
    """The id up to which every strip is settled."""
    return store.meta(CURSOR) or 0


def strips_with(store: Store, numbers: dict[tuple[bytes, bytes], list[int]]) -> list[Strip]:
    """Settled strips that have frames of these, by (node, boot)."""
    out: list[Strip] = []
    for which, seqs in numbers.items():
        for strip in _strips(
            store.db, "id <= ? AND node = ? AND boot = ? ORDER BY id", (cursor(store), *which)
        ):
            if any(first <= seq < first + count for first, count in strip.frames for seq in seqs):
                out.append(strip)
    return out


def numbers_of(item: str) -> dict[tuple[bytes, bytes], list[int]]:
    """Of the name of a strip's observation (fhir_map.Scene): where its first frame is, for strips_with."""
    try:
        node, boot, _, first, _ = item.removeprefix("Observation ").split("-")
        return {(bytes.fromhex(node), bytes.fromhex(boot)): [int(first)]}
    except ValueError:
        return {}


def _strips(db: Database, which: str, bindings: tuple[Any, ...]) -> Iterator[Strip]:
    for strip, node, boot, channel, runs in db.execute(f"{_STRIP} {which}", bindings).fetchall():
        yield Strip(strip, node, boot, channel, cbor.loads(runs))


def released(store: Store, custody: Custody, batch: int) -> list[Strip]:
    """Settled strips with frames of that batch which were withheld until now."""
    noted = custody.chain.withheld(NAME, custody.chain.batch(batch))
    rows = [row for one in noted for row in journal_rows(store.db, one, one) if row.data is not None]
    held = custody.left_out(NAME, rows) if rows else set[int]()
    numbers: dict[tuple[bytes, bytes], list[int]] = {}
    for row in rows:
        if row.id not in held and row.node is not None and row.boot is not None and row.seq is not None:
            numbers.setdefault((row.node, row.boot), []).append(row.seq)
    return strips_with(store, numbers)


def look(
    strip: Strip, gatherer: Gatherer, custody: Custody, people: People | None, store: Store
) -> Looked | None:
    """The strip as it may go; None: it has frames that are in no batch yet. `gatherer`: of its own, whose
    `left` is the strip's.
    """
    boot = store.db.value("SELECT id FROM boots WHERE node = ? AND boot = ?", (strip.node, strip.boot))
    wanted = sum(count for _, count in strip.frames)
    rows: list[JournalRow] = []
    left = gatherer.left
    if boot is not None:
        for first, count in strip.frames:
            try:
                rows += frames_of(store.db, boot, first, first + count - 1)
            except SealBroken:
                left["damaged"] += count
                wanted -= count
    group = _group(store.db, [row.id for row in rows])
    if group is None:
        return None
    there = [row for row in rows if row.data is not None]
    held = custody.left_out(NAME, there) if there else set[int]()
    if wanted > len(there):
        left["gone"] += wanted - len(there)
    if held:
        left["withheld"] += len(held)
    found = [(row.seq or 0, row.data or b"") for row in there if row.id not in held]
    waves = gatherer.waves(Shelf(store.db, people), (strip.node, strip.boot), found, strip.channel)
    return Looked(waves, group, left)


def _group(db: Database, rows: list[int]) -> Group | None:
    """The batches that hold these journal rows; None: not all of them are in one yet."""
    ids: list[int] = []
    batches: list[Batch] = []
    upto = 0
    for row in sorted(rows):
        if row <= upto:
            continue
        found = db.execute(
            "SELECT last_id, id, chain, number, signed, made_ms FROM batches WHERE last_id >= ? "
            "ORDER BY last_id LIMIT 1",
            (row,),
        ).fetchone()
        if found is None:
            return None
        upto = found[0]
        ids.append(found[1])
        batches.append(Batch(*found[2:]))
    return Group(ids, batches, True)


def settle(
    strip: Strip, sent: int, left: Counter[str], answers: list[str], now_ms: int, store: Store
) -> None:
    """Move the cursor behind a strip, and state what became of it. `answers`: SHA-256 of each that the server
    gave. StoreUnwritable.
    """
    detail: dict[str, Any] = {"forwarder": NAME, "strip": strip.id, "observations": sent}
    if left:
        detail["left_out"] = dict(left)
    if answers:
        detail["answers"] = [bytes.fromhex(one) for one in answers]
    changes = Changes()
    changes.journal = store.last_journal
    with store.transaction() as db:
        store.set_meta(db, CURSOR, strip.id)
        store.put_statement(db, FORWARDED, detail, now_ms, changes)
    changes.apply(store)

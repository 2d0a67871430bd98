"""What the ledger needs, read from the store and counted in it."""

from collections.abc import Iterable
from typing import Any

from edge_agent.ledger.facts import BootFacts
from edge_agent.ledger.hearsay import Statement, Summary
from edge_agent.ledger.ranges import Ranges
from edge_agent.store.database import Database
from edge_agent.store.schema import ENTRY_FRAME, ENTRY_STATEMENT, GONE_RETENTION
from protocol import cbor


def load_facts(db: Database, whole: bool = False) -> dict[int, BootFacts]:
    """The facts of every boot, by its row: from the newest checkpoint and the frames that came after it.

    `whole`: from every frame that is still in the journal, for who checks the checkpoint. KeyError: a frame
    is of a boot that is not there.
    """
    facts: dict[int, BootFacts] = {}
    for found in db.execute(
        "SELECT id, node, boot, next_seq, held, listed, resent, conflicts, live_ms, examined, stored, "
        "heard_ms, delivered, evicted FROM boots"
    ):
        row, node, boot, next_seq, held, listed, resent, conflicts, live_ms, examined = found[:10]
        stored, heard_ms, delivered, evicted = found[10:]
        facts[row] = BootFacts(
            row=row,
            node=node,
            boot=boot,
            next_seq=next_seq,
            held=Ranges(cbor.loads(held)),
            stored=Ranges() if whole else Ranges(cbor.loads(stored)),
            listed=bool(listed),
            delivered=delivered,
            evicted_here=evicted,
            resent=resent,
            conflicts=conflicts,
            live_ms=live_ms,
            heard_ms=heard_ms,
            examined=examined,
        )
    for row, known_next, clean, bound_s in db.execute(
        "SELECT boot, known_next, clean, bound_s FROM stated ORDER BY id"
    ):
        facts[row].said.append(Statement(known_next, bool(clean), bound_s))
    orphan = db.value(_ORPHAN)
    if orphan is not None:
        raise KeyError(f"boot {orphan}")
    checkpoint = 0 if whole else db.value("SELECT value FROM meta WHERE key = 'checkpoint'") or 0
    for row, seq, made_ms in db.execute(
        f"SELECT boot, seq, made_ms FROM journal WHERE id > ? AND kind = {ENTRY_FRAME} ORDER BY id",
        (checkpoint,),
    ):
        facts[row].stored.add(seq)
        facts[row].heard_ms = made_ms
    for row, first, count, reason in db.execute("SELECT boot, first, count, reason FROM losses"):
        facts[row].lost(first, count, reason)
    for row, first, count in db.execute("SELECT boot, first, count FROM agent_losses"):
        facts[row].agent_losses.add(first, count)
    _load_duplicates(db, facts, whole)
    return facts


# Each boot that frames are of is sought by the index, so this does not read the frames.
_ORPHAN = f"""
WITH RECURSIVE seen(boot) AS (
  SELECT min(boot) FROM journal WHERE kind = {ENTRY_FRAME}
  UNION ALL
  SELECT (SELECT min(boot) FROM journal WHERE kind = {ENTRY_FRAME} AND boot > seen.boot)
  FROM seen WHERE boot IS NOT NULL
)
SELECT boot FROM seen WHERE boot IS NOT NULL AND boot NOT IN (SELECT id FROM boots) LIMIT 1
"""


def load_summaries(db: Database) -> dict[bytes, list[Summary]]:
    """What was said of many boots together, by node."""
    out: dict[bytes, list[Summary]] = {}
    for node, *summary in db.execute("SELECT node, first, last, known, bound_s FROM summaries ORDER BY id"):
        out.setdefault(node, []).append(Summary(*summary))
    return out


def _load_duplicates(db: Database, facts: dict[int, BootFacts], whole: bool) -> None:
    """Set `duplicates` from the batches: which stretches of the journal more than one of them holds.

    Those before the checkpoint were looked at when it was written.
    """
    seen = 0 if whole else db.value("SELECT value FROM meta WHERE key = 'checkpoint_batch'") or 0
    reached = db.value("SELECT coalesce(max(last_id), 0) FROM batches WHERE id <= ?", (seen,))
    for first, last in db.execute("SELECT first_id, last_id FROM batches WHERE id > ? ORDER BY id", (seen,)):
        if first <= reached:
            for row, frames in frames_between(db, first, min(last, reached)):
                facts[row].duplicates += frames
        reached = max(reached, last)


def withheld(db: Database) -> dict[str, int]:
    """By forwarder: entries that it may not have for want of consent. Reads all that is noted of them."""
    return dict(db.execute("SELECT forwarder, count(*) FROM withheld GROUP BY forwarder").fetchall())


def credit(db: Database, first: int, last: int, deciding: Iterable[str] = ()) -> dict[int, int]:
    """Count the frames of a stretch of the journal as delivered, inside a transaction; how many of each boot
    (by its row).

    Not what was given up here before, nor what is withheld from a forwarder that decides.
    """
    counts = dict(frames_between(db, first, last, f"AND (gone IS NULL OR gone = {GONE_RETENTION})"))
    names = sorted(deciding)
    if names:
        marks = ", ".join("?" * len(names))
        for (row,) in db.execute(
            "SELECT boot FROM journal WHERE boot IS NOT NULL AND gone IS NULL AND id IN "
            f"(SELECT journal FROM withheld WHERE journal BETWEEN ? AND ? AND forwarder IN ({marks}))",
            (first, last, *names),
        ):
            counts[row] -= 1
    db.executemany(
        "UPDATE boots SET delivered = delivered + ? WHERE id = ?",
        [(count, row) for row, count in counts.items()],
    )
    return counts


def frames_between(db: Database, first: int, last: int, which: str = "") -> list[tuple[int, int]]:
    """(row of the boot, frames) for a stretch of the journal, both ends in."""
    return db.execute(
        f"SELECT boot, count(*) FROM journal WHERE id BETWEEN ? AND ? AND kind = {ENTRY_FRAME} {which} "
        "GROUP BY boot",
        (first, last),
    ).fetchall()


# The index is of what is no frame, and SQLite takes it only where that is said: without, every row after that
# entry is read and decrypted.
STATEMENTS = (
    f"SELECT id, data, made_ms FROM journal WHERE kind > 0 AND kind = {ENTRY_STATEMENT} AND id > ? "
    "ORDER BY id"
)


def statements(db: Database, after: int = 0) -> tuple[tuple[str, dict[str, Any], int], ...]:
    """The agent's own statements in the journal after that entry, oldest first: (code, detail, Unix ms)."""
    out: list[tuple[str, dict[str, Any], int]] = []
    for _, data, made_ms in db.execute(STATEMENTS, (after,)).fetchall():
        _, code, detail = cbor.loads(data)
        out.append((code, detail, made_ms))
    return tuple(out)

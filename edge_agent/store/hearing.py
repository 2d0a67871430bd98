"""What boot frames say of earlier boots: kept once, contradictions stated."""

from typing import TYPE_CHECKING

from edge_agent.ledger.hearsay import Statement, Summary
from edge_agent.store.changes import Changes
from edge_agent.store.database import Database
from edge_agent.store.items import Frame, Said

if TYPE_CHECKING:
    from edge_agent.store.store import Store

# A statement names so many of the things said of one boot: the first ones, and the new one as the last. A
# node may say something else each time.
MOST_SAID = 16


def put(store: "Store", db: Database, frame: Frame, said: Said | Summary, changes: Changes) -> None:
    """What a boot frame says of boots before it: each different thing once."""
    last = said.last if isinstance(said, Summary) else int.from_bytes(said[0][:4], "big")
    if last >= int.from_bytes(frame.boot[:4], "big"):
        detail = {"node": frame.node, "boot": frame.boot, "said": list(said)}
        store.put_statement(db, "statement_of_a_later_boot", detail, frame.received_ms, changes)
    elif not isinstance(said, Summary):
        _put_of_one(store, db, frame, said, changes)
    else:
        db.execute(
            "INSERT OR IGNORE INTO summaries(node, first, last, known, bound_s) VALUES(?, ?, ?, ?, ?)",
            (frame.node, *said),
        )
        if db.changes():
            changes.summaries.append((frame.node, said))


def _put_of_one(store: "Store", db: Database, frame: Frame, said: Said, changes: Changes) -> None:
    boot, known_next, clean, bound_s = said
    before = store.boot(db, frame.node, boot, changes)
    db.execute(
        "INSERT OR IGNORE INTO stated(boot, known_next, clean, bound_s) VALUES(?, ?, ?, ?)",
        (before.row, known_next, clean, bound_s),
    )
    if not db.changes():
        return
    changes.said.append((before, Statement(known_next, clean, bound_s)))
    found = db.execute(
        "SELECT known_next, clean, bound_s FROM stated WHERE boot = ? ORDER BY id LIMIT ?",
        (before.row, MOST_SAID),
    ).fetchall()
    if len(found) > 1:
        told = [[n, bool(c), s] for n, c, s in found]
        if (known_next, clean, bound_s) not in found:
            told[-1] = [known_next, clean, bound_s]
        detail = {"node": frame.node, "boot": boot, "said": told}
        store.put_statement(db, "statements_contradict", detail, frame.received_ms, changes)

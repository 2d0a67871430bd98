"""Checking a store: its pages and indexes, its counts, and the hashes that stand for what is gone.

The counts that the agent goes on from (the checkpoint, what is delivered, what was given up) are made again
from the rows; signatures and roots are what `verify` checks, by the same code.
"""

from pathlib import Path

from edge_agent.custody.tally import MAX_NAMED, Result, Tally
from edge_agent.custody.verify import as_left, at_one_moment, chains
from edge_agent.custody.verify_tables import gone_data
from edge_agent.keys import PublicKeys
from edge_agent.ledger.facts import BootFacts
from edge_agent.readable import counted, is_are
from edge_agent.store import keys
from edge_agent.store.database import Database
from edge_agent.store.loading import load_facts
from edge_agent.store.stats import pruned


def check(path: Path, agent: PublicKeys, source: keys.Source | None = None) -> list[Result]:
    """What holds of the store at `path` and what does not, one sentence each; nothing is changed.

    The agent may be running: all is read as of one moment. StoreKeyError, StoreError.
    """
    return at_one_moment(
        path,
        source,
        lambda db, mark: [_pages(db), as_left(db, mark), _counts(db), *chains(db, agent), gone_data(db)],
    )


def _pages(db: Database) -> Result:
    """What quick_check leaves out: that each index holds its table's rows."""
    found = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({MAX_NAMED})")]
    pages = db.value("PRAGMA page_count")
    if found == ["ok"]:
        return Result(True, f"All {pages} pages and their indexes are sound.")
    return Result(False, f"Pages or indexes are damaged: {'; '.join(found)}.")


def _counts(db: Database) -> Result:
    """The facts that the agent starts from, against the rows that they were taken from."""
    tally = Tally()
    noted, counts = load_facts(db), load_facts(db, whole=True)
    _, absent = pruned(db)
    for row, said in noted.items():
        absent -= _boot(db, said, counts[row], tally, absent)
    return tally.result(
        f"What is noted of {counted(len(noted), 'boot')} is what a count of their rows gives.",
        "Notes of boots are not what their rows give",
    )


def _boot(db: Database, said: BootFacts, found: BootFacts, tally: Tally, absent: int) -> int:
    """One boot; how many of its frames are noted and no longer here. `absent`: how many may be."""
    name = f"boot {said.boot[:4].hex()} of node {said.node.hex()}"
    tally.checked += 1
    more = found.stored.minus(said.stored).count
    if more:
        tally.wrong(f"{name}: {counted(more, 'frame')} {is_are(more)} here that its checkpoint does not name")
    fewer = said.stored.minus(found.stored).count
    if fewer > absent:
        tally.wrong(
            f"{name}: {counted(fewer, 'frame')} {is_are(fewer)} gone, and {absent} of pruned batches can be"
        )
    if not fewer and (said.heard_ms, said.duplicates) != (found.heard_ms, found.duplicates):
        tally.wrong(f"{name}: its newest frame, or frames that are in two batches, are noted otherwise")
    given_up = db.value(
        "SELECT coalesce(sum(count), 0) FROM evictions WHERE boot = ? AND delivered = 0", (said.row,)
    )
    if said.evicted_here != given_up:
        tally.wrong(
            f"{name}: {counted(said.evicted_here, 'frame')} given up are counted, {given_up} are noted"
        )
    if said.delivered < 0 or said.delivered + said.evicted_here > said.stored.count:
        tally.wrong(
            f"{name}: {said.delivered} delivered and {said.evicted_here} given up of {said.stored.count}"
        )
    return fewer

"""Another agent that signs with our key while this one runs: a copied state directory, or a stolen key.

At a start the same answer of the collector may mean that this store is an old copy (heads.py). While an agent
runs nobody else can have made what it does not know, so it says who did: in the new chain's reason, in a
signed statement, of which the collector makes an alarm, and in the store, so that a restart does not hide it.
"""

from typing import Any, NamedTuple

from edge_agent.custody.heads import Begin, Continue
from edge_agent.store.database import Database
from edge_agent.store.store import Store

STATEMENT = "clone"
_COUNT, _LAST_MS = "clones", "clone_ms"


class Clones(NamedTuple):
    """How often another agent was found to sign with our key, and when last (Unix ms, None: never)."""

    times: int
    last_ms: int | None


def found(db: Database) -> Clones:
    """What is noted in a store."""
    noted = dict(db.execute("SELECT key, value FROM meta WHERE key IN (?, ?)", (_COUNT, _LAST_MS)).fetchall())
    return Clones(noted.get(_COUNT, 0), noted.get(_LAST_MS))


def told(store: Store) -> dict[str, Any]:
    """For the status."""
    noted = found(store.db)
    return {"clones": noted.times, "clone_ms": noted.last_ms}


def judged(store: Store, decision: Begin | Continue, now_ms: int) -> Begin | Continue:
    """A decision that was made while this agent runs: of one that begins a chain, with what that means, and
    noted durably (StoreUnwritable). A fork is noted as such, with its proof.
    """
    if not isinstance(decision, Begin) or (decision.incident is None and decision.fork is None):
        return decision
    why = f"{decision.reason}; while this agent runs, only another agent with the same key can have made it"
    if decision.incident is None:
        return decision._replace(reason=why)
    with store.transaction() as db:
        store.set_meta(db, _COUNT, found(db).times + 1)
        store.set_meta(db, _LAST_MS, now_ms)
    return decision._replace(incident=STATEMENT, reason=f"{STATEMENT}: {why}")

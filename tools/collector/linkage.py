"""How the batches of a chain hang together.

Batches may arrive in any order: linkage is a state of each, found when it can be.
"""

from protocol.batch import FIRST_PREVIOUS
from tools.collector import schema
from tools.collector.store import Store, StoredBatch


def of(batch: StoredBatch, predecessors: list[StoredBatch]) -> int:
    """LINKED, WAITING or BROKEN, given every stored batch with the number before."""
    if batch.number == 0:
        return schema.LINKED if batch.previous == FIRST_PREVIOUS else schema.BROKEN
    if any(p.head_hash == batch.previous for p in predecessors):
        return schema.LINKED
    return schema.BROKEN if predecessors else schema.WAITING


def settle(store: Store, agent: bytes, chain: bytes, number: int, now_ms: int) -> None:
    """Find the linkage of the batches with that number, and of those after them, which may have waited for
    them.
    """
    here = store.batches(agent, chain, number)
    if len(here) > 1:
        store.alarm(
            now_ms,
            "fork",
            f"agent {agent.hex()} chain {chain.hex()}: {len(here)} batches with number {number}",
        )
    if here and _left_before(store, here[-1]) and not told(store, agent):
        what = f"chain {chain.hex()} goes on with batch {number}, after it was left for another one"
        why = "two programs sign with its key, a copy or a backup beside its original"
        store.alarm(now_ms, "two_agents", f"agent {agent.hex()}: {what}: {why}")
    before = store.batches(agent, chain, number - 1) if number else []
    after = store.batches(agent, chain, number + 1)
    for batch, predecessors in [(b, before) for b in here] + [(b, here) for b in after]:
        linkage = of(batch, predecessors)
        if linkage == batch.linkage:
            continue
        store.set_linkage(batch.row, linkage)
        if linkage == schema.BROKEN:
            where = f"agent {agent.hex()} chain {chain.hex()}"
            store.alarm(now_ms, "chain_broken", f"{where}: {batch.number} does not follow {batch.number - 1}")


def _left_before(store: Store, batch: StoredBatch) -> bool:
    """Whether a chain that is here already, and was begun before this batch was made, follows an earlier one
    of its chain: its agent had left that by then.
    """
    found = store.db.execute(
        "SELECT count(*) FROM chains c JOIN batches f ON f.agent = c.agent AND f.chain = c.chain"
        " AND f.number = 0 WHERE c.agent = ? AND c.cited_chain = ? AND c.cited_number < ? AND f.made_ms < ?",
        (batch.agent, batch.chain, batch.number, batch.made_ms),
    ).fetchone()
    return found[0] > 0


def told(store: Store, agent: bytes) -> bool:
    """Whether that agent is known to be two."""
    said = f"agent {agent.hex()}:"
    return any(code == "two_agents" and detail.startswith(said) for _, code, detail in store.alarms())


def look_for_holes(store: Store) -> None:
    """Batches whose predecessor is gone since they were linked (a store put together from backups) wait for
    it again.
    """
    store.db.execute(
        "UPDATE batches SET linkage = ? WHERE number > 0 AND linkage = ? AND NOT EXISTS (SELECT 1 FROM"
        " batches p WHERE p.agent = batches.agent AND p.chain = batches.chain"
        " AND p.number = batches.number - 1)",
        (schema.WAITING, schema.LINKED),
    )


def gaps(store: Store, before_ms: int) -> list[tuple[int, bytes, bytes, int]]:
    """(received at, agent, chain, number) of each batch that came before that time and waits still."""
    return store.db.execute(
        "SELECT received_ms, agent, chain, number FROM batches WHERE linkage > 0 AND linkage = ?"
        " AND received_ms <= ? ORDER BY received_ms, id",
        (schema.WAITING, before_ms),
    ).fetchall()

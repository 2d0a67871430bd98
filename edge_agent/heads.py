"""What a collector's answer to the question for its head means for the chain (custody.py)."""

from collections.abc import Sequence
from typing import NamedTuple

from edge_agent.store.chain import Cited, Tip
from protocol import batch as wire


class Begin(NamedTuple):
    """A new chain has to begin.

    `fork` is our own batch at the number where the collector holds another one, with the hash `theirs`.
    """

    cited: Cited | None
    reason: str | None
    incident: str | None = None
    fork: Tip | None = None
    theirs: bytes = b""


class Continue(NamedTuple):
    """The chain goes on. `behind`: the collector does not know all that it gave receipts for."""

    behind: bool


class Named(NamedTuple):
    """A batch that the collector's answer names. `ours`: the hash of our batch with that number, None when we
    have none; `highest`: the highest that it holds of the same chain.
    """

    batch: Tip
    ours: bytes | None
    highest: Tip


def decide(tip: Tip | None, due: str | None, named: Sequence[Named], receipts: bool) -> Begin | Continue:
    """What the collector's answer means for the chain.

    `tip`: the end of our newest chain; `due`: why a new chain has to begin anyhow; `named`: what the answer
    names and is to be known here, the newest chain first, empty when the collector knows no chain;
    `receipts`: whether there are receipts for batches after the head.
    """
    if not named:
        if tip is None or due is not None:
            own = None if tip is None or tip.number < 0 else Cited(*tip)
            return Begin(own, due)
        return Continue(behind=receipts)
    for batch, ours, highest in named:
        if ours is not None and ours != batch.hash:
            what = f"fork: the collector holds another batch {batch.number} of chain {batch.chain.hex()}"
            fork = Tip(batch.chain, batch.number, ours)
            return Begin(Cited(*highest), what, None, fork, batch.hash)
    if due is not None:
        return Begin(Cited(*named[0].highest), due)
    for batch, ours, highest in named:
        if ours is None:
            which = f"batch {batch.number} of chain {batch.chain.hex()}"
            what = f"store_behind_collector: the collector knows {which}, which this store does not"
            return Begin(Cited(*highest), what, "store_behind_collector")
    return Continue(behind=receipts)


def tip_of(receipt: wire.Receipt) -> Tip | None:
    """The batch that a receipt or head statement names."""
    if receipt.chain_id is None or receipt.number is None or receipt.head_hash is None:
        return None
    return Tip(receipt.chain_id, receipt.number, receipt.head_hash)


def told(decision: Begin | Continue, again: int) -> str:
    """A decision in words; `again`: batches that are sent again."""
    if isinstance(decision, Begin):
        return f"a new chain begins: {decision.reason}" if decision.reason else "the first chain begins"
    if decision.behind:
        return f"the collector lacks {again} batches that it gave receipts for: they are sent again"
    return "the chain goes on"

"""What a collector's answer to the question for its head means for the chain (custody.py)."""

from collections.abc import Sequence
from typing import NamedTuple

from edge_agent.keys import PublicKeys
from edge_agent.readable import counted
from edge_agent.store.chain import Chain, Cited, Tip
from edge_agent.store.store import Store
from protocol import batch as wire
from protocol import cbor, handover
from protocol.errors import BatchError

# A receipt by a collector's earlier key, for a batch made so long after the hand-over, is by a thief. Both
# clocks may be wrong by a day.
RETIRED_MS = 2 * 24 * 3600 * 1000


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
        return f"the collector lacks {counted(again, 'batch')} that it gave receipts for: sent again"
    return "the chain goes on"


def follow(store: Store, chain: Chain, forwarder: str, far: PublicKeys, receipt: wire.Receipt) -> None:
    """Remember the hand-overs of a far end's signing key that came with its receipt, durably.

    BatchError: bad_handover, they contradict those known; retired_key, it is by a key that was handed over
    long before the batch was made. A receipt that was given before stays what it is: it comes again as often
    as its batch.
    """
    name = f"handovers of {far.id.hex()} to {forwarder}"
    noted = store.meta(name)
    known: list[bytes] = [] if noted is None else cbor.loads(noted)
    came = receipt.handovers
    if came[: len(known)] != known[: len(came)]:
        raise BatchError("another hand-over of the collector's key than the one known", cause="bad_handover")
    if len(came) > len(known):
        with store.transaction() as db:
            store.set_meta(db, name, cbor.dumps(came))
    elif len(came) < len(known):
        batch = None
        if receipt.nonce is None and receipt.chain_id is not None and receipt.number is not None:
            batch = chain.find(receipt.chain_id, receipt.number)
        handed_over_ms: int = handover.read_handover(known[len(came)])[5]
        if batch is None or batch.made_ms > handed_over_ms + RETIRED_MS:
            raise BatchError(f"by key {len(came)} of the collector, which is retired", cause="retired_key")

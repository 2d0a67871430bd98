"""Custody: journal entries become signed, chained batches; verified receipts make them delivered.

On start the agent asks the collector what it knows of this agent, and makes no batch before the answer,
because a store that was restored, or made anew, does not know which numbers are used. The answer decides
(`decide`): go on with the chain, or begin another that cites what the collector knows and says why. It names
the last batch before a hole, after which everything is sent again, and the highest that it holds: its number,
and those below, are used. The agent asks again on every new connection and once in a while, because a
collector may be restored from a backup, and another agent may sign with the same key; batches go on
meanwhile. Without a collector there is nobody to contradict: the chain goes on by itself. Frames are stored
and acknowledged all the while.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from edge_agent.keys import PublicKeys
from edge_agent.store.chain import Batch, Chain, Cited, JournalRow, Tip
from edge_agent.store.schema import ENTRY_FRAME
from edge_agent.store.store import Store
from protocol import batch as wire
from protocol.errors import ProtocolError
from protocol.identity import Identity

# Answers to so many questions before the newest may still be on their way.
OLD_NONCES = 8


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


class Verdict(NamedTuple):
    """What a message from the collector was: `what` is "receipt", "head", "refusal" or, when not accepted,
    "rejected".

    `batch`: the id of the batch that a receipt is for, or the refused message's SHA-256; `cause`: of a
    rejection or refusal; `alarming`: the collector lost something, or another agent has our key.
    """

    what: str
    batch: int | None = None
    cause: str = ""
    detail: str = ""
    refused: bytes | None = None
    new: bool = False
    resend: tuple[int, ...] = ()
    alarming: bool = False


class Custody:
    """Signs, seals, and takes receipts; used from the store's thread. `now_ms` gives Unix milliseconds."""

    def __init__(
        self,
        store: Store,
        identity: Identity,
        collector: PublicKeys | None,
        batch_bytes: int,
        now_ms: Callable[[], int],
    ) -> None:
        self.chain = Chain(store)
        self._store = store
        self._identity = identity
        self._collector = collector
        self._batch_bytes = batch_bytes
        self._now_ms = now_ms
        self._nonce = os.urandom(16)
        self._old_nonces: deque[bytes] = deque(maxlen=OLD_NONCES)
        self._newest: int | None = None
        self._same_connection = False
        # `asking`: nothing may be signed before the answer; `unanswered`: there is a question to ask.
        self.asking = True
        self.unanswered = True
        self.collector_said: str | None = None
        self.sent_again = 0
        if collector is None:
            self._act(decide(self.chain.tip, self.chain.due, (), False), b"")

    # The chain's beginning

    def question(self) -> bytes:
        """The message that asks the collector for its head."""
        return wire.make_ask(self._identity.id, self._nonce)

    def ask_again(self, same_connection: bool) -> None:
        """There is a new question.

        On the same connection only a head that went backwards has batches sent again: one that stands still
        stood there when they were sent.
        """
        if not self.unanswered:
            self._old_nonces.append(self._nonce)
            self._nonce = os.urandom(16)
            self._same_connection = same_connection
        elif not same_connection:
            self._same_connection = False
        self.unanswered = True

    def _act(self, decision: Begin | Continue, evidence: bytes) -> None:
        now_ms = self._now_ms()
        if isinstance(decision, Begin):
            cited = decision.cited
            if decision.fork is not None:
                self.chain.fork(decision.fork, decision.theirs, evidence, now_ms)
            if decision.incident is not None and cited is not None:
                detail = {"chain": cited.chain, "number": cited.number, "hash": cited.hash}
                self._store.declare(decision.incident, detail, now_ms, None)
            self.chain.begin(os.urandom(8), cited, decision.reason, now_ms)
        self.asking = False

    # Batches

    def make(self) -> tuple[int, bool] | None:
        """Sign the next stretch of the journal, durably: (batch id, whether more waits), or None when there
        is nothing to do.

        StoreUnwritable: no batch was made.
        """
        tip = self.chain.tip
        if self.asking or tip is None or not self.chain.waiting:
            return None
        rows, full = self.chain.stretch(self._batch_bytes)
        nodes = {row.node for row in rows if row.node is not None} - self.chain.announced(tip.chain)
        preamble = [wire.identity_entry(node, *self.chain.keys_of(node)) for node in sorted(nodes)]
        number = tip.number + 1
        cited, reason = self.chain.origin(tip.chain) if number == 0 else (None, None)
        now_ms = self._now_ms()
        head = wire.make_head(
            self._identity.id,
            tip.chain,
            number,
            tip.hash,
            preamble + entries_of(rows),
            now_ms,
            cited,
            reason,
        )
        batch = Batch(
            id=0,
            chain=tip.chain,
            number=number,
            first_id=rows[0].id,
            last_id=rows[-1].id,
            preamble=preamble,
            signed=wire.sign_head(self._identity, head),
            hash=wire.head_hash(head),
            made_ms=now_ms,
            receipt=None,
        )
        return self.chain.add(batch, nodes), full

    def message(self, batch_id: int) -> bytes:
        """A batch as it goes to the collector.

        Its seal is made anew each time; what is signed never changes.
        """
        assert self._collector is not None
        batch = self.chain.batch(batch_id)
        clear = wire.encode_batch(batch.signed, batch.preamble + entries_of(self.chain.rows(batch)))
        return wire.seal_batch(clear, self._identity.id, self._collector.x_pub, self._collector.id)

    # Answers

    def take(self, message: bytes, forwarder: str) -> Verdict:
        """Verify what came from the collector and act on it. StoreUnwritable: as if it had not come."""
        assert self._collector is not None
        try:
            if wire.is_refusal(message):
                refusal = wire.parse_refusal(message)
                if refusal.agent_id != self._identity.id:
                    return Verdict("rejected", cause="wrong_agent", detail="a refusal for another agent")
                return Verdict("refusal", None, refusal.code, refusal.detail, refusal.refused)
            receipt = wire.verify_receipt(message, self._collector.ed_pub)
        except ProtocolError as e:
            return Verdict("rejected", cause=e.cause, detail=str(e))
        if receipt.agent_id != self._identity.id:
            return Verdict("rejected", cause="wrong_agent", detail="a receipt for another agent")
        if receipt.nonce is not None:
            return self._head(receipt, message)
        return self._receipt(receipt, message, forwarder)

    def _head(self, receipt: wire.Receipt, message: bytes) -> Verdict:
        if receipt.nonce in self._old_nonces:
            return Verdict("head")
        if receipt.nonce != self._nonce:
            return Verdict("rejected", cause="unasked_head", detail="a head statement for another question")
        if not self.unanswered:
            return Verdict("head")
        first = self.asking
        head = _tip(receipt)
        upto = self._upto(head)
        after = () if upto is None else tuple(self.chain.receipted_after(upto))
        went_back = upto is not None and self._newest is not None and upto < self._newest
        if self._same_connection and not went_back:
            after = ()
        decision = decide(self.chain.tip, self.chain.due, self._named(head, receipt), bool(after))
        self._act(decision, message)
        self.unanswered = False
        self._newest = upto
        self.sent_again += len(after)
        wrong = bool(after) or (isinstance(decision, Begin) and not first)
        told = _told(decision, len(after))
        if isinstance(decision, Begin) and not first:
            told += "; while this agent runs, only another agent with the same key can have made it"
        if first or wrong:
            self.collector_said = told
        return Verdict("head", detail=told, resend=after, new=first or wrong, alarming=wrong)

    def _named(self, head: Tip | None, receipt: wire.Receipt) -> list[Named]:
        """What has to be known here of the batches that an answer names: all of the newest chain, and of the
        chain that we are on.
        """
        highest = [Tip(*one) for one in receipt.highest]
        if not highest:
            return []
        wanted = (
            [(highest[0], highest[0])] if head is None else [(head, highest[0]), (highest[0], highest[0])]
        )
        wanted += [
            (h, h) for h in highest[1:] if self.chain.tip is not None and h.chain == self.chain.tip.chain
        ]
        return [Named(batch, self._ours(batch), top) for batch, top in wanted]

    def _ours(self, batch: Tip) -> bytes | None:
        """The hash of our batch with that number; of that batch itself when a chain of ours took note of it,
        or of a later one, when it began.
        """
        known = self.chain.find(batch.chain, batch.number)
        if known is not None and known.hash == batch.hash:
            return known.hash
        if self.chain.before_chain_following(batch) is not None:
            return batch.hash
        return None if known is None else known.hash

    def _upto(self, head: Tip | None) -> int | None:
        """The id of the batch up to which the collector has all; None when its head is not ours."""
        if head is None:
            return 0
        known = self.chain.find(head.chain, head.number)
        if known is not None and known.hash == head.hash:
            return known.id
        return self.chain.before_chain_following(head)

    def _receipt(self, receipt: wire.Receipt, message: bytes, forwarder: str) -> Verdict:
        theirs = _tip(receipt)
        assert theirs is not None
        batch = self.chain.find(theirs.chain, theirs.number)
        if batch is None:
            mine = self.chain.tip is not None and self.chain.tip.chain == theirs.chain
            if mine and not self.asking:
                self._forked(theirs, message, Tip(theirs.chain, theirs.number, bytes(32)))
            return Verdict(
                "rejected",
                cause="unknown_batch",
                detail=f"a receipt for number {theirs.number}, not made here",
            )
        if batch.hash != theirs.hash:
            self._forked(theirs, message, Tip(batch.chain, batch.number, batch.hash))
            return Verdict("rejected", batch.id, "fork", f"number {batch.number} has another hash there")
        head = wire.parse_head(wire.verify_head(batch.signed, self._identity.ed_pub))
        if receipt.stored + receipt.duplicates != head[7]:
            detail = f"{receipt.stored} + {receipt.duplicates} of {head[7]} entries"
            return Verdict("rejected", batch.id, "wrong_count", detail)
        new = self.chain.receipted(batch, message, forwarder, self._now_ms())
        return Verdict("receipt", batch.id, new=new)

    def _forked(self, theirs: Tip, evidence: bytes, ours: Tip) -> None:
        """Somebody else signs with our key, or signed with our numbers: keep the proof, leave that chain."""
        now_ms = self._now_ms()
        if not self.chain.fork(ours, theirs.hash, evidence, now_ms):
            return
        detail = {"chain": theirs.chain, "number": theirs.number, "ours": ours.hash, "theirs": theirs.hash}
        self._store.declare("fork", detail, now_ms, None)
        if self.chain.tip is not None and self.chain.tip.chain == theirs.chain:
            reason = f"fork: another batch {theirs.number} of chain {theirs.chain.hex()} has a receipt"
            self.chain.begin(os.urandom(8), Cited(*theirs), reason, now_ms)


def entries_of(rows: list[JournalRow]) -> list[bytes]:
    """The leaf entries that these journal rows are, byte for byte."""
    return [
        wire.frame_entry(row.node or b"", row.boot or b"", row.seq or 0, row.data, row.made_ms)
        if row.kind == ENTRY_FRAME
        else row.data
        for row in rows
    ]


def _tip(receipt: wire.Receipt) -> Tip | None:
    if receipt.chain_id is None or receipt.number is None or receipt.head_hash is None:
        return None
    return Tip(receipt.chain_id, receipt.number, receipt.head_hash)


def _told(decision: Begin | Continue, again: int) -> str:
    if isinstance(decision, Begin):
        return f"a new chain begins: {decision.reason}" if decision.reason else "the first chain begins"
    if decision.behind:
        return f"the collector lacks {again} batches that it gave receipts for: they are sent again"
    return "the chain goes on"

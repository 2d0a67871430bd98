"""Custody: journal entries become signed, chained batches; verified receipts make them delivered.

There may be several far ends. One of them may answer questions (LIVE); the others only take.

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
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_agent.custody import clones
from edge_agent.custody.heads import Begin, Continue, Named, decide, follow, tip_of
from edge_agent.custody.heads import told as told_of
from edge_agent.custody.signing import Signing
from edge_agent.custody.signing import rotate as hand_over
from edge_agent.keys import PublicKeys
from edge_agent.readable import counted
from edge_agent.store.chain import Batch, Chain, Cited, JournalRow, Tip
from edge_agent.store.leaves import Leaves, leaves_of
from edge_agent.store.store import Store
from protocol import batch as wire
from protocol.errors import BatchError, ProtocolError
from protocol.identity import Identity

LIVE = "mqtt"
"""The forwarder whose far end answers questions."""
Withhold = Callable[[str, Sequence[JournalRow]], set[int]]
"""Journal ids of rows whose bytes a forwarder may not have now."""
# Entries of batches that are sent in a moment, to several far ends perhaps, are not read again.
CACHE_BYTES = 4 << 20
# Answers to so many questions before the newest may still be on their way.
OLD_NONCES = 8


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
        others: Mapping[str, PublicKeys] | None = None,
        signing: Signing | None = None,
        withhold: Withhold | None = None,
        key: Path | None = None,
    ) -> None:
        """`collector`: the one that answers questions (forwarder LIVE), None when there is none; `others`:
        who batches are sealed to for other forwarders; `signing`: after a hand-over, who signs; `withhold`:
        by default nothing is; `key`: the agent's key file, beside which a signing key is kept.
        """
        self.chain = Chain(store)
        self.signing = signing or Signing(identity, [])
        self.withhold = withhold
        self._store = store
        self._identity = identity
        self._far: dict[str, PublicKeys] = dict(others or {})
        if collector is not None:
            self._far[LIVE] = collector
        self.batch_bytes = batch_bytes
        self._now_ms = now_ms
        self._key = key
        self._cache: OrderedDict[int, Leaves] = OrderedDict()
        self._cached = 0
        # Of batches that went out with holes and wait for a receipt: how many entries were gone the first
        # time, and what was withheld, as a hash; None: not the same each time.
        self._holes: dict[tuple[str, int], tuple[int, int | None]] = {}
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

    @property
    def store(self) -> Store:
        """What the chain is kept in; for the store's thread."""
        return self._store

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

    @property
    def problem(self) -> str | None:
        """Why nothing can be signed, or None."""
        return self.signing.problem

    def make(self) -> tuple[int, bool] | None:
        """Sign the next stretch of the journal, durably: (batch id, whether more waits), or None when there
        is nothing to do.

        StoreUnwritable: no batch was made.
        """
        tip, signer = self.chain.tip, self.signing.signer
        if self.asking or tip is None or signer is None or not self.chain.waiting:
            return None
        rows, full = self.chain.stretch(self.batch_bytes)
        nodes = {row.node for row in rows if row.node is not None} - self.chain.announced(tip.chain)
        preamble = [wire.identity_entry(node, *self.chain.keys_of(node)) for node in sorted(nodes)]
        number = tip.number + 1
        cited, reason = self.chain.origin(tip.chain) if number == 0 else (None, None)
        now_ms = self._now_ms()
        leaves = leaves_of(preamble, rows)
        head = wire.make_head_over(
            self._identity.id, tip.chain, number, tip.hash, leaves.hashes, now_ms, cited, reason
        )
        batch = Batch(
            id=0,
            chain=tip.chain,
            number=number,
            first_id=rows[0].id,
            last_id=rows[-1].id,
            preamble=preamble,
            signed=wire.sign_head(signer, head),
            hash=wire.head_hash(head),
            made_ms=now_ms,
        )
        made = self.chain.add(batch, nodes)
        self._keep(made, leaves)
        return made, full

    def rotate(self) -> Signing:
        """Hand over to a new signing key (signing.py). BatchError, StoreUnwritable, OSError: none was."""
        if self._key is None:
            raise BatchError("this agent has no key file to keep a signing key beside")
        self.signing = hand_over(
            self._store, self.chain, self.signing, self._identity, self._key, self._now_ms()
        )
        return self.signing

    def _keep(self, batch_id: int, leaves: Leaves) -> None:
        self._cache[batch_id] = leaves
        self._cached += leaves.size
        while self._cached > CACHE_BYTES and len(self._cache) > 1:
            self._cached -= self._cache.popitem(last=False)[1].size

    def forget(self) -> None:
        """What was read of batches is read again: entries of them were erased."""
        self._cache.clear()
        self._cached = 0

    def message(self, forwarder: str, batch_id: int) -> bytes:
        """A batch as it goes to that far end, without the bytes of what is gone or may not go there.

        Its seal is made anew each time; what is signed never changes. What is left out for want of consent
        is noted first (StoreUnwritable), so that it goes when there is one.
        """
        batch = self.chain.batch(batch_id)
        leaves = self._cache.get(batch_id) or leaves_of(batch.preamble, self.chain.rows(batch))
        far = self._far[forwarder]
        held = self.left_out(forwarder, leaves.rows)
        entries, hashes = leaves.without(held)
        if hashes:
            mark = hash(frozenset(held))
            gone, before = self._holes.get((forwarder, batch_id), (len(hashes) - len(held), mark))
            self._holes[forwarder, batch_id] = gone, mark if before == mark else None
        handovers = self.signing.handovers[: self.signing.steps_of(batch.signed)]
        clear = wire.encode_batch(batch.signed, entries, hashes, handovers)
        return wire.seal_batch(clear, self._identity.id, far.x_pub, far.id)

    def left_out(self, forwarder: str, rows: Sequence[JournalRow]) -> set[int]:
        """Journal ids of rows that a forwarder may not have now, noted durably. StoreUnwritable."""
        held = self.withhold(forwarder, rows) if self.withhold is not None else set[int]()
        if held:
            self.chain.withhold(forwarder, held)
        return held

    def rows(self, forwarder: str, batch_id: int) -> tuple[list[JournalRow], set[int]]:
        """The rows of a batch for a forwarder that reads entries, without the data that it may not have; and
        the journal ids of those.
        """
        batch = self.chain.batch(batch_id)
        rows = self.chain.rows(batch)
        held = self.left_out(forwarder, rows)
        return [row._replace(data=None) if row.id in held else row for row in rows], held

    def confirm(self, forwarder: str, batch_id: int, evidence: bytes, withheld: set[int]) -> bool:
        """A far end that signs no receipt has a batch, but for what was withheld; whether that is new."""
        batch = self.chain.batch(batch_id)
        return self.chain.receipted(batch, evidence, forwarder, self._now_ms(), withheld)

    def dead_letter(self, forwarder: str, batch_id: int, item: str, reason: str) -> None:
        """What a far end will never take is kept, with the reason, and stated in the chain."""
        self.chain.dead_letter(forwarder, batch_id, item, reason, self._now_ms())

    def released(self, forwarder: str, after: int, limit: int) -> tuple[list[int], int | None]:
        """Ids of batches that hold entries which were withheld and need not be any more, of the next `limit`
        after that journal id; and where to go on, None at the end.
        """
        found = self.chain.withheld_after(forwarder, after, limit)
        if not found:
            return [], None
        rows = [row for _, row in found]
        held = self.withhold(forwarder, rows) if self.withhold is not None else set[int]()
        return sorted({batch for batch, row in found if row.id not in held}), rows[-1].id

    # Answers

    def take(self, message: bytes, forwarder: str) -> Verdict:
        """Verify what came from the collector and act on it. StoreUnwritable: as if it had not come."""
        far = self._far[forwarder]
        try:
            if wire.is_refusal(message):
                refusal = wire.parse_refusal(message)
                if refusal.agent_id != self._identity.id:
                    return Verdict("rejected", cause="wrong_agent", detail="a refusal for another agent")
                return Verdict("refusal", None, refusal.code, refusal.detail, refusal.refused)
            receipt = wire.verify_receipt(message, far.ed_pub, far.id)
            follow(self._store, self.chain, forwarder, far, receipt)
        except ProtocolError as e:
            return Verdict("rejected", cause=e.cause, detail=str(e))
        if receipt.agent_id != self._identity.id:
            return Verdict("rejected", cause="wrong_agent", detail="a receipt for another agent")
        if receipt.nonce is not None:
            return self._head(receipt, message, forwarder)
        return self._receipt(receipt, message, forwarder)

    def _head(self, receipt: wire.Receipt, message: bytes, forwarder: str) -> Verdict:
        if receipt.nonce in self._old_nonces:
            return Verdict("head")
        if receipt.nonce != self._nonce:
            return Verdict("rejected", cause="unasked_head", detail="a head statement for another question")
        if not self.unanswered:
            return Verdict("head")
        first = self.asking
        head = tip_of(receipt)
        upto = self._upto(head)
        after = () if upto is None else tuple(self.chain.receipted_after(upto, forwarder))
        went_back = upto is not None and self._newest is not None and upto < self._newest
        if self._same_connection and not went_back:
            after = ()
        decision = decide(self.chain.tip, self.chain.due, self._named(head, receipt), bool(after))
        if not first:
            decision = clones.judged(self._store, decision, self._now_ms())
        self._act(decision, message)
        self.unanswered = False
        self._newest = upto
        self.sent_again += len(after)
        wrong = bool(after) or (isinstance(decision, Begin) and not first)
        told = told_of(decision, len(after))
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
        theirs = tip_of(receipt)
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
        count = wire.count_of(batch.signed)
        if receipt.stored + receipt.duplicates + receipt.left_out != count:
            detail = (
                f"{receipt.stored} + {receipt.duplicates} + {receipt.left_out} of {counted(count, 'entry')}"
            )
            return Verdict("rejected", batch.id, "wrong_count", detail)
        if message == self.chain.receipt(batch.id, forwarder):
            # Nobody vouches that it did not come before: it says nothing of what went since.
            self._holes.pop((forwarder, batch.id), None)
            return Verdict("receipt", batch.id)
        withheld: set[int] | None = None
        if receipt.left_out:
            rows = self.chain.rows(batch)
            gone = sum(row.data is None for row in rows)
            withheld = self.withhold(forwarder, rows) if self.withhold is not None else set[int]()
            if receipt.left_out > gone + len(withheld):
                detail = f"it lacks {counted(receipt.left_out, 'entry')}, of which it may have had some"
                return Verdict("rejected", batch.id, "incomplete", detail)
            first, mark = self._holes.get((forwarder, batch.id), (-1, None))
            if mark != hash(frozenset(withheld)) or receipt.left_out > first + len(withheld):
                # It does not name them: they may be those that were withheld, whatever is gone by now.
                withheld.update(self.chain.withheld(forwarder, batch))
        self._holes.pop((forwarder, batch.id), None)
        new = self.chain.receipted(batch, message, forwarder, self._now_ms(), withheld)
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

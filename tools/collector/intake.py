"""One message from an agent in, the answers out: nothing here knows of a network.

A batch is opened, its signature, root and count are checked (protocol/batch.py), its entries are stored once,
and its receipt is stored *in the transaction that stores them*: there is a receipt if and only if the batch
is on the disk. The same batch again gets the same receipt. What is refused is counted by cause and changes
nothing else.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from protocol import batch as batches
from protocol import frames, merkle, receipts
from protocol.errors import FrameError, ProtocolError
from protocol.identity import Identity
from tools.collector import attestations, linkage, schema
from tools.collector.store import Store, StoredBatch
from tools.collector.trust import Trust

MAX_MESSAGE = 8 << 20
"""Bytes of one MQTT message. An agent's batch has 256 KiB."""

MALFORMED = -1
"""Kind, in the store, of a frame that its agent signed for but that is not one."""


class Reply(NamedTuple):
    """A message to publish."""

    topic: str
    payload: bytes


class Refused(Exception):
    """A message that is not for this collector, or not from an agent it knows.

    `cause` is what it is counted by.
    """

    def __init__(self, cause: str, detail: str):
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Intake:
    """What the collector does with messages. `now_ms` gives Unix milliseconds.

    sqlite3.OperationalError (disk full, store locked) passes through; nothing is stored then, and the message
    may be tried again.
    """

    def __init__(self, store: Store, identity: Identity, trust: Trust, now_ms: Callable[[], int] = _unix_ms):
        self._store = store
        self._identity = identity
        self._now_ms = now_ms
        self.trust = trust

    @property
    def collector_id(self) -> bytes:
        """The collector's id, 8 bytes."""
        return self._identity.id

    def handle(self, topic: str, payload: bytes) -> list[Reply]:
        """The answers to a message on `vitalwire/1/<agent id hex>/batch` or `…/ask`.

        [] for any other topic.
        """
        parts = topic.split("/")
        agent = _agent_of(parts[2]) if len(parts) == 4 else None
        if agent is None or parts[3] not in ("batch", "ask"):
            with self._store.transaction():
                self._store.count("refused", "bad_topic")
            return []
        back = f"vitalwire/1/{agent.hex()}/receipt"
        try:
            answer = self._take_batch(agent, payload) if parts[3] == "batch" else self._answer(agent, payload)
        except (ProtocolError, Refused) as e:
            with self._store.transaction():
                self._store.count("refused", e.cause)
            return [Reply(back, receipts.make_refusal(agent, e.cause, str(e), payload))]
        return [Reply(back, answer)]

    def _answer(self, agent: bytes, payload: bytes) -> bytes:
        """The signed head of what is known of an agent.

        It is the last batch before a hole, if there is one: the agent sends again what comes after it. The
        highest numbers are named, too: those are used, whatever the agent's store says.
        """
        named, nonce = receipts.parse_ask(payload)
        if named != agent:
            raise Refused("wrong_agent", f"asked on the topic of {agent.hex()} by {named.hex()}")
        if self.trust.lookup(agent) is None:
            raise Refused("unknown_agent", f"no agent {agent.hex()} is known here")
        chains = self._store.newest_chains(agent, receipts.MAX_CHAINS)
        newest = self._store.contiguous_batch(agent, chains[0]) if chains else None
        highest = [_place(self._store.highest_batch(agent, chain)) for chain in chains]
        entries, duplicates = self._store.db.execute(
            "SELECT coalesce(sum(entries), 0), coalesce(sum(duplicates), 0) FROM batches WHERE agent = ?",
            (agent,),
        ).fetchone()
        return receipts.make_head_statement(
            self._identity,
            agent,
            None if newest is None else _place(newest),
            entries - duplicates,
            duplicates,
            self._now_ms(),
            nonce,
            highest,
        )

    def _take_batch(self, agent: bytes, payload: bytes) -> bytes:
        """The receipt of a sealed batch, stored now or before."""
        keys = self.trust.lookup(agent)
        if keys is None:
            raise Refused("unknown_agent", f"no agent {agent.hex()} is known here")
        if len(payload) > MAX_MESSAGE:
            raise Refused("too_large", f"{len(payload)} bytes; {MAX_MESSAGE} is the limit")
        named, clear = batches.open_batch(payload, self._identity)
        if named != agent:
            raise Refused("wrong_agent", f"on the topic of {agent.hex()}, sealed by {named.hex()}")
        batch = batches.parse_batch(clear, keys.ed_pub, agent)
        with self._store.transaction():
            for stored in self._store.batches(agent, batch.chain_id, batch.number):
                if stored.head_hash == batch.head_hash:
                    self._store.count("stored", "batches_again")
                    return stored.receipt
            return _Storing(self._store, self._identity, batch, len(payload), self._now_ms()).run()


class _Storing:
    """The storing of one verified batch, inside a transaction."""

    def __init__(self, store: Store, identity: Identity, batch: batches.Batch, wire_bytes: int, now_ms: int):
        self._store = store
        self._identity = identity
        self._batch = batch
        self._wire_bytes = wire_bytes
        self._now_ms = now_ms
        self._row = 0
        self._frames = 0
        self._duplicates = 0
        self._introduced: set[bytes] = set()
        self._touched: dict[tuple[bytes, bytes], list[int]] = {}

    def run(self) -> bytes:
        """Store everything; the receipt."""
        batch, store = self._batch, self._store
        self._row = store.add_batch(batch, self._wire_bytes, self._now_ms, schema.WAITING)
        for position, fields in enumerate(batch.parsed):
            if fields[0] == batches.ENTRY_FRAME:
                self._take_frame(position, fields)
                continue
            if fields[0] == batches.ENTRY_IDENTITY:
                self._introduce(fields[1], fields[2], fields[3])
            store.db.execute(
                "INSERT INTO statements VALUES (?, ?, ?)", (self._row, position, batch.entries[position])
            )
        receipt = receipts.make_receipt(
            self._identity,
            batch.agent_id,
            batch.chain_id,
            batch.number,
            batch.head_hash,
            batch.count - self._duplicates,
            self._duplicates,
            self._now_ms,
        )
        store.finish_batch(self._row, receipt, self._duplicates)
        for name, n in (
            ("batches", 1),
            ("entries", batch.count),
            ("frames", self._frames),
            ("duplicates", self._duplicates),
            ("wire_bytes", self._wire_bytes),
        ):
            store.count("stored", name, n)
        linkage.settle(store, batch.agent_id, batch.chain_id, batch.number, self._now_ms)
        for node in self._introduced:
            attestations.settle(store, node, None, self._now_ms)
        for (node, boot), seqs in self._touched.items():
            if node not in self._introduced:
                attestations.settle(store, node, (boot, min(seqs), max(seqs)), self._now_ms)
        return receipt

    def _introduce(self, node: bytes, ed_pub: bytes, x_pub: bytes) -> None:
        """Keep a node's keys. They cannot be other than before: the id is their fingerprint's beginning."""
        if self._store.node_keys(node) is None:
            self._store.db.execute("INSERT INTO nodes VALUES (?, ?, ?)", (node, ed_pub, x_pub))
            self._introduced.add(node)

    def _take_frame(self, position: int, fields: list[Any]) -> None:
        _, node, boot, seq, plaintext, received_ms = fields
        store = self._store
        before = store.frame(node, boot, seq)
        if before is not None:
            self._duplicates += 1
            leaf = merkle.leaf_hash(self._batch.entries[position])
            store.db.execute("INSERT INTO repeats VALUES (?, ?, ?)", (self._row, position, leaf))
            if before != plaintext:
                self._conflict(node, boot, seq, plaintext)
            return
        try:
            kind, t_us, body = frames.unpack(plaintext)
        except FrameError:
            kind, t_us, body = None, 0, {}
            store.count("stored", "frames_malformed")
        filed_kind, channel, t_us = columns_of(kind, t_us, body)
        store.db.execute(
            "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (node, boot, seq, filed_kind, channel, t_us, plaintext, received_ms, self._row, position),
        )
        self._frames += 1
        self._touched.setdefault((node, boot), []).append(seq)
        if kind == frames.KIND_ATTEST:
            attestations.add(store, node, boot, seq, body)

    def _conflict(self, node: bytes, boot: bytes, seq: int, plaintext: bytes) -> None:
        """The same frame number with other content: somebody made one of the two up.

        The first stands, both are kept.
        """
        changed = self._store.db.execute(
            "INSERT OR IGNORE INTO conflicts VALUES (?, ?, ?, ?, ?)", (node, boot, seq, plaintext, self._row)
        ).rowcount
        if changed:
            self._store.count("stored", "conflicts")
            where = f"node {node.hex()} boot {boot.hex()} frame {seq}"
            self._store.alarm(self._now_ms, "conflict", f"{where} came again with other content")


def _place(batch: StoredBatch) -> tuple[bytes, int, bytes]:
    return batch.chain, batch.number, batch.head_hash


def columns_of(kind: int | None, t_us: int, body: Any) -> tuple[int, int | None, int]:
    """What a frame is looked up by: (kind, channel, t_us). `kind` is None of one that is malformed."""
    if kind is None:
        return MALFORMED, None, 0
    return kind, body[frames.WAVE_CHANNEL] if kind == frames.KIND_WAVE else None, t_us


def _agent_of(text: str) -> bytes | None:
    """The agent id in a topic: 16 lower-case hex digits."""
    try:
        agent = bytes.fromhex(text)
    except ValueError:
        return None
    return agent if len(agent) == 8 and agent.hex() == text else None

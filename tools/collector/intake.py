"""Messages from agents in, the answers out: nothing here knows of a network.

A batch is opened, its signature, root and count are checked (protocol/batch.py), its entries are stored once,
and its receipt is stored *in the transaction that stores them*: there is a receipt if and only if the batch
is on the disk. The same batch again gets the same receipt, byte for byte, whichever collector answers. What
is refused is counted by cause and changes nothing else.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from protocol import batch as batches
from protocol import receipts
from protocol.errors import ProtocolError
from protocol.identity import Identity
from tools.collector.signing import Signing
from tools.collector.store import Store, StoredBatch
from tools.collector.storing import Storing
from tools.collector.trust import Trust

MAX_MESSAGE = 8 << 20
"""Bytes of one MQTT message. An agent's batch has 256 KiB."""


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


class _Job(NamedTuple):
    """A message as it was read, before the store is touched: a verified batch, a nonce, or why neither."""

    back: str
    agent: bytes
    payload: bytes
    batch: batches.Batch | None = None
    nonce: bytes | None = None
    refused: "Refused | ProtocolError | None" = None


class Intake:
    """What the collector does with messages. `now_ms` gives Unix milliseconds.

    Errors of `database.unavailable` (disk full, server away) pass through; nothing is promised then, and the
    messages may be tried again.
    """

    def __init__(
        self, store: Store, signing: Signing | Identity, trust: Trust, now_ms: Callable[[], int] = _unix_ms
    ):
        self._store = store
        self._signing = Signing(signing) if isinstance(signing, Identity) else signing
        self._now_ms = now_ms
        self.trust = trust

    @property
    def collector_id(self) -> bytes:
        """The collector's id, 8 bytes."""
        return self._signing.identity.id

    @property
    def key_number(self) -> int:
        """How many times the key that signs receipts was handed over."""
        return len(self._signing.current()[1])

    def reload_key(self) -> None:
        """Sign with the key that was handed over to, if that is so since. KeyFileError."""
        self._signing.reload()

    def handle(self, topic: str, payload: bytes) -> list[Reply]:
        """The answers to a message on `vitalwire/1/<agent id hex>/batch` or `…/ask`.

        [] for any other topic.
        """
        return self.handle_all([(topic, payload)])[0]

    def handle_all(self, messages: Sequence[tuple[str, bytes]]) -> list[list[Reply]]:
        """The answers to each, all of them stored in one transaction, in that order."""
        jobs = [self._read(topic, payload) for topic, payload in messages]
        store = self._store
        with store.transaction(_touched(jobs)):
            return [self._settle(job) for job in jobs]

    def _read(self, topic: str, payload: bytes) -> _Job | None:
        """Everything that needs no store: the costly part, during which nobody is kept waiting."""
        parts = topic.split("/")
        agent = _agent_of(parts[2]) if len(parts) == 4 else None
        if agent is None or parts[3] not in ("batch", "ask"):
            return None
        job = _Job(f"vitalwire/1/{agent.hex()}/receipt", agent, payload)
        try:
            if parts[3] == "batch":
                return job._replace(batch=self._open(agent, payload))
            return job._replace(nonce=self._asked(agent, payload))
        except (ProtocolError, Refused) as e:
            return job._replace(refused=e)

    def _open(self, agent: bytes, payload: bytes) -> batches.Batch:
        keys = self.trust.lookup(agent)
        if keys is None:
            raise Refused("unknown_agent", f"no agent {agent.hex()} is known here")
        if len(payload) > MAX_MESSAGE:
            raise Refused("too_large", f"{len(payload)} bytes; {MAX_MESSAGE} is the limit")
        named, clear = batches.open_batch(payload, self._signing.identity)
        if named != agent:
            raise Refused("wrong_agent", f"on the topic of {agent.hex()}, sealed by {named.hex()}")
        return batches.parse_batch(clear, keys.ed_pub, agent)

    def _asked(self, agent: bytes, payload: bytes) -> bytes:
        named, nonce = receipts.parse_ask(payload)
        if named != agent:
            raise Refused("wrong_agent", f"asked on the topic of {agent.hex()} by {named.hex()}")
        if self.trust.lookup(agent) is None:
            raise Refused("unknown_agent", f"no agent {agent.hex()} is known here")
        return nonce

    def _settle(self, job: _Job | None) -> list[Reply]:
        """Within the transaction: the answer."""
        if job is None:
            self._store.count("refused", "bad_topic")
            return []
        refused = job.refused
        if job.batch is not None:
            storing = Storing(self._store, self._signing, job.batch, len(job.payload), self._now_ms())
            try:
                return [Reply(job.back, storing.run())]
            except ProtocolError as e:
                # It is found before anything is written.
                refused = e
        if refused is not None:
            self._store.count("refused", refused.cause)
            refusal = receipts.make_refusal(job.agent, refused.cause, str(refused), job.payload)
            return [Reply(job.back, refusal)]
        assert job.nonce is not None
        return [Reply(job.back, self._answer(job.agent, job.nonce))]

    def _answer(self, agent: bytes, nonce: bytes) -> bytes:
        """The signed head of what is known of an agent.

        It is the last batch before a hole, if there is one: the agent sends again what comes after it. The
        highest numbers are named, too: those are used, whatever the agent's store says.
        """
        store, now_ms = self._store, self._now_ms()
        chains = store.newest_chains(agent, receipts.MAX_CHAINS)
        newest = store.contiguous_batch(agent, chains[0]) if chains else None
        highest = [_place(store.highest_batch(agent, chain)) for chain in chains]
        entries, duplicates, left_out = store.db.execute(
            "SELECT CAST(coalesce(sum(entries), 0) AS BIGINT), CAST(coalesce(sum(duplicates), 0) AS BIGINT),"
            " CAST(coalesce(sum(left_out), 0) AS BIGINT) FROM batches WHERE agent = ?",
            (agent,),
        ).fetchone()
        store.hear(agent, now_ms)
        signer, handovers = self._signing.current()
        return receipts.make_head_statement(
            signer,
            agent,
            None if newest is None else _place(newest),
            entries - duplicates - left_out,
            duplicates,
            now_ms,
            nonce,
            highest,
            handovers,
        )


def _touched(jobs: Sequence[_Job | None]) -> set[bytes]:
    """The agents, and the nodes of the frames, that the messages are about."""
    found: set[bytes] = set()
    for job in jobs:
        if job is None:
            continue
        if job.batch is not None or job.nonce is not None:
            found.add(job.agent)
        for fields in job.batch.parsed if job.batch is not None else ():
            if fields is not None and fields[0] in (batches.ENTRY_FRAME, batches.ENTRY_IDENTITY):
                found.add(fields[1])
    return found


def _place(batch: StoredBatch) -> tuple[bytes, int, bytes]:
    return batch.chain, batch.number, batch.head_hash


def _agent_of(text: str) -> bytes | None:
    """The agent id in a topic: 16 lower-case hex digits."""
    try:
        agent = bytes.fromhex(text)
    except ValueError:
        return None
    return agent if len(agent) == 8 and agent.hex() == text else None

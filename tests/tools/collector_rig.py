"""An agent's chain, people's records, and a collector on a folder, without a network."""

import os
from collections.abc import Sequence
from pathlib import Path

from edge_agent.keys import PublicKeys
from edge_agent.people.operators import Operators
from protocol import attest, batch, crypto, frames, handover, identity, merkle, receipts, records
from protocol.cose import Signer
from tools.collector import status, verify
from tools.collector.intake import Intake
from tools.collector.store import Store
from tools.collector.trust import Trust

NOW = 1_700_000_000_000
BOOT = (1).to_bytes(4, "big") + bytes(8)


def make_identity(n: int) -> identity.Identity:
    return crypto.run(identity.generate_steps(bytes([n]) * 64))


COLLECTOR, AGENT, NODE, STRANGER, OPERATOR = (make_identity(n) for n in (1, 2, 3, 4, 11))
PERSON, OTHER = b"person-number-01", b"person-number-02"


def vitals(n: int, rate_dpm: int = 720) -> bytes:
    return frames.pack(
        frames.KIND_VITALS, n * 1_000_000, {frames.VITALS_HR: rate_dpm, frames.VITALS_FLAGS: 0}
    )


def frame(n: int, plaintext: bytes | None = None) -> bytes:
    return batch.frame_entry(NODE.id, BOOT, n, vitals(n) if plaintext is None else plaintext, NOW + n)


NODE_KEYS = batch.identity_entry(NODE.id, *NODE.public())


def attestation(plaintexts: list[bytes]) -> bytes:
    """An attest frame over frames 0 … of the boot."""
    attester = attest.Attester(NODE, BOOT)
    for seq, plaintext in enumerate(plaintexts):
        attester.add(seq, plaintext)
    return frames.pack(frames.KIND_ATTEST, 1, crypto.run(attester.sign_steps(0)))


def clock(unix_ms: int, bound_us: int = 1000) -> bytes:
    """Node time 0 of the boot was `unix_ms`."""
    return batch.clock_entry(NODE.id, BOOT, 0, unix_ms * 1000, 0, bound_us)


def assign(person: bytes, from_ms: int, to_ms: int | None = None, made_ms: int = NOW) -> bytes:
    record = records.make_assignment(OPERATOR, NODE.id, person, from_ms, made_ms, os.urandom(8), to_ms)
    return batch.assignment_entry(record)


def erase(person: bytes, author: identity.Identity = OPERATOR) -> bytes:
    return batch.erasure_entry(records.make_erasure(author, person, NOW + 2000, os.urandom(8)))


def believe(folder: Path) -> Path:
    """Have the collector on that folder believe the operator; its operators."""
    Operators(folder / "operators").add("ward", PublicKeys(*OPERATOR.public()))
    return folder / "operators"


class Chain:
    """An agent's chain, batch by batch."""

    def __init__(self, agent: identity.Identity = AGENT, chain: bytes = b"chain--1"):
        self.agent, self.chain = agent, chain
        self.number, self.previous = 0, batch.FIRST_PREVIOUS

        self.signer: Signer = agent
        self.handovers: list[bytes] = []

    def make(self, entries: list[bytes], **more) -> bytes:
        """The next batch, sealed to the collector."""
        return self.make_with_holes(entries, (), **more)[0]

    def make_with_holes(self, entries: list[bytes], holes: Sequence[int], **more) -> tuple[bytes, bytes]:
        """The next batch without the entries at `holes`, and the same one whole."""
        head = batch.make_head(self.agent.id, self.chain, self.number, self.previous, entries, NOW, **more)
        self.number, self.previous = self.number + 1, batch.head_hash(head)
        signed = batch.sign_head(self.signer, head)
        left = [None if n in holes else entry for n, entry in enumerate(entries)]
        hashes = [merkle.leaf_hash(entries[n]) for n in sorted(holes)]
        clear = batch.encode_batch(signed, left, hashes, self.handovers)
        return self.seal(clear), self.seal(batch.encode_batch(signed, entries, (), self.handovers))

    def hand_over(self, last: bool = True) -> bytes:
        """To a new key; the record."""
        new = handover.SigningKey.from_seed(bytes([50 + len(self.handovers)]) * 32)
        newest = (self.chain, self.number - 1, self.previous) if last and self.number else None
        number = len(self.handovers) + 1
        record = handover.make_handover(self.signer, new, self.agent.id, NOW, number, newest)
        self.signer = new
        self.handovers.append(record)
        return record

    def seal(self, clear: bytes) -> bytes:
        return batch.seal_batch(clear, self.agent.id, COLLECTOR.x_pub, COLLECTOR.id)


class Rig:
    """A collector on a folder, and on a database when `place` names one; `again()` is a restart."""

    def __init__(self, folder: Path, place: str | None = None):
        self.folder = folder
        self.place = place or folder / "collector.sqlite3"
        self.trust = Trust(folder / "agents")
        self.trust.add(PublicKeys(*AGENT.public()))
        self.again()

    def again(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        self.store = Store(self.place)
        self.intake = Intake(self.store, COLLECTOR, self.trust, lambda: NOW + 5)

    def send(self, payload: bytes, agent: identity.Identity = AGENT) -> bytes:
        (reply,) = self.intake.handle(f"vitalwire/1/{agent.id.hex()}/batch", payload)
        assert reply.topic == f"vitalwire/1/{agent.id.hex()}/receipt"
        return reply.payload

    def receipt(self, payload: bytes) -> receipts.Receipt:
        return receipts.verify_receipt(self.send(payload), COLLECTOR.ed_pub)

    def refusal(self, payload: bytes, agent: identity.Identity = AGENT) -> str:
        answer = receipts.parse_refusal(self.send(payload, agent))
        assert answer.refused == crypto.sha256(payload)
        return answer.code

    def ask(self, nonce: bytes = b"nonce--1") -> receipts.Receipt:
        topic = f"vitalwire/1/{AGENT.id.hex()}/ask"
        (reply,) = self.intake.handle(topic, receipts.make_ask(AGENT.id, nonce))
        return receipts.verify_receipt(reply.payload, COLLECTOR.ed_pub)

    @property
    def status(self) -> dict:
        return status.summary(self.store, NOW + 5)

    def verify(self) -> verify.Report:
        return verify.verify(
            self.store, COLLECTOR.ed_pub, lambda agent: AGENT.ed_pub if agent == AGENT.id else None
        )

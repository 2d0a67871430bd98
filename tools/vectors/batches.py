"""Entries, heads, batches, receipts, questions and refusals."""

from typing import Any

from protocol import batch, cbor, handover, merkle, proof
from protocol.identity import Identity
from tools.vectors import records
from tools.vectors.frames import plaintexts
from tools.vectors.keys import AGENT, BOOT_ID, COLLECTOR, NODE, secret


def handed_over(party: Identity) -> "tuple[handover.SigningKey, list[bytes]]":
    """A party's third signing key, and the two hand-overs that lead to it."""
    second, third = (handover.SigningKey.from_seed(secret(f"signing key {i}")) for i in (2, 3))
    last = (secret("chain", 8), 0, secret("old head"))
    first_step = handover.make_handover(party, second, party.id, 1_700_000_001_500, 1, last)
    second_step = handover.make_handover(second, third, party.id, 1_700_000_001_600, 2)
    return third, [first_step, second_step]


def batch_vectors() -> Any:
    """The content of batch.json."""
    entries = [
        batch.identity_entry(NODE.id, *NODE.public()),
        *(
            batch.frame_entry(NODE.id, BOOT_ID, i, one, 1_700_000_000_000 + i)
            for i, one in enumerate(plaintexts())
        ),
        batch.clock_entry(NODE.id, BOOT_ID, 60_000_000, 1_700_000_000_123_456, -21_500, 1800),
        batch.statement_entry("frames_lost", {"count": 3, "why": "store_set_aside"}),
        batch.assignment_entry(records.assignment()),
        batch.manual_entry(records.manual()),
        batch.handover_entry(handed_over(AGENT)[1][0]),
        batch.consent_entry(records.consent()),
        batch.erasure_entry(records.erasure()),
        cbor.dumps([99, "of a later version", {1: b""}]),
    ]
    chain = secret("chain", 8)
    cited = (secret("old chain", 8), 41, secret("old head"))
    head = batch.make_head(
        AGENT.id, chain, 0, batch.FIRST_PREVIOUS, entries, 1_700_000_001_000, cited, "store set aside"
    )
    signed = batch.sign_head(AGENT, head)
    clear = batch.encode_batch(signed, entries)
    sealed = batch.seal_batch(clear, AGENT.id, COLLECTOR.x_pub, COLLECTOR.id, secret("batch ephemeral"))
    digest = batch.head_hash(head)
    second = batch.make_head(AGENT.id, chain, 1, digest, entries[8:], 1_700_000_003_000)
    now = 1_700_000_002_000
    signer, handovers = handed_over(AGENT)
    holes = [None if i in (1, 3) else one for i, one in enumerate(entries[8:])]
    left_out = batch.encode_batch(
        batch.sign_head(signer, second), holes, [merkle.leaf_hash(entries[8 + i]) for i in (1, 3)], handovers
    )
    leaves = [merkle.leaf_hash(one) for one in entries]
    shown, dated, started = (
        proof.Held(entries[at], at, merkle.path(leaves, at), signed, []) for at in (3, 8, 1)
    )
    receipt = batch.make_receipt(COLLECTOR, AGENT.id, chain, 0, digest, 9, 1, now)
    proven = proof.make_proof(AGENT.id, NODE.x_pub, shown, dated, started, [receipt])
    their_signer, theirs = handed_over(COLLECTOR)
    nonce = secret("question", 16)
    newest = (chain, 0, digest)
    highest = [(chain, 7, secret("head behind a hole")), cited]
    return {
        "entries": [one.hex() for one in entries],
        "eph_sk": secret("batch ephemeral").hex(),
        "examples": [
            {"name": name, "rule": rule, "bytes": data.hex()}
            for name, rule, data in (
                ("head, first of a chain that follows another", "head", head),
                ("head, second", "head", second),
                ("signed head", "signed-head", signed),
                ("batch, two entries left out, signed by the third key", "batch", left_out),
                ("batch", "batch", clear),
                ("hand-over, first", "signed-handover", handovers[0]),
                ("hand-over, second, before any head", "signed-handover", handovers[1]),
                ("sealed batch", "sealed-batch", sealed),
                (
                    "receipt, two entries left out, by the third key of a collector",
                    "signed-receipt",
                    batch.make_receipt(their_signer, AGENT.id, chain, 0, digest, 7, 1, now, theirs, 2),
                ),
                (
                    "receipt",
                    "signed-receipt",
                    batch.make_receipt(COLLECTOR, AGENT.id, chain, 0, digest, 9, 1, now),
                ),
                (
                    "head statement",
                    "signed-head-statement",
                    batch.make_head_statement(COLLECTOR, AGENT.id, newest, 9, 1, now, nonce),
                ),
                (
                    "head statement, a hole in the newest chain",
                    "signed-head-statement",
                    batch.make_head_statement(COLLECTOR, AGENT.id, newest, 9, 1, now, nonce, highest),
                ),
                (
                    "head statement, nothing known",
                    "signed-head-statement",
                    batch.make_head_statement(COLLECTOR, AGENT.id, None, 0, 0, now, nonce),
                ),
                ("proof of a frame that no attestation covers", "proof", proven),
                ("question", "ask", batch.make_ask(AGENT.id, nonce)),
                ("refusal", "batch-refusal", batch.make_refusal(AGENT.id, "bad_root", "an example", sealed)),
            )
        ],
    }

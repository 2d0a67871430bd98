"""Entries, heads, batches, receipts, questions and refusals."""

from typing import Any

from protocol import batch, cbor
from tools.vectors import records
from tools.vectors.frames import plaintexts
from tools.vectors.keys import AGENT, BOOT_ID, COLLECTOR, NODE, secret


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
        cbor.dumps([6, "of a later version", {1: b""}]),
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
    nonce = secret("question", 16)
    newest = (chain, 0, digest)
    highest = [(chain, 7, secret("head behind a hole")), cited]
    now = 1_700_000_002_000
    return {
        "entries": [one.hex() for one in entries],
        "eph_sk": secret("batch ephemeral").hex(),
        "examples": [
            {"name": name, "rule": rule, "bytes": data.hex()}
            for name, rule, data in (
                ("head, first of a chain that follows another", "head", head),
                ("head, second", "head", second),
                ("signed head", "signed-head", signed),
                ("batch", "batch", clear),
                ("sealed batch", "sealed-batch", sealed),
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
                ("question", "ask", batch.make_ask(AGENT.id, nonce)),
                ("refusal", "batch-refusal", batch.make_refusal(AGENT.id, "bad_root", "an example", sealed)),
            )
        ],
    }

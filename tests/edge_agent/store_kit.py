"""Frames to put into a store, and the store opened again."""

from pathlib import Path

from edge_agent.ledger.ledger import ledger
from edge_agent.store.opening import open_store
from edge_agent.store.store import Frame

AGENT = b"agent-01"
NODE = b"node-one"
BOOT = b"\0\0\0\1" + bytes(8)
NEXT = b"\0\0\0\2" + bytes(8)


def frame(seq: int, boot: bytes = BOOT, text: bytes = b"", node: bytes = NODE, **more) -> Frame:
    return Frame(node, boot, seq, text or b"plaintext %d" % seq, 1000 + seq, **more)


def reopened(path: Path):
    store, opening = open_store(path, AGENT, 2)
    return store, opening


def same_facts(store, path):
    """Memory says what the disk says."""
    store.close()
    again, opening = reopened(path)
    assert again.facts == store.facts and again.hellos == store.hellos and again.counters == store.counters
    assert again.frames == store.frames and again.last_journal == store.last_journal
    assert not opening.message and again.ledger() == ledger(path)
    return again

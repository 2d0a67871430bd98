"""Which stored frames their own node has signed for (docs/wire-protocol.md §9).

An attestation may come before the last of its frames, or before its node's key: it is then pending, and is looked at again when
something in its range arrives. One that fails says that somebody between node and collector made a frame up.
"""

from protocol import attest, frames
from tools.collector import schema
from tools.collector.store import Store

ATTEST_FIRST, ATTEST_COUNT = 1, 2


def judge(store: Store, node: bytes, boot: bytes, first: int, count: int, seq: int) -> int:
    """PROVED, PENDING or FAILED: the attest frame with number `seq` against the frames `first` … `first + count - 1`."""
    keys = store.node_keys(node)
    plaintexts = store.plaintexts(node, boot, first, count)
    statement = store.frame(node, boot, seq)
    if keys is None or statement is None or len(plaintexts) != count:
        return schema.PENDING
    _, _, body = frames.unpack(statement)
    return schema.PROVED if attest.verify(node, keys[0], boot, body, plaintexts) else schema.FAILED


def add(store: Store, node: bytes, boot: bytes, seq: int, body: dict[int, object]) -> None:
    """Note an attest frame; `settle` judges it."""
    store.db.execute(
        "INSERT OR IGNORE INTO attestations VALUES (?, ?, ?, ?, ?, ?)",
        (node, boot, body[ATTEST_FIRST], body[ATTEST_COUNT], seq, schema.PENDING),
    )


def settle(store: Store, node: bytes, boot: bytes | None, low: int, high: int, now_ms: int) -> None:
    """Judge the pending attestations of a boot (None: all of that node) whose range meets `low` … `high`."""
    rows = store.db.execute(
        "SELECT boot, first, count, seq FROM attestations WHERE node = ? AND (? IS NULL OR boot = ?) AND state = ?"
        " AND ((first <= ? AND first + count > ?) OR (seq >= ? AND seq <= ?))",
        (node, boot, boot, schema.PENDING, high, low, low, high),
    ).fetchall()
    for its_boot, first, count, seq in rows:
        state = judge(store, node, its_boot, first, count, seq)
        if state == schema.PENDING:
            continue
        store.db.execute(
            "UPDATE attestations SET state = ? WHERE node = ? AND boot = ? AND first = ? AND seq = ?",
            (state, node, its_boot, first, seq),
        )
        if state == schema.FAILED:
            frames_named = f"{first} to {first + count - 1}"
            store.alarm(
                now_ms,
                "attestation_failed",
                f"node {node.hex()} boot {its_boot.hex()}: its signature does not cover frames {frames_named} as received",
            )

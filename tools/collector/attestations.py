"""Which stored frames their own node has signed for (docs/wire-protocol.md §9).

An attestation may come before the last of its frames, or before its node's key: it is then pending, and is
looked at again when something in its range arrives. One that fails says that somebody between node and
collector made a frame up.
"""

from protocol import attest, crypto, frames, merkle
from tools.collector import schema
from tools.collector.store import Store


def judge(store: Store, node: bytes, boot: bytes, first: int, count: int, seq: int) -> int:
    """PROVED, PENDING or FAILED: the attest frame with number `seq` against the frames `first` … `first +
    count - 1`.
    """
    keys = store.node_keys(node)
    statement = store.frame(node, boot, seq)
    if keys is None or statement is None:
        return schema.PENDING
    leaves = store.attested_leaves(node, boot, first, count)
    if len(leaves) != count:
        return schema.PENDING
    _, _, body = frames.unpack(statement)
    root = merkle.root(leaves)
    message = attest.attested_message(node, boot, first, count, root)
    signed = crypto.run(crypto.ed25519_verify_steps(keys[0], message, body[attest.SIGNATURE]))
    return schema.PROVED if root == body[attest.ROOT] and signed else schema.FAILED


def add(store: Store, node: bytes, boot: bytes, seq: int, body: dict[int, int]) -> None:
    """Note an attest frame; `settle` judges it."""
    store.db.execute(
        "INSERT INTO attestations VALUES (?, ?, ?, ?, ?, ?)",
        (node, boot, body[attest.FIRST], body[attest.COUNT], seq, schema.PENDING),
    )
    store.count("stored", "attestations")


def settle(store: Store, node: bytes, span: tuple[bytes, int, int] | None, now_ms: int) -> None:
    """Judge the pending attestations of a node: all of them, or those that `span` (boot, lowest, highest
    frame number) may touch.
    """
    wanted = "SELECT boot, first, count, seq FROM attestations WHERE node = ? AND state = ?"
    given: tuple[object, ...] = (node, schema.PENDING)
    if span is not None:
        boot, low, high = span
        wanted += " AND boot = ? AND ((first <= ? AND first + count > ?) OR seq BETWEEN ? AND ?)"
        given += (boot, high, low, low, high)
    for its_boot, first, count, seq in store.db.execute(wanted, given).fetchall():
        state = judge(store, node, its_boot, first, count, seq)
        if state == schema.PENDING:
            continue
        store.db.execute(
            "UPDATE attestations SET state = ? WHERE node = ? AND boot = ? AND first = ? AND seq = ?",
            (state, node, its_boot, first, seq),
        )
        if state == schema.FAILED:
            where = f"node {node.hex()} boot {its_boot.hex()}"
            range_ = f"frames {first} to {first + count - 1}"
            store.alarm(now_ms, "attestation_failed", f"{where}: its signature does not cover {range_}")

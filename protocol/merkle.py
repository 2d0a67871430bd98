"""Merkle trees over SHA-256 (RFC 9162 §2.1): roots, a streaming tree, inclusion proofs.

A leaf is hashed behind 0x00 and a pair of nodes behind 0x01, so that a leaf never passes for a node. A tree
of n leaves splits at the largest power of two below n.
"""

from hashlib import sha256

from protocol.errors import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

HASH_BYTES = 32


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf's bytes, 32 bytes. RFC 9162 §2.1.1."""
    h = sha256(b"\x00")
    h.update(leaf)
    return h.digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees, 32 bytes. RFC 9162 §2.1.1."""
    return sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: "Sequence[bytes]") -> bytes:
    """The root over leaf hashes in order; of none, SHA-256 of nothing. RFC 9162 §2.1.1."""
    tree = Tree()
    for one in leaf_hashes:
        tree.append_hash(one)
    return tree.root()


class Tree:
    """A tree that grows leaf by leaf and holds one hash a level: O(log n) memory. RFC 9162 §2.1.2."""

    def __init__(self) -> None:
        self._peaks: list[bytes] = []  # roots of the full subtrees, largest first: one for each 1 in `count`
        self.count = 0

    def append(self, leaf: bytes) -> None:
        """Add the leaf whose bytes these are."""
        self.append_hash(leaf_hash(leaf))

    def append_hash(self, one: bytes) -> None:
        """Add the leaf that has this hash. Where memory runs out on the way, nothing has changed."""
        peaks = self._peaks
        left = len(peaks)
        below = self.count
        while below & 1:
            left -= 1
            one = node_hash(peaks[left], one)
            below >>= 1
        while len(peaks) > left:
            peaks.pop()
        peaks.append(one)
        self.count += 1

    def root(self) -> bytes:
        """The root over the leaves so far; of none, SHA-256 of nothing."""
        if not self._peaks:
            return sha256(b"").digest()
        result = self._peaks[-1]
        for i in range(len(self._peaks) - 2, -1, -1):
            result = node_hash(self._peaks[i], result)
        return result

    def reset(self) -> None:
        """Begin an empty tree."""
        self._peaks = []
        self.count = 0


def path(leaf_hashes: "Sequence[bytes]", i: int) -> "list[bytes]":
    """The inclusion proof of leaf `i` (from 0): sibling hashes, lowest first. RFC 9162 §2.1.3.1."""
    n = len(leaf_hashes)
    if not 0 <= i < n:
        raise LocalError("leaf %d of a tree of %d" % (i, n))
    level = list(leaf_hashes)
    proof: list[bytes] = []
    while len(level) > 1:
        # Pairwise from the left, a single last node rising as it is, makes the tree of the RFC.
        if i ^ 1 < len(level):
            proof.append(level[i ^ 1])
        above = [node_hash(level[k], level[k + 1]) for k in range(0, len(level) - 1, 2)]
        if len(level) & 1:
            above.append(level[-1])
        level = above
        i >>= 1
    return proof


def verify_path(leaf: bytes, i: int, n: int, proof: "Sequence[bytes]", expected_root: bytes) -> bool:
    """Whether the leaf with hash `leaf` is number `i` of the `n` under the root. RFC 9162 §2.1.3.2."""
    if not 0 <= i < n:
        return False
    last = n - 1
    result = leaf
    for one in proof:
        if last == 0:
            return False
        if i & 1 or i == last:
            result = node_hash(one, result)
            while not i & 1 and i:
                i >>= 1
                last >>= 1
        else:
            result = node_hash(result, one)
        i >>= 1
        last >>= 1
    return last == 0 and result == expected_root

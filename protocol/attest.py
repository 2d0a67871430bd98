"""Attestation: a node signs what it measured, range by range; see docs/wire-protocol.md §9.

The seal of a frame proves it only to an agent, who could have made it; this signature proves it to anyone,
and one frame without the others.
"""

from protocol import cbor, crypto, merkle, on_demand
from protocol.errors import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from typing import Any

    from protocol.identity import Identity

MAX_FRAMES = 64
MAX_MS = 30_000

FIRST = 1
COUNT = 2
ROOT = 3
SIGNATURE = 4


class Attester:
    """One boot of a node: its frames go in, in order of their numbers; signed ranges come out, without gaps.
    A range whose signing came to no end is signed by the next sign_steps; `behind` while it waits.

    `due` and `sign_steps` take milliseconds of one clock that does not wrap.
    """

    def __init__(self, identity: "Identity", boot_id: bytes):
        self._identity = identity
        self._boot_id = boot_id
        self._tree = merkle.Tree()
        self._first = 0
        self._since_ms: int | None = None
        self._unsigned: "tuple[int, int, bytes] | None" = None

    def add(self, seq: int, plaintext: bytes) -> None:
        """Frame number `seq`, which must be the next one from 0 (LocalError)."""
        if seq != self._first + self._tree.count:
            raise LocalError("frame %d attested after %d" % (seq, self._first + self._tree.count - 1))
        self._tree.append(leaf(self._boot_id, seq, plaintext))

    @property
    def behind(self) -> bool:
        """Whether a range waits whose signing was begun."""
        return self._unsigned is not None

    def due(self, now_ms: int) -> bool:
        """Whether to sign now: a range is behind, 64 frames wait, or some do and the last signature is 30 s
        old.
        """
        if self._since_ms is None:
            self._since_ms = now_ms
        waiting = self._tree.count
        return self.behind or waiting >= MAX_FRAMES or (waiting > 0 and now_ms - self._since_ms >= MAX_MS)

    def sign_steps(self, now_ms: int) -> "Generator[None, None, dict[int, int | bytes]]":
        """The body of an attest frame over all frames added so far, or over the range that is behind;
        LocalError when there are none.

        Frames added between slices belong to the next range. One at a time.
        """
        if self._unsigned is None:
            if not self._tree.count:
                raise LocalError("no frame to attest")
            self._unsigned = (self._first, self._tree.count, self._tree.root())
            self._first += self._tree.count
            self._tree.reset()
            self._since_ms = now_ms
        first, count, root = self._unsigned
        me = self._identity
        message = attested_message(me.id, self._boot_id, first, count, root)
        try:
            signature = yield from crypto.ed25519_sign_steps(me.ed_seed, me.ed_pub, message)
        finally:
            on_demand.forget(on_demand.SIGNING)
        body: "dict[int, int | bytes]" = {FIRST: first, COUNT: count, ROOT: root, SIGNATURE: signature}
        self._unsigned = None
        return body


def leaf(boot_id: bytes, seq: int, plaintext: bytes) -> bytes:
    """The bytes of a frame's leaf."""
    return cbor.dumps([boot_id, seq, plaintext])


def attested_message(node_id: bytes, boot_id: bytes, first: int, count: int, root: bytes) -> bytes:
    """What the node signs: its name, the boot, the range and the root over it."""
    return cbor.dumps(["vitalwire/1 attest", node_id, boot_id, first, count, root])


def verify(
    node_id: bytes, ed_pub: bytes, boot_id: bytes, body: "Mapping[int, Any]", plaintexts: "Sequence[bytes]"
) -> bool:
    """Whether `body` (of an attest frame) is the node's signature over exactly these plaintexts, in order."""
    first, count, root = body[FIRST], body[COUNT], body[ROOT]
    if count != len(plaintexts):
        return False
    leaves = [merkle.leaf_hash(leaf(boot_id, first + i, plaintexts[i])) for i in range(count)]
    if merkle.root(leaves) != root:
        return False
    message = attested_message(node_id, boot_id, first, count, root)
    return crypto.run(crypto.ed25519_verify_steps(ed_pub, message, body[SIGNATURE]))

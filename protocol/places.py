"""Where in an encoding a value lies: for the offsets in errors, found only when there is an error.

An agent's: a node counts what is wrong, and has no memory to spare for saying where.
"""

from protocol import cbor


def place(encoded: bytes, at: int, path: "tuple[int, ...]") -> int:
    """The offset of the value at the end of `path`: map keys, one within the other, from the item at `at` on.

    A byte string on the way is taken for the encoding of a map. Where a key is missing, or there is no map:
    of what should have held it. `encoded` decodes.
    """
    for key in path:
        major, n, inner = cbor.read_head(encoded, at)
        if major == 2:
            major, n, inner = cbor.read_head(encoded, inner)
        if major != 5:
            return at
        found = at
        for _ in range(n):
            name, value = cbor.loads_prefix(encoded, inner)
            if name == key:
                found = value
            _, inner = cbor.loads_prefix(encoded, value)
        if found == at:
            return at
        at = found
    return at


def body_of(plaintext: bytes) -> int:
    """The offset of the body of a frame, which is an array of three."""
    _, at = cbor.loads_prefix(plaintext, 1)
    return cbor.loads_prefix(plaintext, at)[1]

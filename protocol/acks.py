"""Acknowledgements as an agent writes them: by hand, byte for byte as `frames.pack` would.

An agent with a thousand nodes writes more of them than of anything else. No node loads this.
"""

from protocol.frames import KIND_ACK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = b"\x83" + bytes((0x18, KIND_ACK))
_SMALL = tuple(bytes((n,)) for n in range(24))


def pack(t_us: int, index: int, ranges: "Sequence[Sequence[int]]") -> bytes:
    """The plaintext of an ack: of the boot at `index`, ranges [first, count] (at most 23)."""
    if len(ranges) == 1:
        ((first, count),) = ranges
        return b"".join((_HEAD, uint(t_us), b"\x82", uint(index), b"\x81\x82", uint(first), uint(count)))
    out = [_HEAD, uint(t_us), b"\x82", uint(index), bytes((0x80 | len(ranges),))]
    for first, count in ranges:
        out.append(b"\x82")
        out.append(uint(first))
        out.append(uint(count))
    return b"".join(out)


def uint(n: int) -> bytes:
    """The shortest encoding of an unsigned integer."""
    if n < 24:
        return _SMALL[n]
    if n < 0x100:
        return bytes((24, n))
    if n < 0x10000:
        return b"\x19" + n.to_bytes(2, "big")
    if n >> 32 == 0:
        return b"\x1a" + n.to_bytes(4, "big")
    return b"\x1b" + n.to_bytes(8, "big")

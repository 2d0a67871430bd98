"""Frames that come all the time are told sound without being decoded: waves and vitals, by a pattern.

The patterns are made from the tables by which frames are checked (protocol/frame_rules.py). One accepts
exactly what the decoder accepts *and* knows all of: the shortest form of each number, keys in order and none
twice, values within their bounds and with a meaning, no key besides. What it does not accept is not wrong:
it is decoded, and judged by that.
"""

import re
from typing import NamedTuple

from protocol import frame_rules
from protocol import frames as f

# The head of a byte string, whose length is then seen to.
_LONG = rb"(?:[\x41-\x57]|\x58[\x18-\xff]|\x59[\x01-\xff].)"
# A list of more items is decoded.
FEW = 8
# The groups t, map and fixed; then one a key that may be left out.
_NAMED = 3
_WIDTHS = ((1, 24), (1, 0x100), (2, 0x10000), (4, 1 << 32), (8, 1 << 64))


class _Pattern(NamedTuple):
    head: re.Pattern[bytes]
    tail: re.Pattern[bytes] | None
    required: int


def glance(plaintext: bytes) -> tuple[int, int, None] | None:
    """(kind, t_us, no body) of a sound frame of a kind that is looked at so; None: decode it."""
    pattern = _PATTERNS.get(plaintext[1:2])
    if pattern is None:
        return None
    found = pattern.head.match(plaintext)
    if found is None:
        return None
    end = found.end()
    pairs = pattern.required
    if pattern.tail is not None:
        # The head ends with that of a long byte string.
        at = found.end("fixed")
        size = plaintext[at] - 0x40 if end == at + 1 else int.from_bytes(plaintext[at + 1 : end], "big")
        if size > f.MAX_PLAINTEXT:
            return None
        end += size
        rest = pattern.tail.fullmatch(plaintext, end)
        if rest is None:
            return None
        pairs += sum([one is not None for one in rest.groups()])
    else:
        if end != len(plaintext):
            return None
        pairs += sum([one is not None for one in found.groups()[_NAMED:]])
    if found["map"][0] != 0xA0 | pairs:
        return None
    t_us = found["t"]
    return plaintext[1], t_us[0] if len(t_us) == 1 else int.from_bytes(t_us[1:], "big"), None


# How the patterns are made


def _byte(low: int, high: int) -> bytes:
    return b"[\\x%02x-\\x%02x]" % (low, high)


def _at_most(bound: bytes) -> bytes:
    """Big-endian strings of this length up to the bound."""
    if not bound:
        return b""
    first, rest = bound[0], bound[1:]
    same = _byte(first, first) + _at_most(rest)
    if first == 0:
        return same
    return b"(?:" + _byte(0, first - 1) + b"." * len(rest) + b"|" + same + b")"


def _at_least(bound: bytes) -> bytes:
    if not bound:
        return b""
    first, rest = bound[0], bound[1:]
    same = _byte(first, first) + _at_least(rest)
    if first == 255:
        return same
    return b"(?:" + _byte(first + 1, 255) + b"." * len(rest) + b"|" + same + b")"


def uint(least: int, most: int) -> bytes:
    """The pattern of the shortest encodings of the numbers from `least` to `most`."""
    forms: list[bytes] = []
    begin = 0
    for n, (width, end) in enumerate(_WIDTHS):
        low, high = max(least, begin), min(most, end - 1)
        begin = end
        if low > high:
            continue
        if n == 0:
            forms.append(_byte(low, high))
            continue
        low_bytes, high_bytes = low.to_bytes(width, "big"), high.to_bytes(width, "big")
        head = b"\\x%02x" % (23 + n)
        forms.append(head + b"(?=" + _at_least(low_bytes) + b")" + _at_most(high_bytes))
    return b"(?:" + b"|".join(forms) + b")"


def _value(kind: int, key: int, least: int, most: int) -> bytes:
    """A number that is in bounds and has a meaning."""
    known = frame_rules.MEANINGS.get((kind, key))
    if known is not None:
        return b"(?:" + b"|".join(uint(n, n) for n in sorted(known) if least <= n <= most) + b")"
    mask = frame_rules.FLAGS.get((kind, key))
    if mask is not None:
        # Masks are of all the bits up to some bit.
        assert mask & (mask + 1) == 0
        most = min(most, mask)
    return uint(least, most)


def _made(kind: int) -> _Pattern:
    head = b"\\x83\\x%02x(?P<t>%s)(?P<map>[\\xa0-\\xb7])(?P<fixed>" % (kind, uint(0, f.T_END - 1))
    parts: list[bytes] = []
    tail: list[bytes] | None = None
    required = 0
    table = frame_rules.BODIES[kind]
    for key in sorted(table):
        _, needed, kind_of, least, most = table[key]
        name = b"\\x%02x" % key
        if kind_of == "bytes":
            assert needed and not tail
            parts.append(name)
            tail = []
            required += 1
            continue
        if kind_of == "rr":
            one = uint(1, frame_rules.U16)
            rows = b"|".join(b"\\x%02x%s{%d}" % (0x80 + n, one, n) for n in range(FEW + 1))
            parts.append(b"(" + name + b"(?:" + rows + b"))?")
            continue
        assert kind_of == "int"
        one = name + _value(kind, key, least, most)
        if needed:
            assert tail is None
            required += 1
            parts.append(one)
        else:
            (parts if tail is None else tail).append(b"(" + one + b")?")
    whole = head + b"".join(parts) + b")"
    if tail is not None:
        rest = re.compile(b"".join(tail), re.DOTALL)
        return _Pattern(re.compile(whole + _LONG, re.DOTALL), rest, required)
    return _Pattern(re.compile(whole, re.DOTALL), None, required)


_PATTERNS = {bytes((kind,)): _made(kind) for kind in (f.KIND_WAVE, f.KIND_VITALS)}

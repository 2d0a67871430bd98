"""Deterministic CBOR (RFC 8949 §4.2.1), the subset that Vitalwire uses, strict in both directions.

Carried: integers within 64 bits signed, byte strings, text, arrays, maps with integer, text or byte-string
keys, true, false and null. Not carried: floats, tags (but see `loads`), undefined, indefinite lengths.
Decoding accepts exactly what encoding makes, so that one value has one encoding.
"""

# Values to be encoded are of any type, so their element types are unknown.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from protocol.errors import CborError, LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_DEPTH = 8
"""Arrays and maps within each other; the deepest message of the protocol has five."""

_INT_END = 1 << 63


def dumps(obj: "Any") -> bytes:
    """The one encoding of `obj`. TypeError: a type not carried; LocalError: out of range or too deep."""
    out = bytearray()
    _put(out, obj, 0)
    return bytes(out)


def head(major: int, n: int) -> bytes:
    """The initial bytes of an item of major type `major` (0..7) with argument `n`, in their shortest form."""
    out = bytearray()
    _put_head(out, major << 5, n)
    return bytes(out)


def _put_head(out: bytearray, major: int, n: int) -> None:
    if n < 24:
        out.append(major | n)
    elif n < 0x100:
        out.append(major | 24)
        out.append(n)
    elif n < 0x10000:
        out.append(major | 25)
        out.append(n >> 8)
        out.append(n & 0xFF)
    elif n >> 32 == 0:
        out.append(major | 26)
        out.extend(n.to_bytes(4, "big"))
    elif n < _INT_END:
        out.append(major | 27)
        out.extend(n.to_bytes(8, "big"))
    else:
        raise LocalError("an integer beyond 64 bits signed")


def _put(out: bytearray, obj: "Any", depth: int) -> None:
    if obj is None:
        out.append(0xF6)
    elif obj is True:
        out.append(0xF5)
    elif obj is False:
        out.append(0xF4)
    elif isinstance(obj, int):
        if obj >= 0:
            _put_head(out, 0x00, obj)
        else:
            _put_head(out, 0x20, -1 - obj)
    elif isinstance(obj, (bytes, bytearray, memoryview)):
        _put_head(out, 0x40, len(obj))
        out.extend(obj)
    elif isinstance(obj, str):
        raw = obj.encode()
        _put_head(out, 0x60, len(raw))
        out.extend(raw)
    elif isinstance(obj, (list, tuple)):
        if depth == MAX_DEPTH:
            raise LocalError(f"more than {MAX_DEPTH} arrays and maps within each other")
        _put_head(out, 0x80, len(obj))
        for item in obj:
            _put(out, item, depth + 1)
    elif isinstance(obj, dict):
        if depth == MAX_DEPTH:
            raise LocalError(f"more than {MAX_DEPTH} arrays and maps within each other")
        _put_head(out, 0xA0, len(obj))
        if _all_uint(obj):
            # Whose encodings have the order of the numbers: the maps of every frame.
            for key in sorted(obj):
                _put_head(out, 0x00, key)
                value = obj[key]
                if type(value) is int and value >= 0:
                    _put_head(out, 0x00, value)
                else:
                    _put(out, value, depth + 1)
            return
        for key, encoded in _sorted_keys(obj):
            out.extend(encoded)
            _put(out, obj[key], depth + 1)
    else:
        raise TypeError(f"CBOR here carries no {type(obj).__name__}")


def _all_uint(mapping: "dict[Any, Any]") -> bool:
    for key in mapping:  # noqa: SIM110 - a generator is an allocation
        if type(key) is not int or key < 0:
            return False
    return True


def _sorted_keys(mapping: "dict[Any, Any]") -> "list[tuple[Any, bytes]]":
    pairs: "list[tuple[Any, bytes]]" = []
    for key in mapping:
        if isinstance(key, bool) or not isinstance(key, (int, str, bytes)):
            raise TypeError("a CBOR map key here is an integer, a text or a byte string")
        pairs.append((key, dumps(key)))
    pairs.sort(key=lambda pair: pair[1])
    return pairs


def loads(
    buf: "bytes | bytearray | memoryview", tag: "int | None" = None, most: "int | None" = None
) -> "Any":
    """The value of `buf`, which is one item and nothing more; arrays become lists. CborError has the offset.

    With `tag`, the outermost item must carry exactly that tag, which is taken off (COSE_Sign1: 18). With
    `most`, there are at most so many items in it, which is seen before any is made: each costs memory,
    however short it is.
    """
    start = 0
    if tag is not None:
        start = _expect_tag(buf, tag)
    if most is not None and len(buf) > most:
        _count(buf, start, most)
    obj, end = _item(buf, start, len(buf), 0)
    if end != len(buf):
        raise CborError(f"{len(buf) - end} bytes after the item", end)
    return obj


def loads_prefix(buf: "bytes | bytearray | memoryview", offset: int = 0) -> "tuple[Any, int]":
    """The item that begins at `offset`, and the offset just after it. CborError names the offset."""
    return _item(buf, offset, len(buf), 0)


def read_head(buf: "bytes | bytearray | memoryview", pos: int) -> "tuple[int, int, int]":
    """(major type 0..7, argument, offset after) of the initial bytes at `pos`; CborError unless shortest."""
    end = len(buf)
    if pos >= end:
        raise CborError("the item is cut off", pos)
    first = buf[pos]
    info = first & 31
    at = pos + 1
    if info < 24:
        return first >> 5, info, at
    if info > 27:
        raise CborError("an indefinite length" if info == 31 else "a reserved initial byte", pos)
    width = 1 << (info - 24)
    if end - at < width:
        raise CborError("the item is cut off", end)
    if first >= 0xE0:
        return 7, info, at
    n = 0
    for i in range(at, at + width):
        n = n << 8 | buf[i]
    if n < 24 or (width > 1 and n >> (width << 2) == 0):
        raise CborError("not in the shortest form", pos)
    return first >> 5, n, at + width


def _count(buf: "bytes | bytearray | memoryview", at: int, most: int) -> None:
    """CborError where item number `most` + 1 begins; what else is wrong is left to the decoder."""
    end = len(buf)
    while at < end:
        if most == 0:
            raise CborError("more items than are taken here", at)
        most -= 1
        if buf[at] < 24:
            at += 1
            continue
        try:
            major, n, at = read_head(buf, at)
        except CborError:
            return
        if major == 2 or major == 3:
            at += n


def _expect_tag(buf: "bytes | bytearray | memoryview", tag: int) -> int:
    major, n, at = read_head(buf, 0)
    if major != 6 or n != tag:
        raise CborError(f"tag {tag} is missing", 0)
    return at


def _item(buf: "bytes | bytearray | memoryview", pos: int, end: int, depth: int) -> "tuple[Any, int]":
    major, n, at = read_head(buf, pos)
    if major <= 1:
        if n >= _INT_END:
            raise CborError("an integer beyond 64 bits signed", pos)
        return (n if major == 0 else -1 - n), at
    if major <= 3:
        if n > end - at:
            raise CborError(f"a string of {n} bytes where {end - at} are left", pos)
        raw = bytes(buf[at : at + n])
        if major == 2:
            return raw, at + n
        _check_utf8(raw, at)
        return str(raw, "utf-8"), at + n
    if major == 4:
        return _array(buf, pos, at, end, n, depth)
    if major == 5:
        return _map(buf, pos, at, end, n, depth)
    if major == 7 and at == pos + 1 and 20 <= n <= 22:
        return (False, True, None)[n - 20], at
    if major == 6:
        raise CborError(f"tag {n} does not belong here", pos)
    raise CborError("a float" if 25 <= n <= 27 else "a simple value that is not true, false or null", pos)


def _array(
    buf: "bytes | bytearray | memoryview", pos: int, at: int, end: int, n: int, depth: int
) -> "tuple[list[Any], int]":
    if depth == MAX_DEPTH:
        raise CborError(f"more than {MAX_DEPTH} arrays and maps within each other", pos)
    if n > end - at:
        raise CborError(f"an array of {n} items where {end - at} bytes are left", pos)
    items: "list[Any]" = []
    for _ in range(n):
        if at < end and buf[at] < 24:
            items.append(buf[at])
            at += 1
        else:
            item, at = _item(buf, at, end, depth + 1)
            items.append(item)
    return items, at


def _map(
    buf: "bytes | bytearray | memoryview", pos: int, at: int, end: int, n: int, depth: int
) -> "tuple[dict[Any, Any], int]":
    if depth == MAX_DEPTH:
        raise CborError(f"more than {MAX_DEPTH} arrays and maps within each other", pos)
    if n > (end - at) >> 1:
        raise CborError(f"a map of {n} pairs where {end - at} bytes are left", pos)
    items: "dict[Any, Any]" = {}
    last = b""
    for _ in range(n):
        if buf[at : at + 1] and buf[at] >= 0x80:
            raise CborError("a map key that is not an integer, a text or a byte string", at)
        key, after = _item(buf, at, end, depth + 1)
        encoded = bytes(buf[at:after])
        if encoded <= last:
            raise CborError("a map key twice" if encoded == last else "map keys out of order", at)
        last = encoded
        items[key], at = _item(buf, after, end, depth + 1)
    return items, at


def _check_utf8(raw: bytes, at: int) -> None:
    """CborError unless `raw` is UTF-8 (RFC 3629); MicroPython's own check lets overlong forms pass."""
    i = 0
    while i < len(raw):
        first = raw[i]
        i += 1
        if first < 0x80:
            continue
        if 0xC2 <= first < 0xE0:
            more, low = 1, 0x80
        elif 0xE0 <= first < 0xF0:
            more, low = 2, 0x800
        elif 0xF0 <= first < 0xF5:
            more, low = 3, 0x10000
        else:
            raise CborError("text that is not UTF-8", at + i - 1)
        start = i
        code = first & (0x3F >> more)
        while i < start + more:
            if i >= len(raw) or raw[i] & 0xC0 != 0x80:
                raise CborError("text that is not UTF-8", at + start - 1)
            code = code << 6 | raw[i] & 0x3F
            i += 1
        if code < low or code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise CborError("text that is not UTF-8", at + start - 1)

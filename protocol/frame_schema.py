"""Whether a body holds what its kind of frame must hold, and what of it this version does not know.

The tables are in frame_rules.py. A node loads neither (docs/wire-protocol.md §8 and §12).
"""

from protocol import frames as f
from protocol.checks import is_bytes, is_bytes_list, is_list, is_map, is_ranges, is_uint
from protocol.errors import FrameError
from protocol.frame_names import KIND_NAMES, LOSS_NAMES
from protocol.frame_rules import BODIES, FLAGS, MEANINGS, NEEDED, ONLY_WITH, SETTINGS, U8, U16, U32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from protocol.frame_rules import Rule


def check(kind: int, body: "Any") -> None:
    """FrameError unless `body` holds what `kind` requires; a kind without a table passes."""
    table = BODIES.get(kind)
    if table is None:
        return
    name = KIND_NAMES[kind]
    if not is_map(body):
        raise FrameError(f"{name}: the body is not a map", path=())
    _check_keys(name, body)
    for key in sorted(table):
        _check_key(name, body, (key,), table[key])
    for key, value, needed in NEEDED.get(kind, ()):
        for other in needed:
            if body[key] == value and other not in body:
                raise FrameError(f"{name}: key {other} ({table[other][0]}) is missing", path=(other,))
    if kind in ONLY_WITH:
        key, value, only = ONLY_WITH[kind]
        for other in only:
            if body[key] != value and other in body:
                why = f"{name}: key {other} ({table[other][0]}) with a result that has none"
                raise FrameError(why, path=(other,))
    if kind == f.KIND_BOOT:
        _check_order(name, body)
    if kind == f.KIND_CONFIG:
        settings = body[f.ORDER_WHAT]
        for key in sorted(SETTINGS):
            _check_key("config: settings", settings, (f.ORDER_WHAT, key), SETTINGS[key])


def _check_order(name: str, body: "dict[int, Any]") -> None:
    earlier, previous = body.get(f.BOOT_EARLIER), body.get(f.BOOT_PREVIOUS)
    if earlier and previous and _last(earlier[-1]) >= _last(previous):
        why = f"{name}: key {f.BOOT_EARLIER} (earlier boots) is not of boots before the previous one"
        raise FrameError(why, path=(f.BOOT_EARLIER,))


def unknown(kind: int, body: "Any") -> "tuple[bool, int]":
    """(whether the kind is not known, how many keys of a sound body are not known); to be counted, not
    refused."""
    if kind not in KIND_NAMES:
        return True, 0
    table = BODIES.get(kind)
    if table is None:
        return False, 0
    count = sum([key not in table for key in body])
    if kind == f.KIND_CONFIG:
        count += sum([key not in SETTINGS for key in body[f.ORDER_WHAT]])
    return False, count


def unknown_meanings(kind: int, body: "Any") -> int:
    """How many numbers in a sound body are not in this version's lists of meanings; to be counted, not
    refused."""
    if kind == f.KIND_LOSS:
        return sum([item[2] not in LOSS_NAMES for item in body[f.LOSS_RANGES]])
    if kind == f.KIND_LOST_BEFORE:
        return sum([item[3] not in LOSS_NAMES for item in body[f.LOST_BEFORE]])
    count = 0
    for key in BODIES.get(kind, ()):
        if key in body:
            known = MEANINGS.get((kind, key))
            if known is not None:
                count += body[key] not in known
            elif (kind, key) in FLAGS:
                count += body[key] & ~FLAGS[kind, key] != 0
    return count


def carried(kind: int, body: "Any") -> "list[tuple[str, int]]":
    """(cause, how often) of what of a sound frame this version does not know."""
    unknown_kind, keys = unknown(kind, body)
    found = [("unknown_kind", int(unknown_kind)), ("unknown_key", keys)]
    found.append(("unknown_meaning", unknown_meanings(kind, body)))
    return [one for one in found if one[1]]


def _check_keys(name: str, body: "dict[Any, Any]") -> None:
    for key in body:
        if not is_uint(key):
            raise FrameError(f"{name}: key {key!r} is not an unsigned integer", path=())


def _check_key(name: str, body: "dict[Any, Any]", path: "tuple[int, ...]", rule: "Rule") -> None:
    """`path`: the keys from the frame's body on, of which the last is of `body`."""
    what, required, kind_of, least, most = rule
    key = path[-1]
    if key not in body:
        if required:
            raise FrameError(f"{name}: key {key} ({what}) is missing", path=path)
    elif not _fits(body[key], kind_of, least, most):
        raise FrameError(f"{name}: key {key} ({what}) is not {_wanted(kind_of, least, most)}", path=path)


def _wanted(kind_of: str, least: int, most: int) -> str:
    if kind_of == "int":
        return f"an integer from {least} to {most}"
    if kind_of in ("bytes", "text"):
        return f"{kind_of} of {least} to {most} bytes"
    return {
        "bool": "true or false",
        "map": "a map with unsigned keys",
        "settings": "a map with unsigned keys",
        "keys": "two public keys of 32 bytes",
        "previous": "[boot id with a counter from 1, known_next, clean, bound_s]",
        "earlier": f"{least} to {most} statements, each of one boot or of several, oldest first",
        "channels": f"at most {most} of [channel, part, period_ns, lsb]",
        "channel numbers": f"at most {most} channel numbers",
        "limits": f"at most {most} of [event code, limit, delay in s]",
        "rr": f"at most {most} intervals in ms",
        "ranges": f"at most {most} ascending [first, count]",
        "losses": "ascending [first, count, reason]",
        "boot losses": f"{least} to {most} of [boot id with a counter from 1, first, count, reason]",
    }[kind_of]


def _fits(value: "Any", kind_of: str, least: int, most: int) -> bool:
    if kind_of == "int":
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    if kind_of == "bytes":
        return isinstance(value, bytes) and least <= len(value) <= most
    if kind_of == "text":
        return isinstance(value, str) and least <= len(value.encode()) <= most
    if kind_of == "bool":
        return isinstance(value, bool)
    if kind_of in ("map", "settings"):
        return is_map(value) and all(is_uint(key) for key in value)
    if kind_of == "keys":
        return is_bytes_list(value, (32, 32))
    if kind_of == "previous":
        return _is_statement(value)
    if not is_list(value) or not least <= len(value) <= most:
        return False
    if kind_of == "losses":
        return is_ranges(value, 3)
    if kind_of == "boot losses":
        return all(_is_boot_loss(item) for item in value)
    if kind_of == "ranges":
        return is_ranges(value, 2)
    if kind_of == "rr":
        return all(_fits(item, "int", 1, U16) for item in value)
    if kind_of == "channel numbers":
        return all(_fits(item, "int", 0, U8) for item in value)
    if kind_of == "limits":
        return all(_is_limit(item) for item in value)
    if kind_of == "channels":
        return all(_is_channel(item) for item in value)
    return _are_statements(value)


def _is_statement(item: "Any") -> bool:
    return (
        is_list(item)
        and len(item) == 4
        and is_bytes(item[0], 12)
        and any(item[0][:4])
        and _fits(item[1], "int", 0, U32)
        and isinstance(item[2], bool)
        and _fits(item[3], "int", 0, U32)
    )


def _is_boot_loss(item: "Any") -> bool:
    return (
        is_list(item)
        and len(item) == 4
        and is_bytes(item[0], 12)
        and any(item[0][:4])
        and is_ranges([item[1:]], 3)
    )


def _last(said: "Any") -> int:
    """The counter of the last boot of which something is said."""
    return int.from_bytes(said[0][:4], "big") if isinstance(said[0], bytes) else said[1]


def _are_statements(items: "Any") -> bool:
    """Of one boot or of several in a row each, and of every boot once."""
    reached = 0
    for item in items:
        if _is_statement(item):
            first = last = _last(item)
        elif is_list(item) and len(item) == 4 and all(_fits(number, "int", 0, U32) for number in item):
            first, last = item[0], item[1]
        else:
            return False
        if not reached < first <= last:
            return False
        reached = last
    return True


def _is_channel(item: "Any") -> bool:
    return (
        is_list(item)
        and len(item) == 4
        and _fits(item[0], "int", 0, U8)
        and _fits(item[1], "text", 0, 32)
        and _fits(item[2], "int", 1, U32)
        and _fits(item[3], "int", 1, U32)
    )


def _is_limit(item: "Any") -> bool:
    return (
        is_list(item)
        and len(item) == 3
        and _fits(item[0], "int", 0, U16)
        and _fits(item[1], "int", 0, U16)
        and _fits(item[2], "int", 0, U16)
    )

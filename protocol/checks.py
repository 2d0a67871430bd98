"""Questions about a decoded value, whose type nobody has vouched for yet."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeGuard


def is_uint(value: "Any") -> "TypeGuard[int]":
    """An unsigned integer; true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_list(value: "Any") -> "TypeGuard[list[Any]]":
    """An array of whatever."""
    return isinstance(value, list)


def is_map(value: "Any") -> "TypeGuard[dict[Any, Any]]":
    """A map of whatever."""
    return isinstance(value, dict)


def is_bytes(value: "Any", size: int) -> "TypeGuard[bytes]":
    """A byte string of exactly `size` bytes."""
    return isinstance(value, bytes) and len(value) == size


def is_bytes_list(value: "Any", sizes: "tuple[int, ...]") -> "TypeGuard[list[bytes]]":
    """An array of byte strings of exactly these sizes."""
    if not is_list(value) or len(value) != len(sizes):
        return False
    return all(is_bytes(item, size) for item, size in zip(value, sizes))


def is_ranges(value: "Any", width: int) -> "TypeGuard[list[list[int]]]":
    """An array of `[first, count, …]`, `width` unsigned integers each: ascending, disjoint, below 2^32."""
    if not is_list(value):
        return False
    after = 0
    for item in value:
        if not is_list(item) or len(item) != width or not all(is_uint(number) for number in item):
            return False
        first: int = item[0]
        count: int = item[1]
        if first < after or count == 0 or (first + count - 1) >> 32:
            return False
        after = first + count
    return True

"""Where each byte of a message is in its COBS encoding, and which bytes of that encoding count blocks."""

FULL = 255


def codes(encoded: bytes) -> "list[int]":
    """Offsets of the bytes that count a block, as far as they can be followed."""
    found: list[int] = []
    at = 0
    while at < len(encoded) and encoded[at]:
        found.append(at)
        at += encoded[at]
    return found


def places(encoded: bytes, base: int) -> "list[int]":
    """For each byte of the decoded message its offset in `encoded`, and its end; `base` is added to all.

    A zero stands where the next block is counted, for that byte takes its place.
    """
    found: list[int] = []
    at, size = 0, len(encoded)
    while at < size:
        end = at + encoded[at]
        found.extend(range(base + at + 1, base + end))
        if encoded[at] < FULL and end < size:
            found.append(base + end)
        at = end
    return [*found, base + size]

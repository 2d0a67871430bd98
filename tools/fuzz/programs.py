"""An input for a session: a list of steps, each one byte of what, two of length, and so many of content."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_STEPS = 64


def assemble(steps: "Iterable[tuple[int, bytes]]") -> bytes:
    """The bytes of a program of (what, content) steps."""
    return b"".join(
        [bytes((what & 255, len(content) >> 8, len(content) & 255)) + content for what, content in steps]
    )


def steps_of(data: bytes) -> "list[tuple[int, bytes]]":
    """The (what, content) steps of any bytes: a content that is cut off is as long as it is."""
    steps = []
    at = 0
    while at + 3 <= len(data) and len(steps) < MAX_STEPS:
        size = data[at + 1] << 8 | data[at + 2]
        steps.append((data[at], data[at + 3 : at + 3 + size]))
        at += 3 + size
    return steps

"""What later boots of a node say that it gave up of an earlier one."""

from collections.abc import Iterator

from protocol import frames
from protocol.errors import FrameError
from tools.collector.store import Store


def told_later(store: Store, node: bytes, boot: bytes) -> Iterator[tuple[int, int, int]]:
    """(first, count, reason) of all that later boots say of this one."""
    for (plaintext,) in store.db.stream(
        "SELECT plaintext FROM frames WHERE node = ? AND boot > ? AND kind = ?",
        (node, boot, frames.KIND_LOST_BEFORE),
    ):
        try:
            body = frames.unpack(plaintext)[2]
        except FrameError:
            continue
        for its_boot, first, count, reason in body[frames.LOST_BEFORE]:
            if its_boot == boot:
                yield first, count, reason

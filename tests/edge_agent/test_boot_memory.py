"""What a boot costs that a node only names: it is in the agent's memory for good (docs/limits.md)."""

import gc
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from edge_agent.store.items import Held, Item
from protocol.frame_rules import MAX_EARLIER
from protocol.messages import MAX_BOOTS, MAX_RANGES
from tests.edge_agent.store_kit import NODE, frame, reopened

BOOTS = 1024
NEWEST = BOOTS + 1


def boot(counter: int) -> bytes:
    return counter.to_bytes(4, "big") + bytes(8)


def boot_frames() -> Iterable[Item]:
    """They state as many boots as one may."""
    for first in range(1, NEWEST, MAX_EARLIER):
        stated = [(boot(counter), 7000, False, 1000) for counter in range(first, first + MAX_EARLIER)]
        yield frame(first, boot(NEWEST), earlier=tuple(stated))


def hellos() -> Iterable[Item]:
    """They list as many boots as one may, each with as many held ranges."""
    ranges = tuple((1000 + 5 * n, 2) for n in range(MAX_RANGES))
    for first in range(1, NEWEST, MAX_BOOTS):
        listed = [(boot(counter), 7000, ranges) for counter in range(first, first + MAX_BOOTS)]
        yield Held(NODE, tuple(listed), first)


def both() -> Iterable[Item]:
    yield from hellos()
    yield from boot_frames()


@pytest.mark.parametrize(("named", "most_bytes"), [(boot_frames, 2000), (both, 3000)])
def test_a_boot_that_is_named_costs_so_much(
    named: Callable[[], Iterable[Item]], most_bytes: int, tmp_path: Path
) -> None:
    store, _ = reopened(tmp_path / "store.db")
    store.commit([frame(0, boot(NEWEST))])
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for item in named():
            store.commit([item])
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(store.facts) == BOOTS + 1
    assert 0 < after - before <= BOOTS * most_bytes
    store.close()

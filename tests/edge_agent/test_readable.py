"""How many of what, in words."""

import pytest

from edge_agent.readable import counted, is_are, utc


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (1, "node", "1 node"),
        (0, "node", "0 nodes"),
        (2, "batch", "2 batches"),
        (1, "batch", "1 batch"),
        (3, "dead letter", "3 dead letters"),
        (5, "entry", "5 entries"),
        (7, "day", "7 days"),
        (2, "authority", "2 authorities"),
        (2, "loss", "2 losses"),
    ],
)
def test_counts(count: int, noun: str, said: str) -> None:
    assert counted(count, noun) == said
    assert is_are(count) == ("is" if said.startswith("1 ") else "are")


def test_moments() -> None:
    assert utc(1_790_000_000_999) == "2026-09-21T14:13:20+00:00"
    assert utc(1 << 60) == f"{1 << 60} ms"

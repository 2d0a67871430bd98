"""A node takes more CBOR items than the longest message has that there is; comments say how many it has."""

import re
from pathlib import Path
from typing import Any

from protocol import cbor, frames, messages
from protocol.session_agent import MAX_DOWN_PLAINTEXT

ROOT = Path(__file__).resolve().parents[2]


def items(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(items(key) + items(held) for key, held in value.items())
    return 1 + sum(items(held) for held in value) if isinstance(value, list) else 1


def said(module: str, before: str) -> int:
    text = (ROOT / "protocol" / module).read_text("utf-8")
    found = re.search(before + r" has (\d+)\.", text)
    assert found, before
    return int(found[1])


def test_a_clear_message() -> None:
    versions = list(range(1, messages.MAX_VERSIONS + 1))
    longest = max(
        items(cbor.loads(message))
        for message in (
            messages.welcome(1, bytes(8), bytes(32), bytes(16)),
            messages.pair_request(1, bytes(32), bytes(32), bytes(16)),
            messages.refusal(1, messages.REFUSE_VERSION, versions),
            messages.solicit(1),
        )
    )
    assert longest == said("messages.py", "the longest that there is") <= messages.MAX_DOWN_ITEMS


def longest_ack(step: int) -> "list[Any]":
    """Every `step`th number from 0 on acknowledged, as many as fit."""
    ranges: list[list[int]] = []
    while True:
        more = [*ranges, [step * len(ranges), 1]]
        if len(frames.pack(frames.KIND_ACK, 0, [0, more])) > MAX_DOWN_PLAINTEXT:
            return [frames.KIND_ACK, 0, [0, ranges]]
        ranges = more


def test_an_ack() -> None:
    assert items(longest_ack(2)) == said("frames.py", "an ack that fills a message")
    # Nobody leaves ranges that touch apart; who does is understood.
    assert items(longest_ack(2)) < items(longest_ack(1)) <= frames.MAX_DOWN_ITEMS

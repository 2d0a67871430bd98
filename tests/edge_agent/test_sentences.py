"""What an agent stated about orders and un-pairing is said in sentences; what has none, with its values."""

from typing import Any

import pytest

from edge_agent.ledger import Ledger
from edge_agent.sentences import sentence
from edge_agent.shown import ledger_lines
from protocol import frames

ORDER, NODE, BOOT = bytes.fromhex("0102030405060708"), bytes(7) + b"\x09", b"\0\0\0\x03" + bytes(8)
BODY = {frames.ORDER_ID: ORDER, frames.ORDER_WHAT: 1, frames.ORDER_REASON: "which is it?"}
ENDED = {"order": ORDER, "node": NODE}

SAID = [
    (
        "ordered",
        {"order": ORDER, "node": NODE, "boot": BOOT, "kind": 34, "name": "identify", "body": BODY},
        "order 0102030405060708: identify, to node 0000000000000009 in its boot 3, because: which is it?",
    ),
    (
        "order_ended",
        ENDED | {"outcome": "answered", "result": 8, "detail": "charging"},
        "order 0102030405060708 to node 0000000000000009 ended: the node answered: failed (charging)",
    ),
    (
        "order_ended",
        ENDED | {"outcome": "answered", "result": 99},
        "order 0102030405060708 to node 0000000000000009 ended: the node answered: result 99",
    ),
    (
        "order_ended",
        ENDED | {"outcome": "expired"},
        "order 0102030405060708 to node 0000000000000009 ended: not answered in time",
    ),
    (
        "order_ended",
        ENDED | {"outcome": "withdrawn"},
        "order 0102030405060708 to node 0000000000000009 ended: not answered before it was taken back",
    ),
    (
        "node_unpaired",
        {"node": NODE, "node_agreed": True, "order": ORDER},
        "node 0000000000000009 is not paired any more: it agreed (order 0102030405060708)",
    ),
    (
        "node_unpaired",
        {"node": NODE, "node_agreed": False},
        "node 0000000000000009 is not paired any more: without its word: it may still take us for its agent",
    ),
    (
        "action",
        {"what": "pair", "by": "uid 1000", "on": NODE},
        "pair: 0000000000000009, by uid 1000",
    ),
    ("frames_lost", {"node": b"\1"}, "statement frames_lost: {'node': '01'}"),
    ("ordered", {"node": b"\1"}, "statement ordered: {'node': '01'}"),
    ("order_ended", {"order": 3, "node": NODE, "outcome": 1}, None),
]


@pytest.mark.parametrize(("code", "detail", "said"), SAID)
def test_a_statement_in_words(code: str, detail: "dict[Any, Any]", said: "str | None") -> None:
    text = sentence(code, detail)
    assert text.startswith("statement order_ended: {") if said is None else text == said


def test_the_ledger_shows_sentences() -> None:
    lines = list(ledger_lines(Ledger((), tuple((code, detail, 1) for code, detail, said in SAID if said))))
    assert all(said in lines for _, _, said in SAID if said)

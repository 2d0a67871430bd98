"""What an agent stated about orders and un-pairing is said in sentences; what has none, with its values."""

from typing import Any

import pytest

from edge_agent.cli.sentences import sentence
from edge_agent.cli.shown import ledger_lines
from edge_agent.ledger.ledger import Ledger

ORDER, NODE, BOOT = bytes.fromhex("0102030405060708"), bytes(7) + b"\x09", b"\0\0\0\x03" + bytes(8)
ENDED = {"order": ORDER, "node": NODE}

SAID = [
    (
        "ordered",
        {"order": ORDER, "node": NODE, "boot": BOOT, "kind": 34, "name": "identify", "details": bytes(32)},
        "order 0102030405060708: identify, to node 0000000000000009 in its boot 3",
    ),
    (
        "order_ended",
        ENDED | {"outcome": "answered", "details": bytes(32)},
        "order 0102030405060708 to node 0000000000000009 ended: the node answered",
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
    (
        "action",
        {"what": "store copied", "by": "uid 0", "on": b"", "details": bytes(32)},
        "store copied, by uid 0 (vitalwire audit says of what)",
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
    ledger = Ledger((), tuple((code, detail, 1) for code, detail, said in SAID if said))
    lines = list(ledger_lines(ledger, every=True))
    assert all(said in lines for _, _, said in SAID if said)
    folded = list(ledger_lines(ledger))
    assert len(folded) < len(lines) and "--all" in folded[-2]


def test_the_ledger_folds_what_is_alike_to_the_last_of_it() -> None:
    said = [("action", {"what": "read", "on": bytes([n]) * 16, "by": "uid 1"}, n * 1000) for n in range(40)]
    said.insert(7, ("action", {"what": "assign", "on": bytes(16), "by": "ward"}, 7000))
    said.append(("frames_lost", {"node": b"\x01"}, 5))
    _, _, *lines, verdict = ledger_lines(Ledger((), tuple(said)))
    assert lines == [
        f"40 times read, the last at 1970-01-01T00:00:39+00:00: read: {'27' * 16}, by uid 1",
        f"assign: {'00' * 16}, by ward",
        "statement frames_lost: {'node': '01'}",
        "42 statements in all: vitalwire ledger --all lists them",
    ]
    assert len(list(ledger_lines(Ledger((), tuple(said)), every=True))) == 42 + 3 and "balances" in verdict

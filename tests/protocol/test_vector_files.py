"""The vectors in the tree are the ones that their generator makes."""

from collections.abc import Callable
from typing import Any

import pytest

from protocol import batch, cose
from tools import make_vectors
from tools.vectors import batches, codecs
from tools.vectors.keys import AGENT, COLLECTOR


@pytest.mark.parametrize("name", sorted(make_vectors.all_vectors()))
def test_a_file_is_up_to_date(name: str) -> None:
    made = make_vectors.render(make_vectors.all_vectors()[name])
    assert (make_vectors.FOLDER / name).read_text("utf-8") == made, "python -m tools.make_vectors"


def test_no_file_is_left_over() -> None:
    assert {path.name for path in make_vectors.FOLDER.iterdir()} == set(make_vectors.all_vectors())


@pytest.mark.parametrize(
    ("table", "make"), [("_BAD_CBOR", codecs.cbor_vectors), ("_BAD_COBS", codecs.cobs_vectors)]
)
def test_none_is_called_malformed_that_decodes(
    table: str, make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, table, {**getattr(codecs, table), "a good one": "01"})
    with pytest.raises(AssertionError, match="a good one decodes"):
        make()


def test_the_batch_vectors_open_and_verify() -> None:
    examples = {one["name"]: bytes.fromhex(one["bytes"]) for one in batches.batch_vectors()["examples"]}
    agent_id, clear = batch.open_batch(examples["sealed batch"], COLLECTOR)
    assert (agent_id, clear) == (AGENT.id, examples["batch"])
    parsed = batch.parse_batch(clear, AGENT.ed_pub, agent_id)
    head = examples["head, first of a chain that follows another"]
    assert parsed.head_hash == batch.head_hash(head) and parsed.signed_head == examples["signed head"]
    assert cose.split1(parsed.signed_head, "head")[0] == head
    receipt = batch.verify_receipt(examples["receipt"], COLLECTOR.ed_pub)
    assert (receipt.chain_id, receipt.number, receipt.head_hash) == (parsed.chain_id, 0, parsed.head_hash)
    newest = batch.verify_receipt(examples["head statement"], COLLECTOR.ed_pub)
    assert newest.head_hash == parsed.head_hash and newest.nonce == batch.parse_ask(examples["question"])[1]
    assert batch.verify_receipt(examples["head statement, nothing known"], COLLECTOR.ed_pub).number is None
    assert batch.parse_refusal(examples["refusal"]).code == "bad_root"

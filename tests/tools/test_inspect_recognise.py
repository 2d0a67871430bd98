"""`vitalwire inspect` finds out what a capture is: behind noise, by a label, of delimiters alone."""

import pytest

from protocol import attest, cbor, cobs, messages
from protocol.identity import pair_message
from tests.tools.test_inspect import as_json, inspect
from tools.dissect import capture
from tools.vectors.keys import AGENT, BOOT_ID, NODE
from tools.vectors.orders import order_vectors
from tools.vectors.session import message_vectors

STREAM = cobs.encode(bytes.fromhex(message_vectors()["clear"][0]["message"])) + cobs.encode(
    messages.solicit(1)
)


@pytest.mark.parametrize("noise", [b"\xf0\xfe\x00" * 10, b"\x05ab\0" * 200, b"\x02\x11\0" * 9])
def test_a_stream_behind_any_amount_of_noise_is_one(noise: bytes) -> None:
    seen, code = as_json(noise + STREAM)
    assert code == 1 and seen["what"] == "stream"
    assert [part["what"].partition(": ")[2] for part in seen["parts"][-2:]] == ["hello", "solicit"]
    assert all(part["ok"] for part in seen["parts"][-2:])


def test_noise_alone_is_no_stream() -> None:
    assert capture.recognise(b"\xf0\xfe\x00" * 50) != "stream"


@pytest.mark.parametrize("data", [b"\0", b"\0" * 40])
def test_delimiters_alone_are_empty_messages(data: bytes) -> None:
    seen, code = as_json(data.hex())
    assert code == 0 and seen["what"] == "stream" and not seen["parts"]
    assert "nothing wrong found" in inspect(data.hex()).output


LABELLED = {
    "pair-signed": pair_message(*AGENT.public(), *NODE.public(), bytes(16)),
    "pair-signed-with-it": pair_message(*AGENT.public(), *NODE.public(), bytes(16), [*AGENT.public()]),
    "pair-signed-with-it-held": pair_message(*AGENT.public(), *NODE.public(), bytes(16), [], True),
    "pair-signed-held": pair_message(*AGENT.public(), *NODE.public(), bytes(16), None, True),
    "boot-info": cbor.dumps(["vitalwire/1 boot", NODE.id, AGENT.id, BOOT_ID]),
    "down-info": cbor.dumps(["vitalwire/1 down", AGENT.id, NODE.id, BOOT_ID, bytes(16)]),
    "batch-info": cbor.dumps(["vitalwire/1 batch", AGENT.id, AGENT.id]),
    "attested": attest.attested_message(NODE.id, BOOT_ID, 0, 3, bytes(32)),
    "order-signed": bytes.fromhex(order_vectors()["signed"][0]["signed"]),
}


@pytest.mark.parametrize("rule", LABELLED)
def test_what_is_signed_or_derived_is_known_by_its_label(rule: str) -> None:
    data = LABELLED[rule]
    seen, code = as_json(data.hex())
    assert code == 0 and seen["what"] == seen["rule"] == rule
    cut, code = as_json(data[:-1].hex())
    assert code == 1 and cut["rule"] == rule and [p["cause"] for p in cut["problems"]] == [None]

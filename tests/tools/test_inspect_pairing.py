"""A pairing that gave the node an authority, in a capture."""

import pytest

from protocol import cobs, crypto, messages
from protocol.identity import pair_message
from tools.dissect import capture
from tools.dissect.part import Keys
from tools.vectors.keys import AGENT, AUTHORITY, NODE, secret


@pytest.mark.parametrize(("asked", "problems"), [(list(AUTHORITY.public()), 0), ([], 1), (None, 1)])
def test_the_reply_is_signed_over_what_was_asked_and_nothing_else(
    asked: "list[bytes] | None", problems: int
) -> None:
    nonce = secret("nonce", 16)
    signed = pair_message(*AGENT.public(), *NODE.public(), nonce, list(AUTHORITY.public()))
    signature = crypto.run(crypto.ed25519_sign_steps(NODE.ed_seed, NODE.ed_pub, signed))
    request = cobs.encode(messages.pair_request(1, *AGENT.public(), nonce, asked))
    reply = cobs.encode(messages.pair_reply(1, *NODE.public(), nonce, signature))
    taken = capture.take_apart(b"\0" + request + reply, "stream", Keys(agent=AGENT))
    assert len(taken.all_problems()) == problems


@pytest.mark.parametrize("asked", [True, False])
def test_a_reply_that_says_that_the_button_was_held_answers_a_request_that_wanted_it(asked: bool) -> None:
    nonce = secret("nonce", 16)
    signed = pair_message(*AGENT.public(), *NODE.public(), nonce, None, True)
    signature = crypto.run(crypto.ed25519_sign_steps(NODE.ed_seed, NODE.ed_pub, signed))
    request = cobs.encode(messages.pair_request(1, *AGENT.public(), nonce, None, asked))
    reply = cobs.encode(messages.pair_reply(1, *NODE.public(), nonce, signature))
    taken = capture.take_apart(b"\0" + request + reply, "stream", Keys(agent=AGENT))
    assert bool(taken.all_problems()) is not asked


@pytest.mark.parametrize(("authority", "button"), [(True, True), (True, False), (False, True)])
def test_a_reply_to_a_request_for_both_is_signed_over_both(authority: bool, button: bool) -> None:
    nonce, believed = secret("nonce", 16), list(AUTHORITY.public())
    signed = pair_message(*AGENT.public(), *NODE.public(), nonce, believed, True)
    signature = crypto.run(crypto.ed25519_sign_steps(NODE.ed_seed, NODE.ed_pub, signed))
    asked = believed if authority else None
    request = cobs.encode(messages.pair_request(1, *AGENT.public(), nonce, asked, button))
    reply = cobs.encode(messages.pair_reply(1, *NODE.public(), nonce, signature))
    taken = capture.take_apart(b"\0" + request + reply, "stream", Keys(agent=AGENT))
    assert bool(taken.all_problems()) is not (authority and button)

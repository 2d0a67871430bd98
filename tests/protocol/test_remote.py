"""Commands from afar and their answers: made, signed, sealed, opened; and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol import cbor, cose, crypto, frames, handover, orders, remote, remote_seal
from protocol.errors import BatchError, LocalError
from tools.vectors.keys import AGENT, AUTHORITY, BOOT_ID, COLLECTOR, NODE, OLD_BOOT_ID, secret
from tools.vectors.remote import MADE_MS, OFFER, answer, command

VECTORS = json.loads(
    (Path(__file__).resolve().parents[2] / "protocol" / "vectors" / "remote.json").read_text("utf-8")
)


def refused(call: Any, *args: Any) -> "str | None":
    """The cause of a refusal, or None."""
    try:
        call(*args)
    except BatchError as error:
        assert error.detail
        return error.cause
    return None


def signed_for_node(one: remote.Command, boot_id: bytes, now_us: int) -> int:
    """What a node that believes AUTHORITY says to the order inside."""
    kind, body = remote.signed_body(one)
    believed = {AUTHORITY.id: AUTHORITY.ed_pub}
    return crypto.run(orders.check_steps(NODE.id, boot_id, kind, body, now_us, believed))


@pytest.mark.parametrize("one", VECTORS["commands"], ids=lambda one: one["name"])
def test_a_command_comes_back(one: dict[str, str]) -> None:
    signed = bytes.fromhex(one["command"])
    seen = remote.open_command(signed, AUTHORITY.ed_pub)
    assert remote.read_command(signed) == seen
    assert remote.make_command(AUTHORITY, seen) == signed
    assert seen.digest.hex() == one["digest"]
    assert refused(remote.open_command, signed, AGENT.ed_pub) == "bad_signature"


@pytest.mark.parametrize("one", VECTORS["answers"], ids=lambda one: one["name"])
def test_an_answer_comes_back(one: dict[str, str]) -> None:
    signed = bytes.fromhex(one["answer"])
    seen = remote.open_answer(signed, AGENT.ed_pub)
    assert remote.make_answer(AGENT, seen) == signed
    assert refused(remote.open_answer, signed, AUTHORITY.ed_pub) == "bad_signature"


@pytest.mark.parametrize("one", VECTORS["malformed"], ids=lambda one: one["name"])
def test_what_is_no_command_is_refused_whoever_signs_it(one: dict[str, str]) -> None:
    signed = cose.sign1(AUTHORITY, bytes.fromhex(one["payload"]))
    cause = "unknown_version" if one["name"] == "another version" else "malformed_batch"
    assert refused(remote.open_command, signed, AUTHORITY.ed_pub) == cause


def test_none_of_them_can_be_made_either() -> None:
    with pytest.raises(LocalError, match="strip"):
        remote.make_command(AUTHORITY, command(remote.STRIP, arguments={1: 0, 2: 999}))
    with pytest.raises(LocalError, match="expire"):
        remote.make_command(AUTHORITY, command(expires_ms=MADE_MS + 2 * remote.MAX_VALID_MS))


def test_the_node_takes_an_order_for_the_boot_that_was_offered_until_that_moment() -> None:
    signed = remote.sign_order(AUTHORITY, command(), OFFER)
    assert signed.order is not None and remote.order_good(signed, AUTHORITY.ed_pub)
    # The command ends 118 s after the offer, by the offer's clocks.
    assert signed.order.expires_us == OFFER.t_us + 118_000_000
    assert signed_for_node(signed, BOOT_ID, OFFER.t_us) == frames.RESULT_DONE
    assert signed_for_node(signed, BOOT_ID, signed.order.expires_us + 1) == frames.RESULT_EXPIRED
    assert signed_for_node(signed, OLD_BOOT_ID, OFFER.t_us) == frames.RESULT_UNAUTHORISED
    soon = remote.sign_order(AUTHORITY, command(), replace(OFFER, expires_us=OFFER.t_us + 1))
    assert soon.order is not None and soon.order.expires_us == OFFER.t_us + 1, "never beyond the offer"


@pytest.mark.parametrize(
    "change",
    [
        {"operation": remote.LEAK_TEST},
        {"arguments": {1: 3}},
        {"command_id": bytes(8)},
        {"node_id": bytes(8)},
    ],
)
def test_a_signed_order_stands_for_no_other_command(change: dict[str, Any]) -> None:
    signed = remote.sign_order(AUTHORITY, command(arguments={1: 2}), OFFER)
    changed = replace(signed, **change)
    assert not remote.order_good(changed, AUTHORITY.ed_pub)
    assert changed.digest != signed.digest


def test_an_offer_of_a_moment_that_is_over_is_not_signed() -> None:
    with pytest.raises(LocalError, match="clock"):
        remote.sign_order(AUTHORITY, command(), replace(OFFER, unix_ms=MADE_MS + 120_000))


def test_the_digest_is_of_the_command_whether_or_not_its_order_is_signed() -> None:
    one = command()
    assert remote.sign_order(AUTHORITY, one, OFFER).digest == one.digest


def test_what_the_node_must_see_signed_is_known() -> None:
    wanted = {remote.BP, remote.LEAK_TEST, remote.STATIC_PRESSURE, remote.ACKNOWLEDGE}
    assert {one for one in remote.NODE_OPERATIONS if command(one).for_node} == wanted
    assert command(remote.LIMITS, arguments={frames.SET_MODE: 1}).for_node
    assert command(remote.CONFIG, arguments={frames.SET_CUFF_SIZE: 2}).for_node
    assert not command(remote.CONFIG, arguments={frames.SET_MAINS_HZ: 60}).for_node
    assert not command(remote.STRIP, arguments={1: 0, 2: 9}).for_node
    assert not command("dance").for_node


def test_sealed_they_are_those_of_the_vectors_and_only_their_reader_opens_them() -> None:
    eph = secret("command eph")
    signed = bytes.fromhex(VECTORS["commands"][0]["command"])
    sealed = remote_seal.seal_command(signed, AGENT.id, AGENT.x_pub, eph)
    assert sealed.hex() == VECTORS["sealed_command"]
    assert remote_seal.unseal_command(sealed, AGENT) == signed
    assert refused(remote_seal.unseal_command, sealed, COLLECTOR) == "wrong_agent"
    reply = bytes.fromhex(VECTORS["answers"][0]["answer"])
    answered = remote_seal.seal_answer(reply, AGENT.id, AUTHORITY.id, AUTHORITY.x_pub, eph)
    assert answered.hex() == VECTORS["sealed_answer"]
    assert remote_seal.unseal_answer(answered, AUTHORITY) == reply
    assert refused(remote_seal.unseal_answer, answered, COLLECTOR) == "wrong_authority"
    # A command is no answer, and for whom it is cannot be changed.
    fields = cbor.loads(sealed)
    assert (
        refused(remote_seal.unseal_answer, cbor.dumps({**fields, 5: AUTHORITY.id}), AUTHORITY) == "bad_seal"
    )
    theirs = cbor.dumps({**fields, 2: COLLECTOR.id})
    assert refused(remote_seal.unseal_command, theirs, COLLECTOR) == "bad_seal"


def test_no_byte_of_a_sealed_command_can_change_and_none_be_missing() -> None:
    signed = bytes.fromhex(VECTORS["commands"][1]["command"])
    sealed = bytes.fromhex(VECTORS["sealed_command"])
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        assert refused(remote_seal.unseal_command, bytes(changed), AGENT)
        assert refused(remote_seal.unseal_command, sealed[:at], AGENT)
    for at in range(len(signed)):
        changed = bytearray(signed)
        changed[at] ^= 1
        assert refused(remote.open_command, bytes(changed), AUTHORITY.ed_pub)
        assert refused(remote.open_command, signed[:at], AUTHORITY.ed_pub)


def test_a_long_message_is_refused_unread() -> None:
    assert refused(remote_seal.unseal_command, bytes(remote_seal.MAX_MESSAGE + 1), AGENT) == "oversize"
    assert refused(remote_seal.unseal_answer, bytes(remote_seal.MAX_ANSWER + 1), AUTHORITY) == "oversize"


def test_the_longest_answer_with_every_hand_over_that_there_may_be_is_read() -> None:
    signer: Any = AGENT
    records: list[bytes] = []
    for number in range(1, handover.MAX_HANDOVERS + 1):
        new = handover.SigningKey.from_seed(secret(f"new key {number}"))
        cited = (bytes(8), (1 << 53) - 1, bytes(32))
        records.append(handover.make_handover(signer, new, AGENT.id, MADE_MS, number, cited))
        signer = new
    reply = answer(command(), remote.DONE, detail="x" * 200, evidence=((BOOT_ID, 1 << 31, 1 << 31),) * 64)
    signed = remote.make_answer(signer, reply, records)
    sealed = remote_seal.seal_answer(signed, AGENT.id, AUTHORITY.id, AUTHORITY.x_pub)
    assert remote.open_answer(remote_seal.unseal_answer(sealed, AUTHORITY), AGENT.ed_pub) == reply


def test_an_order_holds_no_longer_than_its_command_whatever_the_agent_says_of_the_time() -> None:
    month_us = 30 * 86_400 * 1_000_000
    lie = remote.Offer(BOOT_ID, 60_000_000, 60_000_000 + month_us, MADE_MS - month_us // 1000)
    signed = remote.sign_order(AUTHORITY, command(), lie)
    assert signed.order is not None and signed.order.expires_us == lie.t_us + 120_000_000


def test_an_answer_by_a_key_that_was_handed_over_verifies_and_by_the_old_one_does_not() -> None:
    new = handover.SigningKey.from_seed(secret("new key"))
    passed_on = handover.make_handover(AGENT, new, AGENT.id, MADE_MS, 1)
    reply = answer(command(), remote.RECEIVED)
    signed = remote.make_answer(new, reply, [passed_on])
    assert remote.open_answer(signed, AGENT.ed_pub) == reply
    assert (
        refused(remote.open_answer, remote.make_answer(AGENT, reply, [passed_on]), AGENT.ed_pub)
        == "retired_key"
    )
    assert refused(remote.open_answer, remote.make_answer(new, reply), AGENT.ed_pub) == "bad_signature"


@pytest.mark.parametrize(
    "change",
    [
        {2: "command"},
        {5: bytes(7)},
        {6: ""},
        {7: "x" * 33},
        {8: "x" * 201},
        {10: {1: BOOT_ID, 2: 1, 3: 2}},
        {10: {1: BOOT_ID, 2: 1, 3: 2, 4: 1 << 60}},
        {11: {}},
        {11: {1: 300}},
        {11: {1: 0, 4: b"short"}},
        {13: [[BOOT_ID, 1]]},
        {13: [[BOOT_ID, 1, 1]] * 65},
        {14: bytes(31)},
    ],
)
def test_what_is_no_answer_is_refused(change: dict[int, Any]) -> None:
    payload = cbor.loads(cose.split1(remote.make_answer(AGENT, answer(command(), remote.DONE)), "answer")[0])
    assert refused(remote.open_answer, cose.sign1(AGENT, cbor.dumps({**payload, **change})), AGENT.ed_pub)


def test_a_long_detail_is_cut_between_its_characters() -> None:
    reply = answer(command(), remote.FAILED, detail="é" * 150)
    assert remote.open_answer(remote.make_answer(AGENT, reply), AGENT.ed_pub).detail == "é" * 100


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (remote.IDENTIFY, {1: [[[[[1]]]]]}),
        (remote.IDENTIFY, {1: 1}),
        (remote.BP, {1: [2]}),
        (remote.BP, {2: 2}),
        (remote.MARK, {1: "é" * 33}),
        (remote.MARK, {1: {"a": 1}}),
        (remote.STATIC_PRESSURE, {1: -5}),
        (remote.RESTART, {9: None}),
        (remote.CONFIG, {frames.SET_NOT_SENT: [[1]]}),
        (remote.CONFIG, {frames.SET_MAINS_HZ: 1 << 31}),
        (remote.LIMITS, {frames.SET_LIMITS: [35, 880, 15]}),
        (remote.LIMITS, {frames.SET_LIMITS: [[35, 880, [15]]]}),
        (remote.LIMITS, {frames.SET_LIMITS: [[35, 880, 15, 1]]}),
        (remote.STRIP, {1: 0, 2: 3, 9: [[[[[[1]]]]]]}),
        (remote.STRIP, {1: 0, 2: 3, 3: 1}),
    ],
)
def test_arguments_of_another_form_than_the_operations_are_refused(operation: str, arguments: Any) -> None:
    one = command(operation, arguments=arguments)
    with pytest.raises(LocalError, match="argument"):
        remote.make_command(AUTHORITY, one)
    payload = cbor.loads(cose.split1(remote.make_command(AUTHORITY, command(remote.IDENTIFY)), "command")[0])
    signed = cose.sign1(AUTHORITY, cbor.dumps({**payload, 6: operation, 7: arguments}))
    assert refused(remote.open_command, signed, AUTHORITY.ed_pub) == "malformed_batch"
    assert remote.make_command(AUTHORITY, command("dance", arguments=arguments)), "of a later version"

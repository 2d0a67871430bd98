"""What a thief can and cannot do with one party's secrets, and everything that was ever said on the wire.

The limits (no secrecy of what was recorded, once the receiver's key is out) are shown as plainly as the
defences: docs/threat-model.md says which is which.
"""

import contextlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

from protocol import attest, batch, cbor, cobs, cose, crypto, messages, orders, records, seal
from protocol import frames as f
from protocol.crypto import run
from protocol.errors import BatchError, SealError
from protocol.identity import Identity, fingerprint_text, generate_steps, pair_message
from protocol.receipts import make_head_statement, make_receipt, verify_receipt
from protocol.session_agent import AgentSession
from protocol.session_events import HelloAccepted
from tests.both.sealing import seal_one

BOOT = b"\0\0\0\x07" + bytes(8)
NONCE = bytes(range(16))


def party() -> Identity:
    return run(generate_steps(os.urandom(64)))


class Recorded:
    """A node, two agents, and one boot as somebody on the wire has it: headers, frames, a downlink."""

    def __init__(self) -> None:
        self.node, self.agent, self.other = party(), party(), party()
        self.K = os.urandom(16)
        self.plaintexts = [f.pack(f.KIND_VITALS, n, {f.VITALS_HR: 700 + n}) for n in range(5)]
        self.headers = {
            agent.id: run(
                seal.wrap_header_steps(self.K, BOOT, self.node, agent.id, agent.x_pub, os.urandom(32))
            )
            for agent in (self.agent, self.other)
        }
        self.sealed = [seal_one(self.K, BOOT, n, text) for n, text in enumerate(self.plaintexts)]
        steps = seal.Downlink.sender_steps(
            self.agent, self.node.id, self.node.x_pub, BOOT, NONCE, os.urandom(32)
        )
        self.enc, down = run(steps)
        self.acked = down.seal(b"ack")

    def header_opens(self, thief: Identity, header: "tuple[bytes, bytes]", sender_x: bytes) -> bytes:
        """K, as the holder of `thief`'s secrets gets it from a header."""
        return run(seal.unwrap_header_steps(*header, BOOT, thief, self.node.id, sender_x))

    def downlink(self, receiver: Identity) -> seal.Downlink:
        return run(
            seal.Downlink.receiver_steps(self.enc, receiver, self.agent.id, self.agent.x_pub, BOOT, NONCE)
        )


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def test_a_node_s_own_secrets_open_no_frame_that_it_sent(recorded: Recorded) -> None:
    """Of the two shared secrets in a header the node's key gives one; the other was of a key used once."""
    for header in recorded.headers.values():
        for sender in (recorded.node.x_pub, recorded.agent.x_pub, recorded.other.x_pub):
            with pytest.raises(SealError):
                recorded.header_opens(recorded.node, header, sender)


def test_a_node_s_secrets_open_a_downlink_that_was_recorded(recorded: Recorded) -> None:
    """A limit: acknowledgements, times and orders. No measurement goes that way."""
    assert recorded.downlink(recorded.node).open(recorded.acked) == b"ack"
    for other in (recorded.agent, recorded.other):
        with pytest.raises(SealError):
            recorded.downlink(other).open(recorded.acked)


def test_an_agent_s_secrets_open_everything_that_was_recorded_for_it(recorded: Recorded) -> None:
    """A limit: the boot headers are for its one long-lived key."""
    K = recorded.header_opens(recorded.agent, recorded.headers[recorded.agent.id], recorded.node.x_pub)
    keys = seal.BootKeys(K, BOOT)
    assert [keys.open(one)[1] for one in recorded.sealed] == recorded.plaintexts


def test_a_header_for_one_agent_is_of_no_use_to_another(recorded: Recorded) -> None:
    with pytest.raises(SealError):
        recorded.header_opens(recorded.other, recorded.headers[recorded.agent.id], recorded.node.x_pub)


def test_an_agent_that_forges_frames_of_its_node_forges_no_attestation(recorded: Recorded) -> None:
    """It has the boot's key, so its seal is as good as the node's; what the node signed is not to be had."""
    forged = [f.pack(f.KIND_VITALS, n, {f.VITALS_HR: 2000}) for n in range(5)]
    keys = seal.BootKeys(recorded.K, BOOT)
    assert keys.open(seal_one(recorded.K, BOOT, 0, forged[0])) == (0, forged[0])
    attester = attest.Attester(recorded.node, BOOT)
    for n, text in enumerate(recorded.plaintexts):
        attester.add(n, text)
    true = run(attester.sign_steps(0))
    node = recorded.node
    assert attest.verify(node.id, node.ed_pub, BOOT, true, recorded.plaintexts)
    assert not attest.verify(node.id, node.ed_pub, BOOT, true, [forged[0], *recorded.plaintexts[1:]])
    mine = attest.Attester(recorded.agent, BOOT)
    for n, text in enumerate(forged):
        mine.add(n, text)
    made = run(mine.sign_steps(0))
    assert not attest.verify(node.id, node.ed_pub, BOOT, made, forged)
    assert not attest.verify(
        node.id, node.ed_pub, BOOT, {**made, attest.SIGNATURE: true[attest.SIGNATURE]}, forged
    )


def test_one_of_two_agents_cannot_speak_to_the_node_as_the_other(recorded: Recorded) -> None:
    steps = seal.Downlink.sender_steps(
        recorded.other, recorded.node.id, recorded.node.x_pub, BOOT, NONCE, os.urandom(32)
    )
    enc, down = run(steps)
    claimed = run(
        seal.Downlink.receiver_steps(enc, recorded.node, recorded.agent.id, recorded.agent.x_pub, BOOT, NONCE)
    )
    with pytest.raises(SealError):
        claimed.open(down.seal(b"ack"))
    with pytest.raises(SealError):
        recorded.downlink(recorded.other).open(recorded.acked)


def batches() -> "tuple[Identity, Identity, bytes, bytes]":
    """(agent, collector, a signed batch, the message that carries it)."""
    agent, collector = party(), party()
    entries = [batch.statement_entry("store_set_aside", {1: 1})]
    head = batch.make_head(agent.id, bytes(8), 0, bytes(32), entries, 1)
    made = batch.encode_batch(batch.sign_head(agent, head), entries)
    return agent, collector, made, batch.seal_batch(made, agent.id, collector.x_pub, collector.id)


def test_a_collector_s_secrets_open_what_was_recorded_for_it_and_sign_no_batch() -> None:
    """A limit, and where it ends: the collector's key reads, but what an agent or a node signed stands."""
    agent, collector, made, message = batches()
    agent_id, opened = batch.open_batch(message, collector)
    assert agent_id == agent.id and opened == made
    assert batch.parse_batch(opened, agent.ed_pub, agent.id)
    head = cose.split1(cbor.loads(made)[1], "head")[0]
    forged = batch.encode_batch(cose.sign1(collector, head), cbor.loads(made)[2])
    with pytest.raises(BatchError):
        batch.parse_batch(forged, agent.ed_pub, agent.id)


def test_a_broker_reads_and_forges_nothing() -> None:
    agent, collector, made, message = batches()
    assert made not in message and b"store_set_aside" not in message
    with pytest.raises(BatchError):
        batch.open_batch(message, party())
    parsed = batch.parse_batch(made, agent.ed_pub, agent.id)
    said = (agent.id, parsed.chain_id, parsed.number, parsed.head_hash, 1, 0, 1)
    assert verify_receipt(make_receipt(collector, *said), collector.ed_pub).head_hash == parsed.head_hash
    for other in (party(), agent):
        with pytest.raises(BatchError) as refused:
            verify_receipt(make_receipt(other, *said), collector.ed_pub)
        assert refused.value.cause == "bad_signature"
    with pytest.raises(BatchError):
        batch.open_batch(message[:-1] + bytes((message[-1] ^ 1,)), collector)
    assert agent.id in message, "who sends is visible: so is the topic"


def test_no_signature_serves_for_another_purpose() -> None:
    """A key signs pairings and attestations, or batches and records: each message names its purpose."""
    who = party()
    order = {
        f.ORDER_ID: bytes(8),
        f.ORDER_WHAT: f.OP_IDENTIFY,
        f.ORDER_EXPIRES_US: 1,
        f.ORDER_MS: 1,
        f.ORDER_AUTHORITY: who.id,
    }
    public = who.public()
    texts = {
        "attest": attest.attested_message(who.id, BOOT, 0, 1, bytes(32)),
        "pair": pair_message(*public, *public, NONCE),
        "order": orders.order_message(who.id, BOOT, f.KIND_COMMAND, order),
        "cose": cbor.dumps(["Signature1", cbor.dumps({1: -8}), b"", b"payload"]),
    }
    names = [cbor.loads(message)[0] for message in texts.values()]
    assert len(set(names)) == 4
    for purpose, message in texts.items():
        signature = run(crypto.ed25519_sign_steps(who.ed_seed, who.ed_pub, message))
        for other, text in texts.items():
            good = run(crypto.ed25519_verify_steps(who.ed_pub, text, signature))
            assert good == (other == purpose)


def test_no_signed_document_passes_for_another() -> None:
    """Heads, receipts, head statements and records are all COSE_Sign1, here even of one key."""
    who, person = party(), bytes(range(16))
    head = batch.make_head(who.id, bytes(8), 0, bytes(32), [], 1)
    made = {
        "head": batch.sign_head(who, head),
        "receipt": make_receipt(who, who.id, bytes(8), 0, bytes(32), 1, 0, 1),
        "statement": make_head_statement(who, who.id, (bytes(8), 0, bytes(32)), 1, 0, 1, bytes(8)),
        "assignment": records.make_assignment(who, who.id, person, 1, 1, bytes(8)),
        "manual": records.make_manual(who, person, [(1, 720)], 1, 1, bytes(8)),
        "update": cose.sign1(who, cbor.dumps({1: 1, 2: "update", 3: "0.1.0", 4: "virtual", 5: []})),
    }
    readers = {
        "head": lambda one: "head" if batch.parse_head(batch.verify_head(one, who.ed_pub)) else "",
        "receipt": lambda one: "receipt" if verify_receipt(one, who.ed_pub).nonce is None else "statement",
        "record": lambda one: records.open_record(one, who.ed_pub)["record"],
    }
    taken: dict[str, list[str]] = {name: [] for name in made}
    for name, one in made.items():
        for reader in readers.values():
            with contextlib.suppress(BatchError):
                taken[name].append(reader(one))
    assert taken == {**{name: [name] for name in made}, "update": []}


def test_no_key_serves_for_another_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every derived key has a label of its own, which is the text's, and so is its length."""
    node, agent = party(), party()
    made: list[tuple[str, int]] = []
    hkdf, export = crypto.hkdf, crypto.hpke_export

    def noted_hkdf(ikm: bytes, salt: bytes, info: bytes, n: int) -> bytes:
        made.append((info.decode(), n))
        return hkdf(ikm, salt, info, n)

    def noted_export(ctx: Any, exporter_context: bytes, n: int) -> bytes:
        made.append((exporter_context.decode(), n))
        return export(ctx, exporter_context, n)

    monkeypatch.setattr(crypto, "hkdf", noted_hkdf)
    monkeypatch.setattr(crypto, "hpke_export", noted_export)
    seal.BootKeys(bytes(16), BOOT)
    run(seal.wrap_header_steps(bytes(16), BOOT, node, agent.id, agent.x_pub, os.urandom(32)))
    run(seal.Downlink.sender_steps(agent, node.id, node.x_pub, BOOT, NONCE, os.urandom(32)))
    text = (Path(__file__).resolve().parents[2] / "docs" / "wire-protocol.md").read_text("utf-8")
    # As `label` | 16, `label`, 16 or `label` (16.
    said = re.findall(r"`(vitalwire/1 [a-z ]+)`(?: \| |, | \()(\d+)", text)
    assert sorted(made) == sorted((label, int(size)) for label, size in said)
    assert len({label for label, _ in made}) == len(made) == 7


def secrets_in(shown: bytes, *parties: Identity) -> "list[bytes]":
    """Those secrets of theirs that `shown` holds: as they are, in hex, or as Python writes them."""
    return [
        secret
        for who in parties
        for secret in (who.ed_seed, who.x_sk)
        if secret in shown or secret.hex().encode() in shown or repr(secret).encode() in shown
    ]


def test_what_is_public_tells_no_secret() -> None:
    """Fingerprint and public keys are all that a label would hold; there are no labels yet."""
    who = party()
    assert len(secrets_in(repr(vars(who)).encode(), who)) == 2, "it would be seen"
    shown = (who.fingerprint, *who.public(), fingerprint_text(who.fingerprint).encode(), repr(who).encode())
    for one in shown:
        assert not secrets_in(one, who)


def test_pairing_tells_no_secret() -> None:
    node, agent = party(), party()
    signed = pair_message(*agent.public(), *node.public(), NONCE)
    signature = run(crypto.ed25519_sign_steps(node.ed_seed, node.ed_pub, signed))
    request = messages.pair_request(1, *agent.public(), NONCE)
    reply = messages.pair_reply(1, *node.public(), NONCE, signature)
    assert not secrets_in(request + reply, node, agent)


def accepted(recorded: Recorded, body: bytes, tag: bytes) -> bool:
    """Whether an agent that has heard nothing yet goes on after this hello."""
    known = {recorded.node.id: recorded.node.public()}
    agent = AgentSession(recorded.agent, known.get, {}.get, os.urandom)
    events = agent.feed(cobs.encode(messages.hello(body, tag)), 0)
    return any(isinstance(event, HelloAccepted) for event in events)


def test_a_changed_hello_is_refused_whichever_byte_it_is(recorded: Recorded) -> None:
    """Versions, held ranges, connection number, headers: everything lies under the tag."""
    boots = [[BOOT, [[recorded.agent.id, *recorded.headers[recorded.agent.id]]], 5, [[0, 5]]]]
    body = messages.hello_body(1, recorded.node.id, NONCE, 3, boots, None, [1, 2])
    tag = seal.BootKeys(recorded.K, BOOT).hello_tag(body)
    assert accepted(recorded, body, tag)
    for bit in range(8 * len(body)):
        assert not accepted(recorded, changed(body, bit), tag)
    for bit in range(8 * len(tag)):
        assert not accepted(recorded, body, changed(tag, bit))
    stripped = messages.hello_body(1, recorded.node.id, NONCE, 3, boots, None, None)
    for other in (stripped, body[:-1], body + b"\0"):
        assert not accepted(recorded, other, tag)
    assert not accepted(recorded, body, tag[:-1])


def changed(message: bytes, bit: int) -> bytes:
    out = bytearray(message)
    out[bit >> 3] ^= 1 << (bit & 7)
    return bytes(out)

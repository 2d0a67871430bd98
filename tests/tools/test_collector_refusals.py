"""What the collector refuses: counted, answered with its cause, and nothing changed."""

import pytest

from edge_agent.keys import PublicKeys
from protocol import batch, receipts
from tests.tools.collector_rig import AGENT, COLLECTOR, NODE, NOW, STRANGER, Chain, frame


@pytest.fixture
def place():
    return None


def refused_cases():
    entries = [frame(0)]
    good = batch.make_head(AGENT.id, b"chain--1", 0, batch.FIRST_PREVIOUS, entries, NOW)
    chain = Chain()

    def sealed(signer, head, some):
        return chain.seal(batch.encode_batch(batch.sign_head(signer, head), some))

    foreign = batch.make_head(STRANGER.id, b"chain--1", 0, batch.FIRST_PREVIOUS, entries, NOW)
    wrong_keys = [batch.identity_entry(NODE.id, *STRANGER.public())]
    wrong_head = batch.make_head(AGENT.id, b"chain--1", 0, batch.FIRST_PREVIOUS, wrong_keys, NOW)
    clear = batch.encode_batch(batch.sign_head(AGENT, good), entries)
    return {
        "bad_signature": sealed(STRANGER, good, entries),
        "bad_root": sealed(AGENT, good, [frame(1)]),
        "bad_count": sealed(AGENT, good, [*entries, frame(1)]),
        "wrong_agent": sealed(AGENT, foreign, entries),
        "bad_identity": sealed(AGENT, wrong_head, wrong_keys),
        "bad_seal": batch.seal_batch(clear, AGENT.id, STRANGER.x_pub, COLLECTOR.id),
        "malformed_batch": b"\x00\x01",
        "too_large": bytes((8 << 20) + 1),
    }


REFUSED = refused_cases()


@pytest.mark.parametrize("cause", REFUSED)
def test_what_is_wrong_is_refused_counted_and_changes_nothing(rig, cause):
    assert rig.refusal(REFUSED[cause]) == cause
    assert rig.status["refused"] == {cause: 1}
    assert (rig.status["batches"], rig.status["frames"]) == (0, 0)
    rig.receipt(Chain().make([frame(0)]))


def test_an_unknown_agent_is_refused_until_it_is_trusted(rig):
    message = Chain(agent=STRANGER).make([frame(0)])
    assert rig.refusal(message, STRANGER) == "unknown_agent"
    rig.trust.add(PublicKeys(*STRANGER.public()))
    assert receipts.verify_receipt(rig.send(message, STRANGER), COLLECTOR.ed_pub).stored == 1


def test_a_batch_on_another_agents_topic_is_refused(rig):
    rig.trust.add(PublicKeys(*STRANGER.public()))
    assert rig.refusal(Chain(agent=STRANGER).make([frame(0)])) == "wrong_agent"


def test_a_batch_cut_off_or_changed_anywhere_is_refused(rig):
    message = Chain().make([frame(0)])
    for end in range(len(message)):
        assert rig.refusal(message[:end]) in ("malformed_batch", "bad_seal")
    for at in range(0, len(message), 7):
        changed = bytearray(message)
        changed[at] ^= 1
        assert rig.refusal(bytes(changed)) in (
            "malformed_batch",
            "bad_seal",
            "unknown_version",
            "wrong_agent",
        )
    assert rig.status["batches"] == 0


@pytest.mark.parametrize(
    "topic", ["vitalwire/1/zz/batch", "vitalwire/1/0011/batch", "vitalwire/1", "a/b/c/ask"]
)
def test_a_strange_topic_gets_no_answer(rig, topic):
    assert rig.intake.handle(topic, b"") == []
    assert rig.status["refused"] == {"bad_topic": 1}


def test_a_question_from_a_stranger_is_refused(rig):
    topic = f"vitalwire/1/{STRANGER.id.hex()}/ask"
    (reply,) = rig.intake.handle(topic, receipts.make_ask(STRANGER.id, b"nonce--1"))
    assert receipts.parse_refusal(reply.payload).code == "unknown_agent"


def test_a_broken_public_file_is_named_and_trusts_nobody(rig):
    (rig.folder / "agents" / "x.pub").write_text("nonsense")
    assert rig.trust.lookup(STRANGER.id) is None
    assert "x.pub" in rig.trust.problems
    assert rig.trust.lookup(AGENT.id) is not None

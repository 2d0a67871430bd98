"""What the collector does with each kind of message, without a network."""

from pathlib import Path

import pytest

from edge_agent.keys import PublicKeys
from protocol import attest, batch, crypto, frames, identity, receipts, waveform
from tools.collector import query, status, verify
from tools.collector.intake import Intake
from tools.collector.store import Store, StoreError
from tools.collector.trust import Trust

NOW = 1_700_000_000_000
BOOT = (1).to_bytes(4, "big") + bytes(8)


def make_identity(n: int) -> identity.Identity:
    return crypto.run(identity.generate_steps(bytes([n]) * 64))


COLLECTOR, AGENT, NODE, STRANGER = (make_identity(n) for n in (1, 2, 3, 4))


def vitals(n: int, rate_dpm: int = 720) -> bytes:
    return frames.pack(
        frames.KIND_VITALS, n * 1_000_000, {frames.VITALS_HR: rate_dpm, frames.VITALS_FLAGS: 0}
    )


def frame(n: int, plaintext: bytes | None = None) -> bytes:
    return batch.frame_entry(NODE.id, BOOT, n, vitals(n) if plaintext is None else plaintext, NOW + n)


NODE_KEYS = batch.identity_entry(NODE.id, *NODE.public())


def attestation(plaintexts: list[bytes]) -> bytes:
    """An attest frame over frames 0 … of the boot."""
    attester = attest.Attester(NODE, BOOT)
    for seq, plaintext in enumerate(plaintexts):
        attester.add(seq, plaintext)
    return frames.pack(frames.KIND_ATTEST, 1, crypto.run(attester.sign_steps(0)))


class Chain:
    """An agent's chain, batch by batch."""

    def __init__(self, agent: identity.Identity = AGENT, chain: bytes = b"chain--1"):
        self.agent, self.chain = agent, chain
        self.number, self.previous = 0, batch.FIRST_PREVIOUS

    def make(self, entries: list[bytes], **more) -> bytes:
        """The next batch, sealed to the collector."""
        head = batch.make_head(self.agent.id, self.chain, self.number, self.previous, entries, NOW, **more)
        self.number, self.previous = self.number + 1, batch.head_hash(head)
        return self.seal(batch.encode_batch(batch.sign_head(self.agent, head), entries))

    def seal(self, clear: bytes) -> bytes:
        return batch.seal_batch(clear, self.agent.id, COLLECTOR.x_pub, COLLECTOR.id)


class Rig:
    """A collector on a folder; `again()` is a restart."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.trust = Trust(folder / "agents")
        self.trust.add(PublicKeys(*AGENT.public()))
        self.again()

    def again(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        self.store = Store(self.folder / "collector.sqlite3")
        self.intake = Intake(self.store, COLLECTOR, self.trust, lambda: NOW + 5)

    def send(self, payload: bytes, agent: identity.Identity = AGENT) -> bytes:
        (reply,) = self.intake.handle(f"vitalwire/1/{agent.id.hex()}/batch", payload)
        assert reply.topic == f"vitalwire/1/{agent.id.hex()}/receipt"
        return reply.payload

    def receipt(self, payload: bytes) -> receipts.Receipt:
        return receipts.verify_receipt(self.send(payload), COLLECTOR.ed_pub)

    def refusal(self, payload: bytes, agent: identity.Identity = AGENT) -> str:
        answer = receipts.parse_refusal(self.send(payload, agent))
        assert answer.refused == crypto.sha256(payload)
        return answer.code

    def ask(self, nonce: bytes = b"nonce--1") -> receipts.Receipt:
        topic = f"vitalwire/1/{AGENT.id.hex()}/ask"
        (reply,) = self.intake.handle(topic, receipts.make_ask(AGENT.id, nonce))
        return receipts.verify_receipt(reply.payload, COLLECTOR.ed_pub)

    @property
    def status(self) -> dict:
        return status.summary(self.store, NOW + 5)

    def verify(self) -> verify.Report:
        return verify.verify(
            self.store, COLLECTOR.ed_pub, lambda agent: AGENT.ed_pub if agent == AGENT.id else None
        )


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    yield rig
    rig.store.close()


def test_a_batch_is_stored_and_receipted(rig):
    chain = Chain()
    receipt = rig.receipt(chain.make([NODE_KEYS, frame(0), frame(1)]))
    assert receipt.statement == receipts.RECEIPT
    assert (receipt.chain_id, receipt.number, receipt.head_hash) == (chain.chain, 0, chain.previous)
    assert (receipt.stored, receipt.duplicates, receipt.received_at_ms) == (3, 0, NOW + 5)
    assert rig.store.frame(NODE.id, BOOT, 1) == vitals(1)
    report = rig.verify()
    assert report.sound
    assert (report.batches, report.chains, report.frames) == (1, 1, 2)


def test_the_same_batch_again_gets_the_same_receipt_also_after_a_restart(rig):
    message = Chain().make([frame(0)])
    first = rig.send(message)
    assert rig.send(message) == first
    rig.again()
    assert rig.send(message) == first
    assert (rig.status["batches"], rig.status["batches_again"], rig.status["frames"]) == (1, 2, 1)
    assert rig.status["duplicates"] == 0


def test_a_frame_in_two_batches_is_stored_once_and_both_stay_provable(rig):
    first, second = Chain(), Chain(chain=b"chain--2")
    rig.receipt(first.make([frame(0), frame(1)]))
    receipt = rig.receipt(second.make([frame(1), frame(2)]))
    assert (receipt.stored, receipt.duplicates) == (1, 1)
    assert (rig.status["frames"], rig.status["duplicates"], rig.status["conflicts"]) == (3, 1, 0)
    assert rig.verify().sound


def test_a_frame_twice_in_one_batch_is_stored_once(rig):
    receipt = rig.receipt(Chain().make([frame(0), frame(0)]))
    assert (receipt.stored, receipt.duplicates) == (1, 1)
    assert rig.verify().sound


def test_other_content_under_the_same_number_is_kept_apart_and_alarmed(rig):
    rig.receipt(Chain().make([frame(0)]))
    rig.receipt(Chain(chain=b"chain--2").make([frame(0, vitals(0, 999))]))
    assert rig.store.frame(NODE.id, BOOT, 0) == vitals(0)
    assert rig.status["conflicts"] == 1
    assert [a["code"] for a in rig.status["alarms"]] == ["conflict"]
    assert not rig.verify().sound


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1)])
def test_batches_in_any_order_are_linked_in_the_end(rig, order):
    chain = Chain()
    messages = [chain.make([frame(n)]) for n in range(3)]
    for n in order[:-1]:
        rig.receipt(messages[n])
    waiting = rig.status["linkage"]["waiting"]
    assert waiting == sum(1 for n in order[:-1] if n and n - 1 not in order[:-1])
    rig.receipt(messages[order[-1]])
    assert rig.status["linkage"] == {"linked": 3, "waiting": 0, "broken": 0}
    assert rig.status["alarms_total"] == 0
    assert rig.verify().sound


def test_a_gap_in_the_chain_is_a_problem_until_it_is_filled(rig):
    chain = Chain()
    messages = [chain.make([frame(n)]) for n in range(3)]
    rig.receipt(messages[0])
    rig.receipt(messages[2])
    report = rig.verify()
    assert report.problems == [f"batch 1 of chain {chain.chain.hex()} is missing (agent {AGENT.id.hex()})"]
    assert report.waiting == 1
    assert report.boots[0].missing == 1
    rig.receipt(messages[1])
    assert rig.verify().sound


def test_a_batch_that_does_not_follow_is_stored_and_alarmed(rig):
    chain = Chain()
    rig.receipt(chain.make([frame(0)]))
    chain.previous = bytes([9]) * 32
    rig.receipt(chain.make([frame(1)]))
    assert rig.status["linkage"]["broken"] == 1
    assert [a["code"] for a in rig.status["alarms"]] == ["chain_broken"]
    assert "does not follow" in rig.verify().problems[0]


def test_a_fork_is_stored_receipted_and_alarmed(rig):
    one, other = Chain(), Chain()
    rig.receipt(one.make([frame(0)]))
    receipt = rig.receipt(other.make([frame(1)]))
    assert (receipt.number, receipt.head_hash) == (0, other.previous)
    assert rig.status["batches"] == 2
    assert [a["code"] for a in rig.status["alarms"]] == ["fork"]
    # Both branches may go on: each is linked to its own.
    rig.receipt(one.make([frame(2)]))
    assert rig.status["linkage"]["broken"] == 0
    assert [p for p in rig.verify().problems if "forks" in p]


def test_an_attestation_is_proved_when_the_last_of_its_frames_is_here(rig):
    chain = Chain()
    plaintexts = [vitals(n) for n in range(3)]
    rig.receipt(chain.make([NODE_KEYS, frame(0), frame(3, attestation(plaintexts))]))
    assert rig.status["attestations"] == {"proved": 0, "pending": 1, "failed": 0}
    rig.receipt(chain.make([frame(2)]))
    assert rig.status["attestations"]["pending"] == 1
    rig.receipt(chain.make([frame(1)]))
    assert rig.status["attestations"] == {"proved": 1, "pending": 0, "failed": 0}
    assert rig.verify().boots[0].attested == 3


def test_an_attestation_waits_for_its_nodes_key(rig):
    chain = Chain()
    early = chain.make([NODE_KEYS])
    rig.receipt(chain.make([frame(0), frame(1, attestation([vitals(0)]))]))
    assert rig.status["attestations"]["pending"] == 1
    rig.receipt(early)
    assert rig.status["attestations"] == {"proved": 1, "pending": 0, "failed": 0}


def test_a_frame_that_its_node_did_not_sign_for_is_found(rig):
    forged = frame(1, vitals(1, 600))
    rig.receipt(Chain().make([NODE_KEYS, frame(0), forged, frame(2, attestation([vitals(0), vitals(1)]))]))
    assert rig.status["attestations"]["failed"] == 1
    assert [a["code"] for a in rig.status["alarms"]] == ["attestation_failed"]
    assert "does not cover frames 0 to 1" in rig.verify().problems[0]


def test_malformed_frames_are_carried_and_counted(rig):
    rig.receipt(Chain().make([frame(0, b"\xff\xff"), frame(1, frames.pack(99, 5, {1: 2}))]))
    assert (rig.status["frames"], rig.status["frames_malformed"]) == (2, 1)
    assert rig.verify().sound


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


def test_the_head_statement_names_the_newest_batch_of_the_newest_chain(rig):
    assert rig.ask().chain_id is None
    first = Chain()
    rig.receipt(first.make([frame(0)]))
    late = first.make([frame(1)])
    assert (rig.ask().chain_id, rig.ask().number) == (first.chain, 0)
    second = Chain(chain=b"chain--2")
    rig.receipt(second.make([frame(2)], cited=(first.chain, 1, first.previous), reason="store restored"))
    rig.receipt(late)
    head = rig.ask(b"nonce--2")
    assert head.statement == receipts.HEAD
    assert (head.chain_id, head.number, head.head_hash) == (second.chain, 0, second.previous)
    assert (head.stored, head.duplicates, head.nonce) == (3, 0, b"nonce--2")
    assert head.highest == [(second.chain, 0, second.previous)], "no other chain follows it"


def test_the_head_statement_names_the_last_batch_before_a_hole(rig):
    chain = Chain()
    messages = [(chain.make([frame(n)]), chain.previous) for n in range(5)]
    for n in (0, 1, 3, 4):
        rig.receipt(messages[n][0])
    assert (rig.ask().number, rig.ask().head_hash) == (1, messages[1][1])
    assert rig.ask().highest == [(chain.chain, 4, messages[4][1])], "and the highest, behind it"
    rig.receipt(messages[2][0])
    assert (rig.ask().number, rig.ask().head_hash) == (4, messages[4][1])
    assert rig.ask().highest == [(chain.chain, 4, messages[4][1])]


def test_the_head_statement_names_nothing_when_the_first_is_missing(rig):
    chain = Chain()
    first = chain.make([frame(0)])
    rig.receipt(chain.make([frame(1)]))
    assert rig.ask().chain_id is None and rig.ask().highest == [(chain.chain, 1, chain.previous)]
    rig.receipt(first)
    assert rig.ask().number == 1


def test_the_head_statement_names_the_highest_of_every_chain_that_none_follows(rig):
    assert rig.ask().highest == []
    made = []
    for n in range(receipts.MAX_CHAINS + 3):
        chain = Chain(chain=b"chain-%02d" % n)
        first = chain.make([frame(2 * n)])
        rig.receipt(chain.make([frame(2 * n + 1)]))
        made.append((chain.chain, 1, chain.previous))
        if n % 2:
            rig.receipt(first)
    assert rig.ask().highest == made[: -receipts.MAX_CHAINS - 1 : -1]
    follower = Chain(chain=b"followup")
    rig.receipt(follower.make([frame(99)], cited=made[-1], reason="restored"))
    assert rig.ask().highest[:2] == [(b"followup", 0, follower.previous), made[-2]]


def test_a_gap_that_persists_is_an_alarm_until_it_is_filled(rig):
    chain = Chain()
    messages = [chain.make([frame(n)]) for n in range(3)]
    rig.receipt(messages[0])
    rig.receipt(messages[2])
    assert status.summary(rig.store, NOW + 60_000)["alarms"] == []
    (alarm,) = status.summary(rig.store, NOW + 60_005)["alarms"]
    assert (alarm["code"], alarm["at_ms"]) == ("gap", NOW + 60_005)
    assert "2 is here, 1 is not" in alarm["detail"]
    rig.receipt(messages[1])
    assert status.summary(rig.store, NOW + 60_005)["alarms_total"] == 0


def test_a_question_from_a_stranger_is_refused(rig):
    topic = f"vitalwire/1/{STRANGER.id.hex()}/ask"
    (reply,) = rig.intake.handle(topic, receipts.make_ask(STRANGER.id, b"nonce--1"))
    assert receipts.parse_refusal(reply.payload).code == "unknown_agent"


def test_a_failure_half_way_leaves_nothing(rig, monkeypatch):
    message = Chain().make([NODE_KEYS, frame(0), frame(1)])
    with monkeypatch.context() as m:
        m.setattr("tools.collector.linkage.settle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rig.send(message)
    assert (rig.status["batches"], rig.status["frames"], rig.store.node_keys(NODE.id)) == (0, 0, None)
    assert rig.receipt(message).stored == 3


def test_verify_finds_a_changed_store(rig):
    chain = Chain()
    rig.receipt(chain.make([NODE_KEYS, frame(0), frame(1)]))
    rig.receipt(chain.make([frame(2)]))
    assert rig.verify().sound
    rig.store.db.execute("UPDATE frames SET plaintext = ? WHERE seq = 1", (vitals(1, 601),))
    assert "not those that were signed" in rig.verify().problems[0]
    rig.store.db.execute("UPDATE frames SET plaintext = ? WHERE seq = 1", (vitals(1),))
    rig.store.db.execute("DELETE FROM frames WHERE seq = 2")
    assert "0 of 1 entries are here" in rig.verify().problems[0]


def test_verify_needs_the_agents_key(rig):
    rig.receipt(Chain().make([frame(0)]))
    report = verify.verify(rig.store, COLLECTOR.ed_pub, lambda agent: None)
    assert "not known here" in report.problems[0]


def test_evicted_and_missing_frames_are_told_apart(rig):
    loss = frames.pack(frames.KIND_LOSS, 1, {frames.LOSS_RANGES: [[1, 2, frames.LOSS_OUTBOX_FULL]]})
    rig.receipt(Chain().make([frame(0), frame(4, loss), frame(6)]))
    row = rig.verify().boots[0]
    assert (row.stored, row.highest, row.evicted, row.missing) == (3, 6, 2, 2)


def test_waves_are_read_back_in_the_order_of_measurement(rig):
    later_boot = (2).to_bytes(4, "big") + bytes(8)
    entries = []
    for boot, seq, first in ((later_boot, 1, 40), (BOOT, 2, 20), (BOOT, 1, 0)):
        samples = list(range(first, first + 20))
        body = {
            frames.WAVE_CHANNEL: frames.CH_ECG,
            frames.WAVE_COUNT: 20,
            frames.WAVE_PERIOD_NS: 4_000_000,
            frames.WAVE_LSB: 3052,
            frames.WAVE_CODEC: 1,
            frames.WAVE_DATA: waveform.encode(samples, 20),
            frames.SOURCE: frames.SRC_SYNTHETIC,
        }
        plaintext = frames.pack(frames.KIND_WAVE, seq * 80_000, body)
        entries.append(batch.frame_entry(NODE.id, boot, seq, plaintext, NOW))
    rig.receipt(Chain().make(entries))
    found = query.samples(rig.folder / "collector.sqlite3", NODE.id, frames.CH_ECG)
    assert [f[:3] for f in found] == [
        (80_000, 4_000_000, 3052),
        (160_000, 4_000_000, 3052),
        (80_000, 4_000_000, 3052),
    ]
    assert [x for f in found for x in f[3]] == list(range(60))
    (wave, *_) = query.waves(rig.store, NODE.id, frames.CH_ECG)
    assert wave.source == frames.SRC_SYNTHETIC


def test_a_store_that_is_none_says_what_to_do(tmp_path):
    path = tmp_path / "collector.sqlite3"
    path.write_bytes(b"not a database, but long enough to be taken for the header of one" * 20)
    with pytest.raises(StoreError, match="move it away") as caught:
        Store(path)
    assert caught.value.path == path


def test_a_broken_public_file_is_named_and_trusts_nobody(rig):
    (rig.folder / "agents" / "x.pub").write_text("nonsense")
    assert rig.trust.lookup(STRANGER.id) is None
    assert "x.pub" in rig.trust.problems
    assert rig.trust.lookup(AGENT.id) is not None

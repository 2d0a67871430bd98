"""What the collector makes of a batch: stored once, receipted, linked, and its attestations proved."""

import pytest

from protocol import batch, frames, receipts
from tests.tools.collector_rig import (
    AGENT,
    BOOT,
    NODE,
    NODE_KEYS,
    NOW,
    Chain,
    attestation,
    frame,
    vitals,
)
from tools.collector import status


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


def test_an_agent_that_says_that_another_has_its_key_is_one_alarm(rig):
    chain = Chain()
    for _ in range(2):
        rig.receipt(chain.make([batch.statement_entry("clone", {}), batch.statement_entry("fork", {})]))
    (alarm,) = rig.status["alarms"]
    assert alarm["code"] == "two_agents" and AGENT.id.hex() in alarm["detail"]
    assert "stolen key" in alarm["detail"] and rig.verify().sound


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


def test_a_failure_half_way_leaves_nothing(rig, monkeypatch):
    message = Chain().make([NODE_KEYS, frame(0), frame(1)])
    with monkeypatch.context() as m:
        m.setattr("tools.collector.linkage.settle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rig.send(message)
    assert (rig.status["batches"], rig.status["frames"], rig.store.node_keys(NODE.id)) == (0, 0, None)
    assert rig.receipt(message).stored == 3

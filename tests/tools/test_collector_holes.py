"""Entries that an agent leaves out, and keys that are handed over."""

import os

from click.testing import CliRunner

from edge_agent import keys
from protocol import batch, receipts
from tests.tools.collector_rig import (
    AGENT,
    COLLECTOR,
    NODE_KEYS,
    Chain,
    Rig,
    attestation,
    frame,
    vitals,
)
from tools.collector.commands import command
from tools.collector.intake import Intake
from tools.collector.signing import Signing

# ---- left out


def test_what_is_left_out_is_kept_by_its_hash_and_filled_in_later(rig):
    chain = Chain()
    entries = [NODE_KEYS, frame(0), frame(1), frame(2, attestation([vitals(0), vitals(1)]))]
    part, whole = chain.make_with_holes(entries, [0, 2])
    first = rig.receipt(part)
    assert (first.stored, first.duplicates, first.left_out) == (2, 0, 2)
    assert rig.status["attestations"]["pending"] == 1
    assert rig.verify().sound, rig.verify().problems
    assert rig.send(part) == rig.send(part)
    filled = rig.send(whole)
    now = receipts.verify_receipt(filled, COLLECTOR.ed_pub)
    assert (now.stored, now.duplicates, now.left_out) == (4, 0, 0)
    assert rig.status["attestations"]["proved"] == 1
    assert (rig.status["filled_in"], rig.status["frames"], rig.status["batches"]) == (2, 3, 1)
    # A batch with more holes takes nothing away again.
    assert rig.send(part) == filled
    rig.again()
    assert rig.send(whole) == filled
    assert rig.verify().sound, rig.verify().problems


def test_a_hole_may_be_filled_in_part_and_by_a_frame_that_came_another_way(rig):
    chain = Chain()
    none, whole = chain.make_with_holes([frame(0), frame(1)], [0, 1])
    rig.receipt(none)
    rig.receipt(Chain(chain=b"chain--2").make([frame(1)]))
    receipt = rig.receipt(whole)
    assert (receipt.stored, receipt.duplicates, receipt.left_out) == (1, 1, 0)
    assert rig.verify().sound, rig.verify().problems


def test_holes_are_part_of_the_proof(rig):
    chain = Chain()
    rig.receipt(chain.make_with_holes([frame(0), frame(1)], [1])[0])
    rig.store.db.execute("DELETE FROM holes WHERE position = 1")
    assert any("1 of 2 entries are here" in problem for problem in rig.verify().problems)


# ---- keys


def test_batches_by_a_key_that_was_handed_over_to(rig):
    chain = Chain()
    rig.receipt(chain.make([frame(0)]))
    record = chain.hand_over()
    rig.receipt(chain.make([batch.handover_entry(record), frame(1)]))
    chain.hand_over()
    rig.receipt(chain.make([frame(2)]))
    assert rig.status["frames"] == 3
    assert rig.verify().sound, rig.verify().problems
    rig.store.db.execute("DELETE FROM handovers WHERE number = 2")
    assert any("hand-over 2" in problem for problem in rig.verify().problems)


def test_a_retired_key_and_a_second_hand_over_are_refused_by_name(rig):
    chain, thief = Chain(), Chain()
    both = chain.make([frame(0)])
    thief.make([frame(0)])
    rig.receipt(both)
    chain.hand_over()
    rig.receipt(chain.make([frame(1)]))
    assert rig.refusal(thief.make([frame(7)])) == "retired_key"
    thief.hand_over(last=False)
    assert rig.refusal(thief.make([frame(8)])) == "bad_handover"
    assert rig.status["refused"] == {"bad_handover": 1, "retired_key": 1}
    assert (rig.status["frames"], rig.verify().sound) == (2, True)


def test_what_a_thief_signed_before_the_hand_over_was_known_is_named(rig):
    chain, thief = Chain(), Chain()
    rig.receipt(chain.make([frame(0)]))
    thief.make([frame(0)])
    rig.receipt(thief.make([frame(5)]))
    chain.hand_over()
    rig.receipt(chain.make([frame(1)]))
    assert "retired_key" in [alarm["code"] for alarm in rig.status["alarms"]]
    assert any("handed over before" in problem for problem in rig.verify().problems)


def test_the_collectors_key_is_handed_over_while_it_runs(tmp_path):
    rig = Rig(tmp_path)
    identity = keys.create(tmp_path / "collector.key", "collector")
    signing = Signing(identity, tmp_path / "collector.key")
    intake = Intake(rig.store, signing, rig.trust)
    chain = Chain()

    def receipt(entries):
        head_message = chain.make(entries)
        clear = batch.open_batch(head_message, COLLECTOR)[1]
        sealed = batch.seal_batch(clear, AGENT.id, identity.x_pub, identity.id)
        (reply,) = intake.handle(f"vitalwire/1/{AGENT.id.hex()}/batch", sealed)
        return receipts.verify_receipt(reply.payload, identity.ed_pub, identity.id)

    assert receipt([frame(0)]).handovers == []
    for number in (1, 2):
        result = CliRunner().invoke(command, ["keys", "rotate", "--state", str(tmp_path)])
        assert result.exit_code == 0, result.output
        assert f"collector.key.{number}" in result.output
        assert (tmp_path / f"collector.key.{number}").stat().st_mode & 0o777 == 0o600
        intake.reload_key()
        assert len(receipt([frame(number)]).handovers) == number
    (tmp_path / "collector.pub").write_bytes((tmp_path / "collector.pub").read_bytes())
    rig.store.close()
    result = CliRunner().invoke(command, ["verify", "--state", str(tmp_path)])
    assert result.exit_code == 0, result.output
    # A second key file that belongs to nothing is not signed with.
    os.replace(tmp_path / "collector.key.2", tmp_path / "collector.key.1")
    result = CliRunner().invoke(command, ["keys", "rotate", "--state", str(tmp_path)])
    assert result.exit_code == 1 and "collector.key.1" in result.output

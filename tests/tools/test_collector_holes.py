"""Entries that an agent leaves out, keys that are handed over, and people who are erased."""

import json
import os

import pytest
from click.testing import CliRunner

from edge_agent import keys
from edge_agent.keys import PublicKeys
from edge_agent.people_operators import Operators
from protocol import batch, frames, receipts, records
from tests.tools.collector_rig import (
    AGENT,
    BOOT,
    COLLECTOR,
    NODE,
    NODE_KEYS,
    NOW,
    Chain,
    Rig,
    attestation,
    frame,
    make_identity,
    vitals,
)
from tools.collector.commands import command
from tools.collector.intake import Intake
from tools.collector.people import Erasing
from tools.collector.signing import Signing

OPERATOR, PERSON, OTHER = make_identity(11), b"person-number-01", b"person-number-02"


@pytest.fixture
def rig(tmp_path, place):
    rig = Rig(tmp_path, place)
    yield rig
    rig.store.close()


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


# ---- people


def clock(boot: bytes, unix_ms: int) -> bytes:
    """Node time 0 of that boot was `unix_ms`."""
    return batch.clock_entry(NODE.id, boot, 0, unix_ms * 1000, 0, 1000)


def word(text: str, seq: int) -> bytes:
    body = {frames.EVENT_CODE: 1, frames.EVENT_PRIORITY: 0, 99: text}
    return frame(seq, frames.pack(frames.KIND_EVENT, seq * 1_000_000, body))


def assign(person: bytes, from_ms: int, to_ms: int | None, author=OPERATOR) -> bytes:
    record = records.make_assignment(author, NODE.id, person, from_ms, NOW, os.urandom(8), to_ms)
    return batch.assignment_entry(record)


def erase(person: bytes, author=OPERATOR) -> bytes:
    return batch.erasure_entry(records.make_erasure(author, person, NOW + 2000, os.urandom(8)))


def test_a_persons_frames_go_and_the_proofs_stay(rig, tmp_path):
    Operators(tmp_path / "operators").add("ward", PublicKeys(*OPERATOR.public()))
    erasing = Erasing(rig.store, tmp_path / "operators")
    chain = Chain()
    plaintexts = [
        batch.parse_entry(word(text, n))[4] for n, text in enumerate(["AAAA-hers", "BBBB-hers", "CCCC-his"])
    ]
    typed = records.make_manual(OPERATOR, PERSON, [(1, 72)], NOW, NOW, os.urandom(8), note="DDDD-hers")
    begin = [
        NODE_KEYS,
        clock(BOOT, NOW),
        assign(PERSON, NOW - 500, NOW + 1500),
        assign(OTHER, NOW + 1500, None),
    ]
    rig.receipt(chain.make([*begin, frame(0, plaintexts[0]), batch.manual_entry(typed)]))
    first = chain.make([frame(n, plaintexts[n]) for n in (1, 2)] + [frame(3, attestation(plaintexts))])
    rig.receipt(first)
    assert erasing.run(NOW) == []
    rig.receipt(chain.make([erase(PERSON)]))
    (said,) = erasing.run(NOW + 1000)
    assert "is erased: 3 frames and entries" in said
    assert rig.store.frame(NODE.id, BOOT, 0) is None and rig.store.frame(NODE.id, BOOT, 1) is None
    assert rig.store.frame(NODE.id, BOOT, 2) == plaintexts[2]
    report = rig.verify()
    assert report.sound, report.problems
    assert (report.attestations["proved"], report.boots[0].erased, report.boots[0].missing) == (1, 2, 0)
    # It comes again, from this agent or another: it is not stored again.
    rig.receipt(Chain(chain=b"chain--2").make([frame(1, plaintexts[1]), frame(2, plaintexts[2])]))
    assert rig.store.frame(NODE.id, BOOT, 1) is None
    assert rig.receipt(first).stored == 3
    assert erasing.run(NOW + 2000) == []
    # Nor is what was on the way and comes only now.
    late = frames.pack(frames.KIND_EVENT, 1_200_000, {frames.EVENT_CODE: 1, frames.EVENT_PRIORITY: 0})
    rig.receipt(chain.make([frame(9, late)]))
    assert rig.store.frame(NODE.id, BOOT, 9) is not None
    assert "1 frames" in erasing.run(NOW + 3000)[0]
    assert rig.store.frame(NODE.id, BOOT, 9) is None
    assert rig.verify().sound, rig.verify().problems
    if rig.store.db.dialect == "sqlite":
        left = b"".join(path.read_bytes() for path in tmp_path.glob("collector.sqlite3*"))
        assert b"CCCC-his" in left
        for gone in (b"AAAA-hers", b"BBBB-hers", b"DDDD-hers"):
            assert gone not in left
    else:
        assert "VACUUM (FULL)" in said and "backups" in said


def test_only_an_operator_s_word_erases(rig, tmp_path):
    Operators(tmp_path / "operators").add("ward", PublicKeys(*OPERATOR.public()))
    stranger = make_identity(12)
    rig.receipt(
        Chain().make([clock(BOOT, NOW), assign(PERSON, NOW - 500, None), frame(0), erase(PERSON, stranger)])
    )
    assert Erasing(rig.store, tmp_path / "operators").run(NOW) == []
    assert rig.store.frame(NODE.id, BOOT, 0) == vitals(0)
    assert [alarm["code"] for alarm in rig.status["alarms"]] == ["erasure_not_believed"]


def test_the_report_says_what_was_erased(tmp_path):
    rig = Rig(tmp_path)
    keys_file = tmp_path / "collector.pub"
    keys.write_public(keys_file, "collector", PublicKeys(*COLLECTOR.public()))
    Operators(tmp_path / "operators").add("ward", PublicKeys(*OPERATOR.public()))
    rig.receipt(Chain().make([clock(BOOT, NOW), assign(PERSON, NOW - 500, None), frame(0), erase(PERSON)]))
    Erasing(rig.store, tmp_path / "operators").run(NOW)
    rig.store.close()
    result = CliRunner().invoke(command, ["verify", "--state", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "1 erased" in result.output
    result = CliRunner().invoke(command, ["verify", "--state", str(tmp_path), "--json"])
    assert json.loads(result.output)["boots"][0]["erased"] == 1

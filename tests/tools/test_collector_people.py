"""People at the collector: who is believed about them, and what goes when they are erased."""

import json
import os

import pytest
from click.testing import CliRunner

from edge_agent import keys
from edge_agent.keys import PublicKeys
from edge_agent.people.operators import Operators
from protocol import batch, frames, records
from tests.tools.collector_rig import (
    BOOT,
    COLLECTOR,
    NODE,
    NODE_KEYS,
    NOW,
    OPERATOR,
    OTHER,
    PERSON,
    Chain,
    Rig,
    assign,
    attestation,
    believe,
    clock,
    erase,
    frame,
    make_identity,
    vitals,
)
from tools.collector.commands import command
from tools.collector.people import Erasing


def word(text: str, seq: int) -> bytes:
    body = {frames.EVENT_CODE: 1, frames.EVENT_PRIORITY: 0, 99: text}
    return frame(seq, frames.pack(frames.KIND_EVENT, seq * 1_000_000, body))


def test_a_persons_frames_go_and_the_proofs_stay(rig, tmp_path):
    erasing = Erasing(rig.store, believe(tmp_path))
    chain = Chain()
    plaintexts = [
        batch.parse_entry(word(text, n))[4] for n, text in enumerate(["AAAA-hers", "BBBB-hers", "CCCC-his"])
    ]
    typed = records.make_manual(OPERATOR, PERSON, [(1, 72)], NOW, NOW, os.urandom(8), note="DDDD-hers")
    begin = [
        NODE_KEYS,
        clock(NOW),
        assign(PERSON, NOW - 500, NOW + 1500),
        assign(OTHER, NOW + 1500),
    ]
    rig.receipt(chain.make([*begin, frame(0, plaintexts[0]), batch.manual_entry(typed)]))
    first = chain.make([frame(n, plaintexts[n]) for n in (1, 2)] + [frame(3, attestation(plaintexts))])
    rig.receipt(first)
    assert erasing.run(NOW) == []
    rig.receipt(chain.make([erase(PERSON)]))
    (said,) = erasing.run(NOW + 1000)
    assert "is erased: 3 entries" in said
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
    assert "1 entry" in erasing.run(NOW + 3000)[0]
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
    believe(tmp_path)
    stranger = make_identity(12)
    rig.receipt(Chain().make([clock(NOW), assign(PERSON, NOW - 500), frame(0), erase(PERSON, stranger)]))
    assert Erasing(rig.store, tmp_path / "operators").run(NOW) == []
    assert rig.store.frame(NODE.id, BOOT, 0) == vitals(0)
    assert [alarm["code"] for alarm in rig.status["alarms"]] == ["erasure_not_believed"]
    Operators(tmp_path / "operators").add("night", PublicKeys(*stranger.public()))
    (said,) = Erasing(rig.store, tmp_path / "operators").run(NOW + 1000)
    assert "is erased" in said
    assert "erasure_not_believed" not in {alarm["code"] for alarm in rig.status["alarms"]}


def test_the_report_says_what_was_erased(tmp_path):
    rig = Rig(tmp_path)
    keys_file = tmp_path / "collector.pub"
    keys.write_public(keys_file, "collector", PublicKeys(*COLLECTOR.public()))
    believe(tmp_path)
    rig.receipt(Chain().make([clock(NOW), assign(PERSON, NOW - 500), frame(0), erase(PERSON)]))
    Erasing(rig.store, tmp_path / "operators").run(NOW)
    rig.store.close()
    result = CliRunner().invoke(command, ["verify", "--state", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "1 erased" in result.output
    result = CliRunner().invoke(command, ["verify", "--state", str(tmp_path), "--json"])
    assert json.loads(result.output)["boots"][0]["erased"] == 1


def operator(tmp_path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(command, ["operator", words[0], "--state", str(tmp_path), *words[1:]])
    assert result.exit_code == code, result.output
    return result.output


def test_an_operator_is_enrolled_by_command_and_what_waited_is_done(rig, tmp_path):
    public, other = tmp_path / "ward.pub", tmp_path / "night.pub"
    keys.write_public(public, "operator", PublicKeys(*OPERATOR.public()))
    keys.write_public(other, "operator", PublicKeys(*make_identity(12).public()))
    rig.receipt(Chain().make([clock(NOW), assign(PERSON, NOW - 500), frame(0), erase(PERSON)]))
    erasing = Erasing(rig.store, tmp_path / "operators")
    assert erasing.run(NOW) == []
    assert OPERATOR.id.hex() in operator(tmp_path, "add", "ward-3", str(public))
    operator(tmp_path, "add", "night", str(other))
    (said,) = erasing.run(NOW + 1000)
    assert "is erased" in said
    operator(tmp_path, "remove", "ward-3")
    night, former = operator(tmp_path, "list").splitlines()
    assert night.startswith("night  ") and "(former)" in former and OPERATOR.id.hex() in former
    # What was signed and came before stands.
    assert erasing.run(NOW + 2000) == [] and rig.verify().sound
    log = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert [(one["what"], one["name"]) for one in log] == [
        ("operator added", "ward-3"),
        ("operator added", "night"),
        ("operator removed", "ward-3"),
    ]
    assert {one["uid"] for one in log} == {os.getuid()} and log[0]["id"] == OPERATOR.id.hex()
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_enrolled_is_named_and_leaves_no_line(tmp_path):
    public = tmp_path / "ward.pub"
    keys.write_public(public, "operator", PublicKeys(*OPERATOR.public()))
    operator(tmp_path, "add", "ward", str(public))
    before = (tmp_path / "audit.log").read_text()
    assert "already" in operator(tmp_path, "add", "again", str(public), code=1)
    assert "another name" in operator(tmp_path, "add", "ward", str(public), code=1)
    assert "no name" in operator(tmp_path, "add", "../ward", str(public), code=1)
    assert "no such file" in operator(tmp_path, "add", "new", str(tmp_path / "none.pub"), code=1)
    assert "vitalwire collector operator list" in operator(tmp_path, "remove", "nobody", code=1)
    assert (tmp_path / "audit.log").read_text() == before


def completeness(rig: Rig, tmp_path, *more: str) -> str:
    where = ["--state", str(tmp_path), "--database", str(rig.place)]
    result = CliRunner().invoke(command, ["completeness", *where, *more])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("erased", [True, False])
def test_what_the_agent_erased_before_this_collector_began_is_called_so(rig, tmp_path, erased):
    """A collector that was begun anew never has the frames: their numbers are not late, they are gone."""
    believe(tmp_path)
    begin = [NODE_KEYS, clock(NOW), assign(PERSON, NOW + 2500, NOW + 6500)]
    sent = [n for n in range(10) if n != 8]
    entries = [*begin, *(frame(n) for n in sent), *([erase(PERSON)] if erased else [])]
    theirs = [len(begin) + sent.index(n) for n in (3, 4, 5, 6)]
    rig.receipt(Chain().make_with_holes(entries, theirs)[0])
    (day,) = map(json.loads, completeness(rig, tmp_path, "--json").splitlines())
    gone = 4 if erased else 0
    assert (day["produced"], day["received"], day["erased"], day["not_here"]) == (10, 5, gone, 5 - gone)


def test_no_more_is_called_erased_than_the_agent_left_out(rig, tmp_path):
    believe(tmp_path)
    entries = [NODE_KEYS, clock(NOW), assign(PERSON, NOW + 500, NOW + 6500), frame(0), frame(1), frame(7)]
    rig.receipt(Chain().make_with_holes([*entries, erase(PERSON)], [4])[0])
    (day,) = map(json.loads, completeness(rig, tmp_path, "--json").splitlines())
    assert (day["produced"], day["received"], day["erased"], day["not_here"]) == (8, 2, 1, 5)


def test_where_nothing_is_that_is_said(rig, tmp_path):
    assert "nothing that was measured is here" in completeness(rig, tmp_path)
    said = completeness(rig, tmp_path, "--node", NODE.id.hex(), "--day", "2026-11-22")
    assert "nothing of that day is here" in said and "0.0 s" not in said


def test_what_was_erased_after_the_last_frame_that_is_left_is_counted_with_its_day(rig, tmp_path):
    believe(tmp_path)
    keys.write_public(tmp_path / "collector.pub", "collector", PublicKeys(*COLLECTOR.public()))
    begin = [NODE_KEYS, clock(NOW), assign(PERSON, NOW + 250)]
    made = [frames.pack(frames.KIND_VITALS, n * 100_000, {frames.VITALS_HR: 720}) for n in range(10)]
    rig.receipt(Chain().make([*begin, *(frame(n, one) for n, one in enumerate(made)), erase(PERSON)]))
    Erasing(rig.store, tmp_path / "operators").run(NOW)
    (day,) = map(json.loads, completeness(rig, tmp_path, "--json").splitlines())
    assert (day["produced"], day["received"], day["erased"], day["not_here"]) == (10, 3, 7, 0)
    (boot,) = rig.verify().boots
    assert (boot.stored, boot.erased) == (day["received"], day["erased"])

"""The commands about people: beside an agent that runs, and without one."""

import json
import os

import pytest

from edge_agent.cli.people_asking import Aliases, moment
from edge_agent.keys import create
from edge_agent.people.state import PeopleError
from edge_agent.people.values import typed as typed_values
from edge_agent.store import database, keys
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.store import Store
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import Kit, Running, free_port, wait_until
from tests.edge_agent.test_cli import typed, written


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


class Desk:
    """Commands with this kit's configuration; what each prints."""

    def __init__(self, kit, port="/dev/no-such-port") -> None:
        self.config = written(kit, port)

    def __call__(self, *words, good=True, answer="") -> str:
        done = typed(*words, "--config", self.config, answer=answer)
        assert (done.exit_code == 0) == good, done.output
        assert "Traceback" not in done.output
        return done.output

    def log(self) -> list[dict]:
        told = self("audit", "--json").splitlines()
        return [json.loads(line) for line in told if line.startswith("{")]


@pytest.mark.parametrize("runs", [True, False])
def test_a_person_from_the_beginning_to_the_end(kit, runs) -> None:
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        desk = Desk(kit, node.pipe.name)
        if runs:
            with Running(kit.config(node.pipe.name)):
                _whole_life(desk, node.identity.id.hex())
        else:
            _whole_life(desk, node.identity.id.hex())
    log = desk.log()
    whats = [line["what"] for line in log if line["what"] not in ("config", "operator added")]
    assert whats == ["operator made", "assign", "consent", "note", "read", "consent", "assign"]
    assert {line["by"].split()[0] for line in log if line["what"] == "read"} == {"uid"}
    assert str(os.getuid()) in next(line["by"] for line in log if line["what"] == "read")


def _whole_life(desk: Desk, node: str) -> None:
    desk("operator", "new", "home")
    person = desk("person", "new", "--alias", "Ada, room 3").strip()
    assert "no node" in desk("person", "list")
    desk("assign", node[:6], "ada", "--from", "2020-11-01T08:00:00+00:00")
    assert f"node {node}" in desk("person", "list")
    assert "unassign" in desk("assign", node, person, good=False)
    desk("consent", "grant", person[:6], "--forwarder", "mqtt")
    assert "may have it now" in desk("consent", "list", person)
    desk("note", person, "systolic_mmhg=131", "diastolic_mmhg=84.5", "--device", "arm cuff")
    shown = desk("person", "show", person)
    assert "assignment" in shown and "consent" in shown
    assert "manual  typed" in shown and "systolic_mmhg=131.0 diastolic_mmhg=84.5 arm cuff" in shown
    desk("consent", "withdraw", person, "--forwarder", "mqtt")
    assert "may not have it now" in desk("consent", "list", person)
    desk("unassign", node)
    assert "no node" in desk("person", "list")
    assert "nothing has to be done" in desk("unassign", node, good=False)


def test_names_are_on_this_machine_only(kit) -> None:
    desk = Desk(kit)
    desk("operator", "new", "home")
    person = desk("person", "new", "--alias", "Ada Lovelace").strip()
    desk("note", "Ada Lovelace", "heart_rate_per_min=72")
    desk("person", "show", "Ada Lovelace")
    assert "somebody is called" in desk("person", "new", "--alias", "Ada Lovelace", good=False)
    desk("person", "alias", person, "Countess")
    assert f"{person} (Countess)" in desk("person", "list")
    holders = [path for path in kit.folder.rglob("*") if path.is_file() and b"Countess" in path.read_bytes()]
    assert holders == [kit.folder / "people.json"] and holders[0].stat().st_mode & 0o777 == 0o600
    db = database.open_file(kit.folder / "agent.db")
    told = b"".join(data for (data,) in db.execute("SELECT data FROM journal WHERE kind = 3"))
    db.close()
    assert b"Ada" not in told and b"Countess" not in told


def test_a_name_is_found_by_its_beginning_where_one_person_is_meant(kit) -> None:
    desk = Desk(kit)
    desk("operator", "new", "home")
    ada = desk("person", "new", "--alias", "Ada, room 3").strip()
    adele = desk("person", "new", "--alias", "Adele").strip()
    short = desk("person", "new", "--alias", "ada").strip()
    for given, whose in (("ada", short), ("ADA, ROOM 3", ada), ("Ada,", ada), ("adel", adele)):
        assert whose in desk("person", "show", given)
    assert "3 persons are called like" in desk("person", "show", "AD", good=False)
    assert "nobody is called" in desk("person", "show", "a", good=False)
    assert "that is not" in desk("erase", "adel", "--confirm", "adel", good=False)


def test_whoever_assigns_is_told_what_does_not_leave_and_the_log_is_read_by_name(kit) -> None:
    kit.collect(free_port())
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        desk = Desk(kit, node.pipe.name)
        desk("operator", "new", "home")
        person = desk("person", "new", "--alias", "Ada").strip()
        who = node.identity.id.hex()
        said = desk("assign", who, "Ada")
        assert "mqtt gets nothing of that person's" in said and f"consent grant {person[:8]}" in said
        desk("consent", "grant", "Ada", "--forwarder", "mqtt")
        desk("unassign", who)
        assert "gets nothing" not in desk("assign", who, "Ada")
        desk("order", who, "mark", "--text", "after the stairs")
        log = desk("audit")
    assert f"{person} (Ada)" in log and "arguments={'1': 'after the stairs'}" in log and "body=" not in log


def test_who_is_no_operator_is_told_what_to_do(kit, tmp_path) -> None:
    desk = Desk(kit)
    person = desk("person", "new").strip()
    assert "operator new" in desk("note", person, "spo2_percent=97", good=False)
    create(tmp_path / "ward.key", "operator")
    told = desk("note", person, "spo2_percent=97", "--by", str(tmp_path / "ward.key"), good=False)
    assert "vitalwire operator add" in told
    desk("operator", "add", "ward", str(tmp_path / "ward.pub"))
    desk("note", person, "spo2_percent=97", "--by", str(tmp_path / "ward.key"))
    desk("operator", "remove", "ward")
    assert "former" in desk("operator", "list")
    assert "ward" in desk("note", person, "spo2_percent=97", "--by", str(tmp_path / "ward.key"), good=False)
    added = [line for line in desk.log() if line["what"] in ("operator added", "operator removed")]
    assert len(added) == 2 and added[0]["on"] == added[1]["on"] and "ed_pub" in added[0]["more"]


def test_what_is_misspelt_is_told(kit) -> None:
    desk = Desk(kit)
    desk("operator", "new", "home")
    person = desk("person", "new").strip()
    for words, hint in (
        (("note", person, "systolic=131"), "did you mean systolic_mmhg"),
        (("note", person, "spo2_percent=101"), "0 to 100.0 %"),
        (("note", person, "spo2_percent=97.55"), "1 at most"),
        (("note", person, "spo2_percent=NaN"), "out of range"),
        (("note", person, "spo2_percent=much"), "no number"),
        (("note", person, "rr_ms=812", "--at", "yesterday"), "ISO 8601"),
        (("note", person, "rr_ms=812", "--note", "x" * 201), "cannot be kept"),
        (("note", "Nobody", "rr_ms=812"), "person list"),
        (("assign", "zz", person), "16 hex digits"),
        (("assign", "abcdef", person), "keys show"),
        (("consent", "grant", person, "--forwarder", "mqtt", "--from", "2026", "--to", "2025-01-01"), "ISO"),
        (("consent", "grant", person, "--forwarder", "mqqt"), "is not one of 'mqtt', 'file', 'fhir'"),
        (("erase", person, "--confirm", "yes"), "nothing was erased"),
    ):
        assert hint in desk(*words, good=False), words
    assert {line["what"] for line in desk.log()} <= {"config", "operator made", "operator added"}


def test_the_log_says_when_it_does_not_verify(kit) -> None:
    desk = Desk(kit)
    desk("operator", "new", "home")
    assert all(line["signed"] for line in desk.log())
    path = kit.folder / "agent.db"
    db = database.connect(path, keys.unlock(path))
    db.execute("UPDATE journal SET data = cast(replace(data, 'made', 'mode') AS BLOB) WHERE kind = 3")
    db.close()
    told = desk("audit", good=False)
    assert "FAILED" in told and "not those that were signed" in told


def test_an_agent_that_starts_with_another_configuration_says_so(kit) -> None:
    desk = Desk(kit)
    desk("operator", "new", "home")
    desk("operator", "new", "second")
    assert [line["what"] for line in desk.log()].count("config") == 1
    with open(desk.config, "a", encoding="utf-8") as file:
        file.write("\n[store]\ncommit_ms = 20\n")
    desk("operator", "new", "third")
    changes = [line for line in desk.log() if line["what"] == "config"]
    assert len(changes) == 2 and changes[1]["more"]["before"] == changes[0]["on"]


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_an_export_is_recorded_and_checked_by_anyone(kit, tmp_path, name) -> None:
    desk = Desk(kit)
    desk("operator", "new", "home")
    person = desk("person", "new").strip()
    desk("note", person, "spo2_percent=97", "--note", "at rest")
    out = tmp_path / name
    told = desk("export", person, str(out))
    assert "0 frames and 1 record " in told and f"vitalwire verify {out}" in told
    assert "exists already" in desk("export", person, str(out), good=False)
    assert [line["on"] for line in desk.log() if line["what"] == "export"] == [person]
    for key in ((), ("--agent-key", str(kit.folder / "agent.pub"))):
        done = typed("verify", str(out), *key)
        assert done.exit_code == 0 and "FAILED" not in done.output, done.output
    create(tmp_path / "other.key", "agent")
    done = typed("verify", str(out), "--agent-key", str(tmp_path / "other.pub"))
    assert done.exit_code == 1 and "FAILED" in done.output


def test_an_erasure_by_command_leaves_the_chain_and_no_name(kit) -> None:
    desk = Desk(kit)
    desk("operator", "new", "home")
    person = desk("person", "new", "--alias", "Ada").strip()
    desk("note", person, "spo2_percent=97", "--note", "a word to be found")
    told = desk("erase", "Ada", "--reason", "asked", answer=f"{person}\n")
    assert "1 entry" in told and "out of reach" in told
    assert "erased" in desk("person", "list") and "Ada" not in desk("person", "list")
    assert "person new" in desk("note", person, "spo2_percent=97", good=False)
    assert "already" in desk("erase", person, "--confirm", person, good=False)
    assert "FAILED" not in desk("verify")
    assert [line["on"] for line in desk.log() if line["what"] == "erase"] == [person]


def test_un_pairing_says_who_asked(kit) -> None:
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        desk = Desk(kit, node.pipe.name)
        desk("unpair", node.identity.id.hex())
    (line,) = [line for line in desk.log() if line["what"] == "node_unpaired"]
    assert line["on"] == node.identity.id.hex() and line["more"]["asked"] == f"uid {os.getuid()}"


def test_a_proof_is_recorded(kit) -> None:
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        desk = Desk(kit, node.pipe.name)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: kit.status["custody"]["batches"], "a batch")
        which = ("--node", node.identity.id.hex()[:8], "--boot", str(node.counter), "--seq", "0")
        desk("prove", *which, "-o", str(kit.folder / "proof.cbor"))
    (line,) = [line for line in desk.log() if line["what"] == "prove"]
    assert line["on"] == node.identity.id.hex() and line["more"] == {"boot": str(node.counter), "number": 0}


def test_what_cannot_be_recorded_is_not_done(kit, monkeypatch) -> None:
    desk = Desk(kit)
    desk("operator", "new", "home")
    person = desk("person", "new").strip()

    def full(self, items):
        raise StoreUnwritable(self.path, "the disk is full", "make room")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "commit", full)
        assert "nothing was done" in desk("note", person, "rr_ms=812", good=False)
        assert "nothing was done" in desk("person", "show", person, good=False)
        desk("operator", "new", "second", good=False)
    assert "second" not in desk("operator", "list")
    assert "no node" in desk("person", "list")


def test_values_are_exact() -> None:
    assert typed_values(["systolic_mmhg=131", "diastolic_mmhg=84.5"]) == [(8, 1310), (9, 845)]
    assert typed_values(["perfusion_percent=0.01", "rr_ms=1e3"]) == [(5, 1), (2, 1000)]
    for bad in ("spo2_percent", "ecg_mv=1", "spo2_percent=", "spo2_percent=1e999", "spo2_percent=-0.1"):
        with pytest.raises(PeopleError):
            typed_values([bad])


def test_times_are_iso_8601() -> None:
    assert moment("2026-11-22T08:00:00+01:00") == moment("2026-11-22T07:00:00Z") == 1_795_330_800_000
    for bad in ("", "now", "2026-13-01", "1795330800000"):
        with pytest.raises(PeopleError, match="ISO 8601"):
            moment(bad)


def test_damaged_names_are_told_and_never_replaced(tmp_path) -> None:
    (tmp_path / "people.json").write_text('{"zz": 1}')
    with pytest.raises(PeopleError, match="restore"):
        Aliases(tmp_path).keep(bytes(16), "Ada")
    assert (tmp_path / "people.json").read_text() == '{"zz": 1}'

"""A person's export: whole and only theirs, checked by anyone, and no byte of it can be changed unseen."""

import csv
import json
import shutil
import zipfile

import pytest

from edge_agent.custody.signing import Signing, rotate
from edge_agent.keys import PublicKeys
from edge_agent.people import export as patient_export
from edge_agent.people.export import ExportError, Source
from edge_agent.people.export_check import check
from edge_agent.people.operators import Operators
from edge_agent.people.records import People
from edge_agent.store.items import Entry, Frame
from protocol import attest, cbor, cose, crypto, frames
from protocol import batch as wire
from protocol.records import read_record
from tests.edge_agent.custody_kit import AGENT, BOOT, NODE, Kit
from tests.edge_agent.fakes import identity
from tests.edge_agent.people_kit import ADA, BOB, HOUR, NOW, OPERATOR, assigned, consented, typed
from tools.vectors.frames import BOOT_BODY, WAVE_BODY

SECOND_US = 1_000_000
KEYS = PublicKeys(*AGENT.public())
HIS = b"rhythm of bob"


class World(Kit):
    """A node that was Ada's for an hour and then Bob's, with vitals, a wave, an attestation and a model's."""

    def __init__(self, folder) -> None:
        super().__init__(folder / "agent.db")
        self.folder = folder
        self.operators = Operators(folder / "operators")
        self.operators.add("ward", PublicKeys(*OPERATOR.public()))
        self.people = People(self.store, self.operators)
        self.ask()
        self.people.put(assigned(ADA, NOW, NOW + HOUR, node=NODE.id), NOW)
        self.people.put(consented(ADA), NOW)
        body = {key: value for key, value in BOOT_BODY.items() if key != frames.BOOT_INPUT}
        wave = {key: value for key, value in WAVE_BODY.items() if key != frames.SOURCE}
        plain = [frames.pack(frames.KIND_BOOT, SECOND_US, body)]
        plain += [
            frames.pack(frames.KIND_VITALS, s * SECOND_US, {1: 720 + s, 2: [810]}) for s in range(2, 12)
        ]
        plain += [frames.pack(frames.KIND_WAVE, 20 * SECOND_US, wave)]
        plain += [frames.pack(frames.KIND_VITALS, 21 * SECOND_US, {1: 999, 15: 2})]
        plain += [frames.pack(frames.KIND_LOG, 4000 * SECOND_US, {1: 1, 2: HIS.decode()})]
        attester = attest.Attester(NODE, BOOT)
        for seq, one in enumerate(plain):
            attester.add(seq, one)
        plain += [frames.pack(frames.KIND_ATTEST, 4001 * SECOND_US, crypto.run(attester.sign_steps(0)))]
        self.mine = 12
        fit = Entry(2, wire.clock_entry(NODE.id, BOOT, 0, NOW * 1000, 0, 5000), NOW)
        self.store.commit([fit, *(Frame(NODE.id, BOOT, n, one, NOW + HOUR) for n, one in enumerate(plain))])
        self.deliver(*self.make())
        self.people.put(typed(ADA, note="after lunch"), NOW)
        self.people.put(typed(BOB, note="of bob"), NOW)
        self.deliver(*self.make())

    def export(self, out, person=ADA):
        far = PublicKeys(*self.far.identity.public())
        operators = [one.keys for one in self.operators.all()]
        source = Source(self.store.db, self.people.state, KEYS, Signing(AGENT, []), operators, [far])
        return patient_export.make(source, person, out, NOW + HOUR)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world"))
    made.facts = made.export(made.folder / "ada")
    made.export(made.folder / "ada.zip")
    yield made
    made.store.close()


def wrong(path, agent=KEYS.ed_pub) -> list[str]:
    return [result.sentence for result in check(path, agent) if not result.good]


def files(folder) -> list:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["ada", "ada.zip"])
def test_it_checks_and_says_what_holds(world, name) -> None:
    assert wrong(world.folder / name) == []
    told = " ".join(result.sentence for result in check(world.folder / name))
    assert f"{world.mine} frames and 3 records, in 2 batches" in told
    assert f"Nodes themselves signed {world.mine} of {world.mine} frames" in told
    assert "Collectors signed for 2 of 2 batches" in told
    assert ADA.hex() in told and AGENT.id.hex() in told


def test_it_is_all_of_hers_and_nothing_of_anybody_elses(world) -> None:
    assert (world.facts.frames, world.facts.records, world.facts.waiting) == (world.mine, 3, 0)
    whole = b"".join(path.read_bytes() for path in files(world.folder / "ada"))
    assert b"after lunch" in whole
    assert HIS not in whole and b"of bob" not in whole and BOB.hex().encode() not in whole
    lines = [json.loads(line) for line in (world.folder / "ada" / "frames.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"boot", "vitals", "wave"}
    assert 999 not in [line["content"].get("heart rate") for line in lines], "a model's is nobody's"


def test_values_are_read_by_any_spreadsheet(world) -> None:
    with open(world.folder / "ada" / "values.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    rates = [row for row in rows if row["quantity"] == "heart rate (ECG)"]
    assert [row["value"] for row in rates] == [f"72.{n}" if n < 10 else f"73.{n - 10}" for n in range(2, 12)]
    assert {row["unit"] for row in rates} == {"/min"} and rates[0]["measured_from"] < rates[0]["measured_to"]
    entered = [row for row in rows if row["origin"] == "typed"]
    assert [(row["quantity"], row["value"]) for row in entered] == [
        ("systolic pressure", "131.0"),
        ("diastolic pressure", "84.0"),
    ]
    wave = next(
        line
        for line in map(json.loads, (world.folder / "ada" / "frames.jsonl").read_text().splitlines())
        if line["kind"] == "wave"
    )
    assert len(wave["samples"]) == WAVE_BODY[frames.WAVE_COUNT]


def test_a_changed_byte_in_any_file_is_found(world, tmp_path) -> None:
    names = [path.relative_to(world.folder / "ada") for path in files(world.folder / "ada")]
    assert len(names) == 7
    for name in names:
        size = (world.folder / "ada" / name).stat().st_size
        for at in (0, size // 3, size // 2, size - 1):
            copy = tmp_path / "copy"
            shutil.copytree(world.folder / "ada", copy)
            data = bytearray((copy / name).read_bytes())
            data[at] ^= 1
            (copy / name).write_bytes(data)
            assert wrong(copy), (name, at)
            shutil.rmtree(copy)


def test_a_file_that_is_gone_added_or_a_link_is_found(world, tmp_path) -> None:
    for name in ("README.txt", "evidence/00000.cbor", "manifest.cose"):
        copy = tmp_path / "copy"
        shutil.copytree(world.folder / "ada", copy)
        (copy / name).unlink()
        assert any(name in line for line in wrong(copy))
        (copy / name).symlink_to(world.folder / "ada" / name)
        assert wrong(copy)
        shutil.rmtree(copy)
    shutil.copytree(world.folder / "ada", tmp_path / "copy")
    (tmp_path / "copy" / "more.txt").write_text("and he said so")
    assert any("more.txt is not of the export" in line for line in wrong(tmp_path / "copy"))


def _signed_anew(world, folder, by, change) -> None:
    """The export as somebody with a signing key would make it after a change, all hashes put right."""
    fields = cbor.loads(cose.split1((folder / "manifest.cose").read_bytes(), "manifest")[0])
    change(fields)
    for listed in fields[6]:
        listed[1:] = patient_export._digest(folder / listed[0])
    (folder / "manifest.cose").write_bytes(cose.sign1(by, cbor.dumps(fields)))


def test_an_agent_that_lies_about_the_rest_is_found_by_the_evidence(world, tmp_path) -> None:
    def other(folder):
        path = folder / "values.csv"
        path.write_bytes(path.read_bytes().replace(b"72.2", b"52.2"))

    def entry(folder):
        path = folder / "evidence" / "00000.cbor"
        batches = cbor.loads(path.read_bytes())
        item = next(one for one in batches[0][1] if one[1][1] == 0)
        item[1] = item[1][:-1] + bytes((item[1][-1] ^ 1,))
        path.write_bytes(cbor.dumps(batches))

    def hole(folder):
        path = folder / "attestations" / "00000.cbor"
        listed = cbor.loads(path.read_bytes())
        listed[0][6] = {seq: bytes(32) for seq in listed[0][6]}
        path.write_bytes(cbor.dumps(listed))

    def record(folder):
        path = folder / "evidence" / "00000.cbor"
        batches = cbor.loads(path.read_bytes())
        batches[0][1] = [one for one in batches[0][1] if one[1][1] != 4]
        path.write_bytes(cbor.dumps(batches))

    for change, named in (
        (other, "values.csv"),
        (entry, "not what was signed"),
        (hole, "not what the node signed"),
        (record, "when it was not theirs"),
    ):
        copy = tmp_path / change.__name__
        shutil.copytree(world.folder / "ada", copy)
        change(copy)
        _signed_anew(world, copy, AGENT, lambda fields: None)
        assert any(named in line for line in wrong(copy)), (change.__name__, wrong(copy))


def test_a_record_that_its_operator_did_not_sign_is_left_out_and_found_where_an_agent_puts_it_in(
    tmp_path,
) -> None:
    world = World(tmp_path)
    forged = cose.sign1(identity(41), cose.split1(consented(ADA, purpose="research"), "record")[0])
    world.store.commit([Entry(7, wire.consent_entry(forged), NOW)])
    world.people = People(world.store, world.operators)
    world.deliver(*world.make())
    assert len(world.people.unbelieved) == 1
    assert world.export(tmp_path / "honest").records == 3 and wrong(tmp_path / "honest") == []
    world.people.state.take(read_record(forged))
    assert world.export(tmp_path / "lying").records == 4
    assert any("is not signed by" in line for line in wrong(tmp_path / "lying"))
    world.store.close()


def test_another_agents_export_is_not_this_ones(world, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(world.folder / "ada", copy)
    thief = identity(40)
    _signed_anew(world, copy, thief, lambda fields: fields.update({3: thief.id, 7: list(thief.public())}))
    assert wrong(copy, None) and "not by" in wrong(copy)[0]
    _signed_anew(world, copy, thief, lambda fields: fields.update({3: AGENT.id, 7: list(AGENT.public())}))
    assert wrong(copy, None)


def test_what_is_no_export_is_told(tmp_path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK no")
    (tmp_path / "empty").mkdir()
    for name in ("x.zip", "empty"):
        (told,) = check(tmp_path / name)
        assert not told.good
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("manifest.cose", bytes(64 << 20))
    assert "larger than any" in check(tmp_path / "bomb.zip")[0].sentence


def test_an_export_is_never_written_over_and_never_half_there(world, tmp_path, monkeypatch) -> None:
    with pytest.raises(ExportError, match="exists already"):
        world.export(world.folder / "ada")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(patient_export, "_digest", full)
        with pytest.raises(OSError):
            world.export(tmp_path / "out.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_person_without_anything_has_an_export_that_says_so(world, tmp_path) -> None:
    facts = world.export(tmp_path / "eve", b"e" * 16)
    assert (facts.frames, facts.records) == (0, 0) and wrong(tmp_path / "eve") == []


def test_an_export_goes_across_a_handover_of_the_agents_key(tmp_path) -> None:
    world = World(tmp_path)
    key = tmp_path / "agent.key"
    before = Signing(AGENT, [])
    after = rotate(world.store, world.custody.chain, before, AGENT, key, world.clock())
    world.custody.signing = after
    world.people.put(typed(ADA, note="under the new key"), NOW)
    world.deliver(*world.make())
    operators = [one.keys for one in world.operators.all()]
    source = Source(world.store.db, world.people.state, KEYS, after, operators, [])
    facts = patient_export.make(source, ADA, tmp_path / "ada", NOW)
    assert facts.records == 4 and wrong(tmp_path / "ada") == []
    fields = cbor.loads(cose.split1((tmp_path / "ada" / "manifest.cose").read_bytes(), "manifest")[0])
    assert len(fields[8]) == 1
    _signed_anew(world, tmp_path / "ada", AGENT, lambda fields: None)
    assert wrong(tmp_path / "ada"), "the retired key signs nothing any more"
    world.store.close()

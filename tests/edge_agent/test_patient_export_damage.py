"""A person's export that was damaged, is long, or was ended while it was written."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from click.testing import CliRunner

from edge_agent.lock import hold
from edge_agent.people import export as patient_export
from edge_agent.people.export import ExportError
from edge_agent.store.items import Entry, Frame
from protocol import attest, cbor, crypto, frames
from protocol import batch as wire
from tests.edge_agent.custody_kit import NODE
from tests.edge_agent.people_kit import NOW
from tests.edge_agent.test_patient_export import World, files, wrong
from tools.cli import main


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world"))
    made.export(made.folder / "ada")
    made.export(made.folder / "ada.zip")
    yield made
    made.store.close()


def test_a_zip_with_any_changed_byte_is_told_in_words(world, tmp_path) -> None:
    data = (world.folder / "ada.zip").read_bytes()
    rng = random.Random(1)
    # The central directory's fields make zipfile raise what no other place does: all of its bytes.
    begin = data.index(b"PK\x01\x02")
    places = [*range(begin, len(data)), *rng.sample(range(begin), 200)]
    path = tmp_path / "x.zip"
    told = set()
    for at in places:
        path.write_bytes(data[:at] + bytes((data[at] ^ (1 << rng.randrange(8)),)) + data[at + 1 :])
        told.update(line.split(":")[0] for line in wrong(path))
    assert any("cannot be read" in line for line in told)
    for size in range(0, len(data), len(data) // 30):
        path.write_bytes(data[:size])
        assert wrong(path)


def test_the_command_says_failed_of_a_zip_whose_data_no_longer_unpack_or_that_ends_early(
    world, tmp_path
) -> None:
    data = (world.folder / "ada.zip").read_bytes()
    with zipfile.ZipFile(world.folder / "ada.zip") as packed:
        inside = packed.getinfo("manifest.cose").header_offset + 30 + len("manifest.cose")
    directory = data.rindex(b"PK\x01\x02")
    damaged = {
        "packed": data[:inside] + bytes(20) + data[inside + 20 :],
        "method": data[: directory + 10] + b"\x63" + data[directory + 11 :],
        "size": data[: directory + 10]
        + bytes(2)
        + data[directory + 12 : directory + 20]
        + b"\xff\xff\xff\x00" * 2
        + data[directory + 28 :],
        "short": data[:-30],
    }
    for name, content in damaged.items():
        path = tmp_path / f"{name}.zip"
        path.write_bytes(content)
        ran = CliRunner().invoke(main, ["verify", str(path)])
        assert ran.exit_code == 1 and ran.output.startswith("FAILED  "), (name, ran.output, ran.exception)


def test_a_zip_with_very_many_names_is_looked_through_once(world, tmp_path) -> None:
    def took_s(names: int) -> float:
        path = tmp_path / f"{names}.zip"
        shutil.copy(world.folder / "ada.zip", path)
        with zipfile.ZipFile(path, "a") as packed:
            for number in range(names):
                packed.writestr(f"n{number}", b"")
        begun = time.thread_time()
        assert f"and {names - 5} more" in wrong(path)[0]
        return time.thread_time() - begun

    # Looked through for each of them, it would be a hundred times as long.
    assert took_s(20_000) < 30 * took_s(2000)


def test_a_folder_in_the_place_of_a_file_is_found(world, tmp_path) -> None:
    for name in ("values.csv", "manifest.cose", "evidence/00000.cbor"):
        copy = tmp_path / "copy"
        shutil.copytree(world.folder / "ada", copy)
        (copy / name).unlink()
        (copy / name).mkdir()
        assert any(name in line for line in wrong(copy)), name
        os.rmdir(copy / name)
        os.mkfifo(copy / name)
        assert any("is no file" in line for line in wrong(copy)), name
        shutil.rmtree(copy)


def test_what_nodes_signed_goes_into_files_of_a_bounded_size(tmp_path, monkeypatch) -> None:
    world = World(tmp_path)
    boot = b"\0\0\0\2" + bytes(8)
    attester = attest.Attester(NODE, boot)
    plain = []
    for number in range(30):
        for kind in (frames.KIND_VITALS, frames.KIND_ATTEST):
            body = {1: 700 + number} if kind == frames.KIND_VITALS else crypto.run(attester.sign_steps(0))
            plain.append(frames.pack(kind, (30 + number) * 1_000_000, body))
            attester.add(len(plain) - 1, plain[-1])
    fit = Entry(2, wire.clock_entry(NODE.id, boot, 0, NOW * 1000, 0, 5000), NOW)
    world.store.commit([fit, *(Frame(NODE.id, boot, n, one, NOW) for n, one in enumerate(plain))])
    world.deliver(*world.make())
    monkeypatch.setattr(patient_export, "CHUNK", 1000)
    world.export(tmp_path / "ada")
    parts = files(tmp_path / "ada" / "attestations")
    assert len(parts) > 3 and max(path.stat().st_size for path in parts) < 1400
    assert sum(len(cbor.loads(path.read_bytes())) for path in parts) >= 30
    assert wrong(tmp_path / "ada") == []
    parts[1].unlink()
    assert any("attestations/00001.cbor is missing" in line for line in wrong(tmp_path / "ada"))
    world.store.close()


SLOW = """
import sys, time
from pathlib import Path
from edge_agent.people import export
with export._part(Path(sys.argv[1])) as part:
    (part / "export").mkdir()
    (part / "export" / "values.csv").write_text("in clear")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_export_left_is_found_and_removed_by_the_next_and_a_running_ones_is_not(
    world, tmp_path
) -> None:
    out = tmp_path / "ada.zip"
    part = tmp_path / ".ada.zip.vitalwire-part"
    with subprocess.Popen([sys.executable, "-c", SLOW, str(out)], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == b"writing\n"
            assert part.stat().st_mode & 0o777 == 0o700
            assert patient_export.sweep(tmp_path / "other") == []
            with pytest.raises(ExportError, match=f"being written .pid {child.pid}."):
                world.export(out)
        finally:
            os.kill(child.pid, signal.SIGKILL)
    assert (part / "export" / "values.csv").exists()
    assert patient_export.sweep(tmp_path / "other") == [part]
    assert list(tmp_path.iterdir()) == []
    part.mkdir()
    (part / "export").mkdir()
    with hold(part / "lock"):
        pass
    patient_export.sweep(out)
    world.export(out)
    assert [path.name for path in tmp_path.iterdir()] == ["ada.zip"] and wrong(out) == []


def test_an_export_goes_over_nothing_that_came_meanwhile_and_into_no_folder_that_is_not_there(
    world, tmp_path, monkeypatch
) -> None:
    out = tmp_path / "ada.zip"
    made = patient_export._Maker.make

    def meanwhile(maker, now_ms):
        out.write_text("another's")
        return made(maker, now_ms)

    monkeypatch.setattr(patient_export._Maker, "make", meanwhile)
    with pytest.raises(ExportError, match="exists already"):
        world.export(out)
    assert out.read_text() == "another's" and list(tmp_path.iterdir()) == [out]
    with pytest.raises(ExportError, match="is no folder"):
        world.export(tmp_path / "no" / "ada")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ExportError, match="exists already"):
        world.export(tmp_path / "link")

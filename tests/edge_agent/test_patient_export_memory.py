"""What a person's export and its check keep of each frame lies in a temporary file, not in memory."""

import shutil
import tracemalloc

import apsw
import pytest

from edge_agent.people import export as patient_export
from edge_agent.people import export_check
from edge_agent.people.export_check import check
from edge_agent.people.export_spool import Leaves, Numbers
from edge_agent.store.items import Frame
from protocol import cbor, cose, crypto, frames
from protocol.attest import Attester
from tests.edge_agent.custody_kit import AGENT, BOOT, NODE
from tests.edge_agent.people_kit import NOW
from tests.edge_agent.test_patient_export import KEYS, SECOND_US, World, wrong

NODE_A, NODE_B = b"node-one", b"node-two"
FEW, MANY, TOGETHER = 200, 1400, 20
ATTESTED = 64


class Long(World):
    """More of hers: so many vitals, and what the node signed over them."""

    def __init__(self, folder, count: int) -> None:
        super().__init__(folder)
        attester = Attester(NODE, BOOT)
        first = self.store.db.value("SELECT max(seq) + 1 FROM journal WHERE kind = 0")
        # Those before were signed already.
        for row in self.store.db.execute("SELECT seq FROM journal WHERE kind = 0 ORDER BY seq").fetchall():
            attester.add(row[0], b"")
        crypto.run(attester.sign_steps(0))
        group = []
        for n in range(count):
            t_us = 30 * SECOND_US + n * SECOND_US
            if n % ATTESTED == ATTESTED - 1:
                plain = frames.pack(frames.KIND_ATTEST, t_us, crypto.run(attester.sign_steps(0)))
            else:
                plain = frames.pack(frames.KIND_VITALS, t_us, {1: 720, 2: [810]})
            attester.add(first + n, plain)
            group.append(Frame(NODE.id, BOOT, first + n, plain, NOW + 1))
            if len(group) == TOGETHER:
                self.store.commit(group)
                self.make()
                group.clear()


def peak_bytes(run, *arguments) -> int:
    tracemalloc.start()
    run(*arguments)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_frames(tmp_path, monkeypatch) -> None:
    # Evidence is in memory one file at a time: these are small.
    monkeypatch.setattr(patient_export, "CHUNK", 20_000)
    monkeypatch.setattr(export_check, "MAX_EVIDENCE", 100_000)
    monkeypatch.setattr(export_check, "MAX_MANIFEST", 100_000)
    written, checked = {}, {}
    # The first run loads what is loaded once.
    for count in (TOGETHER, FEW, MANY):
        (tmp_path / "w").mkdir()
        world = Long(tmp_path / "w", count)
        written[count] = peak_bytes(world.export, tmp_path / "w" / "ada")
        checked[count] = peak_bytes(check, tmp_path / "w" / "ada", KEYS.ed_pub)
        world.store.close()
        shutil.rmtree(tmp_path / "w")
    for of in (written, checked):
        assert of[MANY] - of[FEW] < 30 * (MANY - FEW), of


def test_what_is_spooled_lies_in_a_file() -> None:
    with Leaves() as leaves, Numbers() as numbers:
        for n in range(100_000):
            assert leaves.put(NODE_A, BOOT, n, bytes(32))
            numbers.add(n)
        for spool in (leaves, numbers):
            # As a temporary table it has a cache of 2 MB; the library's default is to hold all of it.
            assert spool._db.status(apsw.SQLITE_DBSTATUS_CACHE_USED)[0] < 3 << 20


def test_numbers_are_a_set_in_order() -> None:
    with Numbers() as numbers:
        for n in (7, 3, 3, 1 << 40, 5):
            numbers.add(n)
        assert (3 in numbers, 4 in numbers) == (True, False)
        assert numbers.between(3, 5) == [3, 5] and numbers.between(8, 9) == []
        assert (numbers.after(0), numbers.after(5), numbers.after(1 << 40)) == (4, 2, 0)


def test_leaves_are_of_a_node_and_boot_and_one_is_not_another() -> None:
    with Leaves() as leaves:
        assert leaves.put(NODE_A, BOOT, 1, b"x" * 32) and leaves.put(NODE_A, BOOT, 1, b"x" * 32)
        assert not leaves.put(NODE_A, BOOT, 1, b"y" * 32)
        assert leaves.put(NODE_B, BOOT, 1, b"y" * 32) and leaves.put(NODE_A, BOOT, 3, b"z" * 32)
        assert leaves.of(NODE_A, BOOT, 0, 3) == {1: b"x" * 32}
        assert leaves.of(NODE_A, BOOT, 1, 3) == {1: b"x" * 32, 3: b"z" * 32}
        assert leaves.of(NODE_A, bytes(12), 0, 9) == {}


def test_no_room_for_the_file_is_told(monkeypatch) -> None:
    with Numbers() as numbers:
        numbers._db.pragma("max_page_count", 3, schema="temp")
        with pytest.raises(OSError, match="TMPDIR"):
            for n in range(100_000):
                numbers.add(n)


def test_all_that_is_wrong_is_counted_and_five_are_named(tmp_path) -> None:
    world = World(tmp_path)
    world.export(tmp_path / "ada")
    path = tmp_path / "ada" / "evidence" / "00000.cbor"
    batches = cbor.loads(path.read_bytes())
    # Without the record that says whose the node was no frame is hers.
    batches[0][1] = [one for one in batches[0][1] if one[1][1] != 4]
    path.write_bytes(cbor.dumps(batches))
    manifest = tmp_path / "ada" / "manifest.cose"
    fields = cbor.loads(cose.split1(manifest.read_bytes(), "manifest")[0])
    for listed in fields[6]:
        listed[1:] = patient_export._digest(tmp_path / "ada" / listed[0])
    manifest.write_bytes(cose.sign1(AGENT, cbor.dumps(fields)))
    (told,) = [one for one in wrong(tmp_path / "ada") if "when it was not theirs" in one]
    assert told.count("when it was not theirs") == 5 and f"and {world.mine - 5} more" in told
    world.store.close()

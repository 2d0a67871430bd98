"""The life of a store on a disk whose power is cut, and what must hold afterwards.

Each seed is one life: groups of frames, resends, statements, receipts, checkpoints, a change of data keys, an
erasure, room given back; somewhere in it the power goes. What is left of the files is opened again: all that
was acknowledged is there, groups are whole, erased data is gone, the facts on the disk agree with the frames,
and nobody is told of damage, because there is none.
"""

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from edge_agent.ledger.ledger import account
from edge_agent.store.compacting import give_back
from edge_agent.store.database import Error
from edge_agent.store.errors import StoreError
from edge_agent.store.loading import load_facts
from edge_agent.store.opening import open_store
from edge_agent.store.rows import SealBroken, journal_rows
from edge_agent.store.store import Entry, Frame, Store
from protocol import cbor
from tools.faults.disk import Disk, PowerCut, beneath

AGENT = b"agent-01"
NODE = b"node-one"
BOOT = b"\0\0\0\1" + bytes(8)
PERSON = b"P" * 16
STEPS = 40
# A life has about so many writes and syncs, or some more.
OPERATIONS = 350


class Wrong(Exception):
    """Something that was promised does not hold after a power cut."""


class Told(NamedTuple):
    """What a life came to."""

    operations: int
    acknowledged: int
    cut: bool


class _Life:
    """What was acknowledged, so what must be there."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.next = 0
        self.frames: dict[int, bytes] = {}
        self.asked: list[range] = []
        self.statements = 0
        self.erasing = 0
        self.erased = 0

    def frames_come(self, store: Store) -> None:
        size = self.chance.randrange(1, 30)
        group = [self._frame(self.next + n) for n in range(size)]
        self.asked.append(range(self.next, self.next + size))
        self.next += size
        store.commit(group)
        self.frames |= {one.seq: one.plaintext for one in group}

    def _frame(self, seq: int) -> Frame:
        text = bytes((0x83, 2)) + seq.to_bytes(4, "big") * self.chance.randrange(2, 90)
        return Frame(NODE, BOOT, seq, text, 1000 + seq)

    def frames_come_again(self, store: Store) -> None:
        some = sorted(self.frames)[-20:]
        store.commit([Frame(NODE, BOOT, seq, self.frames[seq], 9999) for seq in some])

    def is_stated(self, store: Store) -> None:
        store.commit([Entry(3, cbor.dumps([3, "note", {"n": self.statements}]), 7)])
        self.statements += 1

    def is_written_down(self, store: Store) -> None:
        store.checkpoint()

    def changes_hands(self, store: Store) -> None:
        store.new_data_key(NODE, PERSON, 5)

    def is_erased(self, store: Store) -> None:
        self.erasing = min(self.erased + 10, store.last_journal)
        store.erase(range(self.erased + 1, self.erasing + 1))
        self.erased = self.erasing

    def is_folded_in(self, store: Store) -> None:
        store.give_back("PRAGMA wal_checkpoint(TRUNCATE)")

    def is_compacted(self, store: Store) -> None:
        with store.transaction() as db:
            db.execute("CREATE TABLE waste(data)")
            db.execute("INSERT INTO waste VALUES(zeroblob(40000))")
        with store.transaction() as db:
            db.execute("DROP TABLE waste")
        store.give_back(give_back(512))

    def step(self, store: Store) -> None:
        what: list[Callable[[Store], None]] = [self.frames_come] * 6
        what += [self.frames_come_again, self.is_stated, self.is_written_down, self.changes_hands]
        what += [self.is_erased, self.is_folded_in, self.is_compacted]
        self.chance.choice(what)(store)


def begin(folder: Path) -> Path:
    """A new store in a folder of its own, from which lives begin."""
    fresh = folder / "fresh"
    store, _ = open_store(fresh / "agent.db", AGENT, 1)
    store.close()
    return fresh


def live(folder: Path, fresh: Path, seed: int) -> Told:
    """One life in `folder`, which is empty, of the store in `fresh`; its cut and its check. Wrong."""
    chance = random.Random(seed)
    disk_folder, left = folder / "disk", folder / "left"
    path = disk_folder / "agent.db"
    shutil.copytree(fresh, disk_folder)
    life = _Life(chance)
    store: Store | None = None
    cut = False
    with Disk(f"cut-{seed}", keep=True) as disk, beneath(disk.name):
        disk.cut_at(chance.randrange(OPERATIONS))
        try:
            store, _ = open_store(path, AGENT, 1)
            # Fold the log in often, so that cuts fall into that too.
            store.db.pragma("wal_autocheckpoint", chance.choice((5, 20, 1000)))
            for _ in range(STEPS):
                life.step(store)
        except PowerCut:
            cut = True
        disk.dead = True
        if store is not None:
            with suppress(PowerCut, Error, StoreError):
                store.db.close()
        left.mkdir()
        for name in ("store.key", "agent.db-check", "agent.db-mark"):
            shutil.copy(disk_folder / name, left / name)
        disk.survivors(left, seed)
    # On a disk that only pretends to sync, which is all that a check needs.
    with Disk(f"left-{seed}", keep=True) as disk_left, beneath(disk_left.name):
        _check(left / "agent.db", life, seed)
    return Told(disk.operations, len(life.frames), cut)


def _check(path: Path, life: _Life, seed: int) -> None:
    store, opening = open_store(path, AGENT, 2)
    try:
        if opening.message:
            raise Wrong(f"seed {seed}: {opening.message}")
        found = {row.seq: row for row in journal_rows(store.db, 0, 1 << 40) if row.seq is not None}
        for seq, text in life.frames.items():
            row = found.get(seq)
            if row is None:
                raise Wrong(f"seed {seed}: frame {seq} was acknowledged and is gone")
            if row.data is None and (row.id > life.erasing or row.leaf is None):
                raise Wrong(f"seed {seed}: the data of frame {seq} is gone")
            if row.data is not None and (row.data != text or row.id <= life.erased):
                raise Wrong(f"seed {seed}: frame {seq} is another, or was erased")
        for group in life.asked:
            if len({seq in found for seq in group}) == 2:
                raise Wrong(f"seed {seed}: half of the group {group} is there")
        if len(store.ledger().statements) < life.statements:
            raise Wrong(f"seed {seed}: a statement is gone")
        if not store.ledger().balanced:
            raise Wrong(f"seed {seed}: the ledger does not balance")
        if account(load_facts(store.db, whole=True).values()) != account(store.facts.values()):
            raise Wrong(f"seed {seed}: the checkpoint does not agree with the frames")
    except SealBroken as e:
        raise Wrong(f"seed {seed}: {e}") from None
    finally:
        store.close()

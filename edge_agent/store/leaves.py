"""Journal rows as the leaf entries of a batch: their bytes and hashes; of what is gone the hashes alone."""

from collections.abc import Sequence
from typing import NamedTuple

from edge_agent.store.rows import JournalRow
from edge_agent.store.schema import ENTRY_FRAME
from protocol import merkle
from protocol.entries import frame_entry


class Leaves(NamedTuple):
    """The entries of a batch, preamble first (None: gone), the hash of each, and the rows behind them."""

    entries: list[bytes | None]
    hashes: list[bytes]
    rows: list[JournalRow]
    size: int

    def without(self, journal: set[int]) -> tuple[list[bytes | None], list[bytes]]:
        """The entries but for those rows and what is gone, and the hashes of all that is left out."""
        entries = self.entries
        if journal:
            before = len(entries) - len(self.rows)
            entries = entries[:before] + [
                None if row.id in journal else entry
                for row, entry in zip(self.rows, entries[before:], strict=True)
            ]
        if None not in entries:
            return entries, []
        return entries, [hash for entry, hash in zip(entries, self.hashes, strict=True) if entry is None]


def leaves_of(preamble: Sequence[bytes], rows: Sequence[JournalRow]) -> Leaves:
    """The leaves of these entries, in order. ValueError: a row without data has no hash either."""
    entries: list[bytes | None] = [*preamble, *(entry_of(row) for row in rows)]
    hashes = [merkle.leaf_hash(entry) for entry in preamble]
    size = 0
    for row, entry in zip(rows, entries[len(hashes) :], strict=True):
        if entry is not None:
            size += len(entry)
            hashes.append(merkle.leaf_hash(entry))
        elif row.leaf is not None and len(row.leaf) == merkle.HASH_BYTES:
            hashes.append(row.leaf)
        else:
            raise ValueError(f"entry {row.id} is gone without the hash that should stay of it")
    return Leaves(entries, hashes, list(rows), size)


def entry_of(row: JournalRow) -> bytes | None:
    """The leaf entry that a row is, byte for byte; None when its data is gone."""
    if row.data is None or row.kind != ENTRY_FRAME:
        return row.data
    return frame_entry(row.node or b"", row.boot or b"", row.seq or 0, row.data, row.made_ms)

"""What is kept of one person, with the proof of it: a folder or a zip that anyone checks off-line.

`evidence/NNNNN.cbor` are lists of batches, `[signed head, [[position, entry, path], …], [hand-over, …],
[receipt, …]]`: of each batch the person's entries, and the way from each to the root that the agent signed.
`attestations/NNNNN.cbor` are lists of `[node, boot, first, count, root, signature, {number: hash}]`: what the
nodes signed, with the hashes of frames in a range that are not in the export. All else is text made from
these (export_text). `manifest.cose` is signed: `{1: 1, 2: "export", 3: agent id, 4: person, 5: made at,
6: [[name, size, SHA-256], …], 7: [ed25519, x25519] of the agent, 8: [hand-over, …], 9: of nodes [keys, …],
10: of operators, 11: of collectors, 12: entries that wait to be signed}`.
"""

import hashlib
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from edge_agent.custody.signing import Signing
from edge_agent.keys import PublicKeys
from edge_agent.lock import Locked, hold
from edge_agent.people import export_text as text
from edge_agent.people.dates import Dates
from edge_agent.people.export_spool import Numbers
from edge_agent.people.export_text import Facts
from edge_agent.people.state import PeopleState
from edge_agent.store.leaves import leaves_of
from edge_agent.store.rows import frames_of, journal_rows
from edge_agent.store.schema import ENTRY_FRAME
from protocol import attest, cbor, frames, merkle
from protocol.cose import VERSION, sign1
from protocol.entries import parse_entry
from protocol.errors import ProtocolError

EXPORT = "export"
MANIFEST, README = "manifest.cose", "README.txt"
EVIDENCE, ATTESTATIONS = "evidence/", "attestations/"
FRAMES, VALUES, RECORDS = "frames.jsonl", "values.csv", "records.jsonl"
# Evidence and attestations are written and read one file at a time.
CHUNK = 2 << 20
PART = ".vitalwire-part"
LAST_SEQ = (1 << 32) - 1


class ExportError(Exception):
    """The export cannot be made; the text says why, and what to do."""


class Source(NamedTuple):
    """Where an export comes from. `agent`: its first public keys; `parties`: operators' and collectors'."""

    db: Any
    state: PeopleState
    agent: PublicKeys
    signing: Signing
    operators: list[PublicKeys]
    collectors: list[PublicKeys]


def make(source: Source, person: bytes, out: Path, now_ms: int) -> Facts:
    """Write the export of a person to `out`: a zip if it ends so, else a folder; what is in it. ExportError;
    OSError as it comes, and then `out` is not there.
    """
    _check_free(out)
    with _part(out) as part:
        folder = part / "export"
        folder.mkdir(mode=0o700)
        with Numbers() as wanted:
            facts = _Maker(source, person, folder, wanted).make(now_ms)
        ready = folder
        if out.suffix == ".zip":
            ready = part / "export.zip"
            _pack(folder, ready)
        _check_free(out)
        os.replace(ready, out)
    return facts


def sweep(out: Path) -> list[Path]:
    """Remove what exports that were killed have left beside `out`, in clear: those that nobody writes any
    more; their paths. OSError as it comes.
    """
    removed: list[Path] = []
    for part in sorted(out.absolute().parent.glob(f".*{PART}")):
        if part.is_symlink() or not part.is_dir():
            continue
        with suppress(Locked), hold(part / "lock"):
            shutil.rmtree(part)
            removed.append(part)
    return removed


def _check_free(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise ExportError(f"{out} exists already: an export is never written over, name another place")


@contextmanager
def _part(out: Path) -> Generator[Path]:
    """A folder beside `out`, nobody else's to read, that is locked while it is written, and gone then."""
    part = out.with_name(f".{out.name}{PART}")
    if not out.absolute().parent.is_dir():
        raise ExportError(f"{out.absolute().parent} is no folder: make it first, or name another place")
    part.mkdir(mode=0o700, exist_ok=True)
    try:
        held = hold(part / "lock")
    except Locked as e:
        raise ExportError(f"{out} is being written (pid {e.pid}): wait for it, or name another place") from e
    try:
        with held:
            yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _pack(folder: Path, packed: Path) -> None:
    descriptor = os.open(packed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())


class _Maker:
    """`wanted`: an empty set, for the journal ids of what goes into the export."""

    def __init__(self, source: Source, person: bytes, folder: Path, wanted: Numbers) -> None:
        self._source = source
        self._db = source.db
        self._person = person
        self._folder = folder
        self._wanted = wanted
        self._boots: set[int] = set()
        self._nodes: set[bytes] = set()
        self._files: list[str] = []

    def make(self, now_ms: int) -> Facts:
        for row in self._rows():
            self._wanted.add(row)
        (signed_to,) = self._db.execute("SELECT coalesce(max(last_id), 0) FROM batches").fetchone()
        waiting = self._wanted.after(signed_to)
        self._write_chunks(EVIDENCE, self._pieces())
        names = list(self._files)
        self._write_chunks(
            ATTESTATIONS, ((one, len(cbor.dumps(one))) for one in self._attestations(signed_to))
        )

        def entries() -> Iterator[list[Any]]:
            for name in names:
                for batch in cbor.loads((self._folder / name).read_bytes()):
                    for _, entry, _ in batch[1]:
                        yield parse_entry(entry)

        clocks = text.clocks_of(entries())
        self._write(FRAMES, text.frame_lines(entries(), clocks))
        self._write(VALUES, text.value_lines(entries(), clocks))
        self._write(RECORDS, text.record_lines(entries()))
        counted = Counter(entry[0] for entry in entries())
        facts = Facts(
            self._person,
            self._source.agent.id,
            now_ms,
            counted[text.ENTRY_FRAME],
            sum(counted[kind] for kind in text.RECORD_ENTRIES),
            waiting,
        )
        self._write(README, [text.readme(facts)])
        self._sign(facts)
        return facts

    def _rows(self) -> Iterator[int]:
        """Journal ids of the person's frames, of the clock fits that date them, and of their records."""
        for record_id, journal in self._db.execute(
            "SELECT record_id, journal FROM records WHERE person = ? AND journal IS NOT NULL",
            (self._person,),
        ).fetchall():
            # One that counts for nothing here is nothing of the person's.
            if self._source.state.known(record_id) is not None:
                yield journal
        for node in sorted({span.node for span in self._source.state.spans(self._person)}):
            dates = Dates(self._db)
            for (boot,) in self._db.execute("SELECT id FROM boots WHERE node = ?", (node,)).fetchall():
                for row in frames_of(self._db, boot, 0, LAST_SEQ):
                    if row.data is not None and dates.whose(self._source.state, row) == self._person:
                        self._boots.add(boot)
                        yield row.id
                if boot in self._boots:
                    self._nodes.add(node)
                    yield from dates.fit_rows(boot)

    # Evidence

    def _pieces(self) -> Iterator[tuple[list[Any], int]]:
        for first, last, preamble, signed, batch in self._db.execute(
            "SELECT first_id, last_id, preamble, signed, id FROM batches ORDER BY id"
        ):
            mine = self._wanted.between(first, last)
            piece = self._batch(first, last, preamble, signed, batch, mine) if mine else None
            if piece is not None:
                yield piece, sum(len(entry) + 40 * len(path) for _, entry, path in piece[1]) + len(signed)

    def _batch(
        self, first: int, last: int, preamble: bytes, signed: bytes, batch: int, mine: list[int]
    ) -> list[Any] | None:
        rows = list(journal_rows(self._db, first, last))
        leaves = leaves_of(cbor.loads(preamble), rows)
        before = len(leaves.entries) - len(rows)
        items: list[Any] = []
        for at in mine:
            position = before + at - first
            entry = leaves.entries[position]
            if entry is not None:
                items.append([position, entry, merkle.path(leaves.hashes, position)])
        if not items:
            return None
        signing = self._source.signing
        receipts = [
            receipt
            for (receipt,) in self._db.execute(
                "SELECT receipt FROM receipts WHERE batch = ? AND forwarder IN ('mqtt', 'file')", (batch,)
            )
        ]
        return [signed, items, signing.handovers[: signing.steps_of(signed)], receipts]

    def _write_chunks(self, folder: str, items: Iterable[tuple[Any, int]]) -> None:
        """Write these, each with its size, as lists in files of about CHUNK; one file at least."""
        chunk: list[Any] = []
        size = number = 0
        for item, length in items:
            chunk.append(item)
            size += length
            if size >= CHUNK:
                self._write(f"{folder}{number:05}.cbor", [cbor.dumps(chunk)])
                chunk, size, number = [], 0, number + 1
        if chunk or not number:
            self._write(f"{folder}{number:05}.cbor", [cbor.dumps(chunk)])

    def _attestations(self, signed_to: int) -> Iterator[list[Any]]:
        """What nodes signed over ranges in which frames of the export are, wherever all hashes are here."""
        for boot in sorted(self._boots):
            node, name = self._db.execute("SELECT node, boot FROM boots WHERE id = ?", (boot,)).fetchone()
            for row in frames_of(self._db, boot, 0, LAST_SEQ, kept_only=True):
                try:
                    kind, _, body = frames.unpack(row.data or b"")
                except ProtocolError:
                    continue
                if kind != frames.KIND_ATTEST:
                    continue
                first, count = body[attest.FIRST], body[attest.COUNT]
                if not self._any_wanted(boot, first, first + min(count, 1 << 16) - 1):
                    continue
                others: dict[int, bytes] = {}
                covered = 0
                for one in frames_of(self._db, boot, first, first + count - 1):
                    covered += 1
                    seq = one.seq or 0
                    if one.id <= signed_to and one.id in self._wanted:
                        continue
                    if one.data is not None:
                        others[seq] = merkle.leaf_hash(attest.leaf(name, seq, one.data))
                    elif one.attested is not None:
                        others[seq] = one.attested
                if covered == count:
                    signature = body[attest.SIGNATURE]
                    yield [node, name, first, count, body[attest.ROOT], signature, others]

    def _any_wanted(self, boot: int, first: int, last: int) -> bool:
        rows = self._db.execute(
            f"SELECT id FROM journal WHERE kind = {ENTRY_FRAME} AND boot = ? AND seq BETWEEN ? AND ?",
            (boot, first, last),
        )
        return any(row in self._wanted for (row,) in rows)

    # Files

    def _write(self, name: str, parts: Iterable[bytes]) -> None:
        path = self._folder / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        self._files.append(name)

    def _sign(self, facts: Facts) -> None:
        source = self._source
        nodes = [
            list(self._db.execute("SELECT ed_pub, x_pub FROM nodes WHERE node = ?", (node,)).fetchone())
            for node in sorted(self._nodes)
        ]
        payload = {
            1: VERSION,
            2: EXPORT,
            3: facts.agent,
            4: facts.person,
            5: facts.made_ms,
            6: [[name, *_digest(self._folder / name)] for name in self._files],
            7: list(source.agent),
            8: list(source.signing.handovers),
            9: nodes,
            10: [list(keys) for keys in source.operators],
            11: [list(keys) for keys in source.collectors],
            12: facts.waiting,
        }
        if source.signing.signer is None:
            raise ExportError(source.signing.problem or "the agent's signing key is not here")
        self._write(MANIFEST, [sign1(source.signing.signer, cbor.dumps(payload))])


def _digest(path: Path) -> tuple[int, bytes]:
    size, digest = 0, hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 16):
            size += len(part)
            digest.update(part)
    return size, digest.digest()

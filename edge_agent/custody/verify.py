"""Proving a store: its chain, signatures, Merkle roots and receipts, and what the nodes signed.

Everything is computed again from the entries in the journal; nothing that the agent noted about them is
believed.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from edge_agent.custody import clones
from edge_agent.custody.prove import attested_leaf
from edge_agent.custody.signing import Signing
from edge_agent.custody.tally import Result, Tally
from edge_agent.custody.verify_tables import tables
from edge_agent.keys import PublicKeys
from edge_agent.readable import counted, is_are
from edge_agent.store import database, keys
from edge_agent.store.database import Database, reader
from edge_agent.store.integrity import Mark, damage
from edge_agent.store.leaves import leaves_of
from edge_agent.store.rows import frames_of, journal_rows
from protocol import attest, cbor, crypto, frames, handover, merkle
from protocol import batch as wire
from protocol.cose import split1
from protocol.errors import ProtocolError
from protocol.handover import SigningKey

Marked = tuple[bytes, int, int] | None
"""What the mark beside a store says (integrity.Mark)."""

# Forwarders whose far ends sign receipts.
SIGNING = ("mqtt", "file")
LAST_SEQ = (1 << 32) - 1


def verify(
    path: Path,
    agent: PublicKeys,
    collector: PublicKeys | None,
    source: keys.Source | None = None,
    others: Mapping[str, PublicKeys] | None = None,
) -> list[Result]:
    """What holds of the store at `path` and what does not, one sentence each. The agent may be running.

    `collector`: whose receipts count; `others`: of other forwarders' far ends, by their names; `source`:
    where the store's key comes from. StoreKeyError.
    """
    far = {} if collector is None else {"mqtt": collector, "file": collector}
    far |= others or {}
    if not path.exists():
        return [Result(False, f"There is no store at {path}.")]
    return at_one_moment(
        path,
        source,
        lambda db, mark: [
            as_left(db, mark),
            *chains(db, agent),
            _receipts(db, agent, far),
            *_attestations(db),
            *tables(db, agent, far),
            *_remarks(db),
        ],
    )


def at_one_moment(
    path: Path, source: keys.Source | None, judged: Callable[[Database, Marked], list[Result]]
) -> list[Result]:
    """What `judged` says of the store at `path`, read as of one moment, and of its mark; or that the store is
    damaged. StoreKeyError, StoreError.
    """
    key = keys.unlock(path, source)
    why = damage(path, key)
    if why is not None:
        return [Result(False, f"The store is damaged: {why}.")]
    # Before the store is read: an agent that runs goes on writing both.
    mark = Mark(path).read()
    with closing(reader(path, key)) as db:
        db.execute("BEGIN")
        try:
            return judged(db, mark)
        except database.Error as e:
            return [Result(False, f"The store is damaged: {e}.")]
        except (ProtocolError, KeyError, TypeError, ValueError, IndexError) as e:
            return [Result(False, f"The store is damaged: a value in it is none that was written ({e}).")]


def as_left(db: Database, mark: Marked) -> Result:
    """Whether the store is where the mark beside it says: not an older copy, and nothing cut off its end."""
    if mark is not None and mark[0] == db.value("SELECT value FROM meta WHERE key = 'store'"):
        newest = [db.value(f"SELECT coalesce(max(id), 0) FROM {table}") for table in ("journal", "batches")]
        if any(here < noted for here, noted in zip(newest, mark[1:], strict=True)):
            there = f"entry {newest[0]} and batch {newest[1]} are its last"
            return Result(
                False, f"The store had come further: {there}, its mark says {mark[1]} and {mark[2]}."
            )
    return Result(True, "The store's file is sound.")


def chains(db: Database, agent: PublicKeys) -> list[Result]:
    """Signatures, roots, counts; that each batch follows the one before; that the journal is covered once."""
    links, proofs, cover = Tally(), Tally(), Tally()
    signing = Signing(SigningKey(b"", agent.ed_pub), _handovers(db))
    steps = handover.read_chain(agent.ed_pub, signing.handovers, agent.id)
    newest = 0
    previous: dict[bytes, tuple[int, bytes]] = {}
    reached = 0
    entries = 0
    pruned = 0
    for chain, number, first, last, preamble, signed, digest, by_age in db.execute(
        "SELECT chain, number, first_id, last_id, preamble, signed, hash, pruned FROM batches ORDER BY id"
    ):
        name = f"batch {number} of chain {chain.hex()}"
        links.checked += 1
        if first != reached + 1 or last < first:
            cover.wrong(f"{name} covers entries {first} to {last} after entry {reached}")
        reached = last
        try:
            rows = list(journal_rows(db, first, last))
            carried = signing.handovers[: signing.steps_of(signed)]
            if by_age:
                pruned += 1
                head = handover.signed_by(signed, agent.ed_pub, steps[: len(carried)], "head")
                if rows:
                    raise ValueError("noted as pruned, and entries of it are here")
            else:
                leaves = leaves_of(_blobs(preamble), rows)
                entries += len(leaves.entries)
                clear = wire.encode_batch(signed, *leaves.without(set()), carried)
                wire.parse_batch(clear, agent.ed_pub, agent.id, steps)
                head = split1(signed, "head")[0]
            named = wire.parse_head(head)
            if len(carried) < newest:
                proofs.wrong(f"{name} (signed by key {len(carried)} after key {newest})")
            newest = max(newest, len(carried))
        except (ProtocolError, TypeError, ValueError) as e:
            proofs.wrong(f"{name} ({e})")
            previous[chain] = (number, digest)
            continue
        before = previous.get(chain, (-1, wire.FIRST_PREVIOUS))
        told = (named[3], named[4], named[5], wire.head_hash(head))
        if told != (chain, before[0] + 1, before[1], digest) or number != named[4]:
            links.wrong(f"{name} does not follow number {before[0]}")
        previous[chain] = (number, digest)
    (journal,) = db.execute("SELECT coalesce(max(id), 0) FROM journal").fetchone()
    if journal < reached:
        cover.wrong(f"entries {journal + 1} to {reached} are signed for and gone")
    made = f"{counted(links.checked, 'batch')} in {counted(len(previous), 'chain')}"
    heads = f"; of {pruned}, pruned, the signed head alone" if pruned else ""
    return [
        proofs.result(
            f"Every signature, Merkle root and count is right: {made}, {counted(entries, 'entry')}{heads}.",
            "Signatures, roots or counts are wrong",
        ),
        links.result(f"The chain is whole: each of {made} follows the one before.", "The chain is broken"),
        cover.result(
            f"Every entry up to {reached} is in exactly one batch; {journal - reached} wait to be signed.",
            "The batches do not cover the journal once",
        ),
    ]


def _handovers(db: Database) -> list[bytes]:
    rows = db.execute("SELECT handover FROM signers WHERE handover IS NOT NULL ORDER BY id")
    return [record for (record,) in rows]


def _blobs(encoded: bytes) -> list[bytes]:
    listed = cbor.loads(encoded)
    if not isinstance(listed, list):
        raise ValueError("the preamble is not a list")
    return listed  # pyright: ignore[reportUnknownVariableType]


def _receipts(db: Database, agent: PublicKeys, far: Mapping[str, PublicKeys]) -> Result:
    tally = Tally()
    unsigned = unknown = 0
    for chain, number, digest, first, last, signed, forwarder, receipt in db.execute(
        "SELECT chain, number, hash, first_id, last_id, signed, forwarder, receipt "
        "FROM receipts JOIN batches ON batch = id ORDER BY id, forwarder"
    ).fetchall():
        if forwarder not in SIGNING:
            unsigned += 1
            continue
        tally.checked += 1
        if forwarder not in far:
            unknown += 1
            continue
        name = f"the receipt of {forwarder} for batch {number} of chain {chain.hex()}"
        try:
            told = wire.verify_receipt(receipt, far[forwarder].ed_pub, far[forwarder].id)
            count = wire.count_of(signed)
        except ProtocolError as e:
            tally.wrong(f"{name} ({e})")
            continue
        sums = told.stored + told.duplicates + told.left_out
        named = (told.agent_id, told.chain_id, told.number, told.head_hash, sums)
        if named != (agent.id, chain, number, digest, count):
            tally.wrong(f"{name} is for another batch")
        elif told.left_out and told.left_out > _explained(db, forwarder, first, last):
            tally.wrong(f"{name} lacks {counted(told.left_out, 'entry')}, of which some were not withheld")
    strange = db.value("SELECT count(*) FROM receipts WHERE batch NOT IN (SELECT id FROM batches)")
    if strange:
        tally.wrong(f"{counted(strange, 'receipt')} {is_are(strange)} for batches that there are not")
    waiting = db.value("SELECT count(*) FROM batches WHERE id NOT IN (SELECT batch FROM receipts)")
    if unknown:
        return Result(False, f"{counted(unknown, 'receipt')} cannot be checked: no collector is configured.")
    told_of = f"; {unsigned} answers of a far end that signs none" if unsigned else ""
    return tally.result(
        f"Every receipt is the collector's: {tally.checked} of them{told_of}; "
        f"{counted(waiting, 'batch')} {'has' if waiting == 1 else 'have'} none yet.",
        "Receipts are wrong",
    )


def _explained(db: Database, forwarder: str, first: int, last: int) -> int:
    """How many entries of a batch that forwarder may lack: gone, pruned with their batch, or withheld."""
    return db.value(
        "SELECT ?2 - ?1 + 1 - count(*) FROM journal WHERE id BETWEEN ?1 AND ?2 AND gone IS NULL "
        "AND id NOT IN (SELECT journal FROM withheld WHERE forwarder = ?3)",
        (first, last, forwarder),
    )


def _attestations(db: Database) -> list[Result]:
    """What nodes signed, against what is stored, wherever the whole range is here."""
    tally = Tally()
    incomplete = 0
    covered: Counter[int] = Counter()
    keys: dict[bytes, bytes] = {
        node: ed_pub
        for node, ed_pub, x_pub in db.execute("SELECT node, ed_pub, x_pub FROM nodes")
        if PublicKeys(ed_pub, x_pub).id == node
    }
    boots = db.execute("SELECT id, node, boot FROM boots ORDER BY node, boot").fetchall()
    total = 0
    for row, node, boot in boots:
        (stored,) = db.execute("SELECT count(*) FROM journal WHERE kind = 0 AND boot = ?", (row,)).fetchone()
        total += stored
        for seq, body in _attest_frames(db, row):
            first, count = body[attest.FIRST], body[attest.COUNT]
            name = f"frames {first} to {first + count - 1} of boot {boot[:4].hex()} of node {node.hex()}"
            leaves = [attested_leaf(one) for one in frames_of(db, row, first, first + count - 1)]
            if len(leaves) != count:
                incomplete += 1
                continue
            tally.checked += 1
            if seq < first + count or node not in keys:
                tally.wrong(f"{name}: attested out of turn, or by an unknown node")
            elif not _signed(node, keys[node], boot, body, leaves):
                tally.wrong(f"{name}: not what the node signed")
            else:
                covered[row] += count
    signed = sum(covered.values())
    note = f"; {incomplete} more cannot be checked: frames of them are missing here" if incomplete else ""
    return [
        tally.result(
            f"Every attestation that can be checked is its node's own: {tally.checked} of them, "
            f"over {signed} of {counted(total, 'frame')}{note}.",
            "Attestations are wrong",
        )
    ]


def _signed(
    node: bytes, ed_pub: bytes, boot: bytes, body: dict[int, Any], leaves: list[bytes | None]
) -> bool:
    """Whether the node signed a range whose frames have these hashes."""
    hashes = [leaf for leaf in leaves if leaf is not None]
    if len(hashes) != len(leaves) or merkle.root(hashes) != body[attest.ROOT]:
        return False
    message = attest.attested_message(node, boot, body[attest.FIRST], len(hashes), body[attest.ROOT])
    return crypto.run(crypto.ed25519_verify_steps(ed_pub, message, body[attest.SIGNATURE]))


def _attest_frames(db: Database, row: int) -> list[tuple[int, dict[int, Any]]]:
    out: list[tuple[int, dict[int, Any]]] = []
    # The first bytes of a frame are an array of three and its kind, so that only attestations are decoded.
    opening = bytes((0x83, frames.KIND_ATTEST))
    for one in frames_of(db, row, 0, LAST_SEQ, kept_only=True):
        if one.data is None or one.seq is None or not one.data.startswith(opening):
            continue
        try:
            out.append((one.seq, frames.unpack(one.data)[2]))
        except ProtocolError:
            continue
    return out


def _remarks(db: Database) -> list[Result]:
    """What is wrong without being a broken proof."""
    out: list[Result] = []
    (forks,) = db.execute("SELECT count(*) FROM forks").fetchone()
    if forks:
        who = "somebody else signs with this agent's key, or a copy of it ran"
        out.append(Result(False, f"{counted(forks, 'fork')}: {who}."))
    copies = clones.found(db).times
    if copies:
        who = "another agent signed with this agent's key while this one ran"
        out.append(Result(False, f"{counted(copies, 'clone')} noted: {who}."))
    (conflicts,) = db.execute("SELECT count(*) FROM conflicts").fetchone()
    if conflicts:
        what = "frames came again with other content; the first of each stands"
        out.append(Result(False, f"{conflicts} {what}."))
    return out

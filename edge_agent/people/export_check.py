"""Checking an export off-line, with public keys only: every file, every entry, every signature.

Nothing in it is trusted, the keys neither: what holds is said of keys by their fingerprints, and whoever
knows the agent's key gives it. Files are bounded before they are read.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from edge_agent.custody.verify import Result
from edge_agent.keys import PublicKeys
from edge_agent.people import export_text as text
from edge_agent.people.dates import node_time
from edge_agent.people.export import (
    ATTESTATIONS,
    EVIDENCE,
    EXPORT,
    FRAMES,
    MANIFEST,
    README,
    RECORDS,
    VALUES,
)
from edge_agent.people.export_box import UNPACKING, Bad, Box
from edge_agent.people.export_spool import Leaves
from edge_agent.people.export_text import Facts
from edge_agent.people.state import PeopleState
from edge_agent.readable import counted, is_are
from protocol import attest, cbor, crypto, handover, merkle
from protocol.batch import head_hash, parse_head
from protocol.checks import is_bytes, is_list, is_map, is_uint
from protocol.cose import split1, versioned
from protocol.entries import parse_entry
from protocol.errors import BatchError, ProtocolError
from protocol.identity import fingerprint_text
from protocol.receipts import RECEIPT, verify_receipt
from protocol.records import open_record, read_record

MAX_MANIFEST = 4 << 20
MAX_EVIDENCE = 32 << 20
MAX_FILES = 100_000
SHOWN = 5


def check(path: Path, agent: bytes | None = None) -> list[Result]:
    """What holds of the export at `path` (a folder or a zip) and what does not, a sentence each. `agent`: the
    first Ed25519 key of who has to have made it. OSError: nothing can be read at `path`, or there is no room
    for a temporary file (some 50 bytes a frame).
    """
    try:
        with Box(path) as box, Leaves() as leaves:
            return list(_Check(box, agent, leaves).results())
    except Bad as e:
        return [Result(False, f"{e}.")]
    except (ProtocolError, *UNPACKING, KeyError, TypeError, ValueError, IndexError) as e:
        return [Result(False, f"The export is damaged: {e}.")]


class _Check:
    def __init__(self, box: Box, agent: bytes | None, leaves: Leaves) -> None:
        self._box = box
        self._expected = agent
        self._batches = self._frames = self._receipts = self._receipted = 0
        self._leaves = leaves
        self._records: list[dict[str, Any]] = []
        self._wrong: list[str] = []
        self._more = 0

    def results(self) -> Iterator[Result]:
        self._read_manifest()
        yield self._files()
        self._evidence = [name for name in self._sizes if name.startswith(EVIDENCE)]
        for name in self._evidence:
            for batch in cbor.loads(self._box.read(name, MAX_EVIDENCE)):
                self._batch(batch)
        yield self._said(
            f"Every entry is what the agent signed: {counted(self._frames, 'frame')} and"
            f" {counted(len(self._records), 'record')}, in {counted(self._batches, 'batch')}",
            "Entries are not what the agent signed",
        )
        yield self._read_records()
        yield self._whose()
        yield self._attestations()
        yield self._said_receipts()
        yield self._text()

    def _said(self, good: str, bad: str) -> Result:
        wrong, n, self._wrong, self._more = self._wrong, len(self._wrong) + self._more, [], 0
        if not wrong:
            return Result(True, f"{good}.")
        more = f"; and {n - SHOWN} more" if n > SHOWN else ""
        return Result(False, f"{bad}: {'; '.join(wrong[:SHOWN])}{more}.")

    def _bad(self, what: str) -> None:
        """Every frame may be wrong: no more are kept than are said."""
        if len(self._wrong) < SHOWN:
            self._wrong.append(what)
        else:
            self._more += 1

    # The manifest, and that all files are those in it

    def _read_manifest(self) -> None:
        signed = self._box.read(MANIFEST, MAX_MANIFEST)
        fields = versioned(split1(signed, "manifest")[0], "manifest")
        good = fields.get(2) == EXPORT and is_bytes(fields.get(3), 8) and is_bytes(fields.get(4), 16)
        good = good and is_uint(fields.get(5)) and is_uint(fields.get(12)) and is_list(fields.get(6))
        if not good:
            raise Bad("The manifest is none of an export")
        self.agent = _keys(fields[7])
        if self.agent.id != fields[3]:
            raise Bad("The manifest's keys are not those of its agent")
        if self._expected is not None and self._expected != self.agent.ed_pub:
            raise Bad(f"The export is by agent {self.agent.id.hex()}, not by the one with that key")
        self._steps = handover.read_chain(self.agent.ed_pub, fields[8], self.agent.id)
        handover.signed_by(signed, self.agent.ed_pub, self._steps, "manifest")
        self.person: bytes = fields[4]
        self._made_ms: int = fields[5]
        self._waiting: int = fields[12]
        self._nodes = {keys.id: keys for keys in map(_keys, fields[9])}
        self._operators = {keys.id: keys for keys in map(_keys, fields[10])}
        self._collectors = [_keys(one) for one in fields[11]]
        self._sizes: dict[str, tuple[int, bytes]] = {}
        for name, size, digest in fields[6]:
            self._sizes[name] = (size, digest)

    def _files(self) -> Result:
        names = Counter(self._box.names())
        listed = {*self._sizes, MANIFEST}
        if names.total() > MAX_FILES:
            raise Bad(f"There are {names.total()} files; no export has so many")
        self._wrong += [f"{name} is not of the export" for name in sorted(names.keys() - listed)]
        self._wrong += [f"{name} is there twice" for name in sorted(names) if names[name] > 1]
        for name, (size, digest) in self._sizes.items():
            if name not in names:
                self._wrong.append(f"{name} is missing")
            elif not self._is_whole(name, size, digest):
                self._wrong.append(f"{name} was changed")
        if any(name not in names for name in self._sizes):
            raise Bad(f"Files were changed: {'; '.join(self._wrong)}")
        shown = fingerprint_text(self.agent.fingerprint)
        return self._said(
            f"All {len(self._sizes)} files are as agent {self.agent.id.hex()} signed them at "
            f"{text.iso(self._made_ms * 1000)}, about person {self.person.hex()}. Its fingerprint is {shown}",
            "Files were changed",
        )

    def _is_whole(self, name: str, size: int, digest: bytes) -> bool:
        seen, found = 0, hashlib.sha256()
        with self._box.open(name) as file:
            while part := file.read(1 << 16):
                seen += len(part)
                # A packed file may unfold to any length.
                if seen > size:
                    return False
                found.update(part)
        return (seen, found.digest()) == (size, digest)

    # Entries

    def _batch(self, batch: Any) -> None:
        signed, items, handovers, receipts = batch
        self._batches += 1
        if handovers != [step.record for step in self._steps[: len(handovers)]]:
            raise Bad("A batch brings hand-overs that are not the agent's")
        try:
            steps = self._steps[: len(handovers)]
            signed_head = handover.signed_by(signed, self.agent.ed_pub, steps, "head")
            head = parse_head(signed_head)
        except BatchError as e:
            self._bad(f"a head: {e.detail}")
            return
        name = f"batch {head[4]} of chain {head[3].hex()}"
        if head[2] != self.agent.id:
            self._bad(f"{name} is another agent's")
            return
        for position, entry, path in items:
            if not merkle.verify_path(merkle.leaf_hash(entry), position, head[7], path, head[6]):
                self._bad(f"entry {position} of {name} is not what was signed")
                continue
            self._entry(parse_entry(entry))
        self._check_receipts(receipts, head, head_hash(signed_head))

    def _entry(self, fields: list[Any]) -> None:
        if fields[0] == text.ENTRY_FRAME:
            self._frames += 1
            _, node, boot, seq, plain, _ = fields
            leaf = merkle.leaf_hash(attest.leaf(boot, seq, plain))
            if not self._leaves.put(node, boot, seq, leaf):
                self._bad(f"frame {seq} of node {node.hex()} is there twice, with other content")
        elif fields[0] in text.RECORD_ENTRIES:
            self._records.append({"record": fields[1], "fields": read_record(fields[1])})

    def _check_receipts(self, receipts: list[bytes], head: dict[int, Any], digest: bytes) -> None:
        found = False
        for message in receipts:
            self._receipts += 1
            for keys in self._collectors:
                try:
                    told = verify_receipt(message, keys.ed_pub, keys.id)
                except ProtocolError:
                    continue
                named = (told.statement, told.agent_id, told.chain_id, told.number, told.head_hash)
                found = found or named == (RECEIPT, head[2], head[3], head[4], digest)
        self._receipted += found

    def _said_receipts(self) -> Result:
        if self._receipts and not self._collectors:
            return Result(
                True,
                f"{counted(self._receipts, 'receipt')} in it {is_are(self._receipts)} of"
                " collectors whose keys it does not name.",
            )
        if self._receipts and not self._receipted:
            return Result(False, "No receipt in it is of a collector that it names.")
        keys = ", ".join(fingerprint_text(one.fingerprint) for one in self._collectors) or "none"
        return Result(
            True,
            f"Collectors signed for {self._receipted} of {counted(self._batches, 'batch')}"
            f" (fingerprints: {keys}).",
        )

    # Whose it is

    def _read_records(self) -> Result:
        signers: set[bytes] = set()
        for one in self._records:
            fields = one["fields"]
            keys = self._operators.get(fields["by"])
            named = f"record {fields['record_id'].hex()}"
            if fields["person"] != self.person:
                self._bad(f"{named} is about another person")
            if keys is None:
                self._bad(f"{named} is by {fields['by'].hex()}, whose key is not in the export")
                continue
            try:
                open_record(one["record"], keys.ed_pub)
                signers.add(keys.id)
            except BatchError:
                self._bad(f"{named} is not signed by {keys.id.hex()}")
        shown = ", ".join(fingerprint_text(self._operators[one].fingerprint) for one in sorted(signers))
        return self._said(
            f"Every record is signed by its operator: {len(self._records)} (fingerprints: {shown or 'none'})",
            "Records are not as they were signed",
        )

    def _whose(self) -> Result:
        """That the node of each frame was this person's, by the records, at every moment at which it can have
        been measured.
        """
        state = PeopleState()
        for one in self._records:
            state.take(one["fields"])
        clocks = text.clocks_of(self._entries())
        undated = 0
        for entry in self._entries():
            if entry[0] != text.ENTRY_FRAME:
                continue
            _, node, boot, seq, plain, _ = entry
            t_us = node_time(plain)
            when = None if t_us is None else text.measured(clocks, node, boot, t_us)
            if when is None:
                undated += 1
                continue
            if state.persons_between(node, when[0] // 1000, -(-when[1] // 1000)) != {self.person}:
                self._bad(f"frame {seq} of node {node.hex()} is of a time when it was not theirs")
        note = f"; when {undated} of them were measured rests on the agent's word" if undated else ""
        return self._said(
            f"Every frame was measured while its node was this person's{note}", "Frames are not this person's"
        )

    def _attestations(self) -> Result:
        covered = 0
        nodes: set[bytes] = set()
        for item in self._signed_by_nodes():
            node, boot, first, count, root, signature, others = item
            keys = self._nodes.get(node)
            name = f"frames {first} to {first + count - 1} of node {node.hex()}"
            if keys is None or not is_map(others) or not 0 < count <= len(others) + self._frames:
                self._bad(f"{name}: no such node, or no such range")
                continue
            mine = self._leaves.of(node, boot, first, count)
            leaves = [mine.get(seq) or others.get(seq) for seq in range(first, first + count)]
            if not all(is_bytes(leaf, 32) for leaf in leaves) or merkle.root(leaves) != root:  # pyright: ignore[reportArgumentType]
                self._bad(f"{name}: not what the node signed")
                continue
            message = attest.attested_message(node, boot, first, count, root)
            if not crypto.run(crypto.ed25519_verify_steps(keys.ed_pub, message, signature)):
                self._bad(f"{name}: the signature is not the node's")
                continue
            nodes.add(node)
            covered += len(mine)
        shown = ", ".join(fingerprint_text(self._nodes[node].fingerprint) for node in sorted(nodes))
        return self._said(
            f"Nodes themselves signed {covered} of {counted(self._frames, 'frame')}"
            f" (fingerprints: {shown or 'none'})",
            "What nodes signed is not what is here",
        )

    def _signed_by_nodes(self) -> Iterator[Any]:
        for name in self._sizes:
            if name.startswith(ATTESTATIONS):
                yield from cbor.loads(self._box.read(name, MAX_EVIDENCE))

    # The text

    def _entries(self) -> Iterator[list[Any]]:
        for name in self._evidence:
            for batch in cbor.loads(self._box.read(name, MAX_EVIDENCE)):
                for _, entry, _ in batch[1]:
                    yield parse_entry(entry)

    def _text(self) -> Result:
        clocks = text.clocks_of(self._entries())
        facts = Facts(
            self.person, self.agent.id, self._made_ms, self._frames, len(self._records), self._waiting
        )
        for name, lines in (
            (FRAMES, text.frame_lines(self._entries(), clocks)),
            (VALUES, text.value_lines(self._entries(), clocks)),
            (RECORDS, text.record_lines(self._entries())),
            (README, iter(text.readme(facts).splitlines(keepends=True))),
        ):
            with self._box.open(name) as file:
                for number, (made, found) in enumerate(zip_longest(lines, file), 1):
                    if made != found:
                        self._bad(f"line {number} of {name} does not follow from the evidence")
                        break
        return self._said("What is written for people says what the evidence says", "The text is not right")


def _keys(pair: Any) -> PublicKeys:
    if not is_list(pair) or len(pair) != 2 or not all(is_bytes(one, 32) for one in pair):
        raise Bad("The manifest holds keys that are none")
    return PublicKeys(pair[0], pair[1])

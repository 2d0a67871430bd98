"""Exports: who is exported, under which name and time, and as FHIR.

De-identified: ids are keyed pseudonyms, all times of a person (or node) are shifted by one constant into the
past, a node's own times by another, free text and frame numbers are dropped. Who holds the key can find the
person again; without it nobody can, and the same key gives the same pseudonym in the next export.
"""

import hmac
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from edge_agent.files import read_secret, write_atomically
from edge_agent.forward import fhir_codes
from edge_agent.forward.fhir_gather import MINUTE_US, Gatherer, Row
from edge_agent.nodes.clockfit import Fix
from edge_agent.people.clocks import Fit
from protocol import frames
from tools.collector.export_read import Moment, Recording, Wanted

Json = dict[str, Any]
KEY_BYTES = 32
LEAST_SHIFT_MS, MOST_SHIFT_MS = 365 * 86_400_000, 3650 * 86_400_000


class Mask:
    """Names and times as they go into an export. `key`: None leaves them as they are."""

    def __init__(self, key: bytes | None):
        self._key = key

    @property
    def hides(self) -> bool:
        """Whether it is de-identified."""
        return self._key is not None

    def name(self, what: str, plain: bytes) -> bytes:
        """The pseudonym of an id, as long as it is. `what`: two kinds of id never share one."""
        return plain if self._key is None else self._derived(what, plain)[: len(plain)]

    def shift_ms(self, subject: bytes) -> int:
        """What is added to all of a subject's times."""
        if self._key is None:
            return 0
        span = MOST_SHIFT_MS - LEAST_SHIFT_MS
        return -(LEAST_SHIFT_MS + int.from_bytes(self._derived("shift", subject)[:8], "big") % span)

    def moment(self, moment: Moment, subject: bytes) -> Moment:
        """The same frame, elsewhere and at another time."""
        return moment._replace(
            node=self.name("node", moment.node),
            boot=self.name("boot", moment.node + moment.boot)[: len(moment.boot)],
            unix_us=moment.unix_us + self.shift_ms(subject) * 1000,
        )

    def recording(self, recording: Recording) -> Recording:
        """Without free text, and without the numbers by which its frames are known elsewhere."""
        if self.hides:
            recording.events = [one._replace(text="") for one in recording.events]
            recording.input = None if recording.input is None else ""
            for signal in recording.signals:
                signal.runs = [run._replace(seq=None) for run in signal.runs]
        return recording

    def resource(self, resource: Json, boot: bytes) -> Json:
        """A FHIR resource about that boot (its pseudonym), without what joins it to another server's: its
        identifiers and links are made of frame numbers, its clock is the node's.
        """
        if not self.hides:
            return resource
        made = self._unlinked(resource)
        if made["resourceType"] == "Observation":
            for one in made["identifier"]:
                one["value"] = self._derived("identifier", one["value"].encode()).hex()[:32]
            if any(one["code"] == str(fhir_codes.MDC_TICKS_US) for one in made["code"].get("coding", ())):
                made["valueQuantity"]["value"] += int.from_bytes(self._derived("ticks", boot)[:5], "big")
        return made

    def link(self, url: str) -> str:
        """What an entry of a bundle is called by."""
        if not self.hides:
            return url
        return f"urn:uuid:{UUID(bytes=self._derived('link', url.encode())[:16], version=4)}"

    def _unlinked(self, part: Any) -> Any:
        if isinstance(part, dict):
            return {key: self._unlinked(value) for key, value in part.items()}
        if isinstance(part, list):
            return [self._unlinked(one) for one in part]
        return self.link(part) if isinstance(part, str) and part.startswith("urn:uuid:") else part

    def _derived(self, what: str, plain: bytes) -> bytes:
        assert self._key is not None
        return hmac.digest(self._key, what.encode() + b"\0" + plain, "sha256")


def load_key(path: Path) -> bytes:
    """The secret of pseudonyms, made when there is none. OSError; ValueError: it is no such file."""
    try:
        found = bytes.fromhex(read_secret(path).decode("ascii").strip())
    except FileNotFoundError:
        found = os.urandom(KEY_BYTES)
        write_atomically(path, found.hex().encode() + b"\n")
    except ValueError:
        found = b""
    if len(found) != KEY_BYTES:
        raise ValueError(f"{path} holds no {KEY_BYTES} bytes in hex: name another file, or move it away")
    return found


class _Look:
    """What the FHIR mapping asks of a store; names and times are masked already."""

    def __init__(self, wanted: Wanted, mask: Mask, subject: bytes):
        self._wanted, self._mask, self._subject = wanted, mask, subject
        self._person = mask.name("person", subject)
        self._shift_us = mask.shift_ms(subject) * 1000
        self._real: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}

    def row(self, moment: Moment) -> Row:
        masked = self._mask.moment(moment, b"")
        self._real[masked.node, masked.boot] = (moment.node, moment.boot)
        return Row(masked.node, masked.boot, moment.seq, moment.plaintext)

    def person_at(self, node: bytes, unix_ms: int) -> bytes | None:
        return self._person

    def allows(self, forwarder: str, purpose: str, person: bytes, unix_ms: int) -> bool:
        return True

    def fix(self, node: bytes, boot: bytes, t_us: int) -> Fix | None:
        # One for all frames of a minute, so that they are one observation however they are read.
        fit = self._wanted.fit(*self._real[node, boot], t_us - t_us % MINUTE_US + MINUTE_US // 2)
        if fit is None:
            return None
        return Fix(fit.t_us, fit.unix_us + self._shift_us, fit.rate_ppb, fit.bound_us)

    def minute(self, moment: Moment) -> int:
        """The minute of Unix time in which the mapping has that frame."""
        masked = self._mask.moment(moment, b"")
        fix = self.fix(masked.node, masked.boot, moment.t_us)
        assert fix is not None
        return sum(Fit(*fix).at(moment.t_us)) // 2 // MINUTE_US

    def boot_frame(self, boot: bytes, node: bytes) -> "dict[int, Any] | None":
        found = self._wanted.boot_frame(*self._real[node, boot])
        if found is None or not self._mask.hides:
            return found
        # A board's and a program's name are what somebody typed.
        return {frames.BOOT_INPUT: "hidden"} if frames.BOOT_INPUT in found else {}

    def frames(self, node: bytes, boot: bytes, first: int, count: int) -> list[tuple[int, bytes]]:
        found = self._wanted.numbered(self._subject, *self._real[node, boot], first, count)
        return [(moment.seq, moment.plaintext) for moment in found]


def fhir(
    wanted: Wanted, moments: Iterator[Moment], mask: Mask, person: bytes, agent: bytes
) -> Iterator[Json]:
    """The entries of a Bundle (collection) of the person's observations, with the mapping that the agent's
    forwarder has; each minute is dated by the clock fit that is nearest to it.
    """
    look = _Look(wanted, mask, person)
    gatherer = Gatherer(mask.name("agent", agent), strips=True)
    there: set[str] = set()
    for rows in _minutes(look, (moment for moment in moments if moment.kind != frames.KIND_WAVE)):
        boot = rows[0].boot or b""
        for item in gatherer.gather(rows, look):
            for entry in (*item.needs, item.entry):
                # Two events may name the same waveform; any other observation is of its frames alone.
                if entry is not item.entry or "valueSampledData" in entry.resource:
                    if entry.url in there:
                        continue
                    there.add(entry.url)
                yield {"fullUrl": mask.link(entry.url), "resource": mask.resource(entry.resource, boot)}
    for cause, n in gatherer.left.items():
        wanted.leave(cause, n)


def _minutes(look: _Look, moments: Iterator[Moment]) -> Iterator[list[Row]]:
    """The frames of each minute of a boot, together, as soon as the minute after the next has begun: frames
    come in the order of their numbers, not quite that of their times.
    """
    boot: tuple[bytes | None, bytes | None] | None = None
    minutes: dict[int, list[Row]] = {}
    for moment in moments:
        row = look.row(moment)
        if boot != (row.node, row.boot):
            yield from minutes.values()
            minutes, boot = {}, (row.node, row.boot)
        minute = look.minute(moment)
        for done in sorted(one for one in minutes if one < minute - 1):
            yield minutes.pop(done)
        minutes.setdefault(minute, []).append(row)
    yield from minutes.values()


def write_fhir(entries: Iterator[Json], path: Path) -> list[Path]:
    """As NAME.json, in UTF-8; nothing when there is no entry."""
    first = next(entries, None)
    if first is None:
        return []
    out = path.with_name(path.name + ".json")
    with out.open("w", encoding="utf-8") as file:
        file.write('{"resourceType": "Bundle", "type": "collection", "entry": [\n')
        file.write(json.dumps(first, ensure_ascii=False))
        for entry in entries:
            file.write(",\n" + json.dumps(entry, ensure_ascii=False))
        file.write("\n]}\n")
    return [out]


def subject_name(mask: Mask, what: str, plain: bytes) -> str:
    """What the files are named by."""
    return f"{what}-{mask.name(what, plain).hex()}"


def masked(moments: Iterator[Moment], mask: Mask, subject: bytes) -> Iterator[Moment]:
    """Each frame under the names and at the time that the export shows."""
    return (mask.moment(moment, subject) for moment in moments)


def checked(text: str, size: int, what: Callable[[str], Exception]) -> bytes:
    """An id of so many bytes, given in hex."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != size:
        raise what(f"{text!r} is not {size} bytes in hex")
    return found

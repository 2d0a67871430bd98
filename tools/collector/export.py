"""Exports: who is exported, under which name and time, and as FHIR.

De-identified: ids are keyed pseudonyms, all times of a person (or node) are shifted by one constant into the
past, free text is dropped. Who holds the key can find the person again; without it nobody can, and the same
key gives the same pseudonym in the next export.
"""

import hmac
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_agent.clockfit import Fix
from edge_agent.files import write_atomically
from edge_agent.forward.fhir_gather import Gatherer, Row
from tools.collector.dating import Dates
from tools.collector.export_read import Event, Moment, Recording, Wanted
from tools.collector.store import Store

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
        """Without free text."""
        if self._key is not None:
            recording.events = [Event(one.unix_us, one.what, "") for one in recording.events]
        return recording

    def _derived(self, what: str, plain: bytes) -> bytes:
        assert self._key is not None
        return hmac.digest(self._key, what.encode() + b"\0" + plain, "sha256")


def load_key(path: Path) -> bytes:
    """The secret of pseudonyms, made when there is none. OSError; ValueError: it is no such file."""
    try:
        found = bytes.fromhex(path.read_text(encoding="ascii").strip())
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

    def __init__(self, store: Store, wanted: Wanted, mask: Mask, person: bytes, subject: bytes):
        self._store, self._wanted, self._mask, self._person = store, wanted, mask, person
        self._shift_us = mask.shift_ms(subject) * 1000
        self._real: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
        self._dates: dict[bytes, Dates] = {}
        self._plain: dict[tuple[bytes, bytes, int], bytes] = {}

    def row(self, moment: Moment) -> Row:
        masked = self._mask.moment(moment, b"")
        self._real[masked.node, masked.boot] = (moment.node, moment.boot)
        self._plain[masked.node, masked.boot, moment.seq] = moment.plaintext
        return Row(masked.node, masked.boot, moment.seq, moment.plaintext)

    def person_at(self, node: bytes, unix_ms: int) -> bytes | None:
        return self._person

    def allows(self, forwarder: str, purpose: str, person: bytes, unix_ms: int) -> bool:
        return True

    def fix(self, node: bytes, boot: bytes, t_us: int) -> Fix | None:
        real_node, real_boot = self._real[node, boot]
        if real_node not in self._dates:
            self._dates[real_node] = Dates(self._store, real_node)
        fit = self._dates[real_node].fit(real_boot, t_us)
        if fit is None:
            return None
        return Fix(fit.t_us, fit.unix_us + self._shift_us, fit.rate_ppb, fit.bound_us)

    def boot_frame(self, boot: bytes, node: bytes) -> "dict[int, Any] | None":
        return self._wanted.boot_frame(*self._real[node, boot])

    def frames(self, node: bytes, boot: bytes, first: int, count: int) -> list[tuple[int, bytes]]:
        found = ((seq, self._plain.get((node, boot, seq))) for seq in range(first, first + count))
        return [(seq, plaintext) for seq, plaintext in found if plaintext is not None]


def fhir(
    store: Store, wanted: Wanted, moments: Iterator[Moment], mask: Mask, person: bytes, agent: bytes
) -> "dict[str, Any]":
    """A Bundle (collection) of the person's observations, with the mapping that the agent's forwarder has."""
    look = _Look(store, wanted, mask, mask.name("person", person), person)
    rows = [look.row(moment) for moment in moments]
    gatherer = Gatherer(mask.name("agent", agent), strips=True)
    entries: dict[str, dict[str, Any]] = {}
    for item in gatherer.gather(rows, look):
        for entry in (*item.needs, item.entry):
            entries[entry.url] = {"fullUrl": entry.url, "resource": entry.resource}
    return {"resourceType": "Bundle", "type": "collection", "entry": list(entries.values())}


def write_fhir(bundle: "dict[str, Any]", path: Path) -> Path:
    """As NAME.json, in UTF-8."""
    out = path.with_suffix(".json")
    out.write_text(json.dumps(bundle, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return out


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

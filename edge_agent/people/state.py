"""Whose node it was when, and who may have whose data: what the signed records say, all of them together.

Nothing here reads a clock, a file or the store. Times are Unix milliseconds; from–to holds its beginning and
not its end; a person is 16 bytes.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from protocol.records import ASSIGNMENT, CARE, CONSENT, ERASURE, MANUAL

REQUIRED, ASSUMED = "required", "assumed"
# A record from the future would outvote all that are made before its time has come.
FORWARDERS = ("mqtt", "file", "fhir")
FUTURE_MS = 86_400_000
# In an assignment that ends where it begins: whose the node was before is not lost, it was nobody's.
NOBODY = bytes(16)

Fields = dict[str, Any]


class PeopleError(Exception):
    """A record is not taken: `problem` says why, `hint` what to do."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem + (f" ({hint})" if hint else ""))
        self.problem = problem
        self.hint = hint


class Span(NamedTuple):
    """A node was a person's from `from_ms` to before `to_ms`; None: until further notice. `record_id`: says
    who.
    """

    node: bytes
    person: bytes
    from_ms: int
    to_ms: int | None
    record_id: bytes

    def meets(self, low_ms: int, high_ms: int) -> bool:
        """Whether any moment from `low_ms` to `high_ms`, both in, lies within it."""
        return self.from_ms <= high_ms and (self.to_ms is None or low_ms < self.to_ms)


class PeopleState:
    """What the records say that were taken so far, in their order. `consent`: REQUIRED, or ASSUMED for care
    where nobody has said anything.
    """

    def __init__(self, consent: str = REQUIRED, records: Iterable[Fields] = ()) -> None:
        self.consent = consent
        self._records: dict[bytes, Fields] = {}
        self._replaced: dict[bytes, bytes] = {}
        self._spans: dict[bytes, list[Span]] = {}
        self._consents: dict[tuple[bytes, str, str], list[Fields]] = {}
        self._erased: dict[bytes, int] = {}
        # Node → Unix ms: whose it was before then, a lost store knew alone (lost.py).
        self.lost: dict[bytes, int] = {}
        for fields in records:
            self.take(fields)

    # What a new record has to agree with

    def check(self, fields: Fields, now_ms: int) -> None:
        """PeopleError unless the record (its fields, verified) fits what is known."""
        what, record_id = fields["record"], fields["record_id"]
        if record_id in self._records:
            raise PeopleError(f"record {record_id.hex()} is there already", "make another: ids are random")
        if fields["made_at_ms"] > now_ms + FUTURE_MS:
            raise PeopleError(
                "the record is made more than a day from now", "set the clock of the machine that signs it"
            )
        person = fields["person"]
        if what != ERASURE and person in self._erased:
            raise PeopleError(f"person {person.hex()} was erased", "make a new one: vitalwire person new")
        self._check_replaced(fields)
        if what == ASSIGNMENT:
            self._check_overlap(fields)
        elif what == CONSENT and fields["forwarder"] not in FORWARDERS:
            raise PeopleError(
                f"there is no forwarder {fields['forwarder']!r}", f"there are {', '.join(FORWARDERS)}"
            )
        elif what == ERASURE:
            if fields["replaces"] is not None:
                raise PeopleError("an erasure replaces no record", "leave the id out")
            if person in self._erased:
                raise PeopleError(f"person {person.hex()} is erased already", "nothing has to be done")

    def _check_replaced(self, fields: Fields) -> None:
        replaced = fields["replaces"]
        if replaced is None:
            return
        old = self._records.get(replaced)
        same = ("record", *_SUBJECT[fields["record"]])
        if old is None:
            raise PeopleError(
                f"it replaces record {replaced.hex()}, which is not known here",
                "vitalwire person show lists those that are",
            )
        if any(old[name] != fields[name] for name in same):
            raise PeopleError(
                f"it replaces record {replaced.hex()}, which is about something else",
                f"a record replaces one with the same {', '.join(same)}",
            )
        later = self._replaced.get(replaced)
        if later is not None:
            raise PeopleError(
                f"record {replaced.hex()} is replaced by {later.hex()} already", "replace that one"
            )

    def _check_overlap(self, fields: Fields) -> None:
        node, begin, end = fields["node_id"], fields["from_ms"], fields["to_ms"]
        if end == begin:
            return
        for span in self._spans.get(node, ()):
            if span.record_id == fields["replaces"] or not span.meets(begin, _last(end)):
                continue
            hint = (
                f"end that first: vitalwire unassign {node.hex()}, or give a time at which it has ended"
                if span.to_ms is None
                else "give times that it leaves free, or replace that record"
            )
            raise PeopleError(
                f"node {node.hex()} is person {span.person.hex()}'s in that time "
                f"(record {span.record_id.hex()})",
                hint,
            )

    # Taking it

    def take(self, fields: Fields) -> None:
        """The record counts from now on; it has passed check()."""
        what, record_id, replaced = fields["record"], fields["record_id"], fields["replaces"]
        self._records[record_id] = fields
        if replaced is not None:
            self._replaced[replaced] = record_id
        if what == ASSIGNMENT:
            self._assign(fields, replaced)
        elif what == CONSENT:
            self._consents.setdefault(_about(fields), []).append(fields)
        elif what == ERASURE:
            self._end(fields["person"], fields["made_at_ms"])

    def _assign(self, fields: Fields, replaced: bytes | None) -> None:
        node, begin, end = fields["node_id"], fields["from_ms"], fields["to_ms"]
        spans = [span for span in self._spans.get(node, ()) if span.record_id != replaced]
        if end != begin:
            spans.append(Span(node, fields["person"], begin, end, fields["record_id"]))
        self._spans[node] = sorted(spans, key=lambda span: span.from_ms)

    def _end(self, person: bytes, at_ms: int) -> None:
        """From its erasure on nobody can be that person."""
        self._erased[person] = at_ms
        for node, spans in self._spans.items():
            self._spans[node] = [
                span
                if span.person != person or (span.to_ms is not None and span.to_ms <= at_ms)
                else span._replace(to_ms=max(at_ms, span.from_ms))
                for span in spans
            ]

    # Whose

    def person_at(self, node: bytes, unix_ms: int) -> bytes | None:
        """Whose node it was at that moment; None: nobody's."""
        return next((s.person for s in self._spans.get(node, ()) if s.meets(unix_ms, unix_ms)), None)

    def persons_between(self, node: bytes, low_ms: int, high_ms: int) -> set[bytes | None]:
        """Everybody whose node it was at some moment from `low_ms` to `high_ms`, both in; None among them: at
        some moment it was nobody's.
        """
        found: set[bytes | None] = set()
        reached = low_ms
        for span in self._spans.get(node, ()):
            if span.meets(low_ms, high_ms):
                found.add(span.person)
                if span.from_ms > reached:
                    found.add(None)
                reached = max(reached, high_ms + 1 if span.to_ms is None else span.to_ms)
        if reached <= high_ms:
            found.add(None)
        return found

    def is_lost(self, node: bytes, unix_ms: int) -> bool:
        """Whether a lost store alone knew whose the node was at that moment."""
        return unix_ms < self.lost.get(node, unix_ms)

    def spans(self, person: bytes | None = None, node: bytes | None = None) -> list[Span]:
        """The times of that person, of that node, or all, by node and time."""
        return [
            span
            for key in sorted(self._spans)
            for span in self._spans[key]
            if (person is None or span.person == person) and (node is None or span.node == node)
        ]

    @property
    def empty(self) -> bool:
        """Whether there is no record at all."""
        return not self._records

    @property
    def assigned(self) -> bool:
        """Whether any node was ever anybody's."""
        return any(self._spans.values())

    def persons_of(self, node: bytes) -> set[bytes]:
        """Everybody whose node it ever was."""
        return {span.person for span in self._spans.get(node, ())}

    def persons(self) -> list[bytes]:
        """Everybody that a record is about."""
        return sorted({fields["person"] for fields in self._records.values()} - {NOBODY})

    def erased_at(self, person: bytes) -> int | None:
        """When the person's erasure was signed."""
        return self._erased.get(person)

    def known(self, record_id: bytes) -> Fields | None:
        """The record with that id."""
        return self._records.get(record_id)

    def records(self, person: bytes | None = None, current: bool = False) -> list[Fields]:
        """Records in the order in which they were taken; `current`: those only that no other replaces."""
        return [
            fields
            for record_id, fields in self._records.items()
            if (person is None or fields["person"] == person)
            and not (current and record_id in self._replaced)
        ]

    # Who may have it

    def allows(self, forwarder: str, purpose: str, person: bytes, unix_ms: int) -> bool:
        """Whether the forwarder may be given that person's data for that purpose at that moment, whenever
        they were measured: the consent made last that speaks of the moment decides; a withdrawal until
        further notice holds at once, until another consent is taken.
        """
        if person in self._erased:
            return False
        said = self._consents.get((person, forwarder, purpose), [])
        if said and _withdraws(said[-1]):
            # Whatever the clocks said, one of which may have been wrong: nothing was taken since.
            return False
        found: Fields | None = None
        for fields in said:
            if fields["record_id"] in self._replaced or not _speaks(fields, unix_ms):
                continue
            if found is None or fields["made_at_ms"] >= found["made_at_ms"]:
                found = fields
        if found is None:
            return self.consent == ASSUMED and purpose == CARE
        return found["granted"]


_SUBJECT = {
    ASSIGNMENT: ("node_id",),
    MANUAL: ("person",),
    CONSENT: ("person", "forwarder", "purpose"),
    ERASURE: ("person",),
}


def _about(fields: Fields) -> tuple[bytes, str, str]:
    return fields["person"], fields["forwarder"], fields["purpose"]


def _speaks(fields: Fields, unix_ms: int) -> bool:
    return fields["from_ms"] <= unix_ms and (fields["to_ms"] is None or unix_ms < fields["to_ms"])


def _withdraws(fields: Fields) -> bool:
    """Whether it ends a consent there and then, until further notice."""
    return not fields["granted"] and fields["to_ms"] is None and fields["from_ms"] <= fields["made_at_ms"]


def _last(end: int | None) -> int:
    return (1 << 53) if end is None else end - 1

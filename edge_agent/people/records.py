"""People's records in the store: verified, checked, signed for in the chain, and counted from then on.

A record is taken in one step: the action that brought it and the record itself are one commit to the journal.
The table `records` follows from the journal, and is made good when the store is opened; what is in it is
verified again each time, so that a record that no operator signed counts for nothing, however it came there.
Used from the store's thread.
"""

import logging
from collections.abc import Iterable
from typing import Any

from edge_agent.custody import audit
from edge_agent.nodes.peers import Peers
from edge_agent.people import lost
from edge_agent.people.dates import Clocks, withheld
from edge_agent.people.operators import Operators
from edge_agent.people.state import REQUIRED, Fields, PeopleError, PeopleState, Span
from edge_agent.store.items import Entry
from edge_agent.store.rows import JournalRow, journal_rows
from edge_agent.store.store import Store
from protocol import batch as wire
from protocol.errors import BatchError
from protocol.records import ASSIGNMENT, CARE, CONSENT, ERASURE, MANUAL, open_record, read_record

log = logging.getLogger("vitalwire.people")

_ENTRY = {
    ASSIGNMENT: wire.assignment_entry,
    MANUAL: wire.manual_entry,
    CONSENT: wire.consent_entry,
    ERASURE: wire.erasure_entry,
}
_KINDS = {4: ASSIGNMENT, 5: MANUAL, 7: CONSENT, 8: ERASURE}
_WHAT = {ASSIGNMENT: "assign", MANUAL: "note", CONSENT: "consent", ERASURE: "erase"}


def verified(record: bytes, operators: Operators, past: bool = False) -> Fields:
    """The fields of a record that an operator signed; PeopleError otherwise. `past`: or one who was."""
    try:
        by: bytes = read_record(record)["by"]
        key = operators.key_of(by, past)
        if key is None:
            raise PeopleError(
                f"the record is signed by {by.hex()}, who is no operator of this agent",
                "vitalwire operator add NAME FILE.pub, if you trust that key",
            )
        return open_record(record, key)
    except BatchError as e:
        raise PeopleError(f"the record is not sound: {e.detail}", "make it again") from None


def load(db: Any, operators: Operators, consent: str = REQUIRED) -> tuple[PeopleState, list[str]]:
    """What the records in a store say; and what of them counts for nothing, a line each."""
    state = PeopleState(consent)
    wrong: list[str] = []
    for record_id, sort, person, by, made_ms, replaces, record in db.execute(
        "SELECT record_id, sort, person, by, made_ms, replaces, record FROM records ORDER BY journal"
    ).fetchall():
        if sort == MANUAL:
            # What was typed is only in the journal, under a key that can be destroyed.
            fields: Fields = {"record": MANUAL, "person": person, "by": by, "made_at_ms": made_ms}
            state.take(fields | {"record_id": record_id, "replaces": replaces})
            continue
        try:
            state.take(verified(record, operators, past=True))
        except PeopleError as e:
            wrong.append(f"record {record_id.hex()} ({sort}) counts for nothing: {e}")
    return state, wrong


def typed_about(db: Any, person: bytes) -> list[Fields]:
    """What was typed about a person and is not erased, oldest first. SealBroken."""
    found: list[Fields] = []
    for (at,) in db.execute(
        "SELECT journal FROM records WHERE person = ? AND sort = ? ORDER BY journal", (person, MANUAL)
    ).fetchall():
        for row in journal_rows(db, at, at):
            if row.data is not None:
                found.append(read_record(wire.parse_entry(row.data)[1]))
    return found


class People:
    """The records of one store, as they count now. `peers`: keeps what must outlive the store; its own, for
    the store's thread.
    """

    def __init__(
        self, store: Store, operators: Operators, consent: str = REQUIRED, peers: Peers | None = None
    ) -> None:
        self._store = store
        self._peers = peers
        self._unmarked: frozenset[bytes] = frozenset()
        self._operators = operators
        self._clocks = Clocks(store.db)
        self._index()
        self.state, self.unbelieved = load(store.db, operators, consent)
        for line in [*operators.problems, *self.unbelieved]:
            log.warning("%s", line)
        if peers is not None:
            lost.take_up(peers, self.state)
        for node in self.state.lost:
            log.error("%s: %s", lost.problem(node), lost.remedy(node))
        self._keyed: dict[bytes, bytes | None] = dict(
            store.db.execute(
                "SELECT node, person FROM data_keys WHERE node != x'' AND ended_ms IS NULL ORDER BY id"
            ).fetchall()
        )

    def person_at(self, node: bytes, unix_ms: int) -> bytes | None:
        """Whose node it was at that moment; None: nobody's."""
        return self.state.person_at(node, unix_ms)

    def spans(self, person: bytes) -> list[Span]:
        """When which nodes were that person's."""
        return self.state.spans(person)

    def allows(self, forwarder: str, purpose: str, person: bytes, unix_ms: int) -> bool:
        """Whether the forwarder may be given that person's data for that purpose at that moment."""
        return self.state.allows(forwarder, purpose, person, unix_ms)

    def withholds(self, forwarder: str, rows: Iterable[JournalRow], now_ms: int) -> set[int]:
        """Journal ids of those rows whose bytes this forwarder may not have now, for care."""
        return withheld(self.state, self._clocks, rows, forwarder, CARE, now_ms)

    # Taking records

    def put(self, record: bytes, now_ms: int, by: str = audit.AGENT) -> Fields:
        """Verify a record, keep it durably with the action that brought it (`by`: who asked), and let it
        count; one that is there already stays. PeopleError: it is not taken; StoreUnwritable: nothing has
        happened.
        """
        fields = verified(record, self._operators)
        if self.state.known(fields["record_id"]) == fields:
            return fields
        self.state.check(fields, now_ms)
        before = self._store.last_journal
        what = _WHAT[fields["record"]]
        signed_by = audit.by_operator(fields["by"])
        more: Fields = {"asked": by, "record": fields["record_id"]}
        if fields["record"] == CONSENT:
            word = "granted" if fields["granted"] else "withdrawn"
            more |= {"said": word, "forwarder": fields["forwarder"], "purpose": fields["purpose"]}
        self._store.commit(
            [
                audit.action(what, signed_by, fields["person"], now_ms, **more),
                _entry(fields, record, now_ms),
            ]
        )
        assert self._store.last_journal == before + 2
        self._write([(before + 2, fields, record)])
        self.state.take(fields)
        if fields["record"] == ASSIGNMENT and self._peers is not None:
            lost.taken(self._peers, self.state, fields)
        self.rekey(now_ms)
        return fields

    def rekey(self, now_ms: int) -> int:
        """Begin a new data key for every node that has another person now than its key; how many. Of nodes
        that were paired since, note beside the store that they are somebody's.
        """
        if self._peers is not None:
            self._unmarked = lost.keep(self._peers, self.state, self._unmarked)
        changed = 0
        for node in {span.node for span in self.state.spans()} | set(self._keyed):
            person = self.state.person_at(node, now_ms)
            if self._keyed.get(node) != person:
                with self._store.transaction():
                    self._store.sealer.begin(now_ms, node, person)
                self._keyed[node] = person
                changed += 1
        return changed

    def _index(self) -> None:
        """Bring the table `records` up to the journal: the step between the two can have been cut off."""
        kinds = ", ".join(str(kind) for kind in _KINDS)
        missing = self._store.db.execute(
            f"SELECT id FROM journal WHERE kind IN ({kinds}) AND data IS NOT NULL "
            "AND id > (SELECT coalesce(max(journal), 0) FROM records) ORDER BY id"
        ).fetchall()
        found: list[tuple[int, Fields, bytes]] = []
        for (at,) in missing:
            for row in journal_rows(self._store.db, at, at):
                record: bytes = wire.parse_entry(row.data or b"")[1]
                found.append((at, read_record(record), record))
        if found:
            self._write(found)

    def _write(self, found: list[tuple[int, Fields, bytes]]) -> None:
        with self._store.transaction() as db:
            for journal, fields, record in found:
                db.execute(
                    "INSERT OR IGNORE INTO records VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        fields["record_id"],
                        fields["record"],
                        fields["person"],
                        *(fields.get(name) for name in ("node_id", "forwarder", "purpose")),
                        *(fields.get(name) for name in ("from_ms", "to_ms", "by", "made_at_ms", "replaces")),
                        journal,
                        b"" if fields["record"] == MANUAL else record,
                    ),
                )


def _entry(fields: Fields, record: bytes, now_ms: int) -> Entry:
    what = fields["record"]
    kind = next(kind for kind, name in _KINDS.items() if name == what)
    return Entry(kind, _ENTRY[what](record), now_ms, fields["person"] if what == MANUAL else None)

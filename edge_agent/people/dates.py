"""When a frame was measured, and so whose it is.

A frame carries its node's time since boot. What was received today may have been measured yesterday, when
the node was somebody else's: the moment of arrival says nothing. The clock fits in the journal date the
boots that met an agent (clocks.py: also where they contradict each other); others are dated by their
neighbours, between which they lie. Every date is an interval, and a frame belongs to a person only if the
node was that person's over all of it.

What is measured on nobody belongs to nobody: a frame that names a source (a replay, a model), and all frames
of a boot whose boot frame names an input in the place of its sensors. Where that cannot be known, it is
taken for nobody's: a record that lacks something is mended, one that holds somebody else's data is not.
"""

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from edge_agent.people.clocks import Clock, Fit
from edge_agent.people.state import PeopleState
from edge_agent.store.rows import JournalRow, SealBroken, journal_rows
from edge_agent.store.schema import ENTRY_CLOCK, ENTRY_FRAME, ENTRY_MANUAL
from protocol import cbor, frames
from protocol.errors import CborError, FrameError
from protocol.records import read_record

log = logging.getLogger("vitalwire.people")

# So many boots with other counters are asked when one never met an agent.
NEIGHBOURS = 16
ALWAYS_MS = 1 << 53

# Frames of these kinds say themselves what was measured.
SAYS_ITS_SOURCE = frozenset((frames.KIND_WAVE, frames.KIND_VITALS, frames.KIND_BP))


class Dated(NamedTuple):
    """Unix ms, both in: it was measured at some moment of this interval."""

    low_ms: int
    high_ms: int


def node_time(plaintext: bytes) -> int | None:
    """A frame's `t_us`, without decoding the rest; None when it has none."""
    kind_bytes = _head_bytes(plaintext, 1)
    if not plaintext or plaintext[0] != 0x83 or kind_bytes is None:
        return None
    at = 1 + kind_bytes
    size = _head_bytes(plaintext, at)
    if size is None:
        return None
    return plaintext[at] if size == 1 else int.from_bytes(plaintext[at + 1 : at + size], "big")


def _head_bytes(data: bytes, at: int) -> int | None:
    """How long the unsigned integer at `at` is; None: there is none."""
    if at >= len(data) or data[at] > 27:
        return None
    size = 1 if data[at] < 24 else 1 + (1 << (data[at] - 24))
    return size if at + size <= len(data) else None


def fits_of(db: Any, boot: int, after: int = 0) -> list[tuple[Fit, int]]:
    """The clock fits of a boot (its row in `boots`) with their journal ids, those after `after` only."""
    (node, name) = db.execute("SELECT node, boot FROM boots WHERE id = ?", (boot,)).fetchone()
    # A fit begins as its row does: an array of seven, its kind, node and boot. The index `fits` has that.
    return [
        (Fit(*cbor.loads(data)[3:]), journal)
        for journal, data in db.execute(
            f"SELECT id, data FROM journal WHERE kind = {ENTRY_CLOCK} AND substr(data, 1, 24) = ? AND id > ?",
            (b"\x87\x02\x48" + node + b"\x4c" + name, after),
        ).fetchall()
    ]


class Clocks:
    """The clocks of the boots in a store, kept between pieces of work: each time only new fits are read."""

    def __init__(self, db: Any) -> None:
        self.db = db
        self._known: dict[int, tuple[Clock, int]] = {}
        self._told: dict[int, int] = {}

    def of(self, boot: int) -> Clock:
        """The clock of a boot (its row in `boots`), with all fits that are in the journal now."""
        clock, last = self._known.get(boot) or (Clock(), 0)
        found = fits_of(self.db, boot, last)
        if not found:
            return clock
        found.sort()
        if clock and found[0][0].t_us < clock.last_us:
            del self._known[boot]
            return self.of(boot)
        for fit, journal in found:
            clock.add(fit, journal)
        self._known[boot] = clock, max(last, *(journal for _, journal in found))
        if clock.regimes > 1 and self._told.get(boot) != clock.regimes:
            self._told[boot] = clock.regimes
            node, name = self.db.execute("SELECT node, boot FROM boots WHERE id = ?", (boot,)).fetchone()
            log.warning(
                "node %s, boot %d: its clock fits contradict each other by up to %.1f s, since the clock of "
                "this machine was set: frames that may so be of two persons go into neither's record",
                node.hex(),
                int.from_bytes(name[:4], "big"),
                clock.apart_us / 1e6,
            )
        return clock


class Dates:
    """Dates frames by what is in a store; one for each piece of work, for what it has read it remembers.
    `db`: a connection as the store's; `clocks`: those of that connection. Used from one thread.
    """

    def __init__(self, db: Any, clocks: Clocks | None = None) -> None:
        self._db = db
        self._clocks = clocks or Clocks(db)
        self._read: dict[int, Clock] = {}
        self._between: dict[int, Dated] = {}
        self._inputs: dict[int, bool | None] = {}
        self._rows: dict[tuple[bytes, bytes], int | None] = {}

    # When

    def of(self, row: JournalRow, plaintext: bytes | None = None) -> Dated:
        """When the frame in that row was measured. What is known of no frame is known of it: it was not
        measured after it was received.
        """
        data = row.data if plaintext is None else plaintext
        t_us = node_time(data) if data else None
        boot = self._boot(row)
        if boot is None or row.node is None or row.boot is None:
            return Dated(0, row.made_ms)
        clock = self.clock(boot)
        if t_us is None or not clock:
            return self._by_neighbours(boot, row.node, row.boot, row.made_ms)
        low_us, high_us = clock.at(t_us)
        return Dated(max(0, low_us // 1000), max(0, -(-high_us // 1000)))

    def fit_rows(self, boot: int) -> list[int]:
        """Journal ids of the fits by which anybody dates that boot's frames as they are dated here."""
        clock = self.clock(boot)
        if clock.regimes <= 1:
            return sorted(one.name for one in clock.kept)
        return sorted(journal for _, journal in fits_of(self._db, boot))

    def clock(self, boot: int) -> Clock:
        """The clock of a boot (its row in `boots`), as it was when it was first asked for here."""
        found = self._read.get(boot)
        if found is None:
            found = self._read[boot] = self._clocks.of(boot)
        return found

    def _by_neighbours(self, boot: int, node: bytes, name: bytes, received_ms: int) -> Dated:
        """Between the last moment that is known of an earlier boot and the beginning of a later one."""
        known = self._between.get(boot)
        if known is None:
            known = self._between[boot] = Dated(self._after(node, name), self._before(node, name))
        # A clock that was set back may turn the two round: then nothing is known but its arrival.
        low_ms, high_ms = known.low_ms, min(known.high_ms, received_ms)
        return Dated(low_ms, high_ms) if low_ms <= high_ms else Dated(0, received_ms)

    def _after(self, node: bytes, name: bytes) -> int:
        for (earlier,) in self._db.execute(
            "SELECT id FROM boots WHERE node = ? AND boot < ? ORDER BY boot DESC LIMIT ?",
            (node, name[:4], NEIGHBOURS),
        ).fetchall():
            clock = self.clock(earlier)
            if clock:
                return max(0, clock.at(clock.last_us)[0] // 1000)
        return 0

    def _before(self, node: bytes, name: bytes) -> int:
        for (later,) in self._db.execute(
            "SELECT id FROM boots WHERE node = ? AND boot > ? ORDER BY boot LIMIT ?",
            (node, name[:4] + b"\xff" * 8, NEIGHBOURS),
        ).fetchall():
            clock = self.clock(later)
            if clock:
                return max(0, -(-clock.at(0)[1] // 1000))
        return ALWAYS_MS

    # Whose

    def on_a_body(self, row: JournalRow) -> bool | None:
        """Whether the frame in that row was measured on a body; None: that cannot be known."""
        boot = self._boot(row)
        try:
            kind, _, body = frames.unpack(row.data or b"")
        except (FrameError, CborError):
            return None
        if kind == frames.KIND_BOOT:
            return frames.BOOT_INPUT not in body
        says = kind in SAYS_ITS_SOURCE
        if says and (frames.SOURCE in body or frames.SOURCE_PPG in body):
            return False
        has_input = None if boot is None else self._input(boot)
        if has_input is None:
            return True if says else None
        return not has_input

    def _input(self, boot: int) -> bool | None:
        """Whether that boot's sensors were replaced by an input; None: its boot frame is not here."""
        if boot not in self._inputs:
            self._inputs[boot] = self._input_of(boot)
        return self._inputs[boot]

    def _input_of(self, boot: int) -> bool | None:
        for (at,) in self._db.execute(
            f"SELECT id FROM journal WHERE kind = {ENTRY_FRAME} AND boot = ? ORDER BY seq LIMIT 2", (boot,)
        ).fetchall():
            try:
                (row,) = list(journal_rows(self._db, at, at))
                kind, _, body = frames.unpack(row.data or b"")
            except (FrameError, CborError, SealBroken):
                continue
            if kind == frames.KIND_BOOT:
                return frames.BOOT_INPUT in body
        return None

    def whose(self, state: PeopleState, row: JournalRow) -> bytes | None:
        """The person whose record the frame in that row belongs to; None: nobody's.

        Measured on a body, by a node that was that person's at every moment at which it can have been.
        """
        if row.node is None or not state.persons_of(row.node):
            return None
        who = self.may_be(state, row)
        if row.node in state.lost and state.is_lost(row.node, self.of(row).low_ms):
            return None
        if len(who) != 1 or None in who or self.on_a_body(row) is not True:
            return None
        return next(iter(who))

    def may_be(self, state: PeopleState, row: JournalRow) -> set[bytes | None]:
        """Everybody whose node it was at some moment at which the frame can have been measured; None among
        them: it may have been nobody's.
        """
        if row.node is None:
            return {None}
        return state.persons_between(row.node, *self.of(row))

    def _boot(self, row: JournalRow) -> int | None:
        if row.node is None or row.boot is None:
            return None
        key = (row.node, row.boot)
        if key not in self._rows:
            found = self._db.execute("SELECT id FROM boots WHERE node = ? AND boot = ?", key).fetchone()
            self._rows[key] = None if found is None else found[0]
        return self._rows[key]


def withheld(
    state: PeopleState,
    clocks: Clocks,
    rows: Iterable[JournalRow],
    forwarder: str,
    purpose: str,
    now_ms: int,
) -> set[int]:
    """Journal ids of the rows that this forwarder may not have now: frames that may be of a person who has
    not allowed it, and what was typed about one; frames of a node whose person is forgotten (lost.py).

    A frame that can have been one of two persons' needs both. Frames of an input that is no body are
    nobody's, and need none.
    """
    if state.empty and not state.lost:
        return set()
    barred: dict[bytes, bool] = {}

    def bars(person: bytes | None) -> bool:
        if person is None:
            return False
        if person not in barred:
            barred[person] = not state.allows(forwarder, purpose, person, now_ms)
        return barred[person]

    nodes: dict[bytes, bool] = {}
    dates: Dates | None = None
    out: set[int] = set()
    for row in rows:
        if row.kind == ENTRY_MANUAL and row.data and bars(_about(row.data)):
            out.add(row.id)
        if row.node is None:
            continue
        if row.node not in nodes:
            barring = any(bars(person) for person in state.persons_of(row.node))
            nodes[row.node] = barring or row.node in state.lost
        # What is not of such a node is not even looked at: this is on every frame's way.
        if not nodes[row.node]:
            continue
        dates = dates or Dates(clocks.db, clocks)
        held = state.is_lost(row.node, dates.of(row).low_ms)
        held = held or any(bars(person) for person in dates.may_be(state, row))
        if held and dates.on_a_body(row) is not False:
            out.add(row.id)
    return out


def _about(typed: bytes) -> bytes:
    """The person of a manual entry."""
    return read_record(cbor.loads(typed)[1])["person"]

"""What the FHIR forwarder reads in the store: which batches go together, and what is known of a boot.

Batches of one chain that were signed within one minute are one group, 64 at most: what they hold of a minute
becomes one observation. Which batches are in a group depends on nothing but their chain, number and time, so
a group that is sent again, by whatever cause, makes the same resources. Used in the store's thread.
"""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from edge_agent.clockfit import Fix
from edge_agent.forward.fhir_map import Batch
from edge_agent.people_dates import Dates
from edge_agent.store.database import Database
from edge_agent.store.rows import frames_of
from edge_agent.store.store import Store
from protocol import frames as f
from protocol.errors import ProtocolError

MINUTE_MS = 60_000
GROUP = 64
# An agent that signs nothing more leaves a minute open for so long after its end.
SETTLED_MS = 10_000


class People(Protocol):
    """Whose a node was, and what they agreed to."""

    def person_at(self, node: bytes, unix_ms: int) -> bytes | None:
        """Whose node it was then."""
        ...

    def allows(self, forwarder: str, purpose: str, person: bytes, unix_ms: int) -> bool:
        """Whether the person agreed."""
        ...


class Group(NamedTuple):
    """Batches that are mapped together: their ids, what proves them, whether there will be no more."""

    ids: list[int]
    batches: list[Batch]
    closed: bool


class Letter(NamedTuple):
    """A dead letter: its row, the first batch of its group, the name of what was refused, why, and when."""

    id: int
    batch: int
    item: str
    reason: str
    at_ms: int


def retry_file(state_dir: Path) -> Path:
    """Its being there asks the agent to try the dead letters again; the agent takes it away."""
    return state_dir / "dead-letters.retry"


def group_of(db: Database, batch: int, now_ms: int) -> Group:
    """The group that a batch belongs to."""
    chain, number, made_ms = db.execute(
        "SELECT chain, number, made_ms FROM batches WHERE id = ?", (batch,)
    ).fetchone()
    minute, first = made_ms // MINUTE_MS, number // GROUP * GROUP
    found = db.execute(
        "SELECT id, chain, number, signed, made_ms FROM batches WHERE chain = ? AND number BETWEEN ? AND ? "
        "AND made_ms / ? = ? ORDER BY number",
        (chain, first, first + GROUP - 1, MINUTE_MS, minute),
    ).fetchall()
    (newest,) = db.execute("SELECT max(id) FROM batches").fetchone()
    over = now_ms >= (minute + 1) * MINUTE_MS + SETTLED_MS
    return Group([row[0] for row in found], [Batch(*row[1:]) for row in found], over or newest > found[-1][0])


def letters(db: Database, forwarder: str, limit: int = 1000) -> list[Letter]:
    """The oldest dead letters of a forwarder."""
    found = db.execute(
        "SELECT id, batch, item, reason, at_ms FROM dead_letters WHERE forwarder = ? ORDER BY id LIMIT ?",
        (forwarder, limit),
    )
    return [Letter(*row) for row in found]


def has_letter(db: Database, forwarder: str, batch: int, item: str) -> bool:
    """Whether that is a dead letter already."""
    question = "SELECT 1 FROM dead_letters WHERE forwarder = ? AND batch = ? AND item = ?"
    return db.value(question, (forwarder, batch, item)) is not None


def forget(store: Store, letter: int) -> None:
    """What a dead letter is about was taken after all, or is gone. StoreUnwritable."""
    with store.transaction() as db:
        db.execute("DELETE FROM dead_letters WHERE id = ?", (letter,))


class Shelf:
    """fhir_gather.Look on a store. Without `people` nobody is known, so nothing leaves."""

    def __init__(self, db: Database, people: People | None) -> None:
        self._db = db
        self._people = people
        self._dates = Dates(db)
        self._rows: dict[tuple[bytes, bytes], int | None] = {}

    def person_at(self, node: bytes, unix_ms: int) -> bytes | None:
        """Whose node it was then."""
        return None if self._people is None else self._people.person_at(node, unix_ms)

    def allows(self, forwarder: str, purpose: str, person: bytes, unix_ms: int) -> bool:
        """Whether the person agreed."""
        return self._people is not None and self._people.allows(forwarder, purpose, person, unix_ms)

    def fix(self, node: bytes, boot: bytes, t_us: int) -> Fix | None:
        """The clock fit of that boot that is nearest to a node time."""
        row = self._row(node, boot)
        fits = [] if row is None else list(self._dates.fits(row))
        if not fits:
            return None
        return Fix(*min(fits, key=lambda fit: abs(fit.t_us - t_us)))

    def boot_frame(self, boot: bytes, node: bytes) -> dict[int, Any] | None:
        """The body of the frame that the boot begins with."""
        for _, plaintext in self.frames(node, boot, 0, 2):
            try:
                kind, _, body = f.unpack(plaintext)
            except ProtocolError:
                continue
            if kind == f.KIND_BOOT:
                return body
        return None

    def frames(self, node: bytes, boot: bytes, first: int, count: int) -> list[tuple[int, bytes]]:
        """The frames of that range that are in the store: (number, plaintext)."""
        row = self._row(node, boot)
        if row is None:
            return []
        found = frames_of(self._db, row, first, first + count - 1)
        return [(one.seq, one.data) for one in found if one.seq is not None and one.data is not None]

    def _row(self, node: bytes, boot: bytes) -> int | None:
        key = (node, boot)
        if key not in self._rows:
            self._rows[key] = self._db.value("SELECT id FROM boots WHERE node = ? AND boot = ?", key)
        return self._rows[key]

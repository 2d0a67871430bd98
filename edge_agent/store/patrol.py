"""Reading what is kept while the agent runs, so that a page that the disk has spoilt is noticed within an
hour or so, and not when somebody asks for it.

SQLite looks at no page that it has in memory, and at none that nobody wants. What is read here comes from the
file: by a connection of its own, whose memory holds next to nothing. Some rows at a time, from the first to
the last and then anew; indexes are not read, whose damage loses nothing.
"""

from edge_agent.store import database
from edge_agent.store.portions import Portion
from edge_agent.store.store import Store

ROWS = 100, 20_000
# The greatest of the values is wanted, so that all bytes of each are read.
_READ = (
    "SELECT max(id), max(data) FROM (SELECT id, data FROM journal WHERE id > ? ORDER BY id LIMIT ?)",
    "SELECT max(id), max(signed) FROM (SELECT id, signed FROM batches WHERE id > ? ORDER BY id LIMIT ?)",
    "SELECT max(batch), max(receipt) FROM "
    "(SELECT batch, receipt FROM receipts WHERE batch > ? ORDER BY batch LIMIT ?)",
)


class Patrol:
    """Reads the rows of a store; `rounds`: how often all of them. Used in the store's thread."""

    def __init__(self, store: Store) -> None:
        self.rounds = 0
        self._store = store
        self._db: database.Database | None = None
        self._rows = Portion(*ROWS)
        self._table = 0
        self._at = 0

    def step(self) -> None:
        """Some more rows. StoreCorrupt: one cannot be read, what it says is wrong; StoreUnwritable: the disk
        refuses, nothing is known.
        """
        try:
            if self._db is None:
                self._db = self._store.reader()
                self._db.pragma("cache_size", -64)
            with self._rows.taken() as some:
                last = self._db.value(_READ[self._table], (self._at, some))
        except database.Error as e:
            raise self._store.named(e) from e
        if last is not None:
            self._at = last
            return
        self._at, self._table = 0, (self._table + 1) % len(_READ)
        self.rounds += self._table == 0

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

"""Waves around an alarm become strips by themselves: kept longer than others, and handed on.

An event that says that an alarm of medium or high priority began makes a row in `alarm_windows`, in the
transaction that stores its frame, and not without it; of one alarm and priority once, for a node tells again
what is on when it connects: around the telling that the node made first, whichever came first. When every
frame of that time that can come has come, its waves become evidence (class 1) and rows of `strips`, one a
channel, in one transaction. Waves that are evidence already, for another alarm or a command, are not named
again: where alarms overlap, the strips are their union.

Times are the node's, so that it does not matter when what came. While a node is away what is there is kept
after QUIET_MS, and the rest when it comes, for a day. All that is remembered is in the store.

A node may number and date its frames as it likes: reading takes no more than AT_ONCE frames a turn and a
tenth of the store's thread, in turn for each node; nothing is read again where nothing has come.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

from edge_agent.ledger.facts import BootFacts
from edge_agent.nodes.ingest import Worker
from edge_agent.remote.alarm_walk import MOST_FRAMES, Found, Near, Waves, find
from edge_agent.remote.strips import LATE_US, runs
from edge_agent.store import database
from edge_agent.store.errors import StoreError
from edge_agent.store.items import Write
from edge_agent.store.schema import CLASS_STRIP, CLASS_WAVE
from edge_agent.store.store import Store
from edge_agent.tasks import end
from protocol import cbor, frames

log = logging.getLogger("vitalwire.commands")

# An alarm storm must not make all waves strips: of each hour of a node so much at most, of which alarms of
# medium priority take no more than half.
HOUR_US = 3_600_000_000
MOST_US = 600_000_000
# A node cannot fill the table: of its alarms so many are remembered, for a day; the last ones are for those
# of high priority.
MOST_ROWS, FOR_HIGH = 500, 100
DAY_MS = 86_400_000
# What is there is kept when nothing has come for so long, or when the alarm is so old.
QUIET_MS, OLD_MS = 120_000, 600_000
# Frames that are read in one turn of the store's thread; a transaction counts as so many.
AT_ONCE, SETTLING = 512, 128
# After a turn that left something to do the thread is others' for so many times as long.
OTHERS = 9
# Pauses between two looks at a window; those at one that is old grow to a tenth of its age.
FIRST_PAUSE_S, MOST_PAUSE_S, OLD_PAUSE_S, FORGET_S = 2.0, 60.0, 600.0, 3600.0

_SAME = "SELECT 1 FROM alarm_windows WHERE node = ?1 AND boot = ?2 AND alarm = ?3 AND priority = ?4"
_UNTOUCHED = "done = 0 AND kept_us = 0"
# Told before, it is known. What nothing was kept of moves; else there is one more.
_NOTE = (
    "INSERT INTO alarm_windows(node, boot, alarm, priority, seq, at_us, heard_ms) "
    "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 "
    f"WHERE NOT EXISTS ({_SAME} AND seq <= ?5) AND (EXISTS ({_SAME} AND {_UNTOUCHED}) "
    "OR (SELECT count(*) FROM alarm_windows WHERE node = ?1) < ?8) "
    f"ON CONFLICT(node, boot, alarm, priority) WHERE {_UNTOUCHED} "
    "DO UPDATE SET seq = excluded.seq, at_us = excluded.at_us"
)
REFUSED = "alarm_strips_refused"
_COUNT_REFUSED = (
    f"INSERT INTO meta(key, value) SELECT '{REFUSED}', 1 WHERE NOT EXISTS ({_SAME} AND seq <= ?5) "
    "ON CONFLICT(key) DO UPDATE SET value = value + 1"
)
_OPEN = "SELECT id, node, boot, priority, seq, at_us, heard_ms FROM alarm_windows WHERE done = 0 ORDER BY id"
_OLD = "done AND abs(heard_ms - ?) > ?"


class Window(NamedTuple):
    """A row of `alarm_windows` that is not done."""

    id: int
    node: bytes
    boot: bytes
    priority: int
    seq: int
    at_us: int
    heard_ms: int


@dataclass
class _Care:
    """When a window is looked at next, and what the last look saw: Near.counts() of the numbers from `first`
    to `last`, and whether what was there was kept.
    """

    window: Window
    due_s: float
    pause_s: float
    first: int
    last: int
    seen: tuple[bool, int, int] | None = None
    late: bool = False


class _Look(NamedTuple):
    """A look that is under way: `near` is of when it began."""

    window: Window
    near: Near
    walk: Generator[int, None, Found]


class AlarmStrips:
    """Of all nodes of one agent. `kept`, `over`: windows since the start that became strips, and that did not
    because of MOST_US; `refused`: since the store was made, alarms that were told and found no row.
    """

    def __init__(
        self,
        store: Store,
        worker: Worker,
        unix_ms: Callable[[], int],
        before_s: int,
        after_s: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kept = 0
        self.over = 0
        self.refused = 0
        self._store = store
        self._worker = worker
        self._unix_ms = unix_ms
        self._before_us, self._after_us = before_s * 1_000_000, after_s * 1_000_000
        self._monotonic = monotonic
        self._task: asyncio.Task[None] | None = None
        self._problem = ""
        self._next_s: float | None = monotonic()
        # In the store's thread: by row; by node, and when each node had its last step.
        self._cares: dict[int, _Care] = {}
        self._looks: dict[bytes, _Look] = {}
        self._served: dict[bytes, int] = {}
        self._steps = 0

    def heard(self, node: bytes, boot: bytes, seq: int, t_us: int, body: dict[int, Any]) -> tuple[Write, ...]:
        """What an event has stored along with its frame."""
        priority = body[frames.EVENT_PRIORITY]
        if body.get(frames.EVENT_STATE) != frames.STATE_BEGAN or priority < frames.PRIORITY_MEDIUM:
            return ()
        if not self._before_us + self._after_us:
            return ()
        # What has no number is one alarm a code.
        alarm = body.get(frames.EVENT_ALARM, -body[frames.EVENT_CODE])
        soon_s = self._monotonic() + self._first_look_s
        self._next_s = soon_s if self._next_s is None else min(self._next_s, soon_s)
        told = node, boot, alarm, priority, seq
        most = MOST_ROWS if priority >= frames.PRIORITY_HIGH else MOST_ROWS - FOR_HIGH
        return Write(_NOTE, (*told, t_us, self._unix_ms(), most)), Write(_COUNT_REFUSED, told)

    def status(self) -> dict[str, int]:
        """For status.json."""
        return {"kept": self.kept, "over": self.over, "refused": self.refused}

    @property
    def _first_look_s(self) -> float:
        # The frame that says that it is over has a way, too.
        return (self._after_us + LATE_US) / 1e6 + 1

    def step(self) -> None:
        """Have the store looked at when something is due; to be called again and again."""
        if self._task is None and self._next_s is not None and self._next_s <= self._monotonic():
            self._task = asyncio.get_running_loop().create_task(self._turn())

    async def stop(self) -> None:
        """Look no more: what is open is looked at by the next agent."""
        if self._task is not None:
            await end(self._task)

    async def _turn(self) -> None:
        self._next_s = None
        next_s: float | None = self._monotonic() + FIRST_PAUSE_S
        try:
            next_s = await self._worker.run(self.turn)
            self._problem = ""
        except (StoreError, database.Error) as e:
            # A disk that is full stays so for a while, and this comes every other second.
            if str(e) != self._problem:
                log.warning("strips around alarms: %s; trying again", e)
            self._problem = str(e)
        finally:
            self._task = None
            if next_s is not None:
                self._next_s = next_s if self._next_s is None else min(self._next_s, next_s)

    # In the store's thread

    def turn(self) -> float | None:
        """Read some frames around alarms; when to come again, None when none is open. StoreError."""
        db, now_s, began_s = self._store.db, self._monotonic(), time.perf_counter()
        self.refused = self._store.meta(REFUSED) or 0
        due = self._due([Window(*row) for row in db.execute(_OPEN).fetchall()], now_s)
        left = AT_ONCE
        while left > 0 and due:
            node = min(due, key=lambda one: self._served.get(one, 0))
            self._steps += 1
            self._served[node] = self._steps
            cost, over = self._step(due[node][-1], now_s)
            left -= cost
            if over:
                due[node].pop()
                if not due[node]:
                    del due[node]
        self._forget()
        if due:
            return now_s + OTHERS * (time.perf_counter() - began_s)
        later_s = now_s + FORGET_S if db.value("SELECT 1 FROM alarm_windows LIMIT 1") else None
        return min((care.due_s for care in self._cares.values()), default=later_s)

    def _due(self, windows: list[Window], now_s: float) -> dict[bytes, list[Window]]:
        """Those of each node that are due, the first one last: what is being looked at, else the oldest.
        What is remembered of others than `windows` is forgotten; one that has moved is begun anew.
        """
        cares: dict[int, _Care] = {}
        for window in windows:
            care = self._cares.get(window.id)
            cares[window.id] = care if care is not None and care.window == window else self._first(window)
        self._cares = cares
        self._looks = {
            node: look
            for node, look in self._looks.items()
            if look.window.id in cares and cares[look.window.id].window == look.window
        }
        nodes = {window.node for window in windows}
        self._served = {node: step for node, step in self._served.items() if node in nodes}
        due: dict[bytes, list[Window]] = {node: [] for node in nodes}
        for window in reversed(windows):
            look = self._looks.get(window.node)
            if cares[window.id].due_s <= now_s and (look is None or look.window != window):
                due[window.node].append(window)
        for node, look in self._looks.items():
            due[node].append(look.window)
        return {node: some for node, some in due.items() if some}

    def _first(self, window: Window) -> _Care:
        """A window that was not looked at yet."""
        since_s = (self._unix_ms() - window.heard_ms) / 1000
        wait_s = min(max(0.0, self._first_look_s - since_s), self._first_look_s)
        first = max(0, window.seq - MOST_FRAMES)
        return _Care(window, self._monotonic() + wait_s, FIRST_PAUSE_S, first, window.seq + MOST_FRAMES)

    def _forget(self) -> None:
        old = self._unix_ms(), DAY_MS
        if self._store.db.value(f"SELECT 1 FROM alarm_windows WHERE {_OLD} LIMIT 1", old):
            with self._store.transaction() as db:
                db.execute(f"DELETE FROM alarm_windows WHERE {_OLD}", old)

    def _step(self, window: Window, now_s: float) -> tuple[int, bool]:
        """Look at a window, or go on with it: what that cost, in frames, and whether the look is over."""
        look = self._looks.pop(window.node, None)
        if look is None:
            facts = self._store.boots.get((window.node, window.boot))
            near = None if facts is None else Near.of(facts, window.seq)
            self._later(window, now_s)
            if facts is None or near is None or not self._worth(window, facts, near):
                if self._age_ms(window) > DAY_MS:
                    self._done(window, 0, {})
                    return SETTLING, True
                return 1 if near is None else near.cost, True
            if self._room_us(window) <= 0:
                self._too_much(window)
                return SETTLING, True
            look = _Look(window, near, find(self._store.db, facts, window.seq, *self._span(window)))
        try:
            cost = next(look.walk)
        except StopIteration as e:
            self._settle(look, e.value)
            return SETTLING, True
        self._looks[window.node] = look
        return cost, False

    def _later(self, window: Window, now_s: float) -> None:
        care = self._cares[window.id]
        care.due_s = now_s + care.pause_s
        most_s = max(MOST_PAUSE_S, min(OLD_PAUSE_S, self._age_ms(window) / 10_000))
        care.pause_s = min(2 * care.pause_s, most_s)

    def _worth(self, window: Window, facts: BootFacts, near: Near) -> bool:
        """Whether a look could find more than the last one, or is to keep what that one left."""
        care = self._cares[window.id]
        if care.seen != near.counts(care.first, care.last):
            return True
        return self._late(window, facts) and not care.late

    def _age_ms(self, window: Window) -> int:
        return _apart(self._unix_ms(), window.heard_ms)

    def _late(self, window: Window, facts: BootFacts) -> bool:
        quiet_ms = _apart(self._unix_ms(), max(facts.heard_ms, window.heard_ms))
        return quiet_ms >= QUIET_MS or self._age_ms(window) >= OLD_MS

    def _settle(self, look: _Look, found: Found) -> None:
        """Keep what is there if that is all, or nothing more comes soon."""
        window, near = look.window, look.near
        facts = self._store.boots[window.node, window.boot]
        care = self._cares[window.id]
        care.first = max(care.first, found.first)
        care.last = window.seq + MOST_FRAMES if found.last is None else found.last
        seen = near.counts(care.first, care.last)
        late = self._late(window, facts)
        # By what was known when the look began: what has come since is not among what it found.
        whole = not near.listed or (found.last is not None and not seen[2])
        whole = whole or self._age_ms(window) > DAY_MS
        if whole or late:
            new = {channel: self._new(waves) for channel, waves in found.waves.items()}
            new = {channel: waves for channel, waves in new.items() if waves}
            new_us = max((sum(us for _, _, us in waves) for waves in new.values()), default=0)
            if new_us > self._room_us(window):
                self._too_much(window)
                return
            if new or whole:
                self._done(window, new_us, new, whole)
                self.kept += bool(new)
        care.seen, care.late = seen, late

    def _too_much(self, window: Window) -> None:
        self.over += 1
        log.info(
            "node %s: an alarm's waves are kept as others are: more than %d s of strips within an hour",
            window.node.hex(),
            MOST_US // 1_000_000,
        )
        self._done(window, 0, {})

    def _span(self, window: Window) -> tuple[int, int]:
        return max(0, window.at_us - self._before_us), window.at_us + self._after_us

    def _new(self, waves: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """Those that are no evidence yet, and not gone since they were read."""
        sort = "SELECT class FROM journal WHERE id = ? AND data NOTNULL"
        return [one for one in waves if self._store.db.value(sort, (one[1],)) == CLASS_WAVE]

    def _room_us(self, window: Window) -> int:
        """What may be kept of that node now: of this boot by its clock, of other boots by when they came."""
        used = self._store.db.value(
            "SELECT coalesce(sum(kept_us), 0) FROM alarm_windows WHERE node = ? AND "
            "CASE WHEN boot = ? THEN abs(at_us - ?) < ? ELSE abs(heard_ms - ?) < ? END",
            (window.node, window.boot, window.at_us, HOUR_US, window.heard_ms, HOUR_US // 1000),
        )
        most = MOST_US if window.priority >= frames.PRIORITY_HIGH else MOST_US // 2
        return most - used

    def _done(self, window: Window, kept_us: int, new: Waves, whole: bool = True) -> None:
        """Keep these waves, durably and together with what is remembered of the window. StoreUnwritable."""
        from_us, to_us = self._span(window)
        with self._store.transaction() as db:
            for channel, waves in sorted(new.items()):
                db.executemany(
                    "UPDATE journal SET class = ? WHERE id = ?", [(CLASS_STRIP, row) for _, row, _ in waves]
                )
                seqs = [seq for seq, _, _ in waves]
                db.execute(
                    "INSERT INTO strips(command, node, boot, channel, from_us, to_us, frames, made_ms) "
                    "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        _name(window, channel, seqs[0]),
                        window.node,
                        window.boot,
                        channel,
                        from_us,
                        to_us,
                        cbor.dumps(runs(seqs)),
                        self._unix_ms(),
                    ),
                )
            db.execute(
                "UPDATE alarm_windows SET kept_us = kept_us + ?, done = ? WHERE id = ?",
                (kept_us, whole, window.id),
            )


def _name(window: Window, channel: int, seq: int) -> bytes:
    """In the place of a command's id (8 bytes): a frame is in one strip, so its first one names it."""
    return b"alarm" + window.node + window.boot + bytes((channel,)) + seq.to_bytes(4, "big")


def _apart(a_ms: int, b_ms: int) -> int:
    """A host's clock may be set, either way: then something is kept a little early."""
    return abs(a_ms - b_ms)

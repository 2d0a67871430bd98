"""Strips on request: waveforms that somebody asked for are kept longer than others, and handed over.

A strip is of one channel of one boot of a node, of the seconds before the command or after it. When its time
is over and what the node had in flight has come, its frames are marked as evidence (class 1: evicted after
all other waveforms) and named in the table `strips`, which forwarders read.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from edge_agent.nodes.ingest import Worker
from edge_agent.remote.commands_kept import Task
from edge_agent.store import database
from edge_agent.store.errors import StoreError
from edge_agent.store.rows import JournalRow, SealBroken, frames_of
from edge_agent.store.schema import CLASS_STRIP, CLASS_WAVE
from edge_agent.store.store import Store
from edge_agent.tasks import end
from protocol import cbor, frames, remote
from protocol.errors import ProtocolError

log = logging.getLogger("vitalwire.commands")

# FROM_MS: when FROM_US was, in Unix ms.
CHANNEL, FROM_US, TO_US, FROM_MS = 1, 2, 3, 4
# What is measured is stored so much later at most, while the node is connected: a frame's own length, and its
# way.
LATE_US = 3_000_000
# Backwards from the newest frame, so many at a time; a frame that begins so long before the strip has nothing
# of it.
CHUNK = 256
LONGEST_US = 30_000_000

Served = Callable[[Task, tuple[tuple[bytes, int, int], ...], str], None]


class Clock(Protocol):
    """What is asked about a node."""

    def live(self, node: bytes) -> tuple[bytes, int] | None:
        """(boot id, the boot's clock now in µs) where it is connected."""
        ...


class Strips:
    """Serves strips from the store. `served`: who is told (Commander.served); `person_at(node, unix_ms)`:
    whose node it is: a strip is of whoever it was when the command came, and of nobody else.
    """

    def __init__(
        self,
        store: Store,
        worker: Worker,
        clock: Clock,
        unix_ms: Callable[[], int],
        person_at: Callable[[bytes, int], bytes | None],
    ) -> None:
        self.served: Served | None = None
        self._store = store
        self._worker = worker
        self._clock = clock
        self._unix_ms = unix_ms
        self._person_at = person_at
        self._running: dict[bytes, asyncio.Task[None]] = {}

    def begin(self, task: Task, t_us: int) -> dict[int, Any]:
        """What the strip is of, for the task's row: a channel, from and to of the boot's clock."""
        given = task.command.arguments or {}
        length_us = given[remote.STRIP_SECONDS] * 1_000_000
        ahead = given.get(remote.STRIP_NEXT, False)
        from_us = t_us if ahead else max(0, t_us - length_us)
        to_us = t_us + length_us if ahead else t_us
        from_ms = self._unix_ms() - (t_us - from_us) // 1000
        return {CHANNEL: given[remote.STRIP_CHANNEL], FROM_US: from_us, TO_US: to_us, FROM_MS: from_ms}

    def serve(self, task: Task, late: bool) -> None:
        """Serve it once its time is over, or it is `late`; to be called again and again until then."""
        key = task.command.command_id
        assert task.body is not None
        live = self._clock.live(task.command.node_id)
        over = live is not None and (live[0] != task.boot or live[1] > task.body[TO_US] + LATE_US)
        if key not in self._running and (over or late):
            self._running[key] = asyncio.get_running_loop().create_task(self._serve(task))

    async def stop(self) -> None:
        """End what is under way: the next agent serves it."""
        await end(*self._running.values())

    async def _serve(self, task: Task) -> None:
        try:
            found = await self._worker.run(self._keep, task)
        except (StoreError, database.Error) as e:
            # It is tried again by the next step, until the Commander ends it.
            log.warning("strip %s: %s", task.command.command_id.hex(), e)
            return
        finally:
            del self._running[task.command.command_id]
        if self.served is not None:
            self.served(task, *found)

    def _keep(self, task: Task) -> tuple[tuple[tuple[bytes, int, int], ...], str]:
        """In the store's thread: mark the frames, and hand them over."""
        assert task.body is not None and task.boot is not None
        rows, seqs, covered_us = self._find(task)
        wanted_s = (task.body[TO_US] - task.body[FROM_US]) / 1e6
        if not rows:
            return (), "no waveform of that channel is stored for that time"
        command = task.command
        made = (
            command.command_id,
            command.node_id,
            task.boot,
            *(task.body[key] for key in (CHANNEL, FROM_US, TO_US)),
            cbor.dumps(runs(seqs)),
            self._unix_ms(),
        )
        with self._store.transaction() as db:
            for row in rows:
                db.execute(
                    "UPDATE journal SET class = ? WHERE id = ? AND class = ?", (CLASS_STRIP, row, CLASS_WAVE)
                )
            db.execute(
                "INSERT OR IGNORE INTO strips(command, node, boot, channel, from_us, to_us, frames, made_ms) "
                "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                made,
            )
        detail = f"{covered_us / 1e6:.1f} of {wanted_s:.1f} s"
        return ((task.boot, seqs[0], seqs[-1] - seqs[0] + 1),), detail

    def _find(self, task: Task) -> tuple[list[int], list[int], int]:
        """Journal ids and numbers of the frames, ascending, and the time that they cover."""
        assert task.body is not None
        db = self._store.db
        found = db.execute(
            "SELECT id FROM boots WHERE node = ? AND boot = ?", (task.command.node_id, task.boot)
        ).fetchone()
        if found is None:
            return [], [], 0
        boot: int = found[0]
        newest: int | None = db.value("SELECT max(seq) FROM journal WHERE kind = 0 AND boot = ?", (boot,))
        last = -1 if newest is None else newest
        rows: list[tuple[int, int]] = []
        covered_us = 0
        earliest_us = frames.T_END
        while last >= 0 and earliest_us > task.body[FROM_US] - LONGEST_US:
            first = max(0, last - CHUNK + 1)
            for row in openable(db, boot, first, last):
                t_us, part_us = _part(row.data, task.body)
                if t_us is not None:
                    earliest_us = min(earliest_us, t_us)
                if t_us is not None and part_us and row.seq is not None and self._theirs(task, t_us):
                    rows.append((row.seq, row.id))
                    covered_us += part_us
            last = first - 1
        rows.sort()
        return [row for _, row in rows], [seq for seq, _ in rows], covered_us

    def _theirs(self, task: Task, t_us: int) -> bool:
        """Whether a frame that begins then is of the person whose node it was when the command came."""
        body, node = task.body, task.command.node_id
        if body is None or FROM_MS not in body:
            return False
        at_ms = body[FROM_MS] + (t_us - body[FROM_US]) // 1000
        return self._person_at(node, at_ms) == self._person_at(node, task.taken_ms)


def openable(db: database.Database, boot: int, first: int, last: int) -> list[JournalRow]:
    """The frames that can be opened: one that is damaged costs a strip itself, and no others."""
    try:
        return list(frames_of(db, boot, first, last))
    except SealBroken as e:
        log.warning("strip: frames %d to %d: %s", first, last, e)
    found: list[JournalRow] = []
    for seq in range(first, last + 1):
        with suppress(SealBroken):
            found += frames_of(db, boot, seq, seq)
    return found


def _part(plaintext: bytes | None, strip: dict[int, Any]) -> tuple[int | None, int]:
    """(when the frame was made, None where that cannot be read; how much of the strip is in it, in µs)."""
    if plaintext is None:
        return None, 0
    try:
        kind, t_us, body = frames.unpack(plaintext)
    except (ProtocolError, SealBroken):
        return None, 0
    if kind != frames.KIND_WAVE or body[frames.WAVE_CHANNEL] != strip[CHANNEL]:
        return t_us, 0
    return t_us, overlap_us(t_us, body, strip[FROM_US], strip[TO_US])


def overlap_us(t_us: int, wave: dict[int, Any], from_us: int, to_us: int) -> int:
    """How much of the time from `from_us` to `to_us` a wave frame's body, made at `t_us`, has."""
    end_us = t_us + wave[frames.WAVE_COUNT] * wave[frames.WAVE_PERIOD_NS] // 1000
    return max(0, min(end_us, to_us) - max(t_us, from_us))


def runs(seqs: list[int]) -> list[list[int]]:
    """Ascending numbers as [[first, count], …]."""
    out: list[list[int]] = []
    for seq in seqs:
        if out and seq == out[-1][0] + out[-1][1]:
            out[-1][1] += 1
        else:
            out.append([seq, 1])
    return out

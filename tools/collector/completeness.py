"""How much of each node's day is here: seconds measured, what became of its frames, gaps with their times.

Days are UTC. What is not here is never silently missing: each frame number between the first and the last of
a boot's day is here, was erased, was given up by the node for a stated cause, or is "not here (yet)".

A collector that was begun anew after a person was erased never had their frames, nor their numbers: the agent
leaves them out of its batches. Numbers that are missing where that person's frames were count as erased, as
many as the batches around them have entries left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from edge_agent.ledger.ranges import Ranges
from edge_agent.people.state import PeopleState
from edge_agent.readable import counted
from protocol import frames
from protocol.errors import FrameError
from protocol.frame_names import CHANNEL_NAMES, LOSS_NAMES
from tools.collector import schema
from tools.collector.dating import Dates
from tools.collector.losses import told_later
from tools.collector.store import Store

DAY_MS = 86_400_000
HOUR_US = 3_600_000_000
MAX_EMPTY_DAYS = 366
GAP_S = 2.0
"""A shorter pause of a channel is not worth a nurse's look."""

_SLACK_US = 120_000_000


@dataclass
class Gap:
    """A channel measured nothing from `begin_ms` to `end_ms` (Unix), each within `bound_ms`."""

    channel: str
    begin_ms: int
    end_ms: int
    bound_ms: int


@dataclass
class Day:
    """A node's day. `expected_s`: of the day, since the node's first frame and until `now`; `measured_s` by
    channel; frame numbers: `produced` = received + erased + given_up (by cause) + not_here.
    """

    node: bytes
    day: str
    expected_s: float
    measured_s: dict[str, float] = field(default_factory=dict)
    produced: int = 0
    received: int = 0
    erased: int = 0
    given_up: dict[str, int] = field(default_factory=dict)
    not_here: int = 0
    gaps: list[Gap] = field(default_factory=list)
    undated: int = 0

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        facts = {name: value for name, value in vars(self).items() if name not in ("node", "gaps")}
        return {"node": self.node.hex(), **facts, "gaps": [vars(gap) for gap in self.gaps]}

    def as_text(self) -> str:
        """For a person."""
        lines = [f"node {self.node.hex()}, {self.day} (UTC)"]
        if not self.produced and not self.undated:
            return lines[0] + "\n  nothing of that day is here"
        for channel, seconds in sorted(self.measured_s.items()):
            share = 100 * seconds / self.expected_s if self.expected_s else 0
            of = f"{_span(self.expected_s)} ({min(share, 100):.1f} %)"
            lines.append(f"  {channel}: {_span(seconds)} measured of {of}")
        if not self.measured_s:
            lines.append("  no waveform" + (f" of {_span(self.expected_s)}" if self.expected_s else ""))
        words = [f"{self.produced} made by the node", f"{self.received} here"]
        words += [f"{self.erased} erased"] if self.erased else []
        words += [f"{n} given up by the node ({cause})" for cause, n in sorted(self.given_up.items())]
        words += [f"{self.not_here} not here (yet)"] if self.not_here else []
        lines.append("  messages: " + ", ".join(words))
        for gap in self.gaps:
            length = _span((gap.end_ms - gap.begin_ms) / 1000)
            times = f"{_clock(gap.begin_ms)} to {_clock(gap.end_ms)}"
            lines.append(f"  no {gap.channel} for {length}: {times} (± {gap.bound_ms / 1000:.1f} s)")
        if self.undated:
            lines.append(
                f"  besides {counted(self.undated, 'message')} of a start of the node whose time is not known"
            )
        return "\n".join(lines)


def report(store: Store, node: bytes, day_ms: int, now_ms: int, whose: PeopleState) -> Day:
    """The node's day that begins at `day_ms` (Unix ms, midnight UTC). `whose`: what believed records say."""
    dates = Dates(store, node)
    gone = _Gone(store, node, dates, whose)
    end_ms = day_ms + DAY_MS
    found = Day(node, _date(day_ms), 0.0)
    first_ms = now_ms
    waves: dict[str, list[tuple[int, int, int]]] = {}
    boots = store.db.execute(
        "SELECT DISTINCT boot FROM frames WHERE node = ? ORDER BY boot", (node,)
    ).fetchall()
    for (boot,) in boots:
        whole = dates.node_times(boot, day_ms, end_ms, _SLACK_US)
        if whole is None:
            _undated(store, node, boot, dates, day_ms, end_ms, found)
            continue
        first_ms = min(first_ms, _begin(store, node, boot, dates))
        here, lost = Ranges(), []
        for seq, kind, t_us, plaintext in store.db.stream(
            "SELECT seq, kind, t_us, plaintext FROM frames WHERE node = ? AND boot = ?"
            " AND t_us BETWEEN ? AND ? ORDER BY seq",
            (node, boot, *whole),
        ):
            fit = dates.fit(boot, t_us)
            assert fit is not None
            low_us, high_us = fit.at(t_us)
            at_us = (low_us + high_us) // 2
            if kind == frames.KIND_LOSS:
                lost.append(plaintext)
            if not day_ms * 1000 <= at_us < end_ms * 1000:
                continue
            here.add(seq)
            if kind == frames.KIND_WAVE:
                _measure(plaintext, at_us, (high_us - low_us) // 2, waves)
        _count(store, node, boot, here, lost, gone, found)
    found.expected_s = max(0.0, (min(end_ms, now_ms) - max(day_ms, first_ms)) / 1000)
    for channel, stretches in waves.items():
        found.measured_s[channel] = round(sum(length for _, length, _ in stretches) / 1e6, 3)
        found.gaps += _gaps(channel, stretches, max(day_ms, first_ms), min(end_ms, now_ms))
    found.gaps.sort(key=lambda gap: (gap.begin_ms, gap.channel))
    return found


def _begin(store: Store, node: bytes, boot: bytes, dates: Dates) -> int:
    (t_us,) = store.db.execute(
        "SELECT min(t_us) FROM frames WHERE node = ? AND boot = ?", (node, boot)
    ).fetchone()
    fit = dates.fit(boot, t_us)
    assert fit is not None
    return sum(fit.at(t_us)) // 2000


def _undated(
    store: Store, node: bytes, boot: bytes, dates: Dates, day_ms: int, end_ms: int, found: Day
) -> None:
    """Frames of a boot that met no agent: said with the day in which their agent had them."""
    (n,) = store.db.execute(
        "SELECT count(*) FROM frames WHERE node = ? AND boot = ? AND received_ms >= ? AND received_ms < ?",
        (node, boot, day_ms, end_ms),
    ).fetchone()
    found.undated += n


def _measure(
    plaintext: bytes, at_us: int, bound_us: int, waves: dict[str, list[tuple[int, int, int]]]
) -> None:
    try:
        _, _, body = frames.unpack(plaintext)
    except FrameError:
        return
    channel = body[frames.WAVE_CHANNEL]
    if body.get(frames.WAVE_FLAGS, 0) & frames.WAVE_OFF:
        return  # A lead or finger was off: that is no measurement.
    length_us = body[frames.WAVE_COUNT] * body[frames.WAVE_PERIOD_NS] // 1000
    name = CHANNEL_NAMES.get(channel, f"channel {channel}")
    waves.setdefault(name, []).append((at_us, length_us, bound_us))


class _Gone:
    """Which missing numbers an erasure explains: their agent left entries out where a person's frames were
    who is erased by now.
    """

    def __init__(self, store: Store, node: bytes, dates: Dates, whose: PeopleState):
        self._store, self._node, self._dates, self._whose = store, node, dates, whose
        self._erased = {span.person for span in whose.spans(node=node) if whose.erased_at(span.person)}

    def count(self, boot: bytes, first: int, count: int) -> int:
        """How many of the numbers `first` … that are not here."""
        if not self._erased:
            return 0
        around = [
            self._store.db.execute(
                "SELECT t_us, f.received_ms, b.agent, b.chain, b.number FROM frames f"
                f" JOIN batches b ON b.id = f.batch WHERE node = ? AND boot = ? AND seq {which} LIMIT 1",
                (self._node, boot, seq),
            ).fetchone()
            for which, seq in (("< ? ORDER BY seq DESC", first), (">= ? ORDER BY seq", first + count))
        ]
        if None in around:
            return 0
        dated = [self._dates.of(boot, t_us, received_ms) for t_us, received_ms, *_ in around]
        low, high = min(one.low_ms for one in dated), max(one.high_ms for one in dated)
        if not self._erased & self._whose.persons_between(self._node, low, high):
            return 0
        (_, _, agent, chain, begin), (_, _, other, later, end) = around
        if (agent, chain) != (other, later):
            return 0
        (left_out,) = self._store.db.execute(
            "SELECT coalesce(sum(left_out), 0) FROM batches"
            " WHERE agent = ? AND chain = ? AND number BETWEEN ? AND ?",
            (agent, chain, min(begin, end), max(begin, end)),
        ).fetchone()
        return min(count, int(left_out))


def _count(
    store: Store, node: bytes, boot: bytes, here: Ranges, lost: list[bytes], gone: _Gone, found: Day
) -> None:
    if not here:
        return
    first, end = next(iter(here))[0], here.end
    erased = Ranges()
    for (seq,) in store.db.execute(
        "SELECT seq FROM holes WHERE cause = ? AND node = ? AND boot = ? AND seq >= ? ORDER BY seq",
        (schema.ERASED, node, boot, first),
    ):
        # What was erased has no time any more: what follows the last frame directly goes with its day.
        if seq > end:
            break
        erased.add(seq)
        end = max(end, seq + 1)
    missing = Ranges([(first, end - first)]).minus(here).minus(erased)
    found.produced += end - first
    found.received += here.count
    found.erased += erased.count
    told = [loss for plaintext in lost for loss in frames.unpack(plaintext)[2][frames.LOSS_RANGES]]
    for begin, count, reason in (*told, *told_later(store, node, boot)):
        if reason == frames.LOSS_ELSEWHERE:
            continue
        given_up = missing.both(Ranges([(begin, count)]))
        if given_up:
            name = LOSS_NAMES.get(reason, f"cause {reason}")
            found.given_up[name] = found.given_up.get(name, 0) + given_up.count
            missing = missing.minus(given_up)
    explained = sum(gone.count(boot, begin, count) for begin, count in missing)
    found.erased += explained
    found.not_here += missing.count - explained


def _gaps(channel: str, stretches: list[tuple[int, int, int]], low_ms: int, high_ms: int) -> Iterator[Gap]:
    end_us, bound = low_ms * 1000, 0
    for at_us, length_us, bound_us in [*sorted(stretches), (high_ms * 1000, 0, 0)]:
        if at_us - end_us > GAP_S * 1e6:
            yield Gap(channel, end_us // 1000, at_us // 1000, -(-max(bound, bound_us) // 1000))
        end_us, bound = max(end_us, at_us + length_us), bound_us


def days(store: Store, node: bytes) -> list[int]:
    """The days (Unix ms of their midnights) on which frames of the node were measured, or received where that
    is all that is known; and those between, unless that is more than MAX_EMPTY_DAYS: then a clock was wrong.
    """
    dates = Dates(store, node)
    found: set[int] = set()
    for (boot,) in store.db.execute("SELECT DISTINCT boot FROM frames WHERE node = ?", (node,)).fetchall():
        for t_us, last_us, *received in store.db.execute(
            "SELECT min(t_us), max(t_us), min(received_ms), max(received_ms) FROM frames"
            " WHERE node = ? AND boot = ? GROUP BY t_us / ?",
            (node, boot, HOUR_US),
        ).fetchall():
            fits = [(at, dates.fit(boot, at)) for at in (t_us, last_us)]
            moments = [sum(fit.at(at)) // 2000 for at, fit in fits if fit is not None] or received
            found.update(moment - moment % DAY_MS for moment in moments)
    filled: list[int] = []
    for day in sorted(found):
        if filled and day - filled[-1] <= MAX_EMPTY_DAYS * DAY_MS:
            filled += range(filled[-1] + DAY_MS, day, DAY_MS)
        filled.append(day)
    return filled


def _date(day_ms: int) -> str:
    return (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=day_ms)).date().isoformat()


def _clock(unix_ms: int) -> str:
    return (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=unix_ms)).strftime("%H:%M:%S")


def _span(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.1f} s"

"""What is to be exported, read from the store: recordings of waveforms with their events and values, dated.

A recording is a stretch of one boot of a node without a gap of more than MAX_GAP_S, in which each channel
keeps its rate and scale. Samples stay the integers that the sensor gave.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edge_agent.people_state import PeopleState
from protocol import frames, waveform, waveform_compiled
from protocol.errors import CodecError, FrameError
from protocol.frame_names import CHANNEL_NAMES, EVENT_NAMES
from protocol.nomenclature import of_kind
from tools.collector.dating import Dates
from tools.collector.store import Store

MAX_GAP_S = 3600
"""A longer gap ends a recording: what is not there costs no file."""

JITTER_PERIODS = 2
"""A block that begins so near to where the one before it ended goes on where that ended."""

_SLACK_US = 120_000_000
_KINDS = (frames.KIND_WAVE, frames.KIND_VITALS, frames.KIND_BP, frames.KIND_EVENT, frames.KIND_STATUS)


class Run(NamedTuple):
    """Samples without a gap. `index`: of the first in the signal; `unix_us`: when it was measured; `seq`: its
    frame.
    """

    index: int
    count: int
    unix_us: int
    seq: int


@dataclass
class Signal:
    """One channel. `samples` has `None` nowhere: between runs lies whatever; `begin_us` is of index 0."""

    channel: int
    period_ns: int
    lsb: int
    source: int | None
    begin_us: int
    runs: list[Run] = field(default_factory=list)
    samples: "array[int]" = field(default_factory=lambda: array("i"))

    @property
    def label(self) -> str:
        """For people; says so when no body was measured."""
        name = CHANNEL_NAMES.get(self.channel, f"channel {self.channel}")
        return name if self.source is None else f"{name} ({_SOURCES.get(self.source, 'no body')})"

    @property
    def unit(self) -> str:
        """What `lsb` counts, times 10^-3."""
        return {frames.CH_ECG: "uV", frames.CH_CUFF: "kPa"}.get(self.channel, "nA")

    @property
    def end_us(self) -> int:
        """When the sample after the last would be."""
        last = self.runs[-1]
        return last.unix_us + last.count * self.period_ns // 1000

    def follows(self, period_ns: int, lsb: int, source: int | None) -> bool:
        """Whether a block with these belongs to it."""
        return (self.period_ns, self.lsb, self.source) == (period_ns, lsb, source)

    def add(self, unix_us: int, seq: int, samples: "array[int]", whole: bool) -> None:
        """The next block. `whole`: nothing is missing before it."""
        period_us = self.period_ns / 1000
        if self.runs and whole and abs(unix_us - self.end_us) <= JITTER_PERIODS * period_us:
            last = self.runs[-1]
            self.runs[-1] = last._replace(count=last.count + len(samples))
            self.samples.extend(samples)
            return
        index = max(len(self.samples), round((unix_us - self.begin_us) / period_us))
        self.samples.extend(array("i", bytes(4 * (index - len(self.samples)))))
        self.runs.append(Run(index, len(samples), unix_us, seq))
        self.samples.extend(samples)

    def gaps(self) -> Iterator[tuple[int, int]]:
        """(first index, number of samples) of each gap within it."""
        end = 0
        for run in self.runs:
            if run.index > end:
                yield end, run.index - end
            end = run.index + run.count


class Event(NamedTuple):
    """Something at a moment. `text` is free text of a person or program, "" when there is none."""

    unix_us: int
    what: str
    text: str


class Value(NamedTuple):
    """A quantity at a moment, as the integer on the wire."""

    unix_us: int
    name: str
    value: int
    exponent: int
    unit: str


@dataclass
class Recording:
    """`bound_us`: of the times; `begin_us` and `end_us` enclose all that is in it."""

    node: bytes
    boot: bytes
    bound_us: int
    signals: list[Signal] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    undecoded: int = 0

    def span(self) -> tuple[int, int]:
        """(begin, end) in Unix us."""
        points = [(one.begin_us, one.end_us) for one in self.signals]
        points += [(one.unix_us, one.unix_us) for one in (*self.events, *self.values)]
        return min(low for low, _ in points), max(high for _, high in points)


class Moment(NamedTuple):
    """A frame that is wanted, with its date."""

    node: bytes
    boot: bytes
    seq: int
    kind: int
    t_us: int
    unix_us: int
    bound_us: int
    body: Any
    plaintext: bytes


class Wanted:
    """Frames of a node, or of a person by the signed assignments, from `from_ms` to before `to_ms`.

    `left`: frames left out, by cause. Frames of a person were measured on a body, by a node that was that
    person's at every moment at which they can have been.
    """

    def __init__(self, store: Store, state: PeopleState, from_ms: int, to_ms: int):
        self._store = store
        self.state = state
        self._from_ms, self._to_ms = from_ms, to_ms
        self.left: dict[str, int] = {}

    def of_node(self, node: bytes) -> Iterator[Moment]:
        """Whosever it was."""
        yield from self._of(node, self._from_ms, self._to_ms, lambda *_: True)

    def of_person(self, person: bytes) -> Iterator[Moment]:
        """By every node that was theirs."""
        for span in self.state.spans(person=person):
            low = max(self._from_ms, span.from_ms)
            high = self._to_ms if span.to_ms is None else min(self._to_ms, span.to_ms)

            def theirs(node: bytes, low_ms: int, high_ms: int) -> bool:
                return self.state.persons_between(node, low_ms, high_ms) == {person}

            for moment in self._of(span.node, low, high, theirs):
                if _on_a_body(moment) and not self._has_input(span.node, moment.boot):
                    yield moment
                else:
                    self._leave("not measured on a body")

    def boots(self, node: bytes) -> list[bytes]:
        """The boots of which there are frames."""
        rows = self._store.db.execute(
            "SELECT DISTINCT boot FROM frames WHERE node = ? ORDER BY boot", (node,)
        )
        return [boot for (boot,) in rows.fetchall()]

    def _of(
        self, node: bytes, low_ms: int, high_ms: int, good: Callable[[bytes, int, int], bool]
    ) -> Iterator[Moment]:
        dates = Dates(self._store, node)
        marks = ", ".join("?" * len(_KINDS))
        for boot in self.boots(node):
            within = dates.node_times(boot, low_ms, high_ms, _SLACK_US)
            if within is None:
                (n,) = self._store.db.execute(
                    "SELECT count(*) FROM frames WHERE node = ? AND boot = ?", (node, boot)
                ).fetchone()
                self._leave("not dated", n)
                continue
            rows = self._store.db.stream(
                f"SELECT seq, t_us, plaintext FROM frames WHERE node = ? AND boot = ? AND kind IN ({marks})"
                " AND t_us BETWEEN ? AND ? ORDER BY seq",
                (node, boot, *_KINDS, *within),
            )
            for seq, t_us, plaintext in rows:
                fit = dates.fit(boot, t_us)
                assert fit is not None
                early, late = fit.at(t_us)
                if not (low_ms * 1000 <= (early + late) // 2 < high_ms * 1000):
                    continue
                if not good(node, early // 1000, -(-late // 1000)):
                    self._leave("may be another's")
                    continue
                try:
                    kind, _, body = frames.unpack(plaintext)
                except FrameError:
                    self._leave("damaged")
                    continue
                middle, bound = (early + late) // 2, (late - early) // 2
                yield Moment(node, boot, seq, kind, t_us, middle, bound, body, plaintext)

    def _leave(self, cause: str, n: int = 1) -> None:
        self.left[cause] = self.left.get(cause, 0) + n

    def _has_input(self, node: bytes, boot: bytes) -> bool:
        found = self.boot_frame(node, boot)
        return found is not None and frames.BOOT_INPUT in found

    def boot_frame(self, node: bytes, boot: bytes) -> "dict[int, Any] | None":
        """The body of the frame that the boot begins with."""
        row = self._store.db.execute(
            "SELECT plaintext FROM frames WHERE node = ? AND boot = ? AND kind = ? ORDER BY seq LIMIT 1",
            (node, boot, frames.KIND_BOOT),
        ).fetchone()
        try:
            return None if row is None else frames.unpack(row[0])[2]
        except FrameError:
            return None


def _on_a_body(moment: Moment) -> bool:
    return frames.SOURCE not in moment.body and frames.SOURCE_PPG not in moment.body


_SOURCES = {frames.SRC_REPLAY: "replayed", frames.SRC_SYNTHETIC: "synthetic"}


def recordings(moments: Iterator[Moment]) -> Iterator[Recording]:
    """The frames as recordings, each boot's in turn."""
    current: Recording | None = None
    end_us = 0
    for moment in moments:
        if current is None or not _goes_on(current, moment, end_us):
            if current is not None:
                yield current
            current = Recording(moment.node, moment.boot, moment.bound_us)
            end_us = moment.unix_us
        current.bound_us = max(current.bound_us, moment.bound_us)
        _take(current, moment)
        end_us = max(end_us, moment.unix_us)
    if current is not None:
        yield current


def _goes_on(recording: Recording, moment: Moment, end_us: int) -> bool:
    if (recording.node, recording.boot) != (moment.node, moment.boot):
        return False
    if moment.unix_us - end_us > MAX_GAP_S * 1_000_000:
        return False
    if moment.kind != frames.KIND_WAVE:
        return True
    signal = _signal(recording.signals, moment.body[frames.WAVE_CHANNEL])
    return signal is None or signal.follows(*_key(moment.body))


def _signal(signals: Sequence[Signal], channel: int) -> Signal | None:
    return next((one for one in signals if one.channel == channel), None)


def _key(body: Any) -> tuple[int, int, int | None]:
    channel = body[frames.WAVE_CHANNEL]
    ppg = channel in (frames.CH_PPG_RED, frames.CH_PPG_IR)
    source = body.get(frames.SOURCE, body.get(frames.SOURCE_PPG) if ppg else None)
    return body[frames.WAVE_PERIOD_NS], body[frames.WAVE_LSB], source


def _take(recording: Recording, moment: Moment) -> None:
    body = moment.body
    if moment.kind == frames.KIND_WAVE:
        _take_wave(recording, moment)
        return
    if moment.kind == frames.KIND_EVENT:
        name = EVENT_NAMES.get(body[frames.EVENT_CODE], f"event {body[frames.EVENT_CODE]}")
        recording.events.append(Event(moment.unix_us, name, body.get(frames.EVENT_TEXT, "")))
        return
    for quantity in of_kind(moment.kind):
        value = body.get(quantity.key)
        if value is not None:
            found = Value(moment.unix_us, quantity.name, value, quantity.exponent, quantity.ucum)
            recording.values.append(found)


def _take_wave(recording: Recording, moment: Moment) -> None:
    body = moment.body
    channel = body[frames.WAVE_CHANNEL]
    if body[frames.WAVE_CODEC] != waveform.CODEC:
        recording.undecoded += 1
        return
    try:
        samples = waveform_compiled.decode(body[frames.WAVE_DATA], body[frames.WAVE_COUNT])
    except CodecError:
        recording.undecoded += 1
        return
    signal = _signal(recording.signals, channel)
    if signal is None:
        signal = Signal(channel, *_key(body), begin_us=moment.unix_us)
        recording.signals.append(signal)
    whole = not body.get(frames.WAVE_MISSED) and not body.get(frames.WAVE_FLAGS, 0) & frames.WAVE_OVERFLOWED
    signal.add(moment.unix_us, moment.seq, samples, whole)

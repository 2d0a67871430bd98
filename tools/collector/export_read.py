"""What is to be exported, read from the store: recordings of waveforms with their events and values, dated.

A recording is a stretch of one boot of a node of MAX_LENGTH_S at most, without a gap of more than MAX_GAP_S
and without a step of the clock, in which each channel keeps its rate and scale. Samples stay the integers
that the sensor gave.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edge_agent.people.clocks import DRIFT_PPB, PPB, Fit
from edge_agent.people.dates import ALWAYS_MS, SAYS_ITS_SOURCE
from edge_agent.people.state import PeopleState
from protocol import frames, waveform, waveform_compiled
from protocol.errors import CodecError, FrameError
from protocol.frame_names import EVENT_NAMES
from protocol.nomenclature import of_kind
from tools.collector.dating import Dates
from tools.collector.export_signal import MAX_OFF_US, Signal
from tools.collector.store import Store

MAX_GAP_S = 3600
"""A longer gap ends a recording: what is not there costs no file."""

MAX_LENGTH_S = 6 * 3600
"""A recording is in memory as a whole while it is written."""

_SLACK_US = 120_000_000
_KINDS = (frames.KIND_WAVE, frames.KIND_VITALS, frames.KIND_BP, frames.KIND_EVENT, frames.KIND_STATUS)


class Event(NamedTuple):
    """Something at a moment. `text` is free text of a person or program, "" when there is none; `source`: ""
    or what stood in the sensors' place.
    """

    unix_us: int
    what: str
    text: str
    source: str


class Value(NamedTuple):
    """A quantity at a moment, as the integer on the wire. `doubt`: why it is to be questioned; `source`: what
    made it up; both "" when there is nothing to say.
    """

    unix_us: int
    name: str
    value: int
    exponent: int
    unit: str
    doubt: str
    source: str


@dataclass
class Recording:
    """`bound_us`: of the times; `input`: what the boot names in its sensors' place."""

    node: bytes
    boot: bytes
    bound_us: int
    input: str | None = None
    signals: list[Signal] = field(default_factory=list[Signal])
    events: list[Event] = field(default_factory=list[Event])
    values: list[Value] = field(default_factory=list[Value])
    undecoded: int = 0

    def span(self) -> tuple[int, int]:
        """(begin, end) in Unix us."""
        points = [(one.begin_us, one.end_us) for one in self.signals]
        points += [(one.unix_us, one.unix_us) for one in (*self.events, *self.values)]
        return min(low for low, _ in points), max(high for _, high in points)

    @property
    def sources(self) -> list[str]:
        """All that stood in a body's place, in words."""
        return sorted({one.source for one in (*self.signals, *self.values, *self.events)} - {""})


class Moment(NamedTuple):
    """A frame that is wanted, with its date. `input`: what its boot names in its sensors' place; `rate_ppb`:
    how fast the node's clock ran.
    """

    node: bytes
    boot: bytes
    seq: int
    kind: int
    t_us: int
    unix_us: int
    bound_us: int
    body: Any
    plaintext: bytes
    input: str | None
    rate_ppb: int


class Wanted:
    """Frames of a node, or of a person by the signed assignments, from `from_ms` to before `to_ms`.

    `left`: frames left out, by cause. Frames of a person were measured on a body, by a node that was that
    person's at every moment at which they can have been measured, the last sample as the first.
    """

    def __init__(self, store: Store, state: PeopleState, from_ms: int, to_ms: int):
        self._store = store
        self.state = state
        self._from_ms, self._to_ms = from_ms, to_ms
        self.left: dict[str, int] = {}
        self._dates: dict[bytes, Dates] = {}
        self._boot_frames: dict[tuple[bytes, bytes], dict[int, Any] | None] = {}

    def of_node(self, node: bytes) -> Iterator[Moment]:
        """Whosever it was."""
        yield from self._of(node, self._from_ms, self._to_ms, lambda *_: "")

    def of_person(self, person: bytes) -> Iterator[Moment]:
        """By every node that was theirs."""
        for span in self.state.spans(person=person):
            low = max(self._from_ms, span.from_ms)
            high = self._to_ms if span.to_ms is None else min(self._to_ms, span.to_ms)
            yield from self._of(span.node, low, high, lambda *which: self._not_theirs(person, *which))

    def numbered(self, person: bytes, node: bytes, boot: bytes, first: int, count: int) -> list[Moment]:
        """Those frames of that range of numbers that are of the person."""
        rows = self._store.db.execute(
            "SELECT seq, t_us, plaintext FROM frames WHERE node = ? AND boot = ? AND seq >= ? AND seq < ?"
            " ORDER BY seq",
            (node, boot, first, first + count),
        ).fetchall()
        found = [self._moment(node, boot, *row) for row in rows]
        return [
            one
            for one in found
            if isinstance(one, Moment)
            and self._from_ms * 1000 <= one.unix_us < self._to_ms * 1000
            and not self._not_theirs(person, one, *self._when(one))
        ]

    def boots(self, node: bytes) -> list[bytes]:
        """The boots of which there are frames."""
        rows = self._store.db.execute(
            "SELECT DISTINCT boot FROM frames WHERE node = ? ORDER BY boot", (node,)
        )
        return [boot for (boot,) in rows.fetchall()]

    def fit(self, node: bytes, boot: bytes, t_us: int) -> Fit | None:
        """The clock fit that is nearest to that node time."""
        return self._dates_of(node).fit(boot, t_us)

    def boot_frame(self, node: bytes, boot: bytes) -> "dict[int, Any] | None":
        """The body of the frame that the boot begins with; None: it is not here."""
        if (node, boot) not in self._boot_frames:
            self._boot_frames[node, boot] = self._read_boot_frame(node, boot)
        return self._boot_frames[node, boot]

    def _read_boot_frame(self, node: bytes, boot: bytes) -> "dict[int, Any] | None":
        # By number, which the store has in order: asked by kind it would read a whole boot to find none.
        for (plaintext,) in self._store.db.execute(
            "SELECT plaintext FROM frames WHERE node = ? AND boot = ? ORDER BY seq LIMIT 2", (node, boot)
        ).fetchall():
            try:
                kind, _, body = frames.unpack(plaintext)
            except FrameError:
                continue
            if kind == frames.KIND_BOOT:
                return body
        return None

    def _dates_of(self, node: bytes) -> Dates:
        if node not in self._dates:
            self._dates[node] = Dates(self._store, node)
        return self._dates[node]

    def _of(
        self, node: bytes, low_ms: int, high_ms: int, why_not: Callable[[Moment, int, int], str]
    ) -> Iterator[Moment]:
        marks = ", ".join("?" * len(_KINDS))
        for boot in self.boots(node):
            within = self._dates_of(node).node_times(boot, low_ms, high_ms, _SLACK_US)
            if within is None:
                (n,) = self._store.db.execute(
                    "SELECT count(*) FROM frames WHERE node = ? AND boot = ?", (node, boot)
                ).fetchone()
                self.leave("not dated", n)
                continue
            rows = self._store.db.stream(
                f"SELECT seq, t_us, plaintext FROM frames WHERE node = ? AND boot = ? AND kind IN ({marks})"
                " AND t_us BETWEEN ? AND ? ORDER BY seq",
                (node, boot, *_KINDS, *within),
            )
            for seq, t_us, plaintext in rows:
                low_us, high_us = self._fit(node, boot, t_us).at(t_us)
                if not low_ms * 1000 <= (low_us + high_us) // 2 < high_ms * 1000:
                    continue
                moment = self._moment(node, boot, seq, t_us, plaintext)
                cause = moment if isinstance(moment, str) else why_not(moment, *self._when(moment))
                if cause:
                    self.leave(cause)
                elif isinstance(moment, Moment):
                    yield moment

    def _fit(self, node: bytes, boot: bytes, t_us: int) -> Fit:
        fit = self.fit(node, boot, t_us)
        assert fit is not None
        return fit

    def _moment(self, node: bytes, boot: bytes, seq: int, t_us: int, plaintext: bytes) -> Moment | str:
        """The frame with its date, or why it has none."""
        try:
            kind, _, body = frames.unpack(plaintext)
        except FrameError:
            return "damaged"
        fit = self._fit(node, boot, t_us)
        low_us, high_us = fit.at(t_us)
        begun = self.boot_frame(node, boot) or {}
        middle, bound = (low_us + high_us) // 2, (high_us - low_us) // 2
        named = begun.get(frames.BOOT_INPUT)
        return Moment(node, boot, seq, kind, t_us, middle, bound, body, plaintext, named, fit.rate_ppb)

    def _when(self, moment: Moment) -> tuple[int, int]:
        """(first, last) Unix ms at which any of it can have been measured, whichever fit was right."""
        begin_us, end_us = moment.t_us, moment.t_us
        if moment.kind == frames.KIND_WAVE:
            end_us += moment.body[frames.WAVE_COUNT] * moment.body[frames.WAVE_PERIOD_NS] // 1000
        elif moment.kind == frames.KIND_BP:
            begin_us = min(begin_us, moment.body[frames.BP_BEGAN_US])
        dates = self._dates_of(moment.node)
        first = dates.of(moment.boot, begin_us, ALWAYS_MS)
        return first.low_ms, dates.of(moment.boot, end_us, ALWAYS_MS).high_ms

    def _not_theirs(self, person: bytes, moment: Moment, low_ms: int, high_ms: int) -> str:
        """Why it is not in that person's record, "" when it is (as edge_agent.people.dates.Dates.whose)."""
        if self.state.persons_between(moment.node, low_ms, high_ms) != {person}:
            return "may be another's"
        if moment.input is not None or frames.SOURCE in moment.body or frames.SOURCE_PPG in moment.body:
            return "not measured on a body"
        if moment.kind not in SAYS_ITS_SOURCE and self.boot_frame(moment.node, moment.boot) is None:
            return "whether of a body is not known, for the first frame of the start is not here"
        return ""

    def leave(self, cause: str, n: int = 1) -> None:
        """So many frames are left out, and why."""
        self.left[cause] = self.left.get(cause, 0) + n


def recordings(moments: Iterator[Moment]) -> Iterator[Recording]:
    """The frames as recordings, each boot's in turn."""
    current: _Open | None = None
    for moment in moments:
        if current is not None and current.take(moment):
            continue
        if current is not None:
            yield current.recording
        current = _Open(moment)
        current.take(moment)
    if current is not None:
        yield current.recording


class _Open:
    """A recording that may go on."""

    def __init__(self, first: Moment):
        self.recording = Recording(first.node, first.boot, first.bound_us, first.input)
        self._begin_us = self._end_us = first.unix_us
        self._last = first

    def take(self, moment: Moment) -> bool:
        """Whether it belongs to it; then it is in it."""
        if not self._goes_on(moment) or not _take(self.recording, moment):
            return False
        self._end_us = max(self._end_us, moment.unix_us)
        self._last = moment
        self.recording.bound_us = max(self.recording.bound_us, moment.bound_us)
        return True

    def _goes_on(self, moment: Moment) -> bool:
        last = self._last
        if (last.node, last.boot) != (moment.node, moment.boot):
            return False
        if moment.unix_us - self._end_us > MAX_GAP_S * 1_000_000:
            return False
        if moment.unix_us - self._begin_us >= MAX_LENGTH_S * 1_000_000:
            return False
        # The agent's clock was set meanwhile, if the date went another way than the node's own time did.
        apart_us = moment.t_us - last.t_us
        went_us = apart_us * PPB // max(1, PPB + last.rate_ppb)
        step_us = abs(moment.unix_us - last.unix_us - went_us)
        may_us = MAX_OFF_US + last.bound_us + moment.bound_us + abs(apart_us) * DRIFT_PPB // PPB
        return step_us <= may_us


def _signal(signals: Sequence[Signal], channel: int) -> Signal | None:
    return next((one for one in signals if one.channel == channel), None)


_SOURCES = {frames.SRC_REPLAY: "replayed", frames.SRC_SYNTHETIC: "synthetic"}
_OF_ECG = (frames.VITALS_HR, frames.VITALS_RR, frames.VITALS_ECG_QUALITY)
_PPG = (frames.CH_PPG_RED, frames.CH_PPG_IR)


def _source(moment: Moment, ppg: bool) -> str:
    """ "" of a body, else what stood in its place."""
    found = moment.body.get(frames.SOURCE_PPG if ppg else frames.SOURCE)
    if found is None and ppg and moment.kind == frames.KIND_WAVE:
        found = moment.body.get(frames.SOURCE)
    if found is not None:
        return _SOURCES.get(found, "no body")
    return "" if moment.input is None else "no body"


_DOUBTS: tuple[tuple[int, int, tuple[int, ...], str], ...] = (
    (frames.KIND_VITALS, frames.VITALS_UNCALIBRATED, (frames.VITALS_SPO2,), "not calibrated"),
    (frames.KIND_VITALS, frames.VITALS_RATES_DIFFER, (frames.VITALS_HR, frames.VITALS_PULSE), "rates differ"),
    (frames.KIND_VITALS, frames.VITALS_IRREGULAR, (frames.VITALS_HR,), "irregular rhythm"),
    (frames.KIND_BP, frames.BP_PULSE_IRREGULAR, (), "irregular pulse"),
    (frames.KIND_BP, frames.BP_MOTION_LEFT_OUT, (), "motion was left out"),
)
_FLAGS = {frames.KIND_VITALS: frames.VITALS_FLAGS, frames.KIND_BP: frames.BP_FLAGS}


def _doubt(kind: int, body: Any, key: int) -> str:
    flags = body.get(_FLAGS[kind], 0) if kind in _FLAGS else 0
    said = [
        why for one, bit, keys, why in _DOUBTS if one == kind and flags & bit and (not keys or key in keys)
    ]
    return ", ".join(said)


def _take(recording: Recording, moment: Moment) -> bool:
    body = moment.body
    if moment.kind == frames.KIND_WAVE:
        return _take_wave(recording, moment)
    if moment.kind == frames.KIND_EVENT:
        name = EVENT_NAMES.get(body[frames.EVENT_CODE], f"event {body[frames.EVENT_CODE]}")
        text = body.get(frames.EVENT_TEXT, "")
        recording.events.append(Event(moment.unix_us, name, text, _source(moment, False)))
        return True
    for quantity in of_kind(moment.kind):
        found = body.get(quantity.key)
        if found is None:
            continue
        ppg = moment.kind == frames.KIND_VITALS and quantity.key not in _OF_ECG
        source = "" if moment.kind == frames.KIND_STATUS else _source(moment, ppg)
        doubt = _doubt(moment.kind, body, quantity.key)
        # RR intervals come several at once.
        for value in found if isinstance(found, list) else [found]:
            recording.values.append(
                Value(moment.unix_us, quantity.name, value, quantity.exponent, quantity.ucum, doubt, source)
            )
    return True


def _take_wave(recording: Recording, moment: Moment) -> bool:
    body = moment.body
    channel, flags = body[frames.WAVE_CHANNEL], body.get(frames.WAVE_FLAGS, 0)
    key = (body[frames.WAVE_PERIOD_NS], body[frames.WAVE_LSB], _source(moment, channel in _PPG))
    signal = _signal(recording.signals, channel)
    if signal is not None and (signal.period_ns, signal.lsb, signal.source) != key:
        return False
    samples = None
    if body[frames.WAVE_CODEC] == waveform.CODEC:
        with suppress(CodecError):
            samples = waveform_compiled.decode(body[frames.WAVE_DATA], body[frames.WAVE_COUNT])
    if samples is None:
        recording.undecoded += 1
        return True
    if signal is None:
        signal = Signal(channel, *key)
        recording.signals.append(signal)
    off = "finger off" if channel in _PPG else "lead off"
    said = [off] if flags & frames.WAVE_OFF else []
    said += ["saturated"] if flags & frames.WAVE_SATURATED else []
    whole = not body.get(frames.WAVE_MISSED) and not flags & frames.WAVE_OVERFLOWED
    return signal.add(
        moment.t_us, moment.unix_us, moment.bound_us, moment.seq, samples, whole, ", ".join(said)
    )

"""From the rows of signed batches to what is said of each person: one observation a minute and quantity.

Nothing leaves here for a frame whose node is nobody's at that moment, whose person did not consent to it, or
whose time is not known; what was left out is counted by its cause.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any, NamedTuple, Protocol

from edge_agent.clockfit import Fix
from edge_agent.forward import fhir_map as fhir
from edge_agent.forward.fhir_map import Entry, Reading, Scene
from edge_agent.people_dates import Fit
from protocol import frames as f
from protocol import waveform
from protocol.errors import ProtocolError
from protocol.nomenclature import Quantity, by_key

NAME = "fhir"
PURPOSE = "care"
MINUTE_US = 60_000_000
BATTERY_EVERY_US = 3600 * 1_000_000
BATTERY_STEP = 5
# A minute without a reading is said again after so long, while nothing changes.
ABSENT_EVERY_US = 3600 * 1_000_000
MAX_STRIP_S = 60
# So many boots are remembered; of one that is forgotten, battery and absence are said once more.
MAX_BOOTS = 4096

_WANTED = tuple(bytes([kind]) for kind in (f.KIND_VITALS, f.KIND_BP, f.KIND_EVENT, f.KIND_STATUS))
_VITALS = tuple(q for q in (by_key(f.KIND_VITALS, key) for key in (1, 3, 4, 5)) if q is not None)


class Row(NamedTuple):
    """A frame as the store has it; `data` is None when its bytes are gone."""

    node: bytes | None
    boot: bytes | None
    seq: int | None
    data: bytes | None


def wanted(row: Row) -> bool:
    """Whether a frame may become an observation: its kind is its second byte, and most are waves."""
    return row.node is not None and (row.data is None or row.data[:1] != b"\x83" or row.data[1:2] in _WANTED)


class Look(Protocol):
    """What has to be known beside the frames; asked in the store's thread."""

    def person_at(self, node: bytes, unix_ms: int) -> bytes | None:
        """Whose node it was then."""
        ...

    def allows(self, forwarder: str, purpose: str, person: bytes, unix_ms: int) -> bool:
        """Whether the person agreed."""
        ...

    def fix(self, node: bytes, boot: bytes, t_us: int) -> Fix | None:
        """The clock fit of that boot that is nearest to a node time."""
        ...

    def boot_frame(self, boot: bytes, node: bytes) -> dict[int, Any] | None:
        """The body of the frame that the boot begins with."""
        ...

    def frames(self, node: bytes, boot: bytes, first: int, count: int) -> list[tuple[int, bytes]]:
        """The frames of that range that are in the store: (number, plaintext)."""
        ...


class Item(NamedTuple):
    """An observation, and the entries that it refers to."""

    entry: Entry
    needs: tuple[Entry, ...]


@dataclass
class Memory:
    """What was said last of each boot, so that it is not said every minute."""

    battery: OrderedDict[tuple[bytes, bytes], Reading] = field(
        default_factory=OrderedDict[tuple[bytes, bytes], Reading]
    )
    absent: OrderedDict[tuple[bytes, bytes, int], tuple[str, int]] = field(
        default_factory=OrderedDict[tuple[bytes, bytes, int], tuple[str, int]]
    )


class _Frame(NamedTuple):
    seq: int
    kind: int
    t_us: int
    body: dict[int, Any]


@cache
def software() -> str:
    """The version of this agent, as installed."""
    try:
        return metadata.version("vitalwire")
    except metadata.PackageNotFoundError:
        return "unknown"


class Gatherer:
    """Maps rows to observations. `left`: frames left out, by cause."""

    def __init__(self, agent: bytes, strips: bool = False, organization: str | None = None) -> None:
        self.left: Counter[str] = Counter()
        self.phg = fhir.gateway(agent, software(), organization)
        self._strips = strips
        self._organization = organization
        self._memory = Memory()

    def gather(self, rows: Iterable[Row], look: Look) -> list[Item]:
        """The observations of these frames, by node, boot and time."""
        boots: dict[tuple[bytes, bytes], list[_Frame]] = {}
        for row in rows:
            if row.node is None or row.boot is None or row.seq is None:
                continue
            if row.data is None:
                self.left["gone"] += 1
                continue
            try:
                kind, t_us, body = f.unpack(row.data)
            except ProtocolError:
                self.left["malformed"] += 1
                continue
            boots.setdefault((row.node, row.boot), []).append(_Frame(row.seq, kind, t_us, body))
        items: list[Item] = []
        for (node, boot), frames in sorted(boots.items()):
            items += self._boot(look, node, boot, frames)
        return items

    def _boot(self, look: Look, node: bytes, boot: bytes, frames: list[_Frame]) -> list[Item]:
        fix = look.fix(node, boot, min(frame.t_us for frame in frames))
        if fix is None:
            self.left["undated"] += len(frames)
            return []
        stage = _Stage(self, look, node, boot, fix)
        items: list[Item] = []
        minutes: dict[int, list[_Frame]] = {}
        for frame in sorted(frames):
            if frame.kind == f.KIND_VITALS:
                minutes.setdefault(frame.t_us // MINUTE_US, []).append(frame)
            elif frame.kind == f.KIND_BP:
                items += self._pressure(stage, frame)
            elif frame.kind == f.KIND_STATUS:
                items += self._battery(stage, frame)
            elif frame.kind == f.KIND_EVENT and self._strips and frame.body.get(f.EVENT_EVIDENCE):
                items += self._evidence(stage, frame)
        for minute in minutes.values():
            for quantity in _VITALS:
                items += self._minute(stage, quantity, minute)
        return items

    # One quantity, one minute

    def _minute(self, stage: "_Stage", quantity: Quantity, minute: list[_Frame]) -> list[Item]:
        key = f.SOURCE if quantity.key == f.VITALS_HR else f.SOURCE_PPG
        items: list[Item] = []
        # A source that changes within the minute: what was measured and what was made up are never one value.
        for test in (False, True):
            frames = [frame for frame in minute if bool(frame.body.get(key)) == test]
            if not frames:
                continue
            # The first frame's moment decides whose minute it is; a hand-over within it splits it.
            for scene, own in stage.scenes(frames, test):
                items += self._quantity(stage, scene, quantity, own)
        return items

    def _quantity(
        self, stage: "_Stage", scene: Scene, quantity: Quantity, frames: list[_Frame]
    ) -> list[Item]:
        readings = [
            Reading(frame.seq, frame.t_us, frame.body[quantity.key])
            for frame in frames
            if quantity.key in frame.body
        ]
        which = (*stage.which, quantity.number)
        if readings:
            self._memory.absent.pop(which, None)
            doubt = _doubt(quantity, frames)
            return [Item(scene.numeric(quantity, readings, doubt), scene.needs)]
        why = _why_not(quantity, frames[-1].body.get(f.VITALS_FLAGS, 0))
        if why is None:
            return []
        said = self._memory.absent.get(which)
        if said is not None and said[0] == why[1] and frames[0].t_us - said[1] < ABSENT_EVERY_US:
            return []
        _remember(self._memory.absent, which, (why[1], frames[0].t_us))
        seqs, times = (frames[0].seq, frames[-1].seq), (frames[0].t_us, frames[-1].t_us)
        return [Item(scene.none(quantity, seqs, times, why), scene.needs)]

    # Single frames

    def _pressure(self, stage: "_Stage", frame: _Frame) -> list[Item]:
        items: list[Item] = []
        for scene, _ in stage.scenes([frame], bool(frame.body.get(f.SOURCE))):
            entry = scene.blood_pressure(frame.seq, frame.t_us, frame.body)
            items.append(Item(entry, scene.needs))
            pulse = frame.body.get(f.BP_PULSE)
            if frame.body[f.BP_RESULT] == f.BP_MEASURED and pulse is not None:
                reading = Reading(frame.seq, frame.t_us, pulse)
                items.append(Item(scene.numeric(fhir.cuff_pulse(), [reading]), scene.needs))
        return items

    def _battery(self, stage: "_Stage", frame: _Frame) -> list[Item]:
        value = frame.body.get(f.STATUS_BATTERY)
        if value is None:
            return []
        last = self._memory.battery.get(stage.which)
        recent = last is not None and frame.t_us - last.t_us < BATTERY_EVERY_US
        if last is not None and recent and abs(value - last.value) < BATTERY_STEP:
            return []
        reading = Reading(frame.seq, frame.t_us, value)
        items = [Item(scene.battery(reading), scene.needs) for scene, _ in stage.scenes([frame], False)]
        if items:
            _remember(self._memory.battery, stage.which, reading)
        return items

    def _evidence(self, stage: "_Stage", frame: _Frame) -> list[Item]:
        """The waveforms that an event names as what it saw."""
        items: list[Item] = []
        for first, count in frame.body[f.EVENT_EVIDENCE]:
            found = stage.look.frames(*stage.which, first, min(count, MAX_STRIP_S * 8))
            for run in _runs(found):
                items += self._strip(stage, run)
        return items

    def _strip(self, stage: "_Stage", run: "_Run") -> list[Item]:
        quantity = fhir.channel_quantity(run.channel)
        if quantity is None or not quantity.mdc:
            return []
        frames = [_Frame(run.first, f.KIND_WAVE, run.t_us, {})]
        wave = fhir.Wave(run.period_ns, run.lsb, run.samples)
        return [
            Item(scene.strip(quantity, (run.first, run.last), run.t_us, wave), scene.needs)
            for scene, _ in stage.scenes(frames, run.test)
        ]

    def scene(self, look: Look, which: tuple[bytes, bytes], fix: Fix, person: bytes, test: bool) -> Scene:
        """What all observations of that boot about that subject have in common.

        A boot whose input is named is none of a body, whatever its frames say.
        """
        node, boot = which
        begun = look.boot_frame(boot, node) or {}
        test = test or bool(begun.get(f.BOOT_INPUT))
        phd = fhir.device(node, begun.get(f.BOOT_FIRMWARE), begun.get(f.BOOT_BOARD), self._organization)
        subject = fhir.test_person(node) if test else fhir.person(person, self._organization)
        return Scene(self.phg, phd, subject, node, boot, fix, test)

    def person(self, look: Look, node: bytes, low_ms: int, high_ms: int) -> bytes | None:
        """Who has to do with a frame of between these moments, if that may be said to the far end."""
        person = look.person_at(node, low_ms)
        if person is None or look.person_at(node, high_ms) != person:
            self.left["unassigned"] += 1
        elif not all(look.allows(NAME, PURPOSE, person, ms) for ms in (low_ms, high_ms)):
            self.left["no consent"] += 1
        else:
            return person
        return None


class _Stage:
    """One boot while its frames are mapped."""

    def __init__(self, gatherer: Gatherer, look: Look, node: bytes, boot: bytes, fix: Fix) -> None:
        self.which = (node, boot)
        self.look = look
        self._gatherer = gatherer
        self._fix = fix
        self._scenes: dict[tuple[bytes, bool], Scene] = {}
        self._persons: dict[int, bytes | None] = {}

    def scenes(self, frames: Sequence[_Frame], test: bool) -> list[tuple[Scene, list[_Frame]]]:
        """The frames by the subject that they are about; those about nobody who agreed are not among them."""
        found: dict[bytes, list[_Frame]] = {}
        for frame in frames:
            person = self._person(frame)
            if person is not None:
                found.setdefault(person, []).append(frame)
        return [(self._scene(person, test), own) for person, own in found.items()]

    def _person(self, frame: _Frame) -> bytes | None:
        if frame.seq not in self._persons:
            low_us, high_us = Fit(*self._fix).at(frame.t_us)
            self._persons[frame.seq] = self._gatherer.person(
                self.look, self.which[0], low_us // 1000, high_us // 1000
            )
        return self._persons[frame.seq]

    def _scene(self, person: bytes, test: bool) -> Scene:
        made = self._scenes.get((person, test))
        if made is None:
            made = self._gatherer.scene(self.look, self.which, self._fix, person, test)
            self._scenes[person, test] = made
        return made


class _Run(NamedTuple):
    """Wave frames of one channel that follow each other without a gap."""

    channel: int
    first: int
    last: int
    t_us: int
    period_ns: int
    lsb: int
    test: bool
    samples: list[int]


def _runs(found: list[tuple[int, bytes]]) -> list[_Run]:
    """The waveforms among these frames, joined where they join; at most `MAX_STRIP_S` each."""
    runs: list[_Run] = []
    for seq, plaintext in found:
        try:
            kind, t_us, body = f.unpack(plaintext)
            if kind != f.KIND_WAVE or body[f.WAVE_CODEC] != waveform.CODEC:
                continue
            samples = list(waveform.decode(body[f.WAVE_DATA], body[f.WAVE_COUNT]))
        except ProtocolError:
            continue
        channel, period_ns, lsb = body[f.WAVE_CHANNEL], body[f.WAVE_PERIOD_NS], body[f.WAVE_LSB]
        test = bool(body.get(f.SOURCE))
        whole = not body.get(f.WAVE_MISSED) and not body.get(f.WAVE_FLAGS, 0) & f.WAVE_OVERFLOWED
        last = next((run for run in reversed(runs) if run.channel == channel), None)
        if last is not None and whole and (last.period_ns, last.lsb, last.test) == (period_ns, lsb, test):
            length_us = len(last.samples) * period_ns // 1000
            short = length_us < MAX_STRIP_S * 1_000_000
            if short and abs(last.t_us + length_us - t_us) <= 2 * period_ns // 1000:
                runs[runs.index(last)] = last._replace(last=seq, samples=last.samples + samples)
                continue
        runs.append(_Run(channel, seq, seq, t_us, period_ns, lsb, test, samples))
    return runs


_ECG_ABSENT = (
    (f.VITALS_LEAD_OFF, ("not-performed", "an ECG electrode is off")),
    (f.VITALS_ECG_SETTLING, ("temp-unknown", "the ECG is settling")),
    (f.VITALS_CANNOT_ANALYSE, ("error", "the ECG cannot be analysed")),
)
_PPG_ABSENT = (
    (f.VITALS_NO_FINGER, ("not-performed", "no finger in the oximeter")),
    (f.VITALS_PPG_SETTLING, ("temp-unknown", "the oximeter is settling")),
    (f.VITALS_PPG_BAD, ("error", "the oximeter's signal cannot be read")),
)


def _why_not(quantity: Quantity, flags: int) -> tuple[str, str] | None:
    """Why there is no reading; None when nothing is said of it: no such sensor, or another quantity's words
    cover it (pulse and perfusion go with SpO2)."""
    if quantity.key == f.VITALS_HR:
        reasons = _ECG_ABSENT
    elif quantity.key == f.VITALS_SPO2:
        reasons = _PPG_ABSENT
    else:
        return None
    return next((why for bit, why in reasons if flags & bit), None)


def _doubt(quantity: Quantity, frames: list[_Frame]) -> str | None:
    flags = 0
    for frame in frames:
        if quantity.key in frame.body:
            flags |= frame.body.get(f.VITALS_FLAGS, 0)
    said: list[str] = []
    if quantity.key == f.VITALS_SPO2 and flags & f.VITALS_UNCALIBRATED:
        said.append("the oximeter is not calibrated")
    if quantity.key in (f.VITALS_HR, f.VITALS_PULSE) and flags & f.VITALS_RATES_DIFFER:
        said.append("heart rate and pulse rate differ")
    if quantity.key == f.VITALS_HR and flags & f.VITALS_IRREGULAR:
        said.append("irregular rhythm")
    return ", ".join(said) or None


def _remember(memory: "OrderedDict[Any, Any]", which: Any, said: Any) -> None:
    memory[which] = said
    memory.move_to_end(which)
    while len(memory) > MAX_BOOTS:
        memory.popitem(last=False)

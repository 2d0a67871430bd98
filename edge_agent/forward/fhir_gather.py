"""From the rows of signed batches to what is said of each person: one observation a minute and quantity.

Nothing leaves here for a frame whose node is nobody's at that moment, whose person did not consent to it, or
whose time is not known; what was left out is counted by its cause.
"""

import copy
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any, NamedTuple, Protocol

from edge_agent.forward import fhir_map as fhir
from edge_agent.forward import fhir_waves
from edge_agent.forward.fhir_map import Entry, Reading, Scene
from edge_agent.forward.fhir_waves import Wave
from edge_agent.nodes.clockfit import Fix
from edge_agent.people.clocks import Fit
from protocol import frames as f
from protocol.errors import ProtocolError
from protocol.nomenclature import Quantity, by_key

NAME = "fhir"
PURPOSE = "care"
MINUTE_US = 60_000_000
BATTERY_EVERY_US = 3600 * 1_000_000
BATTERY_STEP = 5
# A minute without a reading is said again after so long, while nothing changes.
ABSENT_EVERY_US = 3600 * 1_000_000
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

    def fork(self) -> "Gatherer":
        """Another that knows as much, to be taken instead of this one once what it gathers was taken."""
        other = copy.copy(self)
        other.left = self.left.copy()
        other._memory = Memory(self._memory.battery.copy(), self._memory.absent.copy())
        return other

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
        items: list[Item] = []
        stages: dict[int, _Stage | None] = {}
        minutes: dict[int, list[_Frame]] = {}
        for frame in sorted(frames):
            stage = self._stage(look, (node, boot), frame, stages)
            if stage is None:
                self.left["undated"] += 1
            elif frame.kind == f.KIND_VITALS:
                minutes.setdefault(stage.minute(frame), []).append(frame)
            elif frame.kind == f.KIND_BP:
                items += self._pressure(stage, frame)
            elif frame.kind == f.KIND_STATUS:
                items += self._battery(stage, frame)
            elif frame.kind == f.KIND_EVENT and self._strips and frame.body.get(f.EVENT_EVIDENCE):
                items += self._evidence(stage, frame)
        for minute in minutes.values():
            stage = self._stage(look, (node, boot), minute[0], stages)
            assert stage is not None
            for quantity in _VITALS:
                items += self._minute(stage, quantity, minute)
        return items

    def _stage(
        self, look: Look, which: tuple[bytes, bytes], frame: _Frame, known: "dict[int, _Stage | None]"
    ) -> "_Stage | None":
        """The boot as it was dated in that minute; None: it was not."""
        minute = frame.t_us // MINUTE_US
        if minute not in known:
            fix = look.fix(*which, frame.t_us)
            known[minute] = None if fix is None else _Stage(self, look, *which, fix)
        return known[minute]

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
        began_us = min(frame.body.get(f.BP_BEGAN_US, frame.t_us), frame.t_us)
        scene = stage.scene(frame.seq, began_us, frame.t_us, bool(frame.body.get(f.SOURCE)))
        if scene is None:
            return []
        items = [Item(scene.blood_pressure(frame.seq, frame.t_us, frame.body), scene.needs)]
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
            count = min(count, fhir_waves.MAX_STRIP_S * 8)
            found = stage.look.frames(*stage.which, first, count)
            if len(found) < count:
                # Gone, or not here yet: the present comes before the past.
                self.left["evidence not here"] += count - len(found)
            items += strips_of(stage.waves(_read(found)))
        return items

    def waves(
        self, look: Look, which: tuple[bytes, bytes], found: Iterable[tuple[int, bytes]], channel: int
    ) -> list[tuple[Scene, Wave]]:
        """The waves of a channel among these frames (number, plaintext) of a boot, each with its subject."""
        waves = [wave for wave in _read(found) if wave.channel == channel]
        fix = look.fix(*which, waves[0].t_us) if waves else None
        if fix is None:
            if waves:
                self.left["undated"] += len(waves)
            return []
        return _Stage(self, look, *which, fix).waves(waves)

    def scene(self, look: Look, which: tuple[bytes, bytes], fix: Fix, person: bytes, test: bool) -> Scene:
        """What a boot's observations of a subject share. One whose input is named is none of a body."""
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
            person = self._whose(frame.seq, frame.t_us, frame.t_us)
            if person is not None:
                found.setdefault(person, []).append(frame)
        return [(self._scene(person, test), own) for person, own in found.items()]

    def minute(self, frame: _Frame) -> int:
        """The minute of Unix time that a frame is of."""
        return sum(Fit(*self._fix).at(frame.t_us)) // 2 // MINUTE_US

    def scene(self, seq: int, from_us: int, to_us: int, test: bool) -> Scene | None:
        """Of a frame that is about the time between; None: not all of it is about one who agreed."""
        person = self._whose(seq, from_us, to_us)
        return None if person is None else self._scene(person, test)

    def waves(self, waves: Iterable[Wave]) -> list[tuple[Scene, Wave]]:
        """Those of which all is about one who agreed, with the scene."""
        persons = [(self._whose(wave.seq, wave.t_us, wave.end_us), wave) for wave in waves]
        return [(self._scene(person, wave.test), wave) for person, wave in persons if person is not None]

    def _whose(self, seq: int, from_us: int, to_us: int) -> bytes | None:
        if seq not in self._persons:
            fit = Fit(*self._fix)
            low_us, high_us = fit.at(from_us)[0], fit.at(to_us)[1]
            self._persons[seq] = self._gatherer.person(
                self.look, self.which[0], low_us // 1000, high_us // 1000
            )
        return self._persons[seq]

    def _scene(self, person: bytes, test: bool) -> Scene:
        made = self._scenes.get((person, test))
        if made is None:
            made = self._gatherer.scene(self.look, self.which, self._fix, person, test)
            self._scenes[person, test] = made
        return made


def _read(found: Iterable[tuple[int, bytes]]) -> list[Wave]:
    """The waves among these frames."""
    read = [fhir_waves.read(seq, plaintext) for seq, plaintext in found]
    return [wave for wave in read if wave is not None]


def strips_of(waves: Sequence[tuple[Scene, Wave]]) -> list[Item]:
    """The observations of these waves. It decodes them: not for the store's thread where they are many."""
    return [Item(entry, scene.needs) for scene, entry in fhir_waves.observations(waves)]


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

"""Walks encoded CBOR with the schema beside it: a line for each item, a problem where one does not fit."""

from dataclasses import dataclass
from typing import Any

from edge_agent.readable import counted, is_are
from protocol import cbor
from protocol.errors import CborError
from tools.dissect import cddl, values

MAX_PROBLEMS = 20


@dataclass
class Line:
    """`length` bytes at `offset`, indented by `depth`: key, label and rule; value; meaning.

    `rules`: the names of the schema's rules that it stands under, the outermost first.
    """

    offset: int
    length: int
    depth: int
    name: str
    text: str
    note: str = ""
    rules: tuple[str, ...] = ()


@dataclass
class Problem:
    """What is wrong at `offset` of the input, found in `layer`.

    `capture`: where in the whole capture, when the input has no such byte. `cause`: the name that a receiver
    counts it by; "" where none would.
    """

    offset: int
    layer: str
    why: str
    capture: int | None = None
    cause: str = ""


@dataclass
class Place:
    """Where an item stands: its key or label and its rules, its indent, where its line begins, a note."""

    names: list[str]
    depth: int
    shown: int
    note: str = ""

    @property
    def name(self) -> str:
        """The place as a line shows it."""
        return " ".join(self.names[:2])


class Stop(Exception):
    """The first problem of a trial."""

    def __init__(self, offset: int):
        super().__init__()
        self.offset = offset


class Walker:
    """One walk over `data`. A trial stops at its first problem."""

    def __init__(self, data: bytes, base: int = 0, trial: bool = False):
        self.data = data
        self.base = base
        self.trial = trial
        self.lines: list[Line] = []
        self.problems: list[Problem] = []
        self.nesting = 0
        self.schema = cddl.load()
        self.places: dict[str, list[tuple[int, int]]] = {}

    def walk(self, rule: str) -> None:
        """All of `data` under `rule`."""
        try:
            end = self.item(memoryview(self.data), 0, cddl.Ref(rule), Place([], 0, 0))
            if end != len(self.data):
                self.problem(end, f"{counted(len(self.data) - end, 'byte')} after the item", "cbor")
                self.line(len(self.data), Place(["?"], 0, end), "bytes that belong to nothing")
        except CborError as error:
            self.problem(error.offset or 0, error.detail, "cbor")
            told = self.told()
            if told < len(self.data):
                self.line(len(self.data), Place(["?"], 0, told), "not read any further")

    def told(self) -> int:
        """Where the bytes begin that no line tells of yet."""
        return self.lines[-1].offset + self.lines[-1].length - self.base if self.lines else 0

    def problem(self, offset: int, why: str, layer: str = "schema") -> None:
        """Note what is wrong at `offset`; a trial ends there with Stop."""
        if self.trial:
            raise Stop(offset)
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(self.base + offset, layer, why))

    def line(self, end: int, place: Place, text: str, note: str = "") -> None:
        """Note what the bytes from the place's offset to `end` mean."""
        if not self.trial:
            offset = place.shown
            rules = tuple(name for name in place.names if name in self.schema.rules)
            self.lines.append(
                Line(self.base + offset, end - offset, place.depth, place.name, text, note, rules)
            )

    def item(self, buf: memoryview, at: int, node: cddl.Node, place: Place) -> int:
        """One item at `at` under `node`; the offset after it."""
        node, place = self.resolved(buf, at, node, place)
        major, n, body = cbor.read_head(buf, at)
        for name in place.names:
            self.places.setdefault(name, []).append((at, body))
        taken = {5: (cddl.Map, self.map), 4: (cddl.Array, self.array)}.get(major)
        if taken is not None and (isinstance(node, taken[0]) or _is_any(node)):
            if self.nesting == cbor.MAX_DEPTH:
                raise CborError(f"more than {cbor.MAX_DEPTH} arrays and maps within each other", at)
            self.nesting += 1
            end = taken[1](buf, n, body, node, place)
            self.nesting -= 1
            return end
        if major == 2 and isinstance(node, cddl.Embedded):
            return self.embedded(buf, n, body, node, place)
        if major == 6 and isinstance(node, cddl.Tagged):
            if n != node.tag:
                self.problem(at, f"{place.name}: tag {n} where tag {node.tag} belongs")
            self.line(body, place, f"tag {n}", place.note)
            return self.item(buf, body, node.item, Place(["COSE_Sign1"], place.depth + 1, body))
        value, end = cbor.loads_prefix(buf, at)
        if fits(node, value):
            if place.names[:1] == ["plaintext"] and not self.trial:
                self.line(body, place, f"{counted(end - body, 'byte')} of CBOR", place.note)
                self.inside(bytes(buf[body:end]), body, place.depth + 1)
                return end
            said = "" if _is_any(node) else values.meaning(place.names, value)
            self.line(end, place, values.shown(value), said or place.note)
            return end
        self.problem(at, f"{place.name}: {values.shown(value)} where {wanted(node)} belongs")
        return self.item(buf, at, cddl.Ref("any"), Place(place.names, place.depth, place.shown))

    def inside(self, plaintext: bytes, at: int, depth: int) -> None:
        """The frame in a byte string that the schema leaves closed: a frame is kept whatever it holds."""
        walker = Walker(plaintext, self.base + at)
        walker.walk("frame")
        for line in walker.lines:
            line.depth += depth
        self.lines += walker.lines
        self.problems += walker.problems[: MAX_PROBLEMS - len(self.problems)]

    def resolved(self, buf: memoryview, at: int, node: cddl.Node, place: Place) -> "tuple[cddl.Node, Place]":
        """The node behind rule names and choices, and the place with those names and the first note."""
        names, note = list(place.names), place.note
        while isinstance(node, (cddl.Ref, cddl.Choice)):
            if isinstance(node, cddl.Choice):
                node = self.likeliest(buf, at, node)
            elif node.name in self.schema.rules:
                names.append(node.name)
                note = note or self.schema.notes[node.name]
                node = self.schema.rules[node.name]
            else:
                break
        return node, Place(names, place.depth, place.shown, note)

    def likeliest(self, buf: memoryview, at: int, choice: cddl.Choice) -> cddl.Node:
        """The option that fits, or else the one that fits furthest."""
        best, reach = choice.options[0], -1
        for option in choice.options:
            trial = Walker(self.data, self.base, trial=True)
            trial.nesting = self.nesting
            try:
                trial.item(buf, at, option, Place([], 0, at))
            except Stop as stop:
                far = stop.offset
            except CborError as error:
                far = error.offset or at
            else:
                return option
            if far >= reach:
                best, reach = option, far
        return best

    def embedded(self, buf: memoryview, n: int, at: int, node: cddl.Embedded, place: Place) -> int:
        """A byte string of `n` bytes at `at` that holds an item itself; the offset after it."""
        if n > len(buf) - at:
            raise CborError(f"a string of {counted(n, 'byte')} where {len(buf) - at} are left", at)
        self.line(at, place, f"{counted(n, 'byte')} of CBOR", place.note)
        inner = buf[: at + n]
        nesting, self.nesting = self.nesting, 0
        end = self.item(inner, at, node.item, Place([], place.depth + 1, at))
        self.nesting = nesting
        if end != at + n:
            self.problem(end, f"{counted(at + n - end, 'byte')} after the item", "cbor")
            self.line(at + n, Place(["?"], place.depth + 1, end), "bytes that belong to nothing")
        return at + n

    def map(self, buf: memoryview, n: int, at: int, node: cddl.Node, place: Place) -> int:
        """A map of `n` pairs, the first at `at`; the offset after it."""
        enough(buf, at, n, 2)
        members = node.members if isinstance(node, cddl.Map) else {}
        self.line(at, place, f"map of {n}", place.note)
        begin, last = at, b""
        there: set[Any] = set()
        for _ in range(n):
            key, after = cbor.loads_prefix(buf, at)
            encoded = bytes(buf[at:after])
            if encoded <= last:
                raise CborError("a map key twice" if encoded == last else "map keys out of order", at)
            if isinstance(key, bool) or not isinstance(key, (int, str, bytes)):
                raise CborError("a map key that is not an integer, a text or a byte string", at)
            last = encoded
            there.add(key)
            label = str(key) if isinstance(key, int) else values.shown(key)
            member = members.get(key) if isinstance(key, int) else None
            if member is not None:
                at = self.item(buf, after, member.item, Place([label], place.depth + 1, at, member.note))
                continue
            if isinstance(node, cddl.Map) and not (node.open and (isinstance(key, int) or not members)):
                self.problem(at, f"{place.name}: key {label} does not belong here")
            unknown = "not known here; carried" if members else ""
            at = self.item(buf, after, cddl.Ref("any"), Place([label], place.depth + 1, at, unknown))
        for key, member in members.items():
            if member.required and key not in there:
                what = f" ({member.item.name})" if isinstance(member.item, cddl.Ref) else ""
                self.problem(begin, f"{place.name}: key {key}{what} is missing")
        return at

    def array(self, buf: memoryview, n: int, at: int, node: cddl.Node, place: Place) -> int:
        """An array of `n` items, the first at `at`; the offset after it."""
        enough(buf, at, n, 1)
        self.line(at, place, f"array of {n}", place.note)
        whatever = (cddl.Element("", 0, n, cddl.Ref("any")),)
        left = n
        for element in node.elements if isinstance(node, cddl.Array) else whatever:
            taken = 0
            while left and taken < element.high:
                label = [element.label] if element.label else []
                at = self.item(buf, at, element.item, Place(label, place.depth + 1, at))
                taken += 1
                left -= 1
            if taken < element.low:
                named = element.item.name if isinstance(element.item, cddl.Ref) else "an item"
                self.problem(
                    at, f"{place.name}: ends after {counted(n, 'item')}; {element.label or named} is missing"
                )
                return at
        if left:
            self.problem(at, f"{place.name}: {counted(left, 'item')} too many")
        for _ in range(left):
            at = self.item(buf, at, cddl.Ref("any"), Place([], place.depth + 1, at))
        return at


def enough(buf: memoryview, at: int, n: int, each: int) -> None:
    """CborError when `n` entries of at least `each` bytes cannot be there."""
    if n * each > len(buf) - at:
        raise CborError(
            f"{counted(n, 'entry')} where {counted(len(buf) - at, 'byte')} {is_are(len(buf) - at)} left", at
        )


def fits(node: cddl.Node, value: Any) -> bool:
    """Whether a decoded value that is no container of the schema fits its node."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(node, cddl.Range):
        return number and node.low <= value <= node.high
    if isinstance(node, cddl.Literal):
        return type(value) is type(node.value) and value == node.value
    if isinstance(node, cddl.Sized):
        if isinstance(value, str):
            return node.of == "tstr" and node.low <= len(value.encode()) <= node.high
        return node.of == "bstr" and isinstance(value, bytes) and node.low <= len(value) <= node.high
    if isinstance(node, cddl.Ref):
        return {
            "any": True,
            "uint": number and value >= 0,
            "int": number,
            "bstr": isinstance(value, bytes),
            "tstr": isinstance(value, str),
            "bool": isinstance(value, bool),
            "true": value is True,
            "nil": value is None,
        }[node.name]
    return False


def wanted(node: cddl.Node) -> str:
    """What a node asks for, in words."""
    if isinstance(node, cddl.Range):
        return f"an integer from {node.low} to {node.high}"
    if isinstance(node, cddl.Literal):
        return values.shown(node.value)
    if isinstance(node, cddl.Sized):
        size = str(node.low) if node.low == node.high else f"{node.low} to {node.high}"
        return f"{'text' if node.of == 'tstr' else 'a byte string'} of {size} bytes"
    if isinstance(node, cddl.Ref):
        names = {"uint": "an unsigned integer", "int": "an integer", "bstr": "a byte string"}
        return {**names, "tstr": "text", "bool": "true or false"}.get(node.name, node.name)
    if isinstance(node, cddl.Embedded):
        return "a byte string that holds CBOR"
    if isinstance(node, cddl.Tagged):
        return f"tag {node.tag}"
    return "a map" if isinstance(node, cddl.Map) else "an array"


def _is_any(node: cddl.Node) -> bool:
    return isinstance(node, cddl.Ref) and node.name == "any"

"""Reads the part of CDDL (RFC 8610) that protocol/vitalwire.cddl is written in; its comments become notes."""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[2] / "protocol" / "vitalwire.cddl"
UNBOUNDED = 1 << 62

_TOKEN = re.compile(
    r"""(?P<comment>;[^\n]*) | (?P<tag>\#6\.\d+) | (?P<text>"[^"]*") | (?P<number>-?\d+) | (?P<range>\.\.)
      | (?P<control>\.[a-z]+) | (?P<name>[a-z][a-z0-9-]*) | (?P<arrow>=>) | (?P<sign>[=/\[\]{}():,?*])""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Ref:
    """Another rule, or a name of the prelude (uint, int, bstr, tstr, bool, any)."""

    name: str


@dataclass(frozen=True)
class Literal:
    """One value and no other."""

    value: Any


@dataclass(frozen=True)
class Range:
    """Integers from `low` to `high`, both included."""

    low: int
    high: int


@dataclass(frozen=True)
class Sized:
    """A byte string or text (`of`) whose length in bytes is bounded."""

    of: str
    low: int
    high: int


@dataclass(frozen=True)
class Embedded:
    """A byte string that holds an encoded item."""

    item: "Node"


@dataclass(frozen=True)
class Tagged:
    """An item under a CBOR tag."""

    tag: int
    item: "Node"


@dataclass(frozen=True)
class Choice:
    """The first of `options` that fits."""

    options: "tuple[Node, ...]"


@dataclass(frozen=True)
class Element:
    """Place(s) in an array: between `low` and `high` items."""

    label: str
    low: int
    high: int
    item: "Node"


@dataclass(frozen=True)
class Array:
    """An array of these elements in this order."""

    elements: "tuple[Element, ...]"


@dataclass(frozen=True)
class Member:
    """The value of a map's key; `note` is the comment beside it."""

    item: "Node"
    required: bool
    note: str


@dataclass(frozen=True)
class Map:
    """Members by key; `open`: other keys may be there too."""

    members: dict[int, Member]
    open: bool


Node = Ref | Literal | Range | Sized | Embedded | Tagged | Choice | Array | Map


@dataclass
class Schema:
    """`rules` and the comment beside each, by name."""

    rules: dict[str, Node] = field(default_factory=dict[str, Node])
    notes: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int


class _Reader:
    """Recursive descent over the tokens; comments are kept by line."""

    def __init__(self, text: str):
        self.comments: dict[int, str] = {}
        self.tokens: list[_Token] = []
        self.at = 0
        for number, line in enumerate(text.splitlines()):
            for match in _TOKEN.finditer(line):
                kind = match.lastgroup or ""
                if kind == "comment":
                    self.comments[number] = match.group()[1:].strip()
                else:
                    self.tokens.append(_Token(kind, match.group(), number))

    def schema(self) -> Schema:
        schema = Schema()
        while self.at < len(self.tokens):
            name = self.take()
            self.take("=")
            schema.rules[name.text] = self.choice()
            schema.notes[name.text] = self.note(name.line)
        return schema

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead].text if self.at + ahead < len(self.tokens) else ""

    def take(self, expected: str = "") -> _Token:
        token = self.tokens[self.at]
        if expected and token.text != expected:
            raise ValueError(
                f"line {token.line + 1} of the schema: {token.text!r} where {expected!r} belongs"
            )
        self.at += 1
        return token

    def skip(self, text: str) -> bool:
        if self.peek() == text:
            self.at += 1
            return True
        return False

    def note(self, line: int) -> str:
        """The comment on a line, with those of the following lines that hold nothing else."""
        words = [self.comments.get(line, "")]
        used = {token.line for token in self.tokens}
        while words[0] and line + 1 in self.comments and line + 1 not in used:
            line += 1
            words.append(self.comments[line])
        return " ".join(words)

    def choice(self) -> Node:
        options = [self.one()]
        while self.skip("/"):
            options.append(self.one())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def one(self) -> Node:
        token = self.take()
        if token.kind == "tag":
            self.take("(")
            item = self.choice()
            self.take(")")
            return Tagged(int(token.text[3:]), item)
        if token.text == "[":
            return self.array()
        if token.text == "{":
            return self.map()
        if token.kind == "text":
            return Literal(token.text[1:-1])
        if token.kind == "number":
            if self.skip(".."):
                return Range(int(token.text), int(self.take().text))
            return Literal(int(token.text))
        control = self.peek()
        if control == ".cbor":
            self.take()
            return Embedded(self.one())
        if control == ".size":
            self.take()
            return Sized(token.text, *self.bounds())
        return Ref(token.text)

    def bounds(self) -> "tuple[int, int]":
        if not self.skip("("):
            size = int(self.take().text)
            return size, size
        low = int(self.take().text)
        self.take("..")
        high = int(self.take().text)
        self.take(")")
        return low, high

    def array(self) -> Array:
        elements: list[Element] = []
        while not self.skip("]"):
            low, high = 1, 1
            if self.peek() == "*" or (self.peek(1) == "*" and self.tokens[self.at].kind == "number"):
                low = 0 if self.peek() == "*" else int(self.take().text)
                star = self.take("*")
                follows = self.tokens[self.at]
                near = follows.kind == "number" and follows.line == star.line and self.peek(1) != ".."
                high = int(self.take().text) if near else UNBOUNDED
            label = ""
            if self.peek(1) == ":":
                label = self.take().text
                self.take(":")
            elements.append(Element(label, low, high, self.choice()))
            self.skip(",")
        return Array(tuple(elements))

    def map(self) -> Map:
        members: dict[int, Member] = {}
        is_open = False
        while not self.skip("}"):
            if self.skip("*"):
                self.choice()
                self.take("=>")
                self.choice()
                is_open = True
            else:
                required = not self.skip("?")
                key = self.take()
                self.take(":")
                members[int(key.text)] = Member(self.choice(), required, self.note(key.line))
            self.skip(",")
        return Map(members, is_open)


@cache
def load() -> Schema:
    """The schema of the wire protocol."""
    return _Reader(FILE.read_text("utf-8")).schema()

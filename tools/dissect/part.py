"""One thing taken apart: its lines, problems and facts, what is in it, where its bytes are in the capture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge_agent.keys import PublicKeys
from protocol.identity import Identity
from tools.dissect.walker import Line, Problem


def _nobody(node_id: bytes) -> "PublicKeys | None":
    return None


@dataclass(frozen=True)
class Keys:
    """Whose secrets and signatures are at hand; `peers` gives a paired node's public keys by its id."""

    collector: Identity | None = None
    signer_ed_pub: bytes | None = None
    agent: Identity | None = None
    peers: Callable[[bytes], "PublicKeys | None"] = _nobody


@dataclass
class Part:
    """One thing taken apart. `title`: what; `rule`: its rule of the schema; `offset`: where in what holds it.

    `unchecked`: what a key that is not at hand would tell; no fault of the capture.
    Offsets of lines and problems are its own; `places` has that of the capture for each of its bytes, and one
    more for its end.
    """

    title: str
    data: bytes
    offset: int = 0
    rule: str = ""
    places: Sequence[int] = ()
    lines: list[Line] = field(default_factory=list[Line])
    problems: list[Problem] = field(default_factory=list[Problem])
    facts: list[str] = field(default_factory=list[str])
    unchecked: list[str] = field(default_factory=list[str])
    parts: "list[Part]" = field(default_factory=list["Part"])

    def __post_init__(self) -> None:
        if not self.places:
            self.places = range(self.offset, self.offset + len(self.data) + 1)

    def all_problems(self) -> "list[tuple[Part, Problem]]":
        """Those of this part and the parts within it."""
        own = [(self, problem) for problem in self.problems]
        return own + [found for part in self.parts for found in part.all_problems()]

    def all_unchecked(self) -> "list[str]":
        """Of this part and the parts within it."""
        return self.unchecked + [why for part in self.parts for why in part.all_unchecked()]

    def in_capture(self, offset: int) -> int:
        """Where in the capture the byte at an offset of this part is."""
        return self.places[min(offset, len(self.places) - 1)]

    def place_of(self, problem: Problem) -> int:
        """Where in the capture a problem of this part is."""
        return self.in_capture(problem.offset) if problem.capture is None else problem.capture

    def held_at(self, offset: int, size: int) -> "Sequence[int]":
        """The places of `size` bytes of this part from `offset` on, and of their end: for what is within."""
        return [self.in_capture(at) for at in range(offset, offset + size + 1)]

"""What checks of a store found: one sentence each."""

from dataclasses import dataclass, field

MAX_NAMED = 5


@dataclass
class Result:
    """One thing that was checked: a sentence, and whether it holds."""

    good: bool
    sentence: str


@dataclass
class Tally:
    """Counts what was checked, and names what is wrong, the first few of it."""

    checked: int = 0
    bad: list[str] = field(default_factory=list[str])

    def wrong(self, what: str) -> None:
        """That is not as it must be."""
        self.bad.append(what)

    def equal(self, found: object, expected: object, what: str) -> None:
        """Check one thing."""
        self.checked += 1
        if found != expected:
            self.wrong(what)

    def result(self, good: str, bad: str) -> Result:
        """The sentence: `good` when nothing is wrong, else `bad` and what."""
        if not self.bad:
            return Result(True, good)
        named = "; ".join(self.bad[:MAX_NAMED])
        more = f"; and {len(self.bad) - MAX_NAMED} more" if len(self.bad) > MAX_NAMED else ""
        return Result(False, f"{bad}: {named}{more}.")

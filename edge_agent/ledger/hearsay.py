"""What is known of boots only by their successors' word: statements of one boot, summaries of a row of them,
and the boots that nobody has said anything of.

docs/wire-protocol.md §8.1. The same thing is said again until the node knows that it has arrived; of two
that contradict each other the greater number and the wider bound count, and the contradiction is named.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from protocol.frame_names import UNBOUNDED


class Statement(NamedTuple):
    """What a boot said of an earlier one: numbers below `known_next` existed; `bound_s` bounds the rest."""

    known_next: int
    clean: bool
    bound_s: int


class Summary(NamedTuple):
    """The same of all boots with these counters together, both ends in: `known` and `bound_s` are sums."""

    first: int
    last: int
    known: int
    bound_s: int


class Heard(NamedTuple):
    """One boot that has a row of its own: its counter, what was stated of it, the numbers that existed."""

    counter: int
    statement: Statement | None
    produced: int


class Rest(NamedTuple):
    """`boots` boots with counters from `first` to `last` that have no rows of their own; `told` None: nobody
    said anything of them.
    """

    first: int
    last: int
    boots: int
    told: Summary | None
    contradiction: str = ""


def agreed(said: Sequence[Statement]) -> Statement | None:
    """What counts of everything that was said of one boot."""
    if not said:
        return None
    return Statement(
        max(one.known_next for one in said), all(one.clean for one in said), max(one.bound_s for one in said)
    )


def joined(said: Iterable[Summary]) -> list[tuple[Summary, bool]]:
    """Summaries that overlap as one each, ascending, and whether those that it is made of contradict each
    other.

    A node adds to the summary that it has: of honest ones, each contains those before it.
    """
    out: list[tuple[Summary, bool]] = []
    for one in sorted(said, key=lambda s: (s.first, -s.last)):
        if not out or one.first > out[-1][0].last:
            out.append((one, False))
            continue
        before, wrong = out[-1]
        wrong = wrong or one.last > before.last or one.known > before.known or one.bound_s > before.bound_s
        whole = Summary(
            before.first,
            max(before.last, one.last),
            max(before.known, one.known),
            max(before.bound_s, one.bound_s),
        )
        out[-1] = (whole, wrong)
    return out


def rest(heard: Sequence[Heard], said: Iterable[Summary]) -> list[Rest]:
    """The boots of one node that have no rows of their own, ascending. `heard`: those that have, ascending.

    What is left of a summary when the boots with rows of their own are taken from it is never more than what
    the others made, and with its bound never less.
    """
    out: list[Rest] = []
    place = 0
    reached = 0
    for summary, wrong in joined(said):
        while place < len(heard) and heard[place].counter < summary.first:
            _gap(out, reached, heard[place].counter)
            reached = heard[place].counter
            place += 1
        _gap(out, reached, summary.first)
        reached = summary.last
        known, bound_s, named, stated = summary.known, summary.bound_s, set[int](), 0
        while place < len(heard) and heard[place].counter <= summary.last:
            one = heard[place]
            place += 1
            named.add(one.counter)
            known -= one.statement.known_next if one.statement else one.produced
            if one.statement:
                stated += one.statement.known_next
                bound_s -= one.statement.bound_s
        if summary.known == UNBOUNDED or summary.bound_s == UNBOUNDED:
            bound_s = UNBOUNDED
        contradiction = ""
        if wrong or stated > summary.known:
            contradiction = "what is said of these boots together contradicts what was said before"
        boots = summary.last - summary.first + 1 - len(named)
        if boots or known > 0 or contradiction:
            told = Summary(summary.first, summary.last, max(0, known), max(0, bound_s))
            out.append(Rest(summary.first, summary.last, boots, told, contradiction))
    for one in heard[place:]:
        _gap(out, reached, one.counter)
        reached = one.counter
    return out


def _gap(out: list[Rest], reached: int, counter: int) -> None:
    """Counters between two that are known of: a node leaves none out."""
    if counter > reached + 1:
        out.append(Rest(reached + 1, counter - 1, counter - 1 - reached, None))

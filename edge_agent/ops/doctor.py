"""`vitalwire doctor`: what this machine and this configuration lack for the agent's work, and how to mend it.

Each check looks at one thing, changes nothing, and says what it found: fine, worth knowing, or in the way of
the main job (frames from a node, durable, signed, delivered). One that fails itself is a finding too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from edge_agent.config import Config

GOOD, WARN, BAD = "good", "warn", "bad"
MARKS = {GOOD: "✓", WARN: "!", BAD: "✗"}


class Finding(NamedTuple):
    """What a check found: GOOD, WARN or BAD; what it is; what to do ("": nothing)."""

    check: str
    state: str
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class Patient:
    """What is examined. `far`: whether other machines may be asked; `running`: the pid of an agent that
    runs with this state directory (0: it runs, and nobody knows its pid), None when there is none.
    """

    config: Config
    far: bool = True
    running: int | None = None


# The findings of one check, without its name.
Found = Iterator[tuple[str, str, str]]
Check = Callable[[Patient], Found]


def good(what: str) -> tuple[str, str, str]:
    """It is as it should be."""
    return GOOD, what, ""


def warn(what: str, remedy: str) -> tuple[str, str, str]:
    """It works, and there is something to know."""
    return WARN, what, remedy


def bad(what: str, remedy: str) -> tuple[str, str, str]:
    """It stops the main job."""
    return BAD, what, remedy


def examine(patient: Patient, checks: "dict[str, Check]") -> Iterator[Finding]:
    """The findings of all checks, in order."""
    for name, check in checks.items():
        try:
            for state, what, remedy in check(patient):
                yield Finding(name, state, what, remedy)
        except Exception as e:
            yield Finding(name, WARN, f"could not be checked: {type(e).__name__}: {e}", "look at it by hand")


def all_checks() -> "dict[str, Check]":
    """Every check by its name, the machine's first."""
    from edge_agent.ops import doctor_disk, doctor_far, doctor_machine, doctor_people, doctor_updates

    here = doctor_machine.CHECKS | doctor_disk.CHECKS | doctor_people.CHECKS | doctor_updates.CHECKS
    return here | doctor_far.CHECKS

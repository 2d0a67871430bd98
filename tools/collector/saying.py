"""What the collector's log tells of what is far away, of alarms and of whom it trusts: once when it begins,
once when it ends.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping

from edge_agent.readable import counted, printable

Alarm = tuple[int, str, str]
"""(Unix ms, code, detail), as the store has it."""


class FarEnd:
    """A far end that comes and goes. Of failures that follow each other the first is told, any with another
    cause, and the 2nd, 4th, 8th, …: a line for each would fill the disk in a night.
    """

    def __init__(self, log: logging.Logger, name: str, clock: Callable[[], float] = time.monotonic):
        self._log = log
        self._name = name
        self._clock = clock
        self._why = ""
        self._failures = 0
        self._since_s = 0.0

    def lost(self, why: str) -> None:
        """It is away, or still is."""
        if not self._failures:
            self._since_s = self._clock()
        self._failures += 1
        if why != self._why or self._failures & (self._failures - 1) == 0:
            n = f" ({counted(self._failures, 'failure')} in a row)" if self._failures > 1 else ""
            self._log.warning("%s: %s; trying again until it works%s", self._name, why, n)
        self._why = why

    def there(self) -> None:
        """It is there, or there again."""
        if self._failures:
            away_s = self._clock() - self._since_s
            n = counted(self._failures, "failure")
            self._log.info("%s: connected again, after %.0f s and %s", self._name, away_s, n)
        else:
            self._log.info("%s: connected", self._name)
        self._why, self._failures = "", 0


class Alarms:
    """Tells of alarms as they come and go."""

    def __init__(self, log: logging.Logger):
        self._log = log
        self._known: set[tuple[str, str]] | None = None

    def look(self, alarms: Iterable[Alarm]) -> None:
        """These stand now."""
        now = {(code, detail) for _, code, detail in alarms}
        if self._known is None:
            if now:
                n = counted(len(now), "alarm")
                self._log.warning("%s from before: vitalwire collector status shows the newest", n)
            self._known = now
            return
        for code, detail in sorted(now - self._known):
            self._log.warning("alarm %s: %s", code, detail)
        for code, detail in sorted(self._known - now):
            self._log.info("no longer an alarm: %s: %s", code, detail)
        self._known = now


class Trusted:
    """Tells of agents that are trusted from now on or no longer, and of files that make nobody trusted.

    `agents`: those of the start.
    """

    def __init__(self, log: logging.Logger, agents: Iterable[bytes]):
        self._log = log
        self._agents = set(agents)
        self._problems: dict[str, str] = {}

    def look(self, agents: Iterable[bytes], problems: Mapping[str, str]) -> None:
        """These are trusted now; `problems`: by file, why it makes nobody trusted."""
        now = set(agents)
        for agent in sorted(now - self._agents):
            self._log.info("agent %s is trusted from now on", agent.hex())
        for agent in sorted(self._agents - now):
            self._log.warning("agent %s is no longer trusted: what it sends is refused", agent.hex())
        self._agents = now
        for name, why in sorted(problems.items()):
            if self._problems.get(name) != why:
                self._log.warning("%s makes nobody trusted: %s", printable(name), printable(why))
        self._problems = dict(problems)

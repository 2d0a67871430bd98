"""The dead-man: an agent that says nothing for so long is an alarm, and over when it speaks again.

An agent that has nothing to deliver asks every few minutes what the collector holds: silence is never peace.
While this collector is itself cut off it judges nobody, and after that each agent has its time anew.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from edge_agent.readable import counted

SILENT_AFTER_S = 600


class Silent(NamedTuple):
    """An agent that was due to speak at `since_ms` (Unix), and was heard last at `heard_ms`, if ever."""

    agent: bytes
    since_ms: int
    heard_ms: int | None


class DeadMan:
    """Who is silent. `say(sentence)` is told when that begins and ends. Times are Unix ms, given."""

    def __init__(self, silent_after_s: float, say: Callable[[str], None]):
        self._after_ms = round(silent_after_s * 1000)
        self._say = say
        self._listening_ms: int | None = None
        self._heard: dict[bytes, tuple[int, int]] = {}
        self.silent: dict[bytes, Silent] = {}

    def look(
        self, now_ms: int, connected: bool, agents: Iterable[bytes], heard: Mapping[bytes, int]
    ) -> list[Silent]:
        """Those of `agents` that are silent now; `heard`: when each spoke last, to any collector."""
        if not connected:
            self._listening_ms = None
            return list(self.silent.values())
        if self._listening_ms is None:
            self._listening_ms = now_ms
        # A clock that was put back: what seems to lie ahead of it is no later than now.
        self._listening_ms = min(self._listening_ms, now_ms)
        known = sorted(agents)
        for agent in known:
            said = heard.get(agent)
            before, known_of = self.silent.get(agent), self._heard.get(agent)
            last = self._at(agent, said, now_ms)
            due = max(self._listening_ms, last or 0) + self._after_ms
            if before is not None and said != (known_of and known_of[0]):
                del self.silent[agent]
                self._say(f"agent {agent.hex()} speaks again")
            elif before is None and now_ms >= due:
                self.silent[agent] = Silent(agent, due, last)
                self._say(sentence(self.silent[agent], now_ms))
        for agent in self.silent.keys() - set(known):
            del self.silent[agent]
        return list(self.silent.values())

    def _at(self, agent: bytes, said_ms: int | None, now_ms: int) -> int | None:
        """When an agent was heard that is said to have been at `said_ms`: no later than any moment at which
        that was said.
        """
        if said_ms is None:
            return None
        known = self._heard.get(agent)
        at = min(now_ms, known[1] if known is not None and known[0] == said_ms else said_ms)
        self._heard[agent] = (said_ms, at)
        return at


def sentence(one: Silent, now_ms: int) -> str:
    """What is the matter, and what to look at."""
    name = f"agent {one.agent.hex()}"
    if one.heard_ms is None:
        return f"{name} has never been heard: is it switched on, and told of this collector and broker?"
    minutes = (now_ms - one.heard_ms) // 60_000
    return f"{name} is silent for {counted(minutes, 'minute')}: look at its power, its network and the broker"

"""The dead-man: an agent that says nothing for so long is an alarm, and over when it speaks again.

An agent that has nothing to deliver asks every few minutes what the collector holds: silence is never peace.
While this collector is itself cut off it judges nobody, and after that each agent has its time anew.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

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
        known = sorted(agents)
        for agent in known:
            last = heard.get(agent)
            due = max(self._listening_ms, last or 0) + self._after_ms
            before = self.silent.get(agent)
            if before is not None and last != before.heard_ms:
                del self.silent[agent]
                self._say(f"agent {agent.hex()} speaks again")
            elif before is None and now_ms >= due:
                self.silent[agent] = Silent(agent, due, last)
                self._say(sentence(self.silent[agent], now_ms))
        for agent in self.silent.keys() - set(known):
            del self.silent[agent]
        return list(self.silent.values())


def sentence(one: Silent, now_ms: int) -> str:
    """What is the matter, and what to look at."""
    name = f"agent {one.agent.hex()}"
    if one.heard_ms is None:
        return f"{name} has never been heard: is it switched on, and told of this collector and broker?"
    minutes = (now_ms - one.heard_ms) // 60_000
    return f"{name} is silent for {minutes} minutes: look at its power, its network and the broker"

"""A roll-out: a version for a group of nodes in waves, what became of each, and when it must not go on.

The rules, all without I/O. Which nodes a wave takes is a hash of node and version: the same nodes whoever
asks, other ones for the next version. A wave is over when each node that it reached is at its end, the bound
was kept, and a soak time has passed; a roll-out that breaks the bound halts, and only a person lets it go on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import comb
from typing import NamedTuple

from protocol import crypto

# What a node is: on the way, then at its end.
WAITING, SENDING, VERIFYING, TRIAL = "waiting", "sending", "verifying", "trial"
CONFIRMED, HAS, ROLLED_BACK = "confirmed", "has it already", "rolled back"
REFUSED, FAILED, SILENT, GONE = "refused", "failed", "silent", "not paired"
ON_THE_WAY = (SENDING, VERIFYING, TRIAL)
# An apply may have left: whatever comes, it is not sent the same again by itself.
AT_RISK = (VERIFYING, TRIAL)
GOOD_ENDS = (CONFIRMED, HAS)
BAD_ENDS = (ROLLED_BACK, FAILED, SILENT)
ENDS = (*GOOD_ENDS, *BAD_ENDS, REFUSED, GONE)
STATES = (WAITING, *ON_THE_WAY, *ENDS)

RUNNING, PAUSED, HALTED, FINISHED, ENDED = "running", "paused", "halted", "finished", "ended"
OPEN = (RUNNING, PAUSED, HALTED)
ROLLOUT_STATES = (*OPEN, FINISHED, ENDED)

# So many must be at their end before a rate means anything.
LEAST_ENDED = 3
# More failures than chance makes in one of twenty roll-outs whose nodes fail as often as the bound allows.
CHANCE = 0.05
# What one node is told of in its history.
MAX_HISTORY = 24


class Rules(NamedTuple):
    """`confirm_percent`: of the nodes at their end, so many must confirm; times in ms. `absent_ms`: nodes
    that still wait so long after their wave began are not waited for.
    """

    confirm_percent: float = 90.0
    soak_ms: int = 3_600_000
    trial_ms: int = 1_800_000
    absent_ms: int = 3_600_000


@dataclass
class NodeState:
    """One node: `wave` from 0; `tries`: how often it failed and was tried again; `history`: [at ms, state,
    why], oldest first; `since_ms`: when it came into its state.
    """

    wave: int
    state: str = WAITING
    why: str = ""
    since_ms: int = 0
    tries: int = 0
    history: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])


@dataclass
class Rollout:
    """`bundles`: update id (hex) by board; `percents`: of the waves, ascending; `wave`: the one that runs;
    `forgiven`: nodes (hex) whose bad end a person has seen, and let it go on. Times: Unix ms.
    """

    id: str
    version: str
    bundles: dict[str, str]
    group: str
    percents: list[float]
    by: str
    begun_ms: int
    rules: Rules
    wave: int = -1
    state: str = RUNNING
    why: str = ""
    wave_ms: int = 0
    changed_ms: int = 0
    nodes: dict[str, NodeState] = field(default_factory=dict[str, NodeState])
    forgiven: list[str] = field(default_factory=list[str])

    def note(self, node: str, state: str, why: str, now_ms: int) -> bool:
        """The node is in that state now; whether that is news."""
        one = self.nodes[node]
        if (one.state, one.why) == (state, why):
            return False
        if one.state != state:
            one.since_ms = now_ms
        one.state, one.why = state, why
        one.history.append((now_ms, state, why))
        del one.history[:-MAX_HISTORY]
        self.changed_ms = now_ms
        return True

    def turn(self, state: str, why: str, now_ms: int) -> None:
        """The roll-out itself is in that state now."""
        self.state, self.why, self.changed_ms = state, why, now_ms

    def resume(self, now_ms: int) -> None:
        """A person lets it go on: the bad ends until now no longer count."""
        bad = [node for node, one in self.nodes.items() if one.state in BAD_ENDS]
        self.forgiven = sorted({*self.forgiven, *bad})
        self.turn(RUNNING, "", now_ms)

    def clock_set(self, by_ms: int, now_ms: int) -> None:
        """The clock was set: what lasts goes on as if it had not been, and nothing is of the future."""
        self.wave_ms = min(self.wave_ms + by_ms, now_ms)
        self.begun_ms, self.changed_ms = min(self.begun_ms, now_ms), min(self.changed_ms, now_ms)
        for one in self.nodes.values():
            one.since_ms = min(one.since_ms + by_ms, now_ms)

    def begin_wave(self, group: Iterable[bytes], now_ms: int) -> list[str]:
        """The next wave, of those of the group that are not in one yet; the nodes that it takes."""
        self.wave += 1
        self.wave_ms = self.changed_ms = now_ms
        taken = chosen(group, self.version, self.percents[self.wave])
        fresh = [node.hex() for node in taken if node.hex() not in self.nodes]
        for node in fresh:
            self.nodes[node] = NodeState(self.wave, since_ms=now_ms)
        return fresh

    @property
    def last_wave(self) -> bool:
        """Whether no wave comes after the one that runs."""
        return self.wave + 1 >= len(self.percents)

    def counts(self) -> dict[str, int]:
        """How many nodes are in each state."""
        found: dict[str, int] = {}
        for one in self.nodes.values():
            found[one.state] = found.get(one.state, 0) + 1
        return found

    # The bound

    def why_halt(self) -> str:
        """Why it must not go on, or ""."""
        counted = {node: one for node, one in self.nodes.items() if node not in self.forgiven}
        parts = [("", counted)]
        if self.wave > 0:
            parts.append(("of this wave, ", {n: one for n, one in counted.items() if one.wave == self.wave}))
        for name, part in parts:
            bad = [one for one in part.values() if one.state in BAD_ENDS]
            ended = len(bad) + sum(one.state in GOOD_ENDS for one in part.values())
            size = sum(one.state not in (REFUSED, GONE) for one in part.values())
            if broken(ended, len(bad), size, self.rules.confirm_percent):
                what = ", ".join(f"{n} {state}" for state, n in sorted(_counts(bad).items()))
                return (
                    f"{name}{what}, of {ended} at their end: under {self.rules.confirm_percent:g} % confirmed"
                )
        return ""

    def wave_over(self, now_ms: int) -> bool:
        """Whether the next wave may begin (or, after the last one, nothing is left to do)."""
        mine = self.nodes.values()
        if any(one.state in ON_THE_WAY for one in mine):
            return False
        waiting = any(one.state == WAITING for one in mine)
        if waiting and (self.last_wave or now_ms - self.wave_ms < self.rules.absent_ms):
            return False
        if self.last_wave:
            return True
        counted = [one for node, one in self.nodes.items() if node not in self.forgiven]
        tried = any(one.state not in (REFUSED, GONE) for one in counted)
        if tried and not any(one.state in GOOD_ENDS for one in mine):
            return False
        newest_ms = max((one.since_ms for one in mine if one.state == CONFIRMED), default=self.wave_ms)
        return now_ms - newest_ms >= self.rules.soak_ms

    def nobody(self) -> bool:
        """Whether every node of its waves is at its end, and not one has the version: it means nothing."""
        return bool(self.nodes) and all(
            one.state in ENDS and one.state not in GOOD_ENDS for one in self.nodes.values()
        )


def _counts(nodes: Iterable[NodeState]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for one in nodes:
        found[one.state] = found.get(one.state, 0) + 1
    return found


def broken(ended: int, bad: int, size: int, confirm_percent: float) -> bool:
    """Whether `bad` ends among `ended` ones break the bound for `size` nodes in all.

    They do when the bound can no longer be kept; or when, of three at least, they are under it and more than
    chance would make where nodes fail just as often as it allows (binomial test).
    """
    allowed = 1 - confirm_percent / 100
    # A hair for 0.1 * 10, which is less than 1.
    if not bad or bad <= 0:
        return False
    if bad > allowed * size + 1e-9:
        return True
    if ended < LEAST_ENDED or bad <= allowed * ended + 1e-9:
        return False
    chance = sum(comb(ended, n) * allowed**n * (1 - allowed) ** (ended - n) for n in range(bad, ended + 1))
    return chance < CHANCE


def rank(node: bytes, version: str) -> float:
    """From 0 to 1, the same for a node and a version whenever it is asked."""
    return int.from_bytes(crypto.sha256(version.encode() + b"\0" + node)[:6], "big") / (1 << 48)


def chosen(group: Iterable[bytes], version: str, percent: float) -> list[bytes]:
    """The nodes of the group that belong to the first `percent`: at least one, where there is one."""
    ranked = sorted((rank(node, version), node) for node in group)
    taken = [node for place, node in ranked if place * 100 < percent or percent >= 100]
    return taken or [node for _, node in ranked[:1]]

"""What the agent asks nodes to spare it while it cannot keep up, and when it asks them no more.

Two facts decide: how many items wait for the disk, and whether the disk refuses. It gets worse at once, and
better a step at a time, after a calm whose length doubles whenever things get worse soon after they got
better: so a disk that is full again as soon as there is a byte does not make the nodes go up and down with
it. Alarms come whatever is asked.
"""

from typing import NamedTuple


class Level(NamedTuple):
    """What a flow message says (docs/wire-protocol.md §8.2): 0 is no limit."""

    name: str
    waves: bool
    bytes_s: int
    window: int


NORMAL = Level("normal", True, 0, 0)
# A node makes about 1 KB a second (docs/benchmarks.md): it goes on live, with four frames in flight and not
# sixteen, and a backlog comes no faster than it was measured.
SLOW = Level("slow down", True, 2048, 4)
# Vitals and alarms only: they keep their value when they come late.
BARE = Level("waveforms off", False, 512, 2)
LEVELS = (NORMAL, SLOW, BARE)

# Ingest lets frames go (unacknowledged) from 20 000 items on. A tenth of that is what 100 nodes send while
# one commit takes several seconds; from half of it on, nothing but sending less can help.
SLOW_AT = 2_000
BARE_AT = 10_000
# Calm: what 1,000 nodes send between two commits, which come sooner from MANY frames on (ingest.py).
CALM_AT = 500
# A disk that has refused for so long will not take the waveforms either that the nodes repeat meanwhile.
REFUSED_S = 10.0
CALM_S = 5.0
CALM_MAX_S = 300.0
# Worse again within so long of the last step to the better: the calm was too short.
SOON_S = 60.0


class FlowPolicy:
    """`level`: what nodes are to be asked now. Call judge() at least twice a second, with seconds of a
    monotonic clock: a disk that refuses does so for half a second or more (ingest.REFUSED_PAUSE_S), which a
    longer pause between two looks would take for calm.
    """

    def __init__(self) -> None:
        self.level = NORMAL
        self.changes = 0
        self.calm_s = CALM_S
        self._refusing_since: float | None = None
        self._calm_since: float | None = None
        self._better_at: float | None = None

    def judge(self, now_s: float, waiting: int, refusing: bool) -> Level:
        """`waiting`: items that are not committed yet; `refusing`: the disk takes no writes."""
        if not refusing:
            self._refusing_since = None
        elif self._refusing_since is None:
            self._refusing_since = now_s
        wanted = self._wanted(now_s, waiting)
        at = LEVELS.index(self.level)
        if wanted > at:
            if self._better_at is not None and now_s - self._better_at < SOON_S:
                self.calm_s = min(self.calm_s * 2, CALM_MAX_S)
                # One step to the better can have come too soon once only, however many steps it gets worse.
                self._better_at = None
            self._change(wanted)
        elif wanted < at and waiting <= CALM_AT and not refusing:
            if self._calm_since is None:
                self._calm_since = now_s
            if now_s - self._calm_since >= self.calm_s:
                self._better_at = now_s
                self._change(at - 1)
        else:
            self._calm_since = None
            if at == 0 and self._better_at is not None and now_s - self._better_at >= SOON_S:
                self.calm_s, self._better_at = CALM_S, None
        return self.level

    def _wanted(self, now_s: float, waiting: int) -> int:
        refused_s = None if self._refusing_since is None else now_s - self._refusing_since
        if waiting >= BARE_AT or (refused_s is not None and refused_s >= REFUSED_S):
            return 2
        return 1 if waiting >= SLOW_AT or refused_s is not None else 0

    def _change(self, to: int) -> None:
        self.level = LEVELS[to]
        self.changes += 1
        self._calm_since = None

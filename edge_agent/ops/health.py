"""Whether the agent does what it is for, and if not, why: from its last status, for `/healthz`.

A cause makes it fail (503); a warning is told and does not. Each says what to do.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from edge_agent.ops.heart import Heart
from edge_agent.ops.machine import clock_synchronised, free_bytes

# A broker may be away for so long before it is a cause: reconnecting takes its time.
FORWARDER_S = 120.0
# With many nodes it is made every few seconds.
STALE_S = 15.0
CLOCK_BOUND_S = 1.0
CLOCK_EVERY_S = 60.0
OPEN = "open"
# What went before it was delivered is a cause for so long: somebody has to see it.
EVICTED_S = 3600.0
# So long after another agent with our key was last seen.
CLONE_S = 86_400.0


class Cause(NamedTuple):
    """One thing that is wrong: its name in the set below, what it is, what to do."""

    cause: str
    what: str
    do: str


CAUSES = (
    "starting",
    "stale",
    "watchdog",
    "store",
    "disk",
    "link",
    "forwarder",
    "evicted",
    "clone",
    "clock",
    "room",
)


class Health:
    """Judges the agent; for one thread. `latest` gives its last status."""

    def __init__(
        self,
        latest: Callable[[], Mapping[str, Any] | None],
        heart: Heart,
        min_free_bytes: int,
        state_dir: Any,
        now_ms: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._latest = latest
        self._heart = heart
        self._min_free = min_free_bytes
        self._state_dir = state_dir
        self._now_ms = now_ms
        self._clock = clock
        self._away: dict[str, float] = {}
        self._synchronised: bool | None = None
        self._looked = -CLOCK_EVERY_S

    def report(self) -> tuple[bool, dict[str, Any]]:
        """(whether all is well, the same for JSON: status, causes, warnings)."""
        causes, warnings = list(self._causes()), list(self._warnings())
        return not causes, {
            "status": "failing" if causes else "ok",
            "causes": [cause._asdict() for cause in causes],
            "warnings": [warning._asdict() for warning in warnings],
        }

    def _causes(self) -> Iterator[Cause]:
        stuck = self._heart.stuck_s()
        if stuck is not None:
            yield Cause(
                "watchdog",
                f"no work has been finished for {stuck:.0f} s: the disk does not answer, or the agent hangs",
                "look at the disk (dmesg); systemd starts the agent anew after WatchdogSec",
            )
        status = self._latest()
        if status is None:
            yield Cause("starting", "the store is being opened", "wait; the log says if it fails")
            return
        age_s = (self._now_ms() - int(status["written_ms"])) / 1000
        if age_s > STALE_S:
            yield Cause("stale", f"the last status is {age_s:.0f} s old", "see the log")
        store = status["store"]
        if store["problem"]:
            yield Cause("store", str(store["problem"]), "vitalwire doctor; it goes on by itself")
        free = free_bytes(self._state_dir)
        if free is not None and free < self._min_free:
            yield Cause(
                "disk",
                f"{free >> 20} MiB are free, [store] min_free_mib wants {self._min_free >> 20}",
                "make room, or set [store] quota_mib",
            )
        links: list[Mapping[str, Any]] = [*status["links"], status.get("tcp") or {}]
        tcp: Mapping[str, Any] = status.get("tcp") or {}
        if not tcp.get("listening") and not any(link["state"] == OPEN for link in status["links"]):
            problem = next((link["problem"] for link in links if link.get("problem")), None)
            yield Cause("link", problem or "no port is open", "plug a node in; vitalwire doctor lists ports")
        yield from self._forwarders(status["forward"])
        clone_ms = status["custody"].get("clone_ms")
        if clone_ms is not None and self._now_ms() - clone_ms < CLONE_S * 1000:
            yield Cause(
                "clone",
                "another agent signs with this agent's key: a copy of its state directory, or a stolen key",
                "stop the other one; new keys for it (docs/operating.md)",
            )
        room: Mapping[str, Any] = store.get("room") or {}
        evicted_ms = room.get("evicted_ms")
        if evicted_ms is not None and self._now_ms() - evicted_ms < EVICTED_S * 1000:
            yield Cause(
                "evicted",
                "frames were given up before they were delivered, for the quota",
                "see why the far end does not take them, or raise [store] quota_mib",
            )

    def _forwarders(self, forward: Mapping[str, Mapping[str, Any]]) -> Iterator[Cause]:
        for name, told in forward.items():
            if told.get("connected", True):
                self._away.pop(name, None)
                continue
            away = self._clock() - self._away.setdefault(name, self._clock())
            if told.get("required", True) and away > FORWARDER_S:
                why = told.get("problem") or "not connected"
                yield Cause(
                    "forwarder",
                    f"{name}: away for {away:.0f} s: {why}",
                    "vitalwire doctor says how to mend it",
                )

    def _warnings(self) -> Iterator[Cause]:
        if self._clock() - self._looked >= CLOCK_EVERY_S:
            self._looked = self._clock()
            self._synchronised = clock_synchronised()
        if self._synchronised is False:
            yield Cause(
                "clock", "nothing keeps the system's clock right", "switch on NTP (timedatectl set-ntp 1)"
            )
        status = self._latest() or {}
        room: Mapping[str, Any] = status.get("store", {}).get("room") or {}
        if room.get("problem"):
            yield Cause("room", str(room["problem"]), "vitalwire store stats shows what holds it")
        bound = clock_bound_s(status)
        if bound is not None and bound > CLOCK_BOUND_S:
            yield Cause("clock", f"a live node's time is known within {bound:.1f} s only", "look at its link")


def clock_bound_s(status: Mapping[str, Any]) -> float | None:
    """The widest bound on the time of a live node, in seconds; None without one."""
    bounds = [
        node["clock"]["bound_us"] / 1e6
        for node in status.get("nodes", ())
        if node.get("live") and node.get("clock") and node["clock"].get("bound_us") is not None
    ]
    return max(bounds, default=None)

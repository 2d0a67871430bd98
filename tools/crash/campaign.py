"""What happens in a campaign, in the order that a seed gives, and what has to be true when it is over."""

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.ops import status
from edge_agent.readable import counted
from tools.crash.nodes import Flock
from tools.crash.victim import DISK_FULL, DISK_GOOD, DISK_READ_ONLY
from tools.crash.world import Process, World

DAY_NS = 86_400 * 10**9
SETTLE_S = 300.0
# What the agent says of itself is up to so old; what it acknowledged just before is not in it.
FRESH_S = 2.0
QUIET_S = FRESH_S + 1.0
# With what opens them: the key may be another one by the time a backup is put back.
STORE_FILES = ("agent.db", "agent.db-wal", "agent.db-shm", "agent.db-mark", "agent.db-check", "store.key")
REKEY_S = 2.0


@dataclass(frozen=True)
class Plan:
    """How much of what; kills are of agent, broker and collectors together. `databases`: ends of the
    collectors' PostgreSQL; `rekeys`: changes of the store's key, most of which are killed.
    """

    seed: int
    kills: int = 200
    disks: int = 10
    clocks: int = 10
    restores: int = 3
    nodes: int = 8
    rate: float = 20.0
    collectors: int = 1
    databases: int = 0
    rekeys: int = 0


@dataclass
class Outcome:
    """What was done, by name, and what was wrong at the end (nothing: a good end)."""

    seed: int
    done: Counter[str] = field(default_factory=Counter)
    produced: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


class Campaign:
    """One campaign in a World; `said` takes progress: (n, of how many, in words)."""

    def __init__(self, plan: Plan, world: World, said: Callable[[int, int, str], None]):
        self.plan = plan
        self.world = world
        self.outcome = Outcome(plan.seed)
        self._said = said
        self._rng = random.Random(plan.seed)
        self._flock = Flock(random.Random(self._rng.random()), world.agent_identity, plan.nodes, plan.rate)

    async def run(self) -> Outcome:
        """Do it all, let everything arrive, and judge."""
        began = time.monotonic()
        plan, world, flock = self.plan, self.world, self._flock
        world.pair([node.identity for node in flock.nodes])
        events: list[Callable[[], object]] = [self._kill] * plan.kills
        events += [self._disk] * plan.disks + [self._clock] * plan.clocks
        events += [self._database] * plan.databases + [self._rekey] * plan.rekeys
        self._rng.shuffle(events)
        for n in range(plan.restores):
            events.insert((n + 1) * len(events) // (plan.restores + 1) + n, self._restore)
        try:
            await asyncio.to_thread(world.start)
            flock.start(world.port)
            flock.making(True)
            for n, event in enumerate(events, 1):
                await asyncio.sleep(self._rng.expovariate(1 / 0.6))
                await event()  # pyright: ignore[reportGeneralTypeIssues]
                self._said(n, len(events), self._summary())
            await self._settle("the end")
            await flock.stop()
            self._judge()
        finally:
            world.end()
        self.outcome.produced = len(flock.made)
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def _summary(self) -> str:
        done = ", ".join(f"{n} {what}" for what, n in sorted(self.outcome.done.items()))
        return f"{done}; {counted(len(self._flock.made), 'frame')} made, {self._flock.held} held by nodes"

    # What happens

    async def _kill(self) -> None:
        world = self.world
        one: Process = self._rng.choice(world.collectors)
        victim = self._rng.choice([world.broker, world.agent, one])
        await asyncio.to_thread(victim.kill)
        self.outcome.done[f"kills of the {victim.name.split()[0]}"] += 1
        await asyncio.sleep(self._rng.choice((0.0, 0.1, 0.5, 2.0)))
        victim.start()

    async def _disk(self) -> None:
        state = self._rng.choice((DISK_FULL, DISK_READ_ONLY))
        self.world.steering.disk = state
        await asyncio.sleep(self._rng.uniform(0.2, 3.0))
        self.world.steering.disk = DISK_GOOD
        self.outcome.done["full disks" if state == DISK_FULL else "read-only disks"] += 1

    async def _clock(self) -> None:
        """A step of up to a day either way; never so far that the clock was before its first hour here."""
        self.world.steering.clock_ns = self._rng.randrange(-DAY_NS, DAY_NS)
        self.outcome.done["clock steps"] += 1

    async def _database(self) -> None:
        """The server ends in the midst of whatever it does, or notices that it shall, and begins again."""
        server = self.world.server
        assert server is not None
        killed = self._rng.random() < 0.5
        await asyncio.to_thread(server.kill if killed else server.stop_at_once)
        self.outcome.done[f"databases {'killed' if killed else 'stopped at once'}"] += 1
        await asyncio.sleep(self._rng.choice((0.0, 0.2, 1.0, 3.0)))
        # Not in a thread: it ends with the thread that started it (Postgres.command).
        server.start()

    async def _rekey(self) -> None:
        """The agent away, another key for its store, killed on the way or not."""
        await asyncio.to_thread(self.world.agent.kill)
        rekey = self.world.rekey()
        rekey.start()
        deadline = time.monotonic() + self._rng.uniform(0.3, REKEY_S)
        while rekey.running and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self.outcome.done[f"changes of the store's key{', killed' if rekey.running else ''}"] += 1
        await asyncio.to_thread(rekey.kill)
        self.world.agent.start()

    async def _restore(self) -> None:
        """Everything delivered, a backup taken; more measured and delivered; then the backup put back."""
        await self._settle("a backup")
        await asyncio.to_thread(self.world.agent.kill)
        backup = self.world.folder / f"backup-{self.outcome.done['backups restored']}"
        backup.mkdir()
        for name in STORE_FILES:
            if (self.world.state / name).exists():
                shutil.copy2(self.world.state / name, backup / name)
        self.world.agent.start()
        self._flock.making(True)
        await asyncio.sleep(self._rng.uniform(1.0, 4.0))
        await self._settle("a restore")
        await asyncio.to_thread(self.world.agent.kill)
        for name in STORE_FILES:
            (self.world.state / name).unlink(missing_ok=True)
            if (backup / name).exists():
                shutil.copy2(backup / name, self.world.state / name)
        self.world.agent.start()
        self._flock.making(True)
        self.outcome.done["backups restored"] += 1

    async def _settle(self, before: str) -> None:
        """No more is made; wait until all that was is receipted."""
        self._flock.making(False)
        deadline = time.monotonic() + SETTLE_S
        empty = time.monotonic()
        while not self._settled() or time.monotonic() < empty + QUIET_S:
            if self._flock.held:
                empty = time.monotonic()
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"not everything arrived within {SETTLE_S:.0f} s before {before}: {self._summary()};"
                    f" see the logs in {self.world.folder}"
                )
            for process in self.world.processes:
                if not process.running:
                    process.start()
            await asyncio.sleep(0.2)

    def _settled(self) -> bool:
        if self._flock.held:
            return False
        found = status.read(self.world.state / "status.json")
        if found is None or found["state"] != "running":
            return False
        custody = found["custody"]
        age_ns = time.time_ns() + self.world.steering.clock_ns - found["written_ms"] * 1_000_000
        return (
            0 <= age_ns < FRESH_S * 1e9
            and not custody["waiting_entries"]
            and custody["batches"] == custody["receipts"]
        )

    # What has to be true

    def _judge(self) -> None:
        from tools.crash.checks import problems

        status_of_agent = self.world.agent.stop()
        if status_of_agent != 0:
            self.outcome.problems.append(f"the agent ended with status {status_of_agent}")
        for collector in self.world.collectors:
            collector.stop()
        self.outcome.problems += problems(self.world, self._flock.made)

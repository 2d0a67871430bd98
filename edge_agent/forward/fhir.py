"""The FHIR forwarder: what a minute of batches says of people, as R4 transactions over HTTPS.

It has a cursor over batches, and moves it when every entry of every bundle has its 2xx, or is a dead letter;
and one over strips (fhir_strips.py), in turn with the other.
All that is sent is conditional on its own name, so a bundle whose fate is not known is sent again. What the
server refuses for ever is found by halving the bundle, kept with the reason, and holds up nothing else; what
it cannot take now is tried again, later each time, as late as it asks.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.backoff import Backoff
from edge_agent.beside import beside
from edge_agent.config import FhirConfig
from edge_agent.forward import fhir_map
from edge_agent.forward.fhir_answers import Later, Never, Taken, evidence_of, judge, pointer_to
from edge_agent.forward.fhir_gather import NAME, Gatherer, Item, Row, strips_of, wanted
from edge_agent.forward.fhir_map import Entry
from edge_agent.forward.fhir_process import FhirProcess, WorkerFailed
from edge_agent.forward.fhir_shelf import Group, Letter, People, Shelf, forget, group_of, has_letter, letters
from edge_agent.forward.fhir_strips import (
    Looked,
    Strip,
    look,
    next_strip,
    numbers_of,
    released,
    settle,
    strips_with,
)
from edge_agent.forward.fhir_worker import Json
from edge_agent.store.store import Store

if TYPE_CHECKING:
    from edge_agent.custody.custody import Custody
    from edge_agent.custody.delivery import Delivery

log = logging.getLogger("vitalwire.fhir")

LOOK_S = 2.0
# Observations in a bundle; what they refer to comes on top.
BUNDLE = 100
# Characters of waveforms in a bundle: servers refuse what is too large, and do not say how large that is.
WAVES = 500_000
# Dead letters that are tried again at one asking.
MAX_RETRIED = 10_000
# So many failures in a row are called an open circuit: one bundle a pause is tried, no more.
OPEN_AFTER = 5


class FhirChannel:
    """One FHIR server. Without the delivery's `people` nobody is known, and nothing leaves.

    Counters since start: bundles `sent` and `resent`, observations `taken`.
    """

    name = NAME

    def __init__(
        self,
        config: FhirConfig,
        delivery: "Delivery",
        agent_id: bytes,
        retry_file: Path,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        backoff: Backoff | None = None,
    ) -> None:
        self.required = config.required
        self.connected = False
        self.problem: str | None = None
        self.sent = 0
        self.resent = 0
        self.taken = 0
        self.process = FhirProcess(config)
        self._config = config
        self._delivery = delivery
        self._agent = agent_id
        self._retry_file = retry_file
        self._now_ms = now_ms
        self._backoff = backoff or Backoff(first_s=1.0, max_s=600.0, stable_s=0.0)
        self._gatherer = self._new_gatherer()
        self._due_s = 0.0
        self._wake = asyncio.Event()
        self._retry: deque[Letter] = deque()
        self._strips_first = False
        self._provenance = True
        self._provenance_taken = False
        self._lag_s = 0.0

    def start(self) -> None:
        """The process starts when there is something to send."""

    async def stop(self) -> None:
        """End the process that speaks to the server."""
        await self.process.stop()

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run until it is cancelled."""
        return [self._run()]

    def status(self) -> dict[str, Any]:
        """For people and status.json."""
        failures = self._backoff.failures
        return {
            "url": self._config.url,
            "connected": self.connected,
            "problem": self.problem,
            "circuit": "open" if failures >= OPEN_AFTER else "half-open" if failures else "closed",
            "sent": self.sent,
            "resent": self.resent,
            "observations": self.taken,
            "dead_letters": self._delivery.custody.chain.counts["dead_letters"],
            "left_out": dict(self._gatherer.left),
            "provenance": self._provenance,
            "lag_s": round(self._lag_s, 1),
        }

    async def retry(self) -> int:
        """Try all dead letters once more; how many there are."""
        found = await self._delivery.ask(lambda store: letters(store.db, NAME, MAX_RETRIED))
        known = {letter.id for letter in self._retry}
        self._retry.extend(letter for letter in found if letter.id not in known)
        self.wake()
        return len(found)

    def _new_gatherer(self) -> Gatherer:
        config = self._config
        return Gatherer(self._agent, config.strips, config.organization)

    async def _run(self) -> None:
        """Send what is due, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()
            if self._retry_file.exists():
                self._retry_file.unlink(missing_ok=True)
                await self.retry()
            # One group after another; a failure ends it until the pause is over.
            while time.monotonic() >= self._due_s and await self.step():
                pass

    async def step(self) -> bool:
        """Settle the next group of batches, strip or dead letter; whether there may be more to do now."""
        if self._retry:
            return await self._again(self._retry[0])
        # In turn: a backlog of the one holds up none of the other.
        turns = [self._batches, self._strip] if self._config.strips else [self._batches]
        if self._strips_first:
            turns.reverse()
        self._strips_first = not self._strips_first
        for turn in turns:
            outcome = await turn()
            if outcome is not None:
                return outcome
        return False

    async def _batches(self) -> bool | None:
        """Settle the next group of batches; False: not now; None: there is none that is whole."""
        found = await self._delivery.batches_after(NAME, 1)
        if not found:
            self._lag_s = 0.0
            return None
        now_ms = self._now_ms()
        group = await self._delivery.ask(lambda store: group_of(store.db, found[0], now_ms))
        self._lag_s = max(0.0, (now_ms - group.batches[0].made_ms) / 1000)
        if not group.closed:
            return None
        # What it remembers to have said counts once it was taken.
        gatherer = self._gatherer.fork()
        items = await self._gather(group, gatherer)
        strips = await self._released(group) if self._config.strips else []
        evidence = await self._settle(group, items)
        if evidence is None:
            return False
        for strip in strips:
            looked = await self._look(strip)
            if looked is not None and await self._settle(looked.group, await _decoded(looked)) is None:
                return False
        self._gatherer, self._lag_s = gatherer, 0.0
        for batch in group.ids:
            last = batch == group.ids[-1]
            await self._delivery.confirm(NAME, batch, evidence if last else pointer_to(group.ids[-1]))
        return True

    async def _strip(self) -> bool | None:
        """Settle the next strip; False: not now; None: there is none, or it is not signed yet."""
        strip = await self._delivery.ask(next_strip)
        looked = None if strip is None else await self._look(strip)
        if strip is None or looked is None:
            return None
        items = await _decoded(looked)
        before = self.taken
        evidence = await self._settle(looked.group, items)
        if evidence is None:
            return False
        sent = self.taken - before
        self._gatherer.left.update(looked.left)
        if len(items) > sent:
            looked.left["refused"] = len(items) - sent
        answers = [one["sha256"] for one in json.loads(evidence)["answers"]]
        await self._delivery.ask(partial(settle, strip, sent, looked.left, answers, self._now_ms()))
        return True

    async def _look(self, strip: Strip) -> Looked | None:
        delivery = self._delivery
        return await delivery.ask(
            partial(look, strip, self._new_gatherer(), delivery.custody, delivery.people)
        )

    async def _released(self, group: Group) -> list[Strip]:
        """Strips that were sent without frames of these batches which may go now."""
        found: dict[int, Strip] = {}
        for batch in group.ids:
            strips = await self._delivery.ask(partial(_released, self._delivery.custody, batch))
            found.update((strip.id, strip) for strip in strips)
        return list(found.values())

    async def _gather(self, group: Group, gatherer: Gatherer) -> list[Item]:
        boots: dict[tuple[bytes | None, bytes | None], list[Row]] = {}
        for batch in group.ids:
            for one in await self._delivery.rows(NAME, batch):
                row = Row(one.node, one.boot, one.seq, one.data)
                if wanted(row):
                    boots.setdefault((row.node, row.boot), []).append(row)
        items: list[Item] = []
        # A boot at a time: whatever else wants the store comes in between.
        for rows in boots.values():
            items += await self._delivery.ask(partial(_gathered, gatherer, rows, self._delivery.people))
        return items

    async def _settle(self, group: Group, items: Sequence[Item]) -> bytes | None:
        """Have every item taken, or made a dead letter: the evidence. None: later."""
        evidence: list[Json] = []
        waiting = deque(_parts(items))
        while waiting:
            part = waiting[0]
            outcome = await self._send(group, part)
            if isinstance(outcome, Later):
                self._later(outcome)
                return None
            waiting.popleft()
            if isinstance(outcome, Taken):
                self.taken += len(part)
                evidence.append(json.loads(outcome.evidence))
            elif len(part) > 1:
                # Which one it is, is found by halving: the rest goes.
                middle = len(part) // 2
                waiting.extendleft([part[middle:], part[:middle]])
            else:
                await self._refused(group, part[0], outcome)
        return evidence_of(evidence)

    async def _refused(self, group: Group, item: Item, outcome: Never) -> None:
        batch, name = group.ids[0], item.entry.name
        # A group that is sent again after a crash finds what it left.
        if not await self._delivery.ask(lambda store: has_letter(store.db, NAME, batch, name)):
            await self._delivery.dead_letter(NAME, batch, name, outcome.reason)

    async def _again(self, letter: Letter) -> bool:
        """Send what a dead letter is about once more, and forget the letter when it is taken."""
        now_ms = self._now_ms()
        group = await self._delivery.ask(lambda store: group_of(store.db, letter.batch, now_ms))
        items = await self._gather(group, self._new_gatherer())
        item = next((one for one in items if one.entry.name == letter.item), None)
        if item is None:
            group, item = await self._of_strip(letter, group)
        if item is not None:
            outcome = await self._send(group, [item])
            if isinstance(outcome, Later):
                self._later(outcome)
                return False
            if isinstance(outcome, Taken):
                self.taken += 1
                await self._forget(letter)
                log.info("%s, a dead letter, was taken", letter.item)
        else:
            log.warning("%s, a dead letter, is not there any more: erased, evicted or withdrawn", letter.item)
            await self._forget(letter)
        self._retry.popleft()
        return True

    async def _of_strip(self, letter: Letter, group: Group) -> tuple[Group, Item | None]:
        """The observation of a strip that a dead letter is about, with the batches that hold it."""
        numbers = numbers_of(letter.item)
        for strip in await self._delivery.ask(lambda store: strips_with(store, numbers)):
            looked = await self._look(strip)
            items = [] if looked is None else await _decoded(looked)
            for item in items:
                if looked is not None and item.entry.name == letter.item:
                    return looked.group, item
        return group, None

    async def _forget(self, letter: Letter) -> None:
        await self._delivery.ask(lambda store: forget(store, letter.id))
        self._delivery.custody.chain.counts["dead_letters"] -= 1

    async def _send(self, group: Group, items: Sequence[Item]) -> Taken | Later | Never:
        """One transaction. Where only its Provenance is refused, it goes without, as do those after it."""
        outcome = await self._post(group, items, self._provenance)
        if isinstance(outcome, Taken):
            self._provenance_taken |= self._provenance
            return outcome
        # Once a Provenance was taken, it is not that which a server does not find or allow.
        doubtful = (
            len(items) == 1 if isinstance(outcome, Never) else outcome.without and not self._provenance_taken
        )
        if self._provenance and doubtful:
            without = await self._post(group, items, False)
            if not isinstance(without, Taken):
                return outcome if isinstance(outcome, Later) else without
            # What was refused once, in passing, is taken now; all of it is conditional on its own name.
            again = await self._post(group, items, True)
            if isinstance(again, Taken) or (isinstance(again, Later) and not again.without):
                return again
            self._provenance = False
            log.warning("the FHIR server takes no Provenance (%s): it goes without", outcome.reason)
            return without
        return outcome

    async def _post(self, group: Group, items: Sequence[Item], provenance: bool) -> Taken | Later | Never:
        entries: dict[str, Entry] = {}
        for item in items:
            for entry in (*item.needs, item.entry):
                entries[entry.url] = entry
        if provenance:
            targets = [item.entry for item in items]
            made = fhir_map.provenance(self._agent, self._gatherer.phg, group.batches, targets)
            entries[made.url] = made
        bundle: Json = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [entry.json() for entry in entries.values()],
        }
        self.sent += 1
        self.resent += self._backoff.failures > 0
        try:
            outcome = judge(await self.process.send(bundle), len(entries))
        except WorkerFailed as e:
            return Later(str(e))
        if not isinstance(outcome, Later):
            self._well()
        return outcome

    def _well(self) -> None:
        if not self.connected or self.problem is not None:
            log.info("%s: connected", self._config.url)
        self.connected, self.problem = True, None
        self._backoff.succeeded()
        self._backoff.failures = 0

    def _later(self, outcome: Later) -> None:
        if outcome.reason != self.problem:
            log.warning("%s: %s; trying again until it works", self._config.url, outcome.reason)
        self.connected, self.problem = False, outcome.reason
        self._due_s = time.monotonic() + max(self._backoff.failed(), outcome.wait_s)


def _gathered(gatherer: Gatherer, rows: Sequence[Row], people: People | None, store: Store) -> list[Item]:
    return gatherer.gather(rows, Shelf(store.db, people))


def _released(custody: "Custody", batch: int, store: Store) -> list[Strip]:
    return released(store, custody, batch)


async def _decoded(looked: Looked) -> list[Item]:
    """The observations of a strip: made beside the event loop and the store's thread."""
    return await beside(strips_of, looked.waves) if looked.waves else []


def _parts(items: Sequence[Item]) -> list[list[Item]]:
    """The bundles that these items make, as few as may be."""
    parts: list[list[Item]] = []
    room = 0
    for item in items:
        size = len(item.entry.resource.get("valueSampledData", {}).get("data", ""))
        if not parts or len(parts[-1]) >= BUNDLE or size > room:
            parts.append([])
            room = WAVES
        parts[-1].append(item)
        room -= size
    return parts

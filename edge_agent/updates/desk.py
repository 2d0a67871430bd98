"""What people ask for: a roll-out is started, paused, resumed, halted. Answered once that is kept."""

import json
import logging
from collections.abc import Sequence
from typing import Any, cast

from edge_agent.nodes.errands import UPDATE, Errand, Errands, said
from edge_agent.nodes.peers import PeersError
from edge_agent.readable import counted
from edge_agent.updates import rollout
from edge_agent.updates.groups import GroupsError, members
from edge_agent.updates.rollout import Rollout, Rules
from edge_agent.updates.service import Updates

log = logging.getLogger("vitalwire.updates")

START, PAUSE, RESUME, HALT = "start", "pause", "resume", "halt"
TURNS = {PAUSE: rollout.PAUSED, RESUME: rollout.RUNNING, HALT: rollout.HALTED}
MAX_WAVES = 16


class Refused(Exception):
    """What was asked for is not done; the text says why, and what to do."""


class UpdateDesk:
    """Answers errands about roll-outs. `step(waiting)` a few times a second; what it has done is said by the
    first step after it is on the disk.
    """

    def __init__(self, errands: Errands, updates: Updates) -> None:
        self._errands = errands
        self._updates = updates
        self._answers: dict[str, tuple[Errand, bool, str]] = {}
        self._problem = ""

    def step(self, waiting: Sequence[Errand]) -> None:
        """Do what is new, and say what is done."""
        for errand in waiting:
            if errand.what == UPDATE and errand.id not in self._answers:
                self._answers[errand.id] = (errand, *self._done(errand))
        present = {errand.id for errand in waiting}
        for key, (errand, good, text) in list(self._answers.items()):
            if key not in present:
                del self._answers[key]
            elif self._updates.disk.settled or not good:
                self._say(errand, good, text)

    def _say(self, errand: Errand, good: bool, text: str) -> None:
        try:
            self._errands.answer(errand, good, text)
            self._problem = ""
        except OSError as e:
            if self._problem != said(e):
                log.warning("errands: %s; trying again", said(e))
            self._problem = said(e)

    def _done(self, errand: Errand) -> tuple[bool, str]:
        try:
            asked = cast("dict[str, Any]", json.loads(bytes.fromhex(errand.data)))
            if self._updates.disk.problem:
                raise Refused(f"roll-outs cannot be kept: {self._updates.disk.problem}")
            what, by, why = asked["do"], _text(asked["by"]), _text(asked.get("why", ""))
            if what == START:
                return True, self._start(errand.id, asked, by)
            return True, self._turn(TURNS[what], why, by)
        except Refused as e:
            return False, str(e)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as e:
            return False, f"not what this agent knows of roll-outs ({type(e).__name__}: {e})"

    def _start(self, errand: str, asked: dict[str, Any], by: str) -> str:
        updates = self._updates
        if any(one.id == errand for one in updates.rollouts):
            # By the agent before this one, which ended before it could say so.
            return f"roll-out {errand} has begun: vitalwire update status"
        version, group = _text(asked["version"]), _text(asked["group"])
        percents = [float(percent) for percent in asked["percents"]]
        if not 0 < len(percents) <= MAX_WAVES or not all(0 < percent <= 100 for percent in percents):
            raise Refused(f"1 to {MAX_WAVES} waves, each of more than 0 and up to 100 %")
        if percents != sorted(set(percents)):
            raise Refused("each wave has to take more than the one before")
        now = updates.current
        if now is not None and now.state != rollout.HALTED:
            raise Refused(
                f"the roll-out of {now.version} is {now.state}: vitalwire update halt ends it first"
            )
        bundles = {one.board: one.id.hex() for one in updates.shelf.all() if one.version == version}
        if not bundles:
            raise Refused(f"there is no bundle of {version} here: vitalwire update add FILE")
        try:
            nodes = members(updates.config.groups, group, updates.peers.ids())
        except (GroupsError, PeersError) as e:
            raise Refused(str(e)) from None
        if not nodes:
            raise Refused(f"no paired node is in the group {group!r}")
        known = updates.config.updates
        minute = 60_000
        rules = Rules(
            known.confirm_percent,
            int(known.soak_min * minute),
            int(known.trial_min * minute),
            int(known.absent_min * minute),
        )
        one = Rollout(errand, version, bundles, group, percents, by, updates.unix_ms(), rules)
        updates.begin(one)
        first = rollout.chosen(nodes, version, percents[0])
        boards = ", ".join(sorted(bundles))
        return (
            f"roll-out {one.id} of {version} ({boards}) begins with {len(first)} of"
            f" {counted(len(nodes), 'node')}: vitalwire update status"
        )

    def _turn(self, to: str, why: str, by: str) -> str:
        one = self._updates.current
        if one is None:
            raise Refused("no roll-out is under way: vitalwire update status lists those that were")
        before, was = one.state, one.why
        if before == to:
            return f"the roll-out of {one.version} is {to} already"
        if before == rollout.HALTED and to == rollout.PAUSED:
            raise Refused(f"the roll-out of {one.version} has halted: {was}")
        self._updates.turn(one, to, why, by)
        seen = f"; it had halted: {was}" if before == rollout.HALTED and was else ""
        return f"the roll-out of {one.version} is {one.state} now{seen}"


def _text(given: Any) -> str:
    """What can be stated; ValueError, TypeError."""
    if not isinstance(given, str):
        raise TypeError(f"{given!r} is no text")
    given.encode()
    return given

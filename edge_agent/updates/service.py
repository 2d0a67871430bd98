"""Roll-outs at work: which nodes are updated now, what they say, and what is stated and kept of it.

Everything that a person must not have to remember is on the disk (kept.py) before it counts: that a node may
apply, and whatever a command is told. What a node holds of an update is the node's to say.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

from edge_agent.config import Config
from edge_agent.nodes.hub import Hub
from edge_agent.nodes.ingest import Worker
from edge_agent.nodes.peers import Peers, PeersError
from edge_agent.store.store import Store
from edge_agent.updates import kept, rollout, transfer, words
from edge_agent.updates.bundle import Bundle, BundleError
from edge_agent.updates.courses import Courses
from edge_agent.updates.groups import GroupsError, members
from edge_agent.updates.lapse import Lapse
from edge_agent.updates.makers import MakersError
from edge_agent.updates.rollout import Rollout
from edge_agent.updates.shelf import Shelf
from edge_agent.updates.stating import Stating
from edge_agent.updates.transfer import Transfer
from protocol import frames
from protocol.errors import ProtocolError
from protocol.update import version_key

log = logging.getLogger("vitalwire.updates")

STEP_S = 0.25
# A node that failed is asked again after this, then twice as long, and so often at most.
RETRY_MS = 60_000
MAX_TRIES = 3
# One that is away, or may be sent nothing, leaves its place to others.
AWAY_MS = 60_000


class Updates:
    """`rollouts`: oldest first; `about`: version and board by node, as far as they said so. `unix_ms`: of
    now.
    """

    def __init__(self, config: Config, hub: Hub, unix_ms: Callable[[], int]) -> None:
        self.config = config
        self.shelf = Shelf(config.bundles, config.makers)
        self.courses = Courses(hub, config.updates)
        self.courses.heard = self._heard
        self.stating = Stating(hub.ingest.add, unix_ms)
        self.rollouts: list[Rollout] = []
        self.about: dict[bytes, tuple[str, str]] = {}
        self.unix_ms = unix_ms
        self.disk = kept.Disk(config.bundles / "rollouts.json")
        self._hub = hub
        self._lapse = Lapse(unix_ms, hub.now_ms, hub.live)
        hub.updates = self.courses

    async def load(self, worker: Worker, store: Store) -> None:
        """What was kept, and what nodes have said since; before anything else."""
        self.rollouts = self.disk.load()
        for one in self.rollouts:
            one.clock_set(0, self.unix_ms())
            for name, state in one.nodes.items():
                if state.state == rollout.SENDING:
                    self._note(one, name, rollout.WAITING, "the agent began anew")
        self.about, said = await worker.run(words.recall, store)
        for word in sorted(said, key=lambda one: one.at_ms):
            self._take(word)

    @property
    def peers(self) -> Peers:
        """The paired nodes."""
        return self._hub.peers

    def now_ms(self) -> int:
        """The monotonic clock of sessions."""
        return self._hub.now_ms()

    @property
    def current(self) -> Rollout | None:
        """The one that is not over."""
        return next((one for one in self.rollouts if one.state in rollout.OPEN), None)

    async def run(self) -> None:
        """Task: for ever."""
        while True:
            self.step()
            await self.keep()
            await asyncio.sleep(STEP_S)

    async def keep(self) -> None:
        """Write what has changed; what depends on its being durable may go on then."""
        safe = [course for node, course in self.courses.open.items() if self._is(node, rollout.VERIFYING)]
        if await self.disk.keep(self.rollouts):
            for course in safe:
                course.may_apply = True

    # What is to be done

    def step(self) -> None:
        """A few times a second: judge the roll-out, begin and end what is sent."""
        now_ms, set_by_ms = self.unix_ms(), self._lapse.set_by_ms()
        for one in self.rollouts:
            if set_by_ms:
                one.clock_set(set_by_ms, now_ms)
                self.disk.dirty = True
            self._overdue(one, now_ms)
        one = self.current
        if one is None or one.state != rollout.RUNNING or self.disk.problem:
            for node in list(self.courses.open):
                self._leave(node, "the roll-out rests" if one is not None else "the roll-out is over")
            self.shelf.put_back()
            return
        why = one.why_halt()
        if why:
            self.turn(one, rollout.HALTED, why, "agent")
            return
        self._advance(one)
        try:
            paired = self.peers.ids()
        except PeersError as e:
            self._hub.reject("peers_unreadable", str(e), "the file of paired nodes")
            return
        if one.wave < 0 or (one.wave_over(now_ms) and not one.last_wave):
            self._next_wave(one, paired, now_ms)
        elif one.wave_over(now_ms):
            if one.nobody():
                self.turn(one, rollout.HALTED, "no node took it", "agent")
            else:
                self.turn(one, rollout.FINISHED, "", "agent")
            return
        self._admit(one, set(paired), now_ms)

    def turn(self, one: Rollout, state: str, why: str, by: str) -> None:
        """The roll-out is in that state now: stated, and kept by the next keep()."""
        if state == rollout.RUNNING:
            one.resume(self.unix_ms())
        else:
            one.turn(state, why, self.unix_ms())
        self.disk.dirty = True
        log.log(
            logging.WARNING if state == rollout.HALTED else logging.INFO, "%s %s %s", _named(one), state, why
        )
        detail = {"rollout": one.id, "version": one.version, "by": by, "nodes": one.counts()}
        self.stating.state(f"rollout_{state}", detail, {"why": why})

    def begin(self, one: Rollout) -> None:
        """A new roll-out: whatever was halted before it is over."""
        for other in self.rollouts:
            if other.state in rollout.OPEN:
                self.turn(other, rollout.ENDED, f"{one.version} follows it", one.by)
        self.rollouts.append(one)
        self.disk.dirty = True
        detail: dict[str, Any] = {"rollout": one.id, "version": one.version, "by": one.by}
        detail["percent"] = [str(percent) for percent in one.percents]
        detail["updates"] = [bytes.fromhex(update_id) for update_id in one.bundles.values()]
        self.stating.state("rollout_started", detail, {"group": one.group})

    def _next_wave(self, one: Rollout, paired: list[bytes], now_ms: int) -> None:
        try:
            group = members(self.config.groups, one.group, paired)
        except GroupsError as e:
            self.turn(one, rollout.HALTED, str(e), "agent")
            return
        fresh = one.begin_wave(group, now_ms)
        self.disk.dirty = True
        log.info("%s: wave %d, %d nodes more", _named(one), one.wave + 1, len(fresh))
        detail = {"rollout": one.id, "wave": one.wave + 1, "nodes": [bytes.fromhex(node) for node in fresh]}
        self.stating.state("rollout_wave", detail, {})

    def _overdue(self, one: Rollout, now_ms: int) -> None:
        for name, state in one.nodes.items():
            node = bytes.fromhex(name)
            if state.state == rollout.VERIFYING and self._lapse.away_ms(node) >= one.rules.trial_ms:
                # It may have been told to apply; its word of that is lost with it.
                self.courses.end(node)
                self._note(one, name, rollout.SILENT, "nothing was heard of it since it was to apply it")
            late_ms = now_ms - state.since_ms - one.rules.trial_ms
            if state.state != rollout.TRIAL or late_ms < 0:
                continue
            runs = self.about.get(node, ("", ""))[0] == one.version
            if runs and node in self._hub.live and late_ms < one.rules.trial_ms:
                # Its word may have gone with its RAM: asked, it says whether this is its version for good.
                if node not in self.courses.open and one.state == rollout.RUNNING and not self.disk.problem:
                    self._send(one, node, True)
            else:
                self.courses.end(node)
                unconfirmed = "it runs the new version and has not confirmed it"
                self._note(one, name, rollout.SILENT, unconfirmed if runs else "nothing was heard of it")

    def _advance(self, one: Rollout) -> None:
        """What has become of those that are on their way."""
        for node, course in list(self.courses.open.items()):
            sending, name = course.transfer, node.hex()
            if course.rollout != one.id or name not in one.nodes:
                self.courses.end(node)
            elif sending.phase == transfer.APPLYING and one.nodes[name].state == rollout.SENDING:
                self._note(one, name, rollout.VERIFYING, "")
            elif sending.phase == transfer.SENDING and one.nodes[name].state == rollout.VERIFYING:
                course.may_apply = False
                self._note(one, name, rollout.SENDING, "it asks for more")
            elif sending.ended:
                self.courses.end(node)
                self._ended(one, name, sending)
            elif course.away_ms is not None and self._hub.now_ms() - course.away_ms >= AWAY_MS:
                self._leave(node, "it is away")
            elif course.held_ms is not None and self._hub.now_ms() - course.held_ms >= AWAY_MS:
                self._leave(node, "")
            elif sending.put_off and self._hub.now_ms() - (sending.later_ms or 0) >= one.rules.absent_ms:
                self._leave(node, f"it says later: {sending.detail}" if sending.detail else "it says later")

    def _ended(self, one: Rollout, name: str, sending: Transfer) -> None:
        if sending.ask_only:
            if sending.phase == transfer.HAS:
                self._note(one, name, rollout.CONFIRMED, "")
            else:
                self._note(one, name, rollout.ROLLED_BACK, sending.why)
        elif sending.phase == transfer.APPLIED:
            self._note(one, name, rollout.TRIAL, "")
        elif sending.phase == transfer.HAS:
            self._note(one, name, rollout.HAS, "")
        elif sending.phase == transfer.REFUSED:
            self._note(one, name, rollout.REFUSED, sending.why)
        else:
            state = one.nodes[name]
            state.tries += 1
            if state.tries < MAX_TRIES:
                self._note(one, name, rollout.WAITING, f"{sending.why}; tried again")
            else:
                self._note(one, name, rollout.FAILED, sending.why)

    def _leave(self, node: bytes, why: str) -> None:
        """Nothing more is sent to it for now."""
        course = self.courses.open[node]
        one = next((one for one in self.rollouts if one.id == course.rollout), None)
        self.courses.end(node)
        if one is None or node.hex() not in one.nodes:
            return
        if course.transfer.ended:
            self._ended(one, node.hex(), course.transfer)
        elif one.nodes[node.hex()].state == rollout.SENDING or course.transfer.not_applied:
            self._note(one, node.hex(), rollout.WAITING, why)

    def _admit(self, one: Rollout, paired: set[bytes], now_ms: int) -> None:
        """Begin with those that wait and are there, as many as there is room for."""
        counts = one.counts()
        room = self.config.updates.at_once - sum(counts.get(state, 0) for state in rollout.ON_THE_WAY)
        if self.courses.open or rollout.WAITING in counts:
            # Its maker may be believed no longer.
            for update_id in one.bundles.values():
                self._bundle(one, update_id)
        for name, state in sorted(one.nodes.items(), key=lambda each: each[1].since_ms):
            if one.state != rollout.RUNNING:
                return
            node = bytes.fromhex(name)
            if state.state in rollout.ENDS or node in self.courses.open or state.state == rollout.TRIAL:
                continue
            if node not in paired:
                self._note(one, name, rollout.GONE, "")
                continue
            needless = self._needless(one, node)
            if needless is not None:
                self._note(one, name, *needless)
            elif state.state == rollout.WAITING and (room <= 0 or self.courses.hold(node)):
                continue
            elif node in self._hub.live:
                retry_ms = RETRY_MS << (state.tries - 1) if state.tries else 0
                if now_ms - state.since_ms >= retry_ms or now_ms < state.since_ms:
                    self._send(one, node)
                    room -= state.state != rollout.WAITING

    def _needless(self, one: Rollout, node: bytes) -> tuple[str, str] | None:
        """What becomes of a node that need not be asked: state, why."""
        if node not in self.about:
            return None
        version, board = self.about[node]
        if version == one.version:
            trying = one.nodes[node.hex()].state == rollout.VERIFYING
            return (rollout.TRIAL, "") if trying else (rollout.HAS, "")
        if board not in one.bundles:
            return rollout.REFUSED, f"there is no bundle for its board, {board}"
        newer = _older(one.version, version)
        return (rollout.REFUSED, f"it runs {version}, which is newer") if newer else None

    def _send(self, one: Rollout, node: bytes, ask_only: bool = False) -> None:
        board = self.about[node][1] if node in self.about else ""
        if not board and len(one.bundles) > 1:
            self._note(one, node.hex(), rollout.WAITING, "which board it is, it says at its next start")
            return
        bundle = self._bundle(one, one.bundles.get(board) or next(iter(one.bundles.values())))
        if bundle is None:
            return
        sending = Transfer(bundle.id, bundle.version, bundle.objects, ask_only)
        course = self.courses.begin(node, one.id, sending)
        if one.nodes[node.hex()].state == rollout.WAITING:
            self._note(one, node.hex(), rollout.SENDING, "")
        elif not ask_only:
            # It may have been told to apply by the agent before: what it says to a new offer decides.
            self.disk.dirty = True

        def stated() -> None:
            course.stated = True

        self.stating.offered(one.id, node, bundle.id, bundle.version, stated)

    def _bundle(self, one: Rollout, update_id: str) -> Bundle | None:
        """None: it may not be offered, and the roll-out has halted."""
        try:
            return self.shelf.get(bytes.fromhex(update_id))
        except (BundleError, MakersError, OSError) as e:
            if one.state == rollout.RUNNING:
                self.turn(one, rollout.HALTED, str(e), "agent")
            return None

    # What nodes say

    def _heard(self, node: bytes, boot: bytes, seq: int, kind: int, body: dict[int, Any]) -> Any:
        """Answers, events and boots. Of an event that is a word: the row that goes with its frame."""
        if kind == frames.KIND_ANSWER:
            course = self.courses.open.get(node)
            if course is not None and body[frames.ANSWER_ID] == course.transfer.id:
                course.transfer.answered(boot, seq, body, self._hub.now_ms())
                if course.held_at_first is None:
                    course.held_at_first, course.begun_ms = course.transfer.held_bytes, self._hub.now_ms()
        elif kind == frames.KIND_BOOT:
            self._booted(node, boot, body)
        elif kind == frames.KIND_EVENT:
            word = words.word_of(node, body, self.unix_ms())
            if word is not None:
                self._take(word)
                return words.note(word)
        return None

    def _booted(self, node: bytes, boot: bytes, body: dict[int, Any]) -> None:
        last = self._hub.last_hello(node)
        if last is not None and int.from_bytes(boot[:4], "big") < last[0]:
            return
        self.about[node] = (body[frames.BOOT_FIRMWARE], body[frames.BOOT_BOARD])
        course = self.courses.open.get(node)
        if course is not None:
            course.transfer.rebooted()
        one = self.current
        state = None if one is None else one.nodes.get(node.hex())
        if one is not None and state is not None and state.state in rollout.GOOD_ENDS:
            version = body[frames.BOOT_FIRMWARE]
            if _older(version, one.version):
                self._note(one, node.hex(), rollout.ROLLED_BACK, f"it runs {version} again")

    def _take(self, word: words.Word) -> None:
        for one in self.rollouts:
            state = one.nodes.get(word.node.hex())
            if state is None or word.version != one.version or word.at_ms < one.begun_ms:
                continue
            confirmed = word.code == frames.EVENT_UPDATED
            if not confirmed and state.state not in (*rollout.ON_THE_WAY, rollout.WAITING, rollout.SILENT):
                continue
            self.courses.end(word.node)
            ended = rollout.CONFIRMED if confirmed else rollout.ROLLED_BACK
            self._note(one, word.node.hex(), ended, "" if confirmed else word.why)

    # Within

    def _note(self, one: Rollout, name: str, state: str, why: str) -> None:
        """A node's state; its end is stated."""
        before = one.nodes[name].state
        if not one.note(name, state, why, self.unix_ms()):
            return
        self.disk.dirty = True
        log.info("%s: node %s: %s %s", _named(one), name, state, why)
        if state in rollout.ENDS and state != before:
            detail = {"rollout": one.id, "version": one.version, "outcome": state}
            self.stating.state("update_ended", detail, {"why": why}, bytes.fromhex(name))

    def _is(self, node: bytes, state: str) -> bool:
        return any(
            one.id == self.courses.open[node].rollout and one.nodes[node.hex()].state == state
            for one in self.rollouts
            if node.hex() in one.nodes
        )

    def of_node(self, node: bytes) -> Iterator[Rollout]:
        """The roll-outs that it belongs to, newest first."""
        return (one for one in reversed(self.rollouts) if node.hex() in one.nodes)


def _named(one: Rollout) -> str:
    return f"roll-out {one.id} of {one.version}"


def _older(one: str, other: str) -> bool:
    """Whether both are versions, and the first is the older one."""
    try:
        return version_key(one) < version_key(other)
    except ProtocolError:
        return False

"""One update on its way to one node, without I/O: next() gives what is to be sent, answered() takes answers.

docs/wire-protocol.md §8.2, kind 36. Nothing of it is kept: the node says what it holds. After a reconnection,
a restart of either side or a silence the update is offered again, and the answer is where to go on. Of
answers the newest counts (by the node's boot and number), since frames come twice and out of turn.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from protocol import frames
from protocol.frame_names import RESULT_NAMES
from protocol.update import WINDOW, placed

CHUNK = 128

OFFERING, SENDING, APPLYING = "offering", "sending", "applying"
APPLIED, HAS, REFUSED, FAILED = "applied", "has it already", "refused", "failed"
ENDED = (APPLIED, HAS, REFUSED, FAILED)

# A question without an answer is asked again after this, then twice as long.
FIRST_WAIT_MS = 5_000
# Before it applies, a node goes through all of it again.
APPLY_WAIT_MS = 30_000
MAX_WAIT_MS = 60_000
# So long after a full window, and after the end of an object, the node is asked where to go on.
FULL_MS = 3_000
SETTLE_MS = 1_000
# The cuff runs, or an alarm is on: asked again after a while.
INTERLOCK_MS = 30_000
# A resume point beyond what there is, or an answer that is none, so often: nothing comes of it.
MAX_ABSURD = 8
# So many questions without any answer, a quarter of an hour of them: it is not one that answers.
MAX_UNANSWERED = 16
# What is asked for again and again costs the link its share for ever.
MOST_TIMES = 8

Point = tuple[int, int]
"""Object and offset of the next byte."""


class Transfer:
    """`objects`: the manifest, then what it lists, in its order. `phase`: OFFERING to FAILED; `why`: of the
    last two. `sent_bytes`: of data, repetitions counted; `applied_once`: an apply has left. `ask_only`: the
    node is asked whether it has it, and sent nothing. `later_ms`: since when it says *later*, None: it does
    not.
    """

    def __init__(
        self, update_id: bytes, version: str, objects: Sequence[bytes], ask_only: bool = False
    ) -> None:
        self.id = update_id
        self.version = version
        self.objects = objects
        self.ask_only = ask_only
        self.size = sum(map(len, objects))
        self.phase = OFFERING
        self.why = ""
        self.detail = ""
        self.sent_bytes = 0
        self.absurd = 0
        self.applied_once = False
        self._before = [sum(map(len, objects[:n])) for n in range(len(objects) + 1)]
        self._held: Point = (0, 0)
        self._at: Point = (0, 0)
        self._flight: deque[Point] = deque()
        self._wait_ms = FIRST_WAIT_MS
        self._not_before_ms = 0
        self._asked_ms: int | None = None
        self._heard_ms = 0
        self.later_ms: int | None = None
        self._offered = 0
        self._unanswered = 0
        self._newest: tuple[bytes, int] = (b"", -1)

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be sent."""
        return self.phase in ENDED

    @property
    def not_applied(self) -> bool:
        """Whether the node has all of it, and does not apply it: it says so, and no apply has left since."""
        return self.phase == APPLYING and (not self.applied_once or self.put_off)

    @property
    def put_off(self) -> bool:
        """Whether it has said *later*, and was asked nothing since."""
        return self.later_ms is not None and self._asked_ms is None

    @property
    def held_bytes(self) -> int:
        """What the node holds, as it says."""
        return self._before[self._held[0]] + self._held[1]

    def connected(self, same_boot: bool = False) -> None:
        """Another connection: what was in flight on the one before is lost, or is answered later. Of a boot
        that was asked before, silence is the link's: one that begins anew at each question is not heard out.
        """
        if same_boot:
            self._unanswered = 0
        if not self.ended:
            self._ask(OFFERING if self.phase == SENDING else self.phase)
            self._not_before_ms = 0

    def due_ms(self, now_ms: int) -> int:
        """How long until next() has something, if nobody answers; 0: now."""
        if self.phase == SENDING:
            limit_ms = self._limit_ms()
            return 0 if limit_ms is None else max(0, self._heard_ms + limit_ms - now_ms)
        asked = 0 if self._asked_ms is None else self._asked_ms + self._wait_ms
        return max(0, max(asked, self._not_before_ms) - now_ms)

    def next(self, now_ms: int) -> dict[int, Any] | None:
        """The body of the next update message, or None: not now."""
        if self.ended or self.due_ms(now_ms):
            return None
        if self.phase == SENDING and self._limit_ms() is not None:
            self._ask(OFFERING)
        if self.phase != SENDING:
            if self._unanswered >= MAX_UNANSWERED and not self.ask_only:
                self._end(FAILED, "it does not answer")
                return None
            self._unanswered += 1
            if self._asked_ms is not None:
                self._wait_ms = min(self._wait_ms * 2, MAX_WAIT_MS)
            self._asked_ms = now_ms
            return self._offer() if self.phase == OFFERING else self._apply()
        if self.sent_bytes > MOST_TIMES * self.size + WINDOW * CHUNK:
            self._end(FAILED, "it asks for the same bytes again and again")
            return None
        return self._data(now_ms)

    def answered(self, boot: bytes, seq: int, body: dict[int, Any], now_ms: int) -> None:
        """An answer frame with this update's id."""
        # A boot begins with its counter.
        if self.ended or (boot, seq) <= self._newest:
            return
        self._newest = (boot, seq)
        self._unanswered = 0
        result = body[frames.ANSWER_RESULT]
        detail = body.get(frames.ANSWER_DETAIL)
        self.detail = detail if isinstance(detail, str) else ""
        if result != frames.RESULT_INTERLOCK:
            self.later_ms = None
        elif self.later_ms is None:
            self.later_ms = now_ms
        if result == frames.RESULT_BEGUN:
            self._begun(body.get(frames.ANSWER_VALUE), now_ms)
        elif result == frames.RESULT_DONE:
            self._end(APPLIED if self.applied_once else HAS, "")
        elif result == frames.RESULT_EXPIRED and self._offered < MAX_ABSURD:
            # It has forgotten the offer: it was idle for long, or began another boot.
            self._offered += 1
            self._ask(OFFERING)
        elif result == frames.RESULT_INTERLOCK:
            self._ask(APPLYING if self.phase == APPLYING else OFFERING)
            self._not_before_ms = now_ms + INTERLOCK_MS
        elif result == frames.RESULT_FAILED:
            self._end(FAILED, self.detail or RESULT_NAMES[result])
        else:
            named = RESULT_NAMES.get(result, f"result {result}")
            self._end(REFUSED, f"{named}: {self.detail}" if self.detail else named)

    def rebooted(self) -> None:
        """The node began another boot after an apply had left: it tries the new version, or says why not."""
        if not self.ended and self.applied_once:
            self._end(APPLIED, "")

    # Within

    def _begun(self, value: Any, now_ms: int) -> None:
        if self.ask_only:
            self._end(FAILED, "it does not run it")
            return
        point = self._point(value)
        if point is None:
            self.absurd += 1
            if self.absurd >= MAX_ABSURD:
                self._end(FAILED, f"it answers with places that there are not ({value})")
            return
        self._heard_ms = now_ms
        self._wait_ms, self._asked_ms, self._offered = FIRST_WAIT_MS, None, 0
        before, self._held = self._held, point
        if point[0] == len(self.objects):
            if self.phase != APPLYING:
                self._ask(APPLYING)
            elif self.applied_once:
                # It has all of it and is still at it: asked again after a while.
                self._not_before_ms = now_ms + FIRST_WAIT_MS
            return
        asked = self.phase != SENDING
        self.phase = SENDING
        if asked or point == before or point not in self._flight:
            # It says where to go on: after a question, when it waits for what was lost, or when it has what
            # comes next already.
            self._at = point
            self._flight.clear()
        while point in self._flight:
            self._flight.popleft()

    def _point(self, value: Any) -> Point | None:
        if type(value) is not int or value < 0:
            return None
        number, offset = placed(value)
        if number == len(self.objects) and offset == 0:
            return number, 0
        if number >= len(self.objects) or offset > len(self.objects[number]):
            return None
        return self._whole(number, offset)

    def _whole(self, number: int, offset: int) -> Point:
        """The end of an object is the beginning of the next; one may be empty."""
        while number < len(self.objects) and offset == len(self.objects[number]):
            number, offset = number + 1, 0
        return number, offset

    def _limit_ms(self) -> int | None:
        """How long after it was last heard the node is asked; None: data may go."""
        if len(self._flight) >= WINDOW or self._at[0] == len(self.objects):
            return FULL_MS if len(self._flight) >= WINDOW else SETTLE_MS
        return SETTLE_MS if self._flight and self._at[1] == 0 else None

    def _ask(self, phase: str) -> None:
        self.phase = phase
        self._asked_ms = None
        self._wait_ms = APPLY_WAIT_MS if phase == APPLYING else FIRST_WAIT_MS
        self._flight.clear()
        self._at = self._held

    def _offer(self) -> dict[int, Any]:
        return {
            frames.UPDATE_ID: self.id,
            frames.UPDATE_STEP: frames.STEP_OFFER,
            frames.UPDATE_SIZE: len(self.objects[0]),
            frames.UPDATE_FIRMWARE: self.version,
        }

    def _apply(self) -> dict[int, Any]:
        self.applied_once = True
        return {frames.UPDATE_ID: self.id, frames.UPDATE_STEP: frames.STEP_APPLY}

    def _data(self, now_ms: int) -> dict[int, Any]:
        number, offset = self._at
        data = self.objects[number][offset : offset + CHUNK]
        self.sent_bytes += len(data)
        if not self._flight:
            self._heard_ms = now_ms
        self._at = self._whole(number, offset + len(data))
        self._flight.append(self._at)
        if self._at[1] == 0:
            # The last of an object: from now on its answer is waited for.
            self._heard_ms = now_ms
        return {
            frames.UPDATE_ID: self.id,
            frames.UPDATE_STEP: frames.STEP_DATA,
            frames.UPDATE_OBJECT: number,
            frames.UPDATE_OFFSET: offset,
            frames.UPDATE_DATA: data,
        }

    def _end(self, phase: str, why: str) -> None:
        self.phase, self.why = phase, why

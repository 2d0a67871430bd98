"""An update as an agent sends it: what the node wants next, as long as it wants something."""

from collections.abc import Callable
from typing import Any

from protocol import frames, update
from protocol.bundle import Bundle

Order = Callable[[int, dict[int, Any]], None]


class Sender:
    """`order(kind, body)` says something to the node, `answer()` waits for its next answer to this update.
    `sent`: data messages so far.
    """

    def __init__(self, one: Bundle, order: Order, answer: Callable[[], dict[int, Any]]) -> None:
        self.bundle = one
        self.sent = 0
        self._order = order
        self._answer = answer

    def say(self, step: int, **more: Any) -> None:
        """One message, for whose answer nobody waits here."""
        keys = {
            "size": frames.UPDATE_SIZE,
            "item": frames.UPDATE_OBJECT,
            "offset": frames.UPDATE_OFFSET,
            "data": frames.UPDATE_DATA,
            "firmware": frames.UPDATE_FIRMWARE,
        }
        body = {frames.UPDATE_ID: self.bundle.id, frames.UPDATE_STEP: step}
        self._order(frames.KIND_UPDATE, body | {keys[name]: value for name, value in more.items()})

    def offer(self) -> dict[int, Any]:
        """The answer to it."""
        self.say(frames.STEP_OFFER, size=len(self.bundle.manifest), firmware=self.bundle.version)
        return self._answer()

    def send(self, most: int = 1 << 30) -> dict[int, Any]:
        """Everything, or some `most` messages; the last answer."""
        answer = self.offer()
        while answer[frames.ANSWER_RESULT] == frames.RESULT_BEGUN and self.sent < most:
            item, offset = update.placed(answer[frames.ANSWER_VALUE])
            if item > len(self.bundle.files):
                self.say(frames.STEP_APPLY)
                return self._answer()
            held = self.bundle.object(item)
            for at in range(offset, min(len(held), offset + update.WINDOW * 128), 128):
                self.say(frames.STEP_DATA, item=item, offset=at, data=held[at : at + 128])
                self.sent += 1
            answer = self._answer()
        return answer

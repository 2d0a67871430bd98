"""The errand that hands the agent's signing key over (signing.py)."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from edge_agent.custody.custody import Custody
from edge_agent.nodes.errands import ROTATE, Errand, Errands, said
from edge_agent.nodes.ingest import Worker
from edge_agent.store.errors import StoreUnwritable
from edge_agent.tasks import end
from protocol.errors import BatchError

log = logging.getLogger("vitalwire.custody")


class Rotation:
    """Answers such errands. One that was carried out but not answered, because the agent ended in between, is
    carried out once more: a hand-over too many harms nothing.

    A hand-over names the last batch that the old key signed, so it waits for what the collector knows: a
    store that was restored does not.
    """

    def __init__(
        self, errands: Errands, worker: Worker, custody: Custody, unix_ms: Callable[[], int]
    ) -> None:
        self._errands = errands
        self._worker = worker
        self._custody = custody
        self._unix_ms = unix_ms
        self._answers: dict[str, tuple[bool, str] | None] = {}
        self._work: asyncio.Task[None] | None = None
        self._problem: str | None = None

    def step(self, waiting: Sequence[Errand]) -> None:
        """Take up what is new, answer what is done; call it a few times a second from the event loop."""
        asked = {errand.id: errand for errand in waiting if errand.what == ROTATE}
        self._answers = {key: one for key, one in self._answers.items() if key in asked}
        for errand in asked.values():
            answer = self._answers.get(errand.id)
            if answer is not None:
                self._say(errand, *answer)
            elif errand.id not in self._answers and (self._work is None or self._work.done()):
                if self._custody.asking:
                    self._wait(errand)
                    continue
                self._answers[errand.id] = None
                self._work = asyncio.create_task(self._rotate(errand))

    async def stop(self) -> None:
        """End what is under way: the next agent carries it out."""
        if self._work is not None:
            await end(self._work)

    def _wait(self, errand: Errand) -> None:
        if errand.until_ms < self._unix_ms():
            self._say(
                errand,
                False,
                "nothing has changed: the collector has not said yet which of this agent's batches it has;"
                " ask again when it can be reached",
            )

    def _say(self, errand: Errand, good: bool, text: str) -> None:
        try:
            self._errands.answer(errand, good, text)
            self._problem = None
        except OSError as e:
            if self._problem != said(e):
                log.warning("errands: %s; trying again", said(e))
            self._problem = said(e)

    async def _rotate(self, errand: Errand) -> None:
        if errand.until_ms < self._unix_ms():
            self._answers[errand.id] = False, "the time to ask was over before the agent could"
            return
        try:
            signing = await self._worker.run(self._custody.rotate)
        except (BatchError, StoreUnwritable) as e:
            self._answers[errand.id] = False, f"nothing has changed: {e}"
        except OSError as e:
            self._answers[errand.id] = False, f"nothing has changed: {said(e)}"
        else:
            number = len(signing.handovers)
            log.info("batches are signed by %s from now on (hand-over %d)", signing.ed_pub.hex(), number)
            self._answers[errand.id] = (
                True,
                f"batches are signed by the key {signing.ed_pub.hex()} from now on (hand-over {number})",
            )

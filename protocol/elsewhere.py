"""Which frames of this boot another paired agent has: freed here, so that the one which asks now never gets
them, and must be told (docs/wire-protocol.md §8.1, loss frame, reason 2).
"""

from protocol.outbox import add_range

MAX_RANGES = 16


class Elsewhere:
    """Ranges of numbers, for each agent; of more than MAX_RANGES the smallest is left out.

    `unsaid`: how many numbers were.
    """

    def __init__(self) -> None:
        # None: what any agent has, for one that is paired later.
        self.unsaid = 0
        self._untold: "dict[bytes | None, list[list[int]]]" = {None: []}
        self._telling: "dict[bytes, tuple[int, list[list[int]]]]" = {}

    def paired(self, agent_id: bytes) -> None:
        """From now on this agent is to be told, also of what others have already."""
        if agent_id not in self._untold:
            self._untold[agent_id] = [list(one) for one in self._untold[None]]

    def forgotten(self, agent_id: bytes) -> None:
        """This agent needs no telling any more."""
        self._untold.pop(agent_id, None)
        self._telling.pop(agent_id, None)

    def acked(self, agent_id: bytes, first: int, count: int) -> None:
        """These frames are on that agent's disk."""
        for other, ranges in self._untold.items():
            if other != agent_id:
                self._add(ranges, first, count)
        for other in list(self._telling):
            seq, ranges = self._telling[other]
            if first <= seq < first + count:
                del self._telling[other]
                if other != agent_id:
                    # The statement went to another agent than the one it was made for: once more.
                    for one in ranges:
                        self._add(self._untold[other], one[0], one[1])

    def tell(self, agent_id: bytes) -> "list[list[int]]":
        """What a frame made now should state for this agent, [[first, count], …]; empty: make none."""
        return [] if agent_id in self._telling else self._untold.get(agent_id) or []

    def told(self, agent_id: bytes, seq: int) -> None:
        """Frame `seq`, sealed just now, states what tell() gave."""
        self._telling[agent_id] = (seq, self._untold[agent_id])
        self._untold[agent_id] = []

    def _add(self, ranges: "list[list[int]]", first: int, count: int) -> None:
        add_range(ranges, first, count)
        if len(ranges) > MAX_RANGES:
            smallest = min(ranges, key=lambda one: one[1])
            ranges.remove(smallest)
            self.unsaid += smallest[1]

"""What a paired agent must be told because another one was served in this boot: which numbers are held no
longer and will not come (docs/wire-protocol.md §8.1, loss frame, reason 2).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from protocol.outbox import Outbox

MAX_RANGES = 32


class Elsewhere:
    """Whom there is something to tell. What: all that the outbox does not hold; what it has of that, an agent
    knows itself."""

    def __init__(self) -> None:
        self._served = False
        self._due: "dict[bytes, bool]" = {}
        self._telling: "dict[bytes, int]" = {}
        self._complete = True

    def paired(self, agent_id: bytes) -> None:
        """From now on this agent is to be told, also of what others have already."""
        if agent_id not in self._due:
            self._due[agent_id] = self._served

    def forgotten(self, agent_id: bytes) -> None:
        """This agent needs no telling any more."""
        self._due.pop(agent_id, None)
        self._telling.pop(agent_id, None)

    def acked(self, agent_id: bytes, first: int, count: int) -> None:
        """These frames are on that agent's disk."""
        self._served = True
        for other in self._due:
            if other != agent_id:
                self._due[other] = True
        for other in list(self._telling):
            if first <= self._telling[other] < first + count:
                del self._telling[other]

    def tell(self, agent_id: bytes, box: "Outbox") -> "list[list[int]]":
        """What a frame made now should state for this agent, [[first, count], …]; empty: make none.

        Where the box holds MAX_RANGES ranges or more, nearest neighbours are joined: the gaps between them
        are for a later frame.
        """
        out: "list[list[int]]" = []
        if agent_id in self._telling or not self._due.get(agent_id):
            return out
        held = box.ranges(MAX_RANGES)
        at = 0
        for first, count in held:
            if first > at:
                out.append([at, first - at])
            at = first + count
        if box.next_seq > at:
            out.append([at, box.next_seq - at])
        self._complete = len(held) < MAX_RANGES
        return out

    def told(self, agent_id: bytes, seq: int) -> None:
        """Frame `seq`, sealed just now, states what tell() gave last."""
        self._telling[agent_id] = seq
        self._due[agent_id] = not self._complete

"""Whom a node is paired with: the headers of its boot for each agent, and the answers to pair requests.

docs/wire-protocol.md §4 and §5. The part of NodeSession that goes on whether or not anybody is connected;
with it what every part of a session adds to: slow work, events, control messages, counts.
"""

from protocol import messages, on_demand
from protocol import session_events as ev
from protocol import session_states as st
from protocol.elsewhere import Elsewhere
from protocol.identity import node_id as party_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from protocol.identity import Identity
    from protocol.seal import BootKeys

    Steps = Generator[None, None, None]

# What waits for the wire beside a hello; whoever asks more than the wire takes gets no more.
MAX_CONTROL = 8
# A known agent's request is signed again, at most so often; a new agent's waits for the one that is at work.
PAIR_EVERY_MS = 1000
# Slow work that has not ended by then was lost: its task died.
WORK_LOST_MS = 30000


class NodeParty:
    """One node and one boot, towards all its agents. Attributes: as NodeSession's."""

    def __init__(self, identity: "Identity", boot: "BootKeys", random: "Callable[[int], bytes]"):
        self.identity = identity
        self.boot = boot
        self.random = random
        self.state = st.IDLE
        self.rejected: "dict[str, int]" = {}
        self.elsewhere = Elsewhere()
        self.headers: "list[list[bytes]]" = []
        self._agents: "dict[bytes, bytes]" = {}
        self._jobs: "list[Steps]" = []
        self._events: "list[Any]" = []
        self._control: "list[bytes]" = []
        self._work_ms = 0
        self._pairing = False
        # Whether the next connection is for an agent that has just been paired; the owner clears it.
        self.paired = False
        # Whether code that is seldom needed may be in the heap (on_demand.py).
        self._loaded = True
        self._asked_ms = 0
        self._paired_ms = -PAIR_EVERY_MS

    def steps(self) -> "Steps | None":
        """The next generator of slow work, to be driven to its end in slices, or None."""
        return self._jobs.pop(0) if self._jobs else None

    def take_events(self) -> "list[Any]":
        """What happened since the last call (session_events)."""
        out = self._events
        self._events = []
        return out

    def add_agent(self, ed_pub: bytes, x_pub: bytes) -> None:
        """Wrap this boot's key for a paired agent (slow work for steps()); hello waits until it is done.

        An agent whose keys admit no header is left out of this boot (AgentLeftOut)."""
        agent_id = party_id(ed_pub, x_pub)
        self._agents[agent_id] = x_pub
        self.elsewhere.paired(agent_id)
        self._jobs.append(self._header_steps(agent_id, x_pub))

    def _header_steps(self, agent_id: bytes, x_pub: bytes) -> "Steps":
        on_demand.forget(on_demand.CLEAR)
        from protocol import node_keywork

        self._loaded = True
        return (yield from node_keywork.header_steps(self, agent_id, x_pub))

    def _without_header(self) -> "list[bytes]":
        made = [header[0] for header in self.headers]
        return [agent_id for agent_id in self._agents if agent_id not in made]

    def _recover(self, now_ms: int) -> None:
        """Have headers made anew whose slow work was lost: nobody else would ever notice."""
        if len(self.headers) == len(self._agents) or self._jobs:
            self._work_ms = now_ms
        elif now_ms - self._work_ms >= WORK_LOST_MS:
            # Whose import found no memory may have left a module that holds nothing.
            on_demand.forget(on_demand.ALL)
            for agent_id in self._without_header():
                self._jobs.append(self._header_steps(agent_id, self._agents[agent_id]))

    def work_lost(self) -> None:
        """Slow work has ended without a result: what it was for may be asked for again at once."""
        self._pairing = False
        self._work_ms = -WORK_LOST_MS
        # An import that found no memory may have left a module that holds nothing.
        on_demand.forget(on_demand.ALL)

    def forget_agent(self, agent_id: bytes) -> None:
        """An agent is paired no longer: no header for it in any further hello. The connection that there is
        goes on until the owner ends the boot."""
        self._agents.pop(agent_id, None)
        self.elsewhere.forgotten(agent_id)
        self.headers = [header for header in self.headers if header[0] != agent_id]

    def accept_pairing(
        self,
        ed_pub: bytes,
        x_pub: bytes,
        nonce: bytes,
        keep: "Callable[[bytes, bytes], bool] | None" = None,
        authority: "Any" = None,
        button: bool = False,
    ) -> None:
        """Answer a PairAsked with our keys and a signature over both parties', over the `authority` that the
        owner has taken with it, and over the `button` if one was wanted and was held (slow work).

        A new agent's header comes first: keys that admit none are refused as malformed. Then
        `keep(ed_pub, x_pub)` stores the agent's keys; where it gives False, the agent is refused."""
        agent_id = party_id(ed_pub, x_pub)
        if self._pair_waits(agent_id, self._asked_ms):
            return self._reject("pairing_busy", "session: pair request before the last is answered")
        self._pairing = True
        self._paired_ms = self._asked_ms
        self._jobs.append(self._pair_steps(agent_id, ed_pub, x_pub, nonce, keep, authority, button))
        return None

    def _pair_waits(self, agent_id: bytes, now_ms: int) -> bool:
        """Whether a request is dropped: one at a time, and one signature a second for an agent that is
        known."""
        since_ms = now_ms - self._paired_ms
        if self._pairing:
            return since_ms < WORK_LOST_MS
        return since_ms < PAIR_EVERY_MS and agent_id in self._agents

    def _pair_steps(self, *args: "Any") -> "Steps":
        on_demand.forget(on_demand.CLEAR)
        from protocol import node_keywork

        self._loaded = True
        return (yield from node_keywork.pair_steps(self, *args))

    def refuse_pairing(self, code: int = messages.REFUSE_PAIRED) -> None:
        """Answer a PairAsked with a refusal: this node is paired already, or as `code` says."""
        self._refuse(code)

    def _refuse(self, code: int, versions: "Any" = None) -> None:
        self._say_once(messages.refusal(messages.VERSION, code, versions))

    def _say_once(self, message: bytes) -> None:
        if message not in self._control and len(self._control) < MAX_CONTROL:
            self._control.append(message)

    def _close(self) -> None:
        self.state = st.step(st.NODE, self.state, st.CLOSE)

    def _reject(self, cause: str, detail: str) -> None:
        self.rejected[cause] = self.rejected.get(cause, 0) + 1
        self._events.append(ev.Rejected(cause, detail))

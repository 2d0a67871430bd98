"""Whether a command is carried out: what is looked at when it comes, and again until it has left."""

from collections.abc import Callable

from edge_agent.nodes.orders import check_fits
from edge_agent.remote.authorities import Authorities, Authority
from edge_agent.remote.commands_kept import UNKNOWN_NODE, Kept, Task
from edge_agent.remote.commands_ports import COMMANDS, Bucket, Nodes
from protocol import frames, remote
from protocol.errors import BatchError, LocalError
from protocol.remote import Command

# How far an authority's clock may be from ours.
CLOCK_MS = 120_000

# (outcome, cause, what to do about it), or (cause, what to do about it); empty: nothing is against it.
Refusal = tuple[str, str, str]
Objection = tuple[str, str]
NONE: Objection = ("", "")
LIST_FIRST = (
    "at the agent: `vitalwire authority add` with this and all that `vitalwire authority list` shows: it"
    " replaces what stands there"
)


class Checks:
    """`agent`: this agent's id; `person_at(node, unix_ms)`: whose node it is."""

    def __init__(
        self,
        agent: bytes,
        authorities: Authorities,
        kept: Kept,
        nodes: Nodes,
        person_at: Callable[[bytes, int], bytes | None],
        monotonic: Callable[[], float],
    ) -> None:
        self._agent = agent
        self._authorities = authorities
        self._kept = kept
        self._nodes = nodes
        self._person_at = person_at
        self._monotonic = monotonic
        self._rates: dict[bytes, Bucket] = {}

    def authority(self, key: bytes) -> Authority:
        """The one with that id. BatchError: there is none, and why."""
        found = self._authorities.get(key)
        if found is None:
            why = self._authorities.problem or "`vitalwire authority add` at the agent makes it known"
            raise BatchError(f"authority {key.hex()} is not known: {why}", cause="unknown_authority")
        return found

    def look(self) -> None:
        """Take note of what has changed among the authorities; `still` goes by it."""
        self._authorities.refresh()

    def at_the_door(self, command: Command, now_ms: int) -> Refusal | None:
        """Why a new command of a known authority is answered, and neither kept nor stated."""
        kept = self._kept
        if command.command_id in kept.erased:
            gone = "what became of it was erased with the person whom it was about"
            return remote.UNKNOWN, "erased", gone
        if command.agent_id != self._agent:
            return remote.REFUSED, "wrong_agent", "it is for another agent"
        if command.expires_ms <= max(now_ms, kept.floor):
            return remote.EXPIRED, "expired", "its time is over; if it is not, compare the clocks"
        if command.made_ms > now_ms + CLOCK_MS:
            return remote.REFUSED, "clock", "it was made in the future: compare the clocks"
        # A clock that was far ahead when the store was made says nothing about what came before it.
        if command.made_ms < kept.since_ms <= now_ms + CLOCK_MS:
            before = (
                "the agent's store is newer than it: whether it was carried out is not known; order again"
            )
            return remote.UNKNOWN, "new_store", before
        rate = self._rates.setdefault(command.authority, Bucket(*COMMANDS, self._monotonic))
        if not kept.room(command.authority) or not rate.take():
            return remote.REFUSED, "rate", "too many commands: wait, then try again"
        return None

    def objection(self, command: Command, now_ms: int) -> Objection:
        """Why a command is not carried out at all, as things are now."""
        if command.operation not in remote.OPERATIONS:
            return "unknown_operation", "this agent knows no such operation: update it"
        cause, detail = self._leave(command, now_ms)
        if cause or command.operation == remote.STRIP:
            return cause, detail
        try:
            kind, body = remote.order_of(command)
            if command.for_node:
                body |= {frames.ORDER_AUTHORITY: bytes(8), frames.ORDER_SIGNATURE: bytes(64)}
            check_fits(kind, body)
        except LocalError as e:
            return "malformed", e.detail
        return NONE

    def still(self, task: Task, now_ms: int) -> Objection:
        """Why one that was taken is not carried out any more; authorities as `look` found them."""
        command = task.command
        cause, detail = self._leave(command, now_ms)
        if cause:
            return cause, detail
        if self._person_at(command.node_id, task.taken_ms) != self._person_at(command.node_id, now_ms):
            return "changed_hands", "the node has changed hands since it was ordered: order again"
        return NONE

    def order(self, command: Command) -> Objection:
        """What is against the order that the node is to see."""
        if not command.for_node:
            return "malformed", "this operation needs no order"
        if not remote.order_good(command, self.authority(command.authority).keys.ed_pub):
            return "bad_order_signature", "the order inside is not signed by the authority"
        return NONE

    def _leave(self, command: Command, now_ms: int) -> Objection:
        authority = self._authorities.known(command.authority)
        if authority is None:
            return "not_authorised", self._authorities.problem or "its key was removed from the agent"
        if not self._nodes.paired(command.node_id):
            return UNKNOWN_NODE, "that node is not paired with this agent"
        person = self._person_at(command.node_id, now_ms)
        if not authority.may(command.operation, command.node_id, person):
            also = authority.with_also(command.operation, command.node_id)
            remedy = f"at the agent, in its authorities/: `{also}`"
            # Half a command might allow more than the whole one.
            return "not_authorised", remedy if remote.cut(remedy) == remedy else LIST_FIRST
        return NONE

"""Commands from afar: checked, passed on to the node, answered, each carried out once (docs/remote.md).

An authority's command comes by the broker, or as an errand of somebody at this machine; both are the same
bytes and are checked alike. Whatever is decided is on the disk, with its statement in the chain, before it
leaves (commands_kept.py). Where the node has to see the authority's signature, the agent tells which boot
and until when, and waits for the same command with the order in it; what it then passes on it cannot change.
"""

import logging
from collections.abc import Callable
from typing import Any

from edge_agent.nodes.orders import Order
from edge_agent.remote.authorities import Authorities
from edge_agent.remote.commands_checks import Checks
from edge_agent.remote.commands_kept import Kept, Task
from edge_agent.remote.commands_outcome import bp_outcome, node_outcome
from edge_agent.remote.commands_ports import MESSAGES, Bucket, Nodes, Strips
from protocol import cose, frames, receipts, remote, remote_seal
from protocol.errors import BatchError, ProtocolError
from protocol.identity import Identity
from protocol.remote import Answer, Command, Offer

log = logging.getLogger("vitalwire.commands")

# What a measurement may take after its command has expired: consent, two attempts, the cuff's rests.
MEASURE_MS = 420_000
# So long after it has expired a strip is tried that the store does not give.
STRIP_S = 60.0


class Commander:
    """Takes commands (`ask`), moves them on (`step`), says what became of them (`publish`). `signer`: who
    signs answers, and its hand-overs; `person_at(node, unix_ms)`: whose node it is; `reject(cause, detail)`:
    counts what is nobody's.
    """

    def __init__(
        self,
        identity: Identity,
        authorities: Authorities,
        kept: Kept,
        nodes: Nodes,
        strips: Strips,
        unix_ms: Callable[[], int],
        monotonic: Callable[[], float],
        signer: Callable[[], tuple[cose.Signer | None, list[bytes]]],
        person_at: Callable[[bytes, int], bytes | None],
        reject: Callable[[str, str], None],
    ) -> None:
        self.publish: Callable[[bytes], None] | None = None
        self.answered: dict[str, int] = {}
        self._identity = identity
        self._authorities = authorities
        self._kept = kept
        self._nodes = nodes
        self._strips = strips
        self._unix_ms = unix_ms
        self._monotonic = monotonic
        self._signer = signer
        self._reject = reject
        self._messages = Bucket(*MESSAGES, monotonic)
        self._checks = Checks(identity.id, authorities, kept, nodes, person_at, monotonic)
        for task in kept.tasks.values():
            task.until_s = self._until_s(task)

    @property
    def open(self) -> int:
        """How many commands are under way."""
        return sum(not task.final for task in self._kept.tasks.values())

    @property
    def problem(self) -> str | None:
        """Why nobody may order anything, or None."""
        return self._authorities.problem

    # What comes

    def received(self, message: bytes) -> None:
        """A message on the command topic; its answer goes by the broker, now or when it is durable."""
        reply = self.ask(message, far=True)
        if reply is not None and self.publish is not None:
            self.publish(reply)

    def ask(self, message: bytes, far: bool = False) -> bytes | None:
        """The answer to a sealed command as it comes, sealed; None: not before the disk has it, ask again."""
        try:
            if not self._messages.take():
                raise BatchError("too many commands at once", cause="rate")
            signed = remote_seal.unseal_command(message, self._identity)
            authority = self._checks.authority(remote.read_command(signed).authority)
            command = remote.open_command(signed, authority.keys.ed_pub)
            task = self._take(command, signed)
            task.far = task.far or far
            return self._sealed(task) if task.durable else None
        except ProtocolError as e:
            self._reject(f"command_{e.cause}", e.detail)
            return receipts.make_refusal(self._identity.id, e.cause, remote.cut(e.detail), message)

    def _take(self, command: Command, signed: bytes) -> Task:
        task = self._kept.tasks.get(command.command_id)
        if task is None:
            return self._new(command, signed)
        if task.answer.digest != command.digest or task.command.authority != command.authority:
            return self._no(command, signed, remote.REFUSED, "replayed", "this id was another command's")
        # Of two orders for it the first counts: who brings the other is told what became of that.
        if command.order is not None and task.command.order is None and task.durable and not task.final:
            self._ordered(task, command, signed)
        return task

    def _new(self, command: Command, signed: bytes) -> Task:
        now_ms = self._unix_ms()
        refusal = self._checks.at_the_door(command, now_ms)
        if refusal is not None:
            return self._no(command, signed, *refusal)
        task = Task(command, signed, self._answer(command, remote.RECEIVED), now_ms)
        task.until_s = self._until_s(task)
        known = command.operation in remote.OPERATIONS
        what: dict[str, Any] = {"operation": command.operation} if known else {}
        cause, detail = self._checks.objection(command, now_ms)
        if cause:
            task.answer = self._answer(command, remote.REFUSED, cause, detail)
            unknown = {} if known else {"operation": command.operation}
            self._kept.put(task, "command_refused", what | {"cause": cause}, unknown, now_ms, self._say)
            log.warning("command %s refused: %s", command.command_id.hex(), cause)
            return task
        what["expires_ms"] = command.expires_ms
        # With it, too, a short text could be found by trying.
        kept_back: dict[str, Any] = {"digest": command.digest}
        if command.arguments is not None:
            kept_back["arguments"] = dict(command.arguments)
        if command.reason:
            kept_back["reason"] = command.reason
        self._kept.put(task, "command_received", what, kept_back, now_ms, self._accepted)
        log.info(
            "command %s: %s of node %s", command.command_id.hex(), command.operation, command.node_id.hex()
        )
        return task

    def _ordered(self, task: Task, command: Command, signed: bytes) -> None:
        """The order that the node is to see has come."""
        cause, detail = self._checks.order(command)
        if cause:
            self._end(task, remote.REFUSED, cause, detail)
        else:
            task.command, task.signed = command, signed
            self._move(task)

    def _no(self, command: Command, signed: bytes, outcome: str, cause: str, detail: str) -> Task:
        """An answer that changes nothing, and is counted only: whoever says it again is told again."""
        self._reject(f"command_{cause}", f"command {command.command_id.hex()}: {detail}")
        return Task(
            command, signed, self._answer(command, outcome, cause, detail), self._unix_ms(), durable=True
        )

    def _until_s(self, task: Task) -> float:
        left_ms = task.command.expires_ms - max(self._unix_ms(), task.taken_ms)
        return self._monotonic() + left_ms / 1000

    def _left_s(self, task: Task) -> float:
        """Until it expires, by the clock that says so first; a clock that is set back lengthens nothing."""
        by_clock = (task.command.expires_ms - self._unix_ms()) / 1000
        return min(by_clock, task.until_s - self._monotonic())

    # What goes on

    def step(self) -> None:
        """Move on what waits; a few times a second."""
        self._checks.look()
        for task in list(self._kept.tasks.values()):
            if task.durable and not task.final:
                self._move(task)
        self._kept.forget(self._unix_ms())

    def _move(self, task: Task) -> None:
        """One step further, if there is one. What cannot be written down ends by itself, and nothing else."""
        try:
            self._further(task)
        except ProtocolError as e:
            log.error("command %s: %s", task.command.command_id.hex(), e)
            self._end(task, remote.FAILED, "failed", e.detail)

    def _further(self, task: Task) -> None:
        if task.order is not None:
            self._look(task, task.order)
        elif task.body is not None:
            self._resume(task)
        elif self._left_s(task) <= 0:
            self._end(
                task, remote.EXPIRED, "not_reached", "the node was not connected in time, or nobody signed"
            )
        else:
            live = self._nodes.live(task.command.node_id)
            if live is not None:
                self._begin(task, live[0], live[1])

    def _accepted(self, task: Task) -> None:
        self._move(task)
        if task.answer.outcome == remote.RECEIVED:
            self._say(task)

    def _begin(self, task: Task, boot: bytes, t_us: int) -> None:
        command, now_ms = task.command, self._unix_ms()
        offered = task.answer.offer
        if offered is not None and offered.boot_id == boot and command.order is None:
            # Most of those that wait: nobody has signed yet.
            return
        cause, detail = self._checks.still(task, now_ms)
        if cause:
            # It was allowed when it came, and is not any more.
            self._end(task, remote.REFUSED, cause, detail)
            return
        left_us = int(self._left_s(task) * 1_000_000)
        if command.operation == remote.STRIP:
            body = self._strips.begin(task, t_us)
        elif command.for_node and command.order is None:
            offer = Offer(boot, t_us, min(t_us + left_us, frames.T_END - 1), now_ms)
            self._change(task, self._answer(command, remote.NEEDS_SIGNATURE, offer=offer))
            return
        elif command.order is not None:
            if command.order.boot_id != boot:
                self._end(task, remote.REFUSED, "wrong_boot", "the node began another boot: ask anew")
                return
            _, body = remote.signed_body(command)
        else:
            _, body = remote.order_of(command)
            body[frames.ORDER_EXPIRES_US] = min(t_us + left_us, frames.T_END - 1)
            body[frames.ORDER_MS] = now_ms
        task.boot, task.body = boot, body
        task.answer = self._answer(command, remote.SENT)
        what = {"boot": boot, "name": command.operation}
        self._kept.put(task, "ordered", what, {"body": body}, now_ms, self._move)

    def _resume(self, task: Task) -> None:
        """Its row says what it is to the node: it goes, for the first time or again after a restart."""
        assert task.body is not None and task.boot is not None
        command = task.command
        if task.answer.outcome == remote.BEGUN:
            self._overdue(task)
            return
        cause, detail = self._checks.still(task, self._unix_ms())
        left_s = self._left_s(task)
        if cause:
            left = task.again and command.operation != remote.STRIP
            self._end(task, remote.UNKNOWN if left else remote.REFUSED, cause, detail)
        elif command.operation == remote.STRIP:
            if left_s < -STRIP_S:
                self._end(task, remote.FAILED, "no_wave", "the store does not give it: see the agent's log")
            else:
                self._strips.serve(task, left_s <= 0)
        elif left_s <= 0:
            self._end(
                task, remote.UNKNOWN, "no_answer", "it had gone to the node, which did not answer in time"
            )
        else:
            kind, _ = remote.order_of(command)
            name = command.operation
            task.order = self._nodes.give(command.node_id, kind, name, task.body, task.boot, left_s)
            if not task.again:
                self._say(task)

    def _overdue(self, task: Task) -> None:
        live = self._nodes.live(task.command.node_id)
        if live is not None and live[0] != task.boot:
            self._end(task, remote.UNKNOWN, "new_boot", "the node began anew before it was over")
        elif self._left_s(task) < -MEASURE_MS / 1000:
            self._end(task, remote.UNKNOWN, "no_result", "it was begun, and no result came")

    def _look(self, task: Task, order: Order) -> None:
        """What came of an order."""
        if order.outcome is None:
            if task.objection is None:
                cause, detail = self._checks.still(task, self._unix_ms())
                if cause:
                    # If it has left, its answer counts for a moment longer.
                    task.objection = cause, detail
                    self._nodes.withdraw(order)
            return
        task.order = None
        sent = order.sent > 0 or task.again
        if order.outcome == "new_boot" and not sent:
            # It never left; a signed one is refused for the new boot, another one is made for it.
            task.boot = task.body = None
            return
        if order.outcome == "answered":
            outcome, cause, detail = node_outcome(task.command.operation, order)
        elif order.outcome == "withdrawn" and task.objection is not None:
            outcome = remote.UNKNOWN if sent else remote.REFUSED
            cause, detail = task.objection
        elif order.outcome == "expired":
            outcome = remote.UNKNOWN if sent else remote.EXPIRED
            cause = "no_answer" if sent else "not_reached"
            detail = "the node did not answer in time" if sent else "the node was not reached in time"
        else:
            outcome, cause, detail = remote.UNKNOWN, "new_boot", "the node began anew before it answered"
        said: dict[str, Any] = {
            "result": order.result,
            "node_detail": order.detail,
            "node_value": order.value,
        }
        said["order_digest"] = order.digest if order.result is not None else None
        if outcome == remote.BEGUN:
            self._change(task, self._answer(task.command, outcome, cause, detail, **said), "order_begun")
        else:
            self._end(task, outcome, cause, detail, **said)

    def measured(self, node: bytes, boot: bytes, seq: int, body: dict[int, Any]) -> None:
        """A blood pressure has come that says which command it is of: the end of that, in one transaction
        with the frame.
        """
        task = self._kept.tasks.get(body[frames.BP_COMMAND])
        if task is None or task.final or task.command.node_id != node or task.boot != boot:
            return
        task.order = None
        outcome, cause, detail = bp_outcome(body)
        answer = task.answer
        said = {"result": answer.result, "order_digest": answer.order_digest, "evidence": ((boot, seq, 1),)}
        self._end(task, outcome, cause, detail, **said)

    def served(self, task: Task, evidence: tuple[tuple[bytes, int, int], ...], detail: str) -> None:
        """A strip is kept and handed over, or there was nothing to keep."""
        if not task.final and task.durable:
            done = remote.DONE if evidence else remote.FAILED
            self._end(task, done, "" if evidence else "no_wave", detail, evidence=evidence)

    def _end(self, task: Task, outcome: str, cause: str, detail: str, **more: Any) -> None:
        self._change(task, self._answer(task.command, outcome, cause, detail, **more), "order_ended")

    def _change(self, task: Task, answer: Answer, code: str = "") -> None:
        """Another answer: durably with its statement, or only in memory where nothing was decided."""
        task.answer = answer
        if not code:
            self._say(task)
            return
        what: dict[str, Any] = {"operation": task.command.operation, "outcome": answer.outcome}
        if answer.evidence:
            what["evidence"] = [list(one) for one in answer.evidence]
        kept_back: dict[str, Any] = {}
        if answer.cause:
            kept_back["cause"] = answer.cause
        if answer.result is not None:
            kept_back["result"] = answer.result
        self._kept.put(task, code, what, kept_back, self._unix_ms(), self._say)
        log.info("command %s: %s %s", task.command.command_id.hex(), answer.outcome, answer.cause)

    # What is said

    def _answer(
        self, command: Command, outcome: str, cause: str = "", detail: str = "", **more: Any
    ) -> Answer:
        return Answer(
            self._identity.id,
            command.node_id,
            command.command_id,
            outcome,
            self._unix_ms(),
            command.digest,
            cause,
            remote.cut(detail),
            **more,
        )

    def _say(self, task: Task) -> None:
        """Tell the authority, where it asked by the broker. Once for each answer; whoever repeats the command
        is told again.
        """
        if not task.far or self.publish is None or not task.durable:
            return
        try:
            self.publish(self._sealed(task))
        except ProtocolError as e:
            log.warning("command %s: its answer cannot be sealed: %s", task.command.command_id.hex(), e)

    def _sealed(self, task: Task) -> bytes:
        """BatchError: the authority, or the agent's own key, is not there any more."""
        authority = self._checks.authority(task.command.authority)
        signer, handovers = self._signer()
        if signer is None:
            raise BatchError("the agent cannot sign: see its log", cause="no_signing_key")
        signed = remote.make_answer(signer, task.answer, handovers)
        sealed = remote_seal.seal_answer(signed, self._identity.id, authority.keys.id, authority.keys.x_pub)
        outcome = task.answer.outcome
        self.answered[outcome] = self.answered.get(outcome, 0) + 1
        return sealed

"""Commands from afar: checked, passed on to the node, answered, each carried out once (docs/remote.md).

An authority's command comes by the broker, or as an errand of somebody at this machine; both are the same
bytes and are checked alike. Whatever is decided is on the disk, with its statement in the chain, before it
leaves (commands_kept.py). Where the node has to see the authority's signature, the agent tells which boot
and until when, and waits for the same command with the order in it; what it then passes on it cannot change.
"""

import logging
from collections.abc import Callable
from typing import Any

from edge_agent.authorities import Authorities
from edge_agent.commands_kept import Kept, Task
from edge_agent.commands_outcome import bp_outcome, node_outcome
from edge_agent.commands_ports import COMMANDS, MESSAGES, Bucket, Nodes, Strips
from edge_agent.orders import Order, check_fits
from protocol import cose, frames, receipts, remote, remote_seal
from protocol.errors import BatchError, LocalError
from protocol.identity import Identity
from protocol.remote import Answer, Command, Offer

log = logging.getLogger("vitalwire.commands")

# How far an authority's clock may be from ours.
CLOCK_MS = 120_000
# What a measurement may take after its command has expired: consent, two attempts, the cuff's rests.
MEASURE_MS = 420_000


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
        self._person_at = person_at
        self._reject = reject
        self._messages = Bucket(*MESSAGES, monotonic)
        self._rates: dict[bytes, Bucket] = {}

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
            claimed = remote.read_command(signed)
            authority = self._authorities.get(claimed.authority)
            if authority is None:
                why = self._authorities.problem or "`vitalwire authority add` at the agent makes it known"
                raise BatchError(
                    f"authority {claimed.authority.hex()} is not known: {why}", cause="unknown_authority"
                )
            command = remote.open_command(signed, authority.keys.ed_pub)
        except BatchError as e:
            self._reject(f"command_{e.cause}", e.detail)
            return receipts.make_refusal(self._identity.id, e.cause, remote.cut(e.detail), message)
        task = self._take(command, signed)
        task.far = task.far or far
        return self._sealed(task) if task.durable else None

    def _take(self, command: Command, signed: bytes) -> Task:
        task = self._kept.tasks.get(command.command_id)
        if task is None:
            return self._new(command, signed)
        same = task.command.digest == command.digest and task.command.authority == command.authority
        if not same or (command.order is not None and task.command.order not in (None, command.order)):
            return self._no(command, signed, "replayed", "this id was another command's")
        if command.order is not None and task.command.order is None and task.durable and not task.final:
            self._ordered(task, command, signed)
        return task

    def _new(self, command: Command, signed: bytes) -> Task:
        now_ms = self._unix_ms()
        if command.agent_id != self._identity.id:
            return self._no(command, signed, "wrong_agent", "it is for another agent")
        if command.expires_ms <= max(now_ms, self._kept.floor):
            late = "its time is over; if it is not, compare the clocks"
            return self._no(command, signed, "expired", late, remote.EXPIRED)
        if command.made_ms > now_ms + CLOCK_MS:
            return self._no(command, signed, "clock", "it was made in the future: compare the clocks")
        rate = self._rates.setdefault(command.authority, Bucket(*COMMANDS, self._monotonic))
        if self._kept.full or not rate.take():
            return self._no(command, signed, "rate", "too many commands: wait, then try again")
        task = Task(command, signed, self._answer(command, remote.RECEIVED))
        cause, detail = self._objection(command)
        if cause:
            task.answer = self._answer(command, remote.REFUSED, cause, detail)
            what = {"operation": command.operation, "cause": cause}
            self._kept.put(task, "command_refused", what, now_ms, self._say)
            log.warning("command %s refused: %s", command.command_id.hex(), cause)
            return task
        what: dict[str, Any] = {
            "operation": command.operation,
            "digest": command.digest,
            "expires_ms": command.expires_ms,
        }
        if command.arguments is not None:
            what["arguments"] = dict(command.arguments)
        if command.reason:
            what["reason"] = command.reason
        self._kept.put(task, "command_received", what, now_ms, self._accepted)
        log.info(
            "command %s: %s of node %s", command.command_id.hex(), command.operation, command.node_id.hex()
        )
        return task

    def _objection(self, command: Command) -> tuple[str, str]:
        """(cause, what to do about it) of a command that is not carried out, or nothing."""
        authority = self._authorities.get(command.authority)
        if authority is None:
            return "not_authorised", "its key was removed from the agent"
        if command.operation not in remote.OPERATIONS:
            return "unknown_operation", "this agent knows no such operation: update it"
        if not self._nodes.paired(command.node_id):
            return "unknown_node", "that node is not paired with this agent"
        person = self._person_at(command.node_id, self._unix_ms())
        if not authority.may(command.operation, command.node_id, person):
            return "not_authorised", "`vitalwire authority add` at the agent allows it"
        if command.operation != remote.STRIP:
            try:
                kind, body = remote.order_of(command)
                if command.for_node:
                    body |= {frames.ORDER_AUTHORITY: bytes(8), frames.ORDER_SIGNATURE: bytes(64)}
                check_fits(kind, body)
            except LocalError as e:
                return "malformed", e.detail
        return "", ""

    def _ordered(self, task: Task, command: Command, signed: bytes) -> None:
        """The order that the node is to see has come."""
        authority = self._authorities.get(command.authority)
        assert authority is not None and command.order is not None
        cause = detail = ""
        if not command.for_node:
            cause, detail = "malformed", "this operation needs no order"
        elif not remote.order_good(command, authority.keys.ed_pub):
            cause, detail = "bad_order_signature", "the order inside is not signed by the authority"
        if cause:
            self._end(task, remote.REFUSED, cause, detail)
        else:
            task.command, task.signed = command, signed
            self._move(task)

    def _no(
        self, command: Command, signed: bytes, cause: str, detail: str, outcome: str = remote.REFUSED
    ) -> Task:
        """An answer that changes nothing, and is counted only: whoever says it again is told again."""
        self._reject(f"command_{cause}", f"command {command.command_id.hex()}: {detail}")
        return Task(command, signed, self._answer(command, outcome, cause, detail), durable=True)

    # What goes on

    def step(self) -> None:
        """Move on what waits; a few times a second."""
        now_ms = self._unix_ms()
        for task in list(self._kept.tasks.values()):
            if task.durable and not task.final:
                self._move(task)
        self._kept.forget(now_ms)

    def _move(self, task: Task) -> None:
        """One step further, if there is one."""
        command, now_ms = task.command, self._unix_ms()
        if task.order is not None:
            self._look(task, task.order)
        elif task.body is not None:
            self._resume(task, now_ms)
        elif now_ms > command.expires_ms:
            self._end(
                task, remote.EXPIRED, "not_reached", "the node was not connected in time, or nobody signed"
            )
        else:
            live = self._nodes.live(command.node_id)
            if live is not None:
                self._begin(task, live[0], live[1], now_ms)

    def _accepted(self, task: Task) -> None:
        self._move(task)
        if task.answer.outcome == remote.RECEIVED:
            self._say(task)

    def _begin(self, task: Task, boot: bytes, t_us: int, now_ms: int) -> None:
        command = task.command
        cause, detail = self._objection(command)
        if cause:
            # It was allowed when it came, and is not any more.
            self._end(task, remote.REFUSED, cause, detail)
            return
        left_us = (command.expires_ms - now_ms) * 1000
        if command.operation == remote.STRIP:
            body = self._strips.begin(task, t_us)
        elif command.for_node and command.order is None:
            offer = Offer(boot, t_us, min(t_us + left_us, frames.T_END - 1), now_ms)
            before = task.answer.offer
            if before is None or before.boot_id != boot:
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
        what: dict[str, Any] = {"boot": boot, "name": command.operation, "body": body}
        if command.operation == remote.MARK and command.arguments is not None:
            what["text"] = command.arguments.get(1, "")
        self._kept.put(task, "ordered", what, now_ms, self._move)

    def _resume(self, task: Task, now_ms: int) -> None:
        """Its row says what it is to the node: it goes, for the first time or again after a restart."""
        assert task.body is not None and task.boot is not None
        command = task.command
        if command.operation == remote.STRIP:
            self._strips.serve(task)
            return
        if task.answer.outcome == remote.BEGUN:
            self._overdue(task, now_ms)
            return
        kind, _ = remote.order_of(command)
        left_s = (command.expires_ms - now_ms) / 1000
        if left_s <= 0:
            self._end(
                task, remote.UNKNOWN, "no_answer", "it had gone to the node, which did not answer in time"
            )
            return
        name = command.operation
        task.order = self._nodes.give(command.node_id, kind, name, task.body, task.boot, left_s)
        if not task.again:
            self._say(task)

    def _overdue(self, task: Task, now_ms: int) -> None:
        live = self._nodes.live(task.command.node_id)
        if live is not None and live[0] != task.boot:
            self._end(task, remote.UNKNOWN, "new_boot", "the node began anew before it was over")
        elif now_ms > task.command.expires_ms + MEASURE_MS:
            self._end(task, remote.UNKNOWN, "no_result", "it was begun, and no result came")

    def _look(self, task: Task, order: Order) -> None:
        """What came of an order."""
        if order.outcome is None:
            return
        task.order = None
        sent = order.sent > 0 or task.again
        if order.outcome == "new_boot" and not sent:
            # It never left; a signed one is refused for the new boot, another one is made for it.
            task.boot = task.body = None
            return
        if order.outcome == "answered":
            outcome, cause, detail = node_outcome(task.command.operation, order)
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
        if answer.cause:
            what["cause"] = answer.cause
        if answer.result is not None:
            what["result"] = answer.result
        if answer.evidence:
            what["evidence"] = [list(one) for one in answer.evidence]
        self._kept.put(task, code, what, self._unix_ms(), self._say)
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
        if task.far and self.publish is not None and task.durable:
            self.publish(self._sealed(task))

    def _sealed(self, task: Task) -> bytes:
        answer = task.answer
        authority = self._authorities.get(task.command.authority)
        signer, handovers = self._signer()
        if authority is None:
            return receipts.make_refusal(self._identity.id, "unknown_authority", "its key was removed")
        if signer is None:
            return receipts.make_refusal(
                self._identity.id, "no_signing_key", "the agent cannot sign: see its log"
            )
        signed = remote.make_answer(signer, answer, handovers)
        self.answered[answer.outcome] = self.answered.get(answer.outcome, 0) + 1
        return remote_seal.seal_answer(signed, self._identity.id, authority.keys.id, authority.keys.x_pub)

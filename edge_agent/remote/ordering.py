"""The authority's side of a command: says it, signs what the node asks for, until there is an end.

Without I/O: `message()` is to be said now, and again until `take()` has had the answer that ends it. What a
person types becomes a command here, too (`wanted`), for the agent's own commands and the clinic's.
"""

import os
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.keys import PublicKeys
from edge_agent.readable import counted
from protocol import crypto, frames, receipts, remote, remote_seal
from protocol.errors import BatchError, LocalError
from protocol.identity import Identity
from protocol.remote import Answer, Command

VALID_S = 120.0
REFUSED_OFTEN = 3
# Of so many of our newest messages a refusal is known.
SAID = 64

CUFFS = {"small": 1, "medium": 2, "large": 3, "extra-large": 4}
CHANNELS = {"ecg": frames.CH_ECG, "red": 1, "infrared": 2, "cuff": frames.CH_CUFF}
MODES = {"spot-check": frames.MODE_SPOT_CHECK, "watch": frames.MODE_WATCH}
# In tenths of what people say: beats a minute, per cent, mmHg.
ALARMS = {
    "hr-high": frames.EVENT_HR_HIGH,
    "hr-low": frames.EVENT_HR_LOW,
    "spo2-low": frames.EVENT_SPO2_LOW,
    "bp-high": frames.EVENT_BP_HIGH,
    "bp-low": frames.EVENT_BP_LOW,
}
# Which words belong to which operation.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    remote.BP: ("cuff",),
    remote.CONFIG: ("mains", "not_sent", "cuff"),
    remote.LIMITS: ("mode", "limit"),
    remote.STRIP: ("channel", "seconds", "next"),
    remote.MARK: ("text",),
    remote.STATIC_PRESSURE: ("mmhg",),
}

_SAID = {
    remote.RECEIVED: "the agent has it; it waits for the node",
    remote.NEEDS_SIGNATURE: "signing it for the node's present boot",
    remote.SENT: "on its way to the node",
    remote.BEGUN: "the node has begun",
    remote.DONE: "done",
    remote.REFUSED: "refused",
    remote.FAILED: "failed",
    remote.EXPIRED: "expired",
    remote.UNKNOWN: "not known",
}
# How far a command has got: what is told of an earlier moment is old, or is told by somebody who kept it.
_STAGE = {remote.RECEIVED: 0, remote.NEEDS_SIGNATURE: 1, remote.SENT: 2, remote.BEGUN: 3}
_NEXT = {
    "unknown_authority": "vitalwire authority add at the agent makes this key known",
    "bad_signature": "was it changed on the way? try again",
    "wrong_agent": "compare the agent's id with `vitalwire keys show` there",
    "bad_seal": "compare the agent's .pub file with its own",
    "rate": "wait a minute, then try again",
    "no_signing_key": "see the agent's log",
}


class OrderingError(Exception):
    """A command that goes no further: `problem`, and what to do (`hint`)."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem + (f" ({hint})" if hint else ""))
        self.problem = problem
        self.hint = hint


class Ordering:
    """One command of `authority` to the agent with these public keys. `answer`: the newest; `strange`: how
    many messages were said to be its answers and are nobody's.
    """

    def __init__(self, authority: Identity, agent: PublicKeys, command: Command) -> None:
        self.command = command
        self.answer: Answer | None = None
        self.strange = 0
        self._authority = authority
        self._agent = agent
        self._digest = command.digest
        self._said: deque[bytes] = deque(maxlen=SAID)
        self._refused: set[bytes] = set()

    def message(self) -> bytes:
        """The sealed command. LocalError for one that no agent takes."""
        signed = remote.make_command(self._authority, self.command)
        sealed = remote_seal.seal_command(signed, self._agent.id, self._agent.x_pub)
        self._said.append(crypto.sha256(sealed))
        return sealed

    def take(self, message: bytes) -> bool:
        """Whether this was news of our command. OrderingError: an offer that nobody can follow; or the agent
        cannot attribute our command to us, as it says again and again.
        """
        try:
            refusal = receipts.parse_refusal(message)
        except BatchError:
            return self._answered(message)
        if refusal.agent_id != self._agent.id or refusal.code == "rate" or self.answer is not None:
            return False
        if refusal.refused is None or refusal.refused not in self._said:
            # Of somebody else's message, or by somebody who has not even seen ours.
            return False
        # Anybody who sees ours can say so: it ends nothing before it was said of several, and nothing else.
        self._refused.add(refusal.refused)
        if len(self._refused) < REFUSED_OFTEN:
            return False
        problem = f"the agent refuses, as an unsigned message says: {refusal.detail}"
        raise OrderingError(problem, _NEXT.get(refusal.code, refusal.code))

    def _answered(self, message: bytes) -> bool:
        try:
            signed = remote_seal.unseal_answer(message, self._authority)
            answer = remote.open_answer(signed, self._agent.ed_pub)
        except BatchError as e:
            # Whoever may publish there could end any command otherwise, which is carried out all the same.
            self.strange += e.cause != "wrong_authority"
            return False
        ours = (answer.agent_id, answer.command_id, answer.digest)
        if ours != (self._agent.id, self.command.command_id, self._digest) or not self._news(answer):
            return False
        if answer.outcome == remote.NEEDS_SIGNATURE:
            assert answer.offer is not None
            try:
                self.command = remote.sign_order(self._authority, self.command, answer.offer)
            except LocalError as e:
                raise OrderingError(e.detail) from e
        self.answer = answer
        return True

    def _news(self, answer: Answer) -> bool:
        """Whether it is further than what we know; an offer: of a later boot than what is signed."""
        if answer.outcome == remote.NEEDS_SIGNATURE:
            if answer.offer is None or not self.command.for_node:
                return False
            order = self.command.order
            if order is not None and answer.offer.boot_id[:4] <= order.boot_id[:4]:
                return False
        before = self.answer
        if before is None or before.final:
            return before is None
        if answer.final:
            return True
        stage, known = _STAGE.get(answer.outcome, 0), _STAGE.get(before.outcome, 0)
        return stage > known or (stage == known and answer.outcome == remote.NEEDS_SIGNATURE)

    @property
    def remark(self) -> str:
        """What is to be said of the messages that were nobody's; "" where there were none."""
        if not self.strange:
            return ""
        return (
            f"{counted(self.strange, 'message')} in the place of answers, which this agent has not signed: "
            "if it has other keys now, fetch its .pub file; if not, somebody disturbs"
        )

    def said(self) -> str:
        """The newest answer in a line."""
        answer = self.answer
        if answer is None:
            return "no answer yet"
        said = _SAID.get(answer.outcome, answer.outcome)
        if answer.cause:
            said += f" ({answer.cause})"
        if answer.detail:
            said += f": {answer.detail}"
        for boot, first, count in answer.evidence:
            more = f" to {first + count - 1}" if count > 1 else ""
            said += f"; in frame {first}{more} of boot {boot.hex()}"
        return said


def new_command(
    authority: Identity,
    agent: bytes,
    node: bytes,
    operation: str,
    arguments: Mapping[int, Any] | None,
    now_ms: int,
    valid_s: float = VALID_S,
    reason: str = "",
) -> Command:
    """A fresh command, good for `valid_s` from `now_ms` (Unix)."""
    expires_ms = now_ms + int(valid_s * 1000)
    ids = (agent, node, os.urandom(8))
    return Command(*ids, operation, now_ms, expires_ms, authority.id, arguments, reason)


def wanted(operation: str, given: Mapping[str, Any]) -> dict[int, Any] | None:
    """The arguments of an operation, from what a person typed: `given` by the names of OPTIONS, None or empty
    where nothing was. OrderingError.
    """
    there = {name: value for name, value in given.items() if value not in (None, (), False, "")}
    for name in there:
        if name not in OPTIONS.get(operation, ()):
            takes = ", ".join(f"--{one.replace('_', '-')}" for one in OPTIONS.get(operation, ()))
            raise OrderingError(
                f"{operation} takes no --{name.replace('_', '-')}", f"it takes {takes or 'nothing'}"
            )
    if operation == remote.BP:
        return {1: CUFFS[there["cuff"]]} if "cuff" in there else None
    if operation == remote.CONFIG:
        return _config(there)
    if operation == remote.LIMITS:
        return _limits(there)
    if operation == remote.STRIP:
        strip: dict[int, Any] = {
            remote.STRIP_CHANNEL: CHANNELS[there.get("channel", "ecg")],
            remote.STRIP_SECONDS: there.get("seconds", 30),
        }
        return {**strip, remote.STRIP_NEXT: True} if "next" in there else strip
    if operation == remote.MARK:
        if "text" not in there:
            raise OrderingError("a mark without a text", 'give --text "after the stairs"')
        size = len(there["text"].encode())
        if size > remote.MAX_TEXT:
            raise OrderingError(f"a text of {size} bytes", f"give {remote.MAX_TEXT} at most")
        return {1: there["text"]}
    return {1: there["mmhg"]} if "mmhg" in there else None


def _config(there: Mapping[str, Any]) -> dict[int, Any]:
    settings: dict[int, Any] = {}
    if "mains" in there:
        settings[frames.SET_MAINS_HZ] = there["mains"]
    if "not_sent" in there:
        named: Sequence[str] = there["not_sent"]
        settings[frames.SET_NOT_SENT] = sorted(CHANNELS[one] for one in named if one != "none")
    if "cuff" in there:
        settings[frames.SET_CUFF_SIZE] = CUFFS[there["cuff"]]
    if not settings:
        raise OrderingError("config without settings", "give --mains 50, --not-sent red or --cuff medium")
    return settings


def _limits(there: Mapping[str, Any]) -> dict[int, Any]:
    settings: dict[int, Any] = {}
    if "mode" in there:
        settings[frames.SET_MODE] = MODES[there["mode"]]
    limits: list[list[int]] = []
    for text in there.get("limit", ()):
        name, _, rest = text.partition("=")
        value, _, delay = rest.partition(":")
        try:
            limits.append([ALARMS[name], round(float(value) * 10), int(delay)])
        except (KeyError, ValueError, OverflowError):
            hint = f"NAME=VALUE:SECONDS, as spo2-low=88:15; names are {', '.join(ALARMS)}"
            raise OrderingError(f"{text!r} is no limit", hint) from None
    if limits:
        settings[frames.SET_LIMITS] = limits
    if not settings:
        raise OrderingError("limits without one", "give --limit spo2-low=88:15 or --mode watch")
    return settings

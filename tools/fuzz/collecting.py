"""Targets on the collector's side and at the desk: batches, receipts, records, the dissector. CPython only.

The first byte says how the rest reaches the decoder: as it is, or sealed and signed by a paired party that
means harm.
"""

from typing import Any

from protocol import batch, cbor, cose, merkle
from protocol.errors import ProtocolError
from tools.dissect import capture, cddl, mending
from tools.fuzz.outcome import Broken, attempt, expect, shown
from tools.fuzz.parties import party, secret

AGENT = party("agent")
COLLECTOR = party("collector")
PERSON = party("person")


MENDING_TRIALS = 300
"""Of a capture: a thousandth of what `vitalwire inspect` spends on finding a changed byte: seconds."""


class Batches:
    """0 sealed, as it is; 1 clear; 2 clear, then sealed; 3 [head, entries], signed; 4 a head; 5 an entry."""

    name = "batch"

    def run(self, data: bytes) -> str:
        """The batch, or which check failed."""
        how = data[0] % 6 if data else 0
        rest = data[1:]
        if how == 0:
            return _text(*attempt(len(rest), batch.open_batch, rest, COLLECTOR))
        if how == 4:
            return _text(*attempt(len(rest), batch.parse_head, rest))
        if how == 5:
            return _text(*attempt(len(rest), batch.parse_entry, rest))
        if how == 3:
            rest = _signed(rest)
        if how == 2:
            sealed = batch.seal_batch(rest, AGENT.id, COLLECTOR.x_pub, COLLECTOR.id, secret("ephemeral"))
            expect(batch.open_batch(sealed, COLLECTOR) == (AGENT.id, rest), "another batch comes out")
        parsed, why = attempt(len(rest), batch.parse_batch, rest, AGENT.ed_pub, AGENT.id)
        if why:
            return why
        expect(cbor.dumps(cbor.loads(rest)) == rest, "it encodes otherwise")
        return "=" + shown([parsed.number, parsed.parsed])


def _signed(data: bytes) -> bytes:
    """A batch whose signature, count and root are right, of any head's other fields and entries."""
    try:
        head, entries = cbor.loads(data)
        entries = [entry if isinstance(entry, bytes) else cbor.dumps(entry) for entry in entries]
        fields = {**head, 6: merkle.root([merkle.leaf_hash(entry) for entry in entries]), 7: len(entries)}
        return batch.encode_batch(batch.sign_head(AGENT, cbor.dumps(fields)), entries)
    except (ProtocolError, TypeError, ValueError):
        return batch.encode_batch(batch.sign_head(AGENT, data), [])


class Receipts:
    """0 a receipt as it is; 1 fields, signed by the collector; 2 a question; 3 a refusal."""

    name = "receipt"

    def run(self, data: bytes) -> str:
        """The receipt, or why it is none."""
        how = data[0] % 4 if data else 0
        rest = data[1:]
        batch.is_refusal(rest)
        if how == 2:
            return _text(*attempt(len(rest), batch.parse_ask, rest))
        if how == 3:
            return _text(*attempt(len(rest), batch.parse_refusal, rest))
        message = cose.sign1(COLLECTOR, rest) if how == 1 else rest
        return _text(*attempt(len(message), batch.verify_receipt, message, COLLECTOR.ed_pub))


class Records:
    """0 a record as it is; 1 fields, signed by the person."""

    name = "records"

    def __init__(self) -> None:
        from protocol import records

        self._open = records.open_record

    def run(self, data: bytes) -> str:
        """The record, or why it is none."""
        rest = data[1:]
        message = cose.sign1(PERSON, rest) if data[:1] == b"\x01" else rest
        return _text(*attempt(len(message), self._open, message, PERSON.ed_pub))


def _text(value: Any, why: str) -> str:
    return why or "=" + _facts(value)


def _facts(value: Any) -> str:
    if isinstance(value, (batch.Receipt, batch.Refusal)):
        value = dict(vars(value))
    return shown(value)


class Inspect:
    """First byte: as what it is taken apart (0: as it looks). The others: anything at all."""

    name = "inspect"

    def __init__(self) -> None:
        self._rules = [capture.STREAM, *sorted(cddl.load().rules)]
        self._keys = capture.Keys(COLLECTOR, AGENT.ed_pub, AGENT)

    def run(self, data: bytes) -> str:
        """How many lines and problems; each of them inside the capture."""
        how = data[0] if data else 0
        rest = data[1:]
        rule = self._rules[how % len(self._rules)] if how else capture.recognise(rest)
        trials, mending.MAX_TRIALS = mending.MAX_TRIALS, MENDING_TRIALS
        try:
            part = capture.take_apart(rest, rule, self._keys)
        finally:
            mending.MAX_TRIALS = trials
        for holder, problem in part.all_problems():
            expect(
                0 <= problem.offset <= len(holder.data),
                f"a problem at {problem.offset} of {len(holder.data)}",
            )
            expect(0 <= holder.place_of(problem) <= len(rest), "a problem outside the capture")
            expect(bool(problem.why and problem.layer), "a problem without a word")
        lines = _lines(part)
        if len(lines) > 4 * len(rest) + 200:
            raise Broken(f"{len(lines)} lines for {len(rest)} bytes")
        return f"={rule} {len(lines)} {len(part.all_problems())}"


def _lines(part: capture.Part) -> "list[Any]":
    return [*part.lines, *(line for inner in part.parts for line in _lines(inner))]

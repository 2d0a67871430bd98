"""An export as people read it: made from the evidence in it, and from nothing else, so that whoever checks
the evidence makes the same text again and sees whether a letter was changed.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from edge_agent.people.clocks import Clock, Fit
from edge_agent.readable import counted, readable
from protocol import frames, nomenclature
from protocol.checks import is_list, is_map
from protocol.errors import CodecError, ProtocolError
from protocol.frame_names import KIND_NAMES
from protocol.frame_rules import BODIES
from protocol.records import MANUAL, read_record
from protocol.waveform import decode

ENTRY_FRAME, ENTRY_CLOCK = 0, 2
RECORD_ENTRIES = (4, 5, 7, 8)
COLUMNS = ("measured_from", "measured_to", "quantity", "value", "unit", "node", "boot", "number", "origin")


class Facts(NamedTuple):
    """What the text says beside the entries."""

    person: bytes
    agent: bytes
    made_ms: int
    frames: int
    records: int
    waiting: int


Clocks = dict[tuple[bytes, bytes], Clock]


def clocks_of(entries: Iterable[list[Any]]) -> Clocks:
    """The clocks that the fits among these entries give, by node and boot."""
    found: dict[tuple[bytes, bytes], list[Fit]] = {}
    for entry in entries:
        if entry[0] == ENTRY_CLOCK:
            found.setdefault((entry[1], entry[2]), []).append(Fit(*entry[3:7]))
    return {whose: Clock(fits) for whose, fits in found.items()}


def measured(clocks: Clocks, node: bytes, boot: bytes, t_us: int) -> tuple[int, int] | None:
    """(earliest, latest) Unix us at which that was; None: no clock fit of that boot is there."""
    clock = clocks.get((node, boot))
    return clock.at(t_us) if clock else None


def iso(unix_us: int) -> str:
    """UTC, to the microsecond."""
    try:
        return datetime.fromtimestamp(unix_us / 1_000_000, UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError, OSError):
        return f"{unix_us} us"


def frame_lines(entries: Iterable[list[Any]], clocks: Clocks) -> Iterator[bytes]:
    """One JSON object a line for each frame: frames.jsonl."""
    for entry in entries:
        if entry[0] == ENTRY_FRAME:
            yield json.dumps(_frame(entry, clocks), ensure_ascii=False).encode() + b"\n"


def _frame(entry: list[Any], clocks: Clocks) -> dict[str, Any]:
    _, node, boot, seq, plain, received_ms = entry
    told: dict[str, Any] = {"node": node.hex(), "boot": boot.hex(), "number": seq}
    told["received_at"] = iso(received_ms * 1000)
    try:
        kind, t_us, body = frames.unpack(plain)
    except ProtocolError:
        return told | {"kind": "malformed", "bytes": plain.hex()}
    when = measured(clocks, node, boot, t_us)
    if when is not None:
        told["measured_from"], told["measured_to"] = iso(when[0]), iso(when[1])
    told |= {"kind": KIND_NAMES.get(kind, f"kind {kind}"), "t_us": t_us}
    if not is_map(body):
        return told | {"content": readable(body)}
    table = BODIES.get(kind, {})
    told["content"] = {
        table[key][0] if key in table else f"key {key}": readable(value) for key, value in body.items()
    }
    if kind == frames.KIND_WAVE:
        data, count = body[frames.WAVE_DATA], body[frames.WAVE_COUNT]
        try:
            told["samples"] = list(decode(data, count))
        except CodecError as e:
            told["samples"] = f"not readable: {e}"
    return told


def value_lines(entries: Iterable[list[Any]], clocks: Clocks) -> Iterator[bytes]:
    """values.csv: every single value with its time and unit, measured ones and typed ones."""
    yield _row(COLUMNS)
    for entry in entries:
        if entry[0] == ENTRY_FRAME:
            yield from _measured_values(entry, clocks)
        elif entry[0] in RECORD_ENTRIES:
            fields = read_record(entry[1])
            if fields["record"] == MANUAL:
                at = iso(fields["measured_at_ms"] * 1000)
                for number, value in fields["values"]:
                    yield _row((at, at, *_told(number, value), "", "", fields["record_id"].hex(), "typed"))


def _measured_values(entry: list[Any], clocks: Clocks) -> Iterator[bytes]:
    _, node, boot, seq, plain, _ = entry
    try:
        kind, t_us, body = frames.unpack(plain)
    except ProtocolError:
        return
    if kind not in (frames.KIND_VITALS, frames.KIND_BP):
        return
    when = measured(clocks, node, boot, t_us)
    times = ("", "") if when is None else (iso(when[0]), iso(when[1]))
    for quantity in nomenclature.of_kind(kind):
        found = body.get(quantity.key)
        values: list[Any] = found if is_list(found) else [] if found is None else [found]
        for value in values:
            told = _told(quantity.number, value)
            yield _row((*times, *told, node.hex(), boot.hex(), str(seq), "measured"))


def _told(number: int, value: int) -> tuple[str, str, str]:
    quantity = nomenclature.by_number(number)
    if quantity is None:
        return f"quantity {number}", str(value), ""
    shown = nomenclature.text(number, value).removesuffix(quantity.unit).strip()
    return quantity.what, shown, quantity.unit


def _row(cells: Iterable[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().encode()


def record_lines(entries: Iterable[list[Any]]) -> Iterator[bytes]:
    """One JSON object a line for each signed record: records.jsonl."""
    for entry in entries:
        if entry[0] in RECORD_ENTRIES:
            yield json.dumps(readable(read_record(entry[1])), ensure_ascii=False).encode() + b"\n"


def readme(facts: Facts) -> bytes:
    """README.txt, in plain words."""
    waiting = (
        f"{facts.waiting} more entries were not signed yet when this was made: another export will have them."
        if facts.waiting
        else "Nothing else of this person was there when this was made."
    )
    return f"""\
This is all that one agent of Vitalwire kept about one person, and the proof that it is genuine.

Person     {facts.person.hex()} (a pseudonym: no name is in here)
Agent      {facts.agent.hex()}
Made at    {iso(facts.made_ms * 1000)}
In it      {counted(facts.frames, "frame")}, {counted(facts.records, "signed record")}
{waiting}

values.csv      every value with its time and unit; open it with any spreadsheet.
                measured_from and measured_to: it was measured at some moment between the two.
                origin: "measured" by a node, or "typed" by a person.
frames.jsonl    everything that the nodes sent, one JSON object a line; waveforms as samples.
records.jsonl   who was assigned which node, what was consented to, what was typed.
evidence/       the exact bytes, and for each the way to what the agent signed (CBOR).
attestations/   what the nodes themselves signed over their frames.
manifest.cose   the list of these files with their hashes, signed by the agent.

To check it, on any computer, without a network and without anybody's secret:

    vitalwire verify THIS

It says what holds and what does not, and whose keys it goes by: compare their fingerprints with those that
the clinic gives you. A single changed byte in any of these files is found. What is not in here is not proved:
the agent says that this is all it had, and only it can know.
""".encode()

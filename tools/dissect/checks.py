"""What can be said of one item beyond its structure: its own rules, its proofs, what is encrypted in it."""

from collections.abc import Callable, Sequence
from typing import Any

from edge_agent.readable import counted, is_are
from protocol import (
    batch,
    cbor,
    cose,
    frames,
    handover,
    merkle,
    messages,
    nomenclature,
    orders,
    records,
    waveform,
)
from protocol.errors import CborError, CodecError, ProtocolError
from tools.dissect.part import Keys, Part
from tools.dissect.recognise import is_labelled
from tools.dissect.walker import Problem, Walker

UNKNOWN_CLEAR = "any"
"""The rule of a clear message whose type this version does not know."""


def take_item_apart(
    data: bytes, rule: str, keys: Keys, places: "Sequence[int]" = ()
) -> "tuple[Part, Walker]":
    """`data` under a rule of the schema, with all that it says by itself; and the walk over it."""
    if rule in ("message", "clear-message") and _is_unknown_clear(data):
        rule = UNKNOWN_CLEAR
    walker = Walker(data)
    walker.walk(rule)
    part = Part(
        _title(rule, walker), data, rule=rule, places=places, lines=walker.lines, problems=walker.problems
    )
    for problem in walker.problems:
        problem.cause = _counted_by(rule)
    check = CHECKS.get(rule)
    if check is not None and not part.problems:
        check(part, walker, keys)
    return part, walker


def _counted_by(rule: str) -> str:
    """What a receiver counts an item of this rule by that is not what the rule asks for; "": gets none."""
    if rule in ("message", "clear-message", "data-message", "hello-body"):
        return "malformed_message"
    if rule in ("sealed", "downlink-message"):
        return "bad_header"
    if is_labelled(rule):
        return ""
    return "malformed_frame" if rule.endswith("frame") else "malformed_batch"


def _is_unknown_clear(data: bytes) -> bool:
    """Whether it is a clear message of a type that this version does not know: counted, not refused (§12)."""
    try:
        fields = cbor.loads(data)
    except CborError:
        return False
    kind = fields.get(0) if isinstance(fields, dict) else None
    return isinstance(kind, int) and kind > max(messages.MSG_NAMES)


def _title(rule: str, walker: Walker) -> str:
    """The most telling rule name: of the alternatives that a name stands for, the one that was found."""
    if rule == UNKNOWN_CLEAR:
        return "clear message of an unknown type"
    if rule in ("message", "clear-message", "frame", "entry") and walker.lines:
        return walker.lines[0].name.split(" ")[-1].strip("?") or rule
    return rule


def place_of(walker: Walker, name: str) -> int:
    """Where the content of the first item called `name` begins."""
    return walker.places[name][0][1] if name in walker.places else 0


def _refused(part: Part, walker: Walker, at: str, error: ProtocolError) -> None:
    offset = place_of(walker, at) + (error.offset or 0) if at else error.offset or 0
    part.problems.append(Problem(offset, error.layer, error.detail, cause=error.cause))


def _check_frame(part: Part, walker: Walker, keys: Keys) -> None:
    try:
        kind, _, body = frames.unpack(part.data)
    except ProtocolError as error:
        _refused(part, walker, "", error)
        return
    if kind in (frames.KIND_COMMAND, frames.KIND_CONFIG):
        part.facts.append(_authority(kind, body))
    if kind == frames.KIND_WAVE:
        if body[frames.WAVE_CODEC] != waveform.CODEC:
            part.facts.append(f"codec {body[frames.WAVE_CODEC]} is not decoded here: carried as it is")
            return
        try:
            samples = waveform.decode(body[frames.WAVE_DATA], body[frames.WAVE_COUNT])
        except CodecError as error:
            _refused(part, walker, "wave-data", error)
            return
        bits = 8 * len(body[frames.WAVE_DATA]) / len(samples)
        part.facts.append(
            f"decodes to {counted(len(samples), 'sample')} from {min(samples)} to {max(samples)},"
            f" {bits:.2f} bits each"
        )


def _authority(kind: int, body: "dict[int, Any]") -> str:
    if frames.ORDER_SIGNATURE in body and frames.ORDER_AUTHORITY in body:
        who = body[frames.ORDER_AUTHORITY].hex()
        return (
            f"signed by authority {who}, for one boot of one node, which the frame does not name: not checked"
        )
    if orders.needs_authority(kind, body):
        return "needs the signature of an authority and has none: a node answers that it is not authorised"
    return "needs no authority: it stands on the seal of a paired agent"


def _check_clear(part: Part, walker: Walker, keys: Keys) -> None:
    try:
        messages.parse_clear(part.data)
    except ProtocolError as error:
        _refused(part, walker, "", error)


def _check_data(part: Part, walker: Walker, keys: Keys) -> None:
    number = sealed_number(part, walker)
    if number is not None:
        index, _ = messages.split_data(part.data)
        part.facts.append(f"sealed: frame {number} of boot {index} in the newest hello's list")


def _check_downlink(part: Part, walker: Walker, keys: Keys) -> None:
    number = sealed_number(part, walker)
    if number is not None:
        part.facts.append(
            f"sealed: message {number} to the node; opens with the node's own key only, which never leaves it"
        )


def sealed_number(part: Part, walker: Walker) -> "int | None":
    """The number that a COSE_Encrypt0 is sealed under; None, and a problem, when its form is wrong."""
    at, body = walker.places["partial-iv"][0]
    written = part.data[body : body + (part.data[at] & 31)]
    if len(written) > 1 and written[0] == 0:
        why = "a Partial IV that is not in its shortest form"
        part.problems.append(Problem(body, "seal", why, cause="bad_header"))
        return None
    return int.from_bytes(written, "big")


def _check_sealed_batch(part: Part, walker: Walker, keys: Keys) -> None:
    if keys.collector is None:
        part.facts.append("encrypted: --collector-key FILE opens it")
        return
    try:
        _, clear = batch.open_batch(part.data, keys.collector)
    except ProtocolError as error:
        part.problems.append(Problem(place_of(walker, "4"), error.layer, error.detail, cause=error.cause))
        return
    part.facts.append(f"opened with the key of collector {keys.collector.id.hex()}")
    at = place_of(walker, "4")
    # AES-GCM is a stream cipher: each byte of the batch is encrypted where it stands
    inner, _ = take_item_apart(clear, "batch", keys, part.held_at(at, len(clear)))
    inner.offset = at
    part.parts.append(inner)


def _check_batch(part: Part, walker: Walker, keys: Keys) -> None:
    fields = cbor.loads(part.data)
    try:
        head = batch.parse_head(cbor.loads(fields[1], 18)[2])
    except ProtocolError as error:
        _refused(part, walker, "head", error)
        return
    entries: list[bytes] = fields[2]
    at = [body for _, body in walker.places.get("encoded-entry", [])]
    for offset, entry in zip(at, filter(None, entries), strict=True):
        try:
            batch.parse_entry(entry)
        except ProtocolError as error:
            part.problems.append(Problem(offset, error.layer, error.detail, cause=error.cause))
    if head[7] != len(entries):
        why = f"the head counts {counted(head[7], 'entry')}; there are {len(entries)}"
        part.problems.append(Problem(place_of(walker, "entry-count") - 1, "batch", why, cause="bad_count"))
    hashes: list[bytes] = fields.get(3, [])
    left_out = entries.count(batch.LEFT_OUT)
    if len(hashes) != left_out:
        why = f"{counted(left_out, 'entry')} {is_are(left_out)} left out, and {len(hashes)} hashes given"
        part.problems.append(Problem(place_of(walker, "2"), "batch", why, cause="bad_holes"))
        hashes = [*hashes, *[bytes(32)] * left_out]
    told = iter(hashes)
    leaves = [merkle.leaf_hash(entry) if entry else next(told) for entry in entries]
    if left_out:
        part.facts.append(
            f"{counted(left_out, 'entry')} {is_are(left_out)} left out: their hashes stand for them"
        )
    if merkle.root(leaves) != head[6]:
        why = "the Merkle root is not that of the entries"
        part.problems.append(Problem(place_of(walker, "merkle-root"), "batch", why, cause="bad_root"))
    else:
        part.facts.append("the Merkle root is that of the entries")
    followed: list[bytes] = fields.get(4, [])
    _check_signature(
        part,
        walker,
        keys.signer_ed_pub,
        lambda key: batch.verify_head(fields[1], handover.follow(key, followed, head[2])),
    )


def _check_unknown(part: Part, walker: Walker, keys: Keys) -> None:
    part.facts.append("its type is not known here: whoever gets it counts and ignores it")


def _check_entry(part: Part, walker: Walker, keys: Keys) -> None:
    try:
        fields = batch.parse_entry(part.data)
        if fields[0] in (
            batch.ENTRY_ASSIGNMENT,
            batch.ENTRY_MANUAL,
            batch.ENTRY_CONSENT,
            batch.ENTRY_ERASURE,
        ):
            part.facts += _typed(records.read_record(fields[1]))
    except ProtocolError as error:
        _refused(part, walker, "", error)


def _typed(fields: "dict[str, Any]") -> "list[str]":
    """What a record of people says, as far as numbers alone do not."""
    by = f"by {fields['by'].hex()}"
    if fields["record"] == records.CONSENT:
        may = "may" if fields["granted"] else "may not"
        who = f"{fields['forwarder']} {may} have the data of person {fields['person'].hex()}"
        return [f"{who} for {fields['purpose']}, {by}"]
    if fields["record"] == records.ERASURE:
        return [f"what is kept of person {fields['person'].hex()} is erased, {by}"]
    if "values" not in fields:
        return [f"node {fields['node_id'].hex()} is person {fields['person'].hex()}'s, {by}"]
    return [f"typed {by}: {nomenclature.text(number, value)}" for number, value in fields["values"]]


def _check_record(part: Part, walker: Walker, keys: Keys) -> None:
    bare = not part.rule.startswith("signed-")
    try:
        part.facts += _typed((records.parse_record if bare else records.read_record)(part.data))
    except ProtocolError as error:
        _refused(part, walker, "", error)
        return
    if not bare:
        _check_signature(part, walker, keys.signer_ed_pub, lambda key: records.open_record(part.data, key))


def _check_handover(part: Part, walker: Walker, keys: Keys) -> None:
    try:
        fields = handover.read_handover(part.data)
    except ProtocolError as error:
        _refused(part, walker, "", error)
        return
    part.facts.append(f"party {fields[3].hex()} signs with the key {fields[4].hex()[:16]}… from now on")
    _check_signature(
        part,
        walker,
        keys.signer_ed_pub,
        lambda key: handover.verify_handover(part.data, key, fields[6]),
    )


def _check_manifest(part: Part, walker: Walker, keys: Keys) -> None:
    _check_signature(part, walker, keys.signer_ed_pub, lambda key: cose.verify1(part.data, key, "manifest"))


def _check_head(part: Part, walker: Walker, keys: Keys) -> None:
    _check_signature(part, walker, keys.signer_ed_pub, lambda key: batch.verify_head(part.data, key))


def _check_receipt(part: Part, walker: Walker, keys: Keys) -> None:
    key = keys.signer_ed_pub
    if key is None and keys.collector is not None:
        key = keys.collector.ed_pub
    _check_signature(part, walker, key, lambda key: batch.verify_receipt(part.data, key))


def _check_signature(
    part: Part, walker: Walker, key: bytes | None, verify: Callable[[bytes], object]
) -> None:
    if key is None:
        part.facts.append("signature not checked: --signer FILE names the .pub of who should have signed")
        return
    try:
        verify(key)
    except ProtocolError as error:
        part.problems.append(
            Problem(place_of(walker, "signature"), error.layer, error.detail, cause=error.cause)
        )
    else:
        part.facts.append(f"the signature is of the key {key.hex()[:16]}…")


CHECKS: dict[str, Callable[[Part, Walker, Keys], None]] = {
    "frame": _check_frame,
    "clear-message": _check_clear,
    "data-message": _check_data,
    "sealed": _check_downlink,
    "downlink-message": _check_downlink,
    "sealed-batch": _check_sealed_batch,
    "batch": _check_batch,
    "entry": _check_entry,
    "assignment": _check_record,
    "manual-entry": _check_record,
    "consent": _check_record,
    "erasure": _check_record,
    "signed-assignment": _check_record,
    "signed-manual-entry": _check_record,
    "signed-consent": _check_record,
    "signed-erasure": _check_record,
    "signed-handover": _check_handover,
    "signed-manifest": _check_manifest,
    UNKNOWN_CLEAR: _check_unknown,
    "signed-head": _check_head,
    "signed-receipt": _check_receipt,
    "signed-head-statement": _check_receipt,
}

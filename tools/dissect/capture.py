"""What a capture is, and all that can be said of it: structure, meaning, and what the keys at hand prove."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from protocol import batch, cbor, cobs, frames, merkle, messages, receipts, waveform
from protocol.errors import CborError, CobsError, CodecError, ProtocolError
from protocol.identity import Identity
from tools.dissect.walker import Line, Problem, Walker

STREAM = "stream"
MAX_DETECTED = 8
"""Messages of a stream that are tried to find out whether it is one."""


MIN_TEXT = 8
"""Bytes of ASCII that are taken for text rather than for a message."""


@dataclass(frozen=True)
class Keys:
    """Whose secrets and signatures are at hand."""

    collector: Identity | None = None
    signer_ed_pub: bytes | None = None


@dataclass
class Part:
    """One thing taken apart. `title`: what; `offset`: where in what holds it; offsets within are its own."""

    title: str
    data: bytes
    offset: int = 0
    lines: list[Line] = field(default_factory=list[Line])
    problems: list[Problem] = field(default_factory=list[Problem])
    facts: list[str] = field(default_factory=list[str])
    parts: "list[Part]" = field(default_factory=list["Part"])

    def all_problems(self) -> "list[tuple[Part, Problem]]":
        """Those of this part and the parts within it."""
        own = [(self, problem) for problem in self.problems]
        return own + [found for part in self.parts for found in part.all_problems()]


def recognise(data: bytes) -> str:
    """STREAM, or the rule that `data` is most likely meant to be."""
    try:
        return _rule_of(cbor.loads(data, 18 if data[:1] == b"\xd2" else None), data[:1] == b"\xd2")
    except CborError:
        pass
    framed = [chunk for chunk in data.split(b"\0") if chunk][:MAX_DETECTED]
    if b"\0" in data and any(_is_message(chunk) for chunk in framed):
        return STREAM
    return _guess(data)


def _is_message(encoded: bytes) -> bool:
    try:
        return messages.sort(cobs.decode(encoded)) != 0
    except CobsError:
        return False


def _guess(data: bytes) -> str:
    """The rule of something whose CBOR is broken, by its first bytes."""
    first, second = data[0], data[1] if len(data) > 1 else 0
    if first == 0xD2:
        return "signed-receipt"
    if first == 0x83:
        return "sealed" if second >> 5 == 2 else "frame"
    if first == 0x82:
        return "data-message"
    if first >> 5 == 4:
        return "entry"
    if first >> 5 == 5:
        return {0: "clear-message", 1: "sealed-batch"}.get(second, "message")
    return "message"


def _rule_of(item: Any, tagged: bool) -> str:
    if tagged:
        return _signed_rule(item)
    if isinstance(item, list):
        return _array_rule(item)
    return _map_rule(item) if isinstance(item, dict) else "message"


def _signed_rule(item: Any) -> str:
    try:
        said = cbor.loads(item[2])[2]
    except (CborError, IndexError, KeyError, TypeError):
        return "signed-receipt"
    return {receipts.RECEIPT: "signed-receipt", receipts.HEAD: "signed-head-statement"}.get(
        said, "signed-head"
    )


def _array_rule(item: "list[Any]") -> str:
    if len(item) == 2 and isinstance(item[1], list):
        return "data-message"
    if len(item) == 3 and isinstance(item[0], bytes):
        return "sealed"
    return "entry" if len(item) > 3 or (len(item) == 3 and isinstance(item[1], str)) else "frame"


def _map_rule(item: "dict[Any, Any]") -> str:
    if 0 in item:
        return "clear-message"
    first, second = item.get(1), item.get(2)
    if isinstance(first, bytes):
        return "batch"
    if second == receipts.REFUSAL:
        return "batch-refusal"
    if second in (receipts.RECEIPT, receipts.HEAD):
        return "receipt" if second == receipts.RECEIPT else "head-statement"
    if isinstance(item.get(5), list):
        return "hello-body"
    if 5 in item:
        return "head"
    return "sealed-batch" if 4 in item else "ask"


def take_apart(data: bytes, rule: str, keys: Keys) -> Part:
    """`data` as a stream or under a rule, with all that the keys let one say."""
    return _stream(data, keys) if rule == STREAM else _single(data, rule, keys)


def _stream(data: bytes, keys: Keys) -> Part:
    whole = Part(STREAM, data)
    at = 0
    chunks = data.split(b"\0")
    for i, chunk in enumerate(chunks):
        last = i == len(chunks) - 1
        if chunk:
            part = _framed(chunk, at, keys, cut_off=last)
            part.offset = at
            part.title = f"message {len(whole.parts) + 1}: {part.title}"
            whole.parts.append(part)
        at += len(chunk) + 1
    whole.facts.append(f"{len(whole.parts)} messages between delimiters")
    return whole


def _framed(chunk: bytes, at: int, keys: Keys, cut_off: bool) -> Part:
    if len(chunk) > cobs.MAX_ENCODED:
        why = f"{len(chunk)} encoded bytes where {cobs.MAX_ENCODED} are the limit; a receiver drops it"
        return Part("oversize", chunk, problems=[Problem(at, "cobs", why)])
    if len(chunk) >= MIN_TEXT and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in chunk):
        words = chunk.decode("ascii").strip()
        return Part(
            "text", chunk, facts=[f"no message (boot text is cut off by a delimiter): {words[:200]!r}"]
        )
    try:
        message = cobs.decode(chunk)
    except CobsError as error:
        ending = "; the capture ends inside it" if cut_off else ""
        problem = Problem(at + (error.offset or 0), "cobs", error.detail + ending)
        return Part("not COBS", chunk, problems=[problem])
    part = _single(message, recognise(message) if messages.sort(message) else "message", keys)
    if cut_off:
        part.problems.append(
            Problem(at + len(chunk), "cobs", "the capture ends before the message's delimiter")
        )
    return part


def _single(data: bytes, rule: str, keys: Keys) -> Part:
    walker = Walker(data)
    walker.walk(rule)
    part = Part(_title(rule, walker), data, lines=walker.lines, problems=walker.problems)
    if part.problems:
        return part
    check = CHECKS.get(rule)
    if check is not None:
        check(part, walker, keys)
    return part


def _title(rule: str, walker: Walker) -> str:
    """The most telling rule name: of the alternatives that a name stands for, the one that was found."""
    if rule in ("message", "clear-message", "frame", "entry") and walker.lines:
        return walker.lines[0].name.split(" ")[-1] or rule
    return rule


def _place(walker: Walker, name: str) -> int:
    """Where the content of the first item called `name` begins."""
    return walker.places[name][0][1] if name in walker.places else 0


def _refused(part: Part, walker: Walker, at: str, error: ProtocolError) -> None:
    offset = _place(walker, at) + (error.offset or 0) if at else error.offset or 0
    part.problems.append(Problem(offset, error.layer, error.detail))


def _check_frame(part: Part, walker: Walker, keys: Keys) -> None:
    try:
        kind, _, body = frames.unpack(part.data)
    except ProtocolError as error:
        _refused(part, walker, "acked" if "acked" in walker.places else "losses", error)
        return
    if kind == frames.KIND_WAVE and body[frames.WAVE_CODEC] == waveform.CODEC:
        try:
            samples = waveform.decode(body[frames.WAVE_DATA], body[frames.WAVE_COUNT])
        except CodecError as error:
            _refused(part, walker, "wave-data", error)
            return
        bits = 8 * len(body[frames.WAVE_DATA]) / len(samples)
        part.facts.append(
            f"decodes to {len(samples)} samples from {min(samples)} to {max(samples)}, {bits:.2f} bits each"
        )


def _check_clear(part: Part, walker: Walker, keys: Keys) -> None:
    try:
        messages.parse_clear(part.data)
    except ProtocolError as error:
        _refused(part, walker, "", error)


def _check_sealed(part: Part, walker: Walker, keys: Keys) -> None:
    part.facts.append("sealed: what is inside opens with the keys of its boot or connection only")


def _check_sealed_batch(part: Part, walker: Walker, keys: Keys) -> None:
    if keys.collector is None:
        part.facts.append("encrypted: --collector-key FILE opens it")
        return
    try:
        _, clear = batch.open_batch(part.data, keys.collector)
    except ProtocolError as error:
        part.problems.append(Problem(_place(walker, "4"), error.layer, error.detail))
        return
    part.facts.append(f"opened with the key of collector {keys.collector.id.hex()}")
    part.parts.append(_single(clear, "batch", keys))


def _check_batch(part: Part, walker: Walker, keys: Keys) -> None:
    fields = cbor.loads(part.data)
    try:
        head = batch.parse_head(cbor.loads(fields[1], 18)[2])
    except ProtocolError as error:
        _refused(part, walker, "head", error)
        return
    entries: list[bytes] = fields[2]
    at = [body for _, body in walker.places.get("encoded-entry", [])]
    for offset, entry in zip(at, entries, strict=True):
        try:
            batch.parse_entry(entry)
        except ProtocolError as error:
            part.problems.append(Problem(offset, error.layer, error.detail))
    if head[7] != len(entries):
        why = f"the head counts {head[7]} entries; there are {len(entries)}"
        part.problems.append(Problem(_place(walker, "entry-count") - 1, "batch", why))
    if merkle.root([merkle.leaf_hash(entry) for entry in entries]) != head[6]:
        part.problems.append(
            Problem(_place(walker, "merkle-root"), "batch", "the Merkle root is not that of the entries")
        )
    else:
        part.facts.append("the Merkle root is that of the entries")
    _check_signature(part, walker, keys.signer_ed_pub, lambda key: batch.verify_head(fields[1], key))


def _check_entry(part: Part, walker: Walker, keys: Keys) -> None:
    try:
        batch.parse_entry(part.data)
    except ProtocolError as error:
        _refused(part, walker, "", error)


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
        part.problems.append(Problem(_place(walker, "signature"), error.layer, error.detail))
    else:
        part.facts.append(f"the signature is of the key {key.hex()[:16]}…")


CHECKS: dict[str, Callable[[Part, Walker, Keys], None]] = {
    "frame": _check_frame,
    "clear-message": _check_clear,
    "data-message": _check_sealed,
    "sealed": _check_sealed,
    "sealed-batch": _check_sealed_batch,
    "batch": _check_batch,
    "entry": _check_entry,
    "signed-head": _check_head,
    "signed-receipt": _check_receipt,
    "signed-head-statement": _check_receipt,
}

"""A captured stream: cut at its delimiters, each message taken apart, then what they say about each other."""

from edge_agent.readable import counted
from protocol import cbor, cobs, messages
from protocol.errors import CborError, CobsError
from tools.dissect import mending
from tools.dissect.checks import UNKNOWN_CLEAR, take_item_apart
from tools.dissect.link import Link, named
from tools.dissect.part import Keys, Part
from tools.dissect.recognise import STREAM
from tools.dissect.stuffing import places
from tools.dissect.walker import Problem

RULES = {
    messages.SORT_CLEAR: "clear-message",
    messages.SORT_DATA: "data-message",
    messages.SORT_DOWNLINK: "downlink-message",
}
MIN_TEXT = 8
"""Bytes of ASCII that are taken for text rather than for a message."""


def take_stream_apart(data: bytes, keys: Keys) -> Part:
    """`data` as a captured stream of either direction, or of both."""
    whole = Part(STREAM, data, rule=STREAM)
    link = Link(keys)
    mender = mending.Mender(link)
    chunks = data.split(b"\0")
    torn: list[tuple[Part, str]] = []
    at = 0
    for i, chunk in enumerate(chunks):
        if chunk:
            last = i == len(chunks) - 1
            part, sound = _framed(chunk, at, link)
            mended = None
            if part.problems:
                mended = mender.search(chunks, i, at)
                if mended is not None:
                    _mend(part, mended, link)
            if sound and last and part.rule:
                part.facts.append("the capture ends before the message's delimiter")
            elif not sound and mended is None and (last or i == 0) and _may_be_cut(chunk):
                torn.append((part, "ends" if last else "begins"))
            part.offset = at
            part.title = f"message {len(whole.parts) + 1}: {part.title}"
            whole.parts.append(part)
        at += len(chunk) + 1
    _excuse(whole, torn)
    link.finish()
    whole.facts += _account(link, len(whole.parts))
    if mender.tired:
        whole.facts.append("there was too much damage to look for single changed bytes in all of it")
    return whole


def _excuse(whole: Part, torn: "list[tuple[Part, str]]") -> None:
    """What is no message at an end of the capture is most likely the rest of one that the capture cuts.

    That is no fault, and is only remarked, unless there is no message in all of it.
    """
    if any(part.rule and not part.problems for part in whole.parts):
        for part, verb in torn:
            why = "; ".join(problem.why for problem in part.problems)
            part.facts.append(f"the capture {verb} inside this message, as it seems: {why}")
            part.problems.clear()


def _may_be_cut(chunk: bytes) -> bool:
    """Whether it is no complete item in a complete frame: such a one is not cut, but wrong."""
    if len(chunk) > cobs.MAX_ENCODED:
        return False
    try:
        cbor.loads(cobs.decode(chunk))
    except (CobsError, CborError):
        return True
    return False


def _framed(chunk: bytes, at: int, link: Link) -> "tuple[Part, bool]":
    """What is between two delimiters, and whether it is well formed."""
    if len(chunk) > cobs.MAX_ENCODED:
        why = f"{len(chunk)} encoded bytes where {cobs.MAX_ENCODED} are the limit; a receiver drops it"
        return Part("oversize", chunk, at, problems=[Problem(0, "cobs", why, cause="oversize")]), False
    if len(chunk) >= MIN_TEXT and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in chunk):
        words = chunk.decode("ascii").strip()
        said = f"no message (boot text is cut off by a delimiter): {words[:200]!r}"
        return Part("text", chunk, at, facts=[said]), True
    try:
        message = cobs.decode(chunk)
    except CobsError as error:
        problem = Problem(error.offset or 0, "cobs", error.detail, cause=error.cause)
        return Part("not COBS", chunk, at, problems=[problem]), False
    return _message(message, places(chunk, at), link)


def _message(message: bytes, where: "list[int]", link: Link) -> "tuple[Part, bool]":
    rule = RULES.get(messages.sort(message), "message")
    part, walker = take_item_apart(message, rule, link.keys, where)
    sound = not part.problems
    if sound and part.rule != UNKNOWN_CLEAR:
        link.take(part, walker)
    return part, sound


def _mend(part: Part, mended: "mending.Mended", link: Link) -> None:
    """Say what was changed, and show the message as it was sent, which its own tag proves."""
    part.problems.append(Problem(0, "link", mended.why, mended.at))
    inner, _ = _message(mended.message, mended.places, link)
    inner.title = f"as it was sent: {inner.title}"
    part.parts.append(inner)


def _account(link: Link, count: int) -> "list[str]":
    lines = [f"{counted(count, 'message')} between delimiters"]
    if link.seen.sealed:
        lines.append(f"{link.seen.sealed} sealed frames were not opened")
    for boot_id, held in sorted(link.seen.plain.items()):
        low, high = min(held), max(held)
        absent = high - low + 1 - len(held)
        again = link.seen.again.get(boot_id, 0)
        lines.append(
            f"{named(boot_id)}: frames {low} to {high}, {len(held)} opened"
            + (f", {absent} between them not here" if absent else "")
            + (f", {again} came again" if again else "")
        )
    return lines

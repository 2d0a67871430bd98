"""What a FHIR server's answer means: taken, not now, or never."""

import email.utils
import json
import time
from typing import Any, NamedTuple, cast

from edge_agent.readable import printable

Json = dict[str, Any]

MAX_WAIT_S = 3600.0
MAX_EVIDENCE = 64 << 10
# Of what a server said entry by entry, so much is kept for a group; beyond that its hash and how many.
MAX_GROUP_EVIDENCE = 16 << 10
MAX_REASON = 500
# Not about what was sent, but about who we are, where we ask, or how busy they are.
_OURS = {
    401: "it does not take our token: put a valid one into token_file",
    402: "it wants to be paid",
    403: "it does not let us write: have the right given to this client",
    404: "there is no FHIR server at this address: is url its base?",
    405: "it takes no transactions at this address: is url its base?",
    406: "it does not answer in FHIR JSON: is url its R4 base?",
    407: "a proxy wants to know who we are",
    408: "it took too long",
    409: "something else was writing the same",
    410: "there is no FHIR server at this address any more: is url its base?",
    415: "it does not read FHIR JSON: is url its R4 base?",
    421: "the request reached another server: is url right?",
    423: "what we write to is locked",
    425: "too early",
    429: "it asks us to slow down",
    431: "our request's head is too long for it: is the token in token_file the right one?",
    451: "it is not allowed to take it",
}
# A server that takes no Provenance, or none with a name that we chose, may say so with one of these.
_WITHOUT = (403, 404, 405)
TOO_LARGE = 413


class Taken(NamedTuple):
    """Every entry has its 2xx. `evidence`: what the server said, for the store."""

    evidence: bytes


class Later(NamedTuple):
    """Not now: nothing, or nothing certain, was taken. `wait_s`: what the server asks for; `without`: it may
    be the Provenance that it does not take.
    """

    reason: str
    wait_s: float = 0.0
    without: bool = False


class Never(NamedTuple):
    """Something in the bundle is refused, and will be. `places`: which entries, where that is known."""

    reason: str
    places: tuple[int, ...] = ()


def judge(answer: Json, entries: int) -> Taken | Later | Never:
    """The meaning of what the worker says of a bundle with so many entries."""
    kind = answer["kind"]
    if kind == "invalid":
        wrong = cast("list[tuple[int, str]]", answer["wrong"])
        return Never(f"not valid FHIR: {wrong[0][1]}"[:MAX_REASON], tuple(place for place, _ in wrong))
    if kind != "answered":
        return Later(str(answer.get("text", kind)))
    status, body = int(answer["status"]), cast("Json | None", answer.get("body"))
    if 200 <= status < 300:
        return _taken(answer, body, entries)
    said = f"HTTP {status}: {_words(answer, body)}"[:MAX_REASON]
    if 300 <= status < 400:
        return Later(f"{said}: it sends us elsewhere, which is not followed: set url to the right address")
    if status in _OURS:
        return Later(f"{_OURS[status]} ({said})", wait_s(answer.get("retry_after")), status in _WITHOUT)
    if status >= 500:
        return Later(said, wait_s(answer.get("retry_after")))
    if status != TOO_LARGE and (body is None or body.get("resourceType") != "OperationOutcome"):
        # Proxies say 400 of a certificate that has expired, for one. A FHIR server says what is wrong.
        return Later(f"{said}: no FHIR server says so without its reasons: is there a proxy between?")
    return Never(said)


def _taken(answer: Json, body: Json | None, entries: int) -> Taken | Later:
    """A 2xx counts only when it is a transaction's answer with a 2xx for each entry."""
    if body is None or body.get("resourceType") != "Bundle" or body.get("type") != "transaction-response":
        return Later("a 2xx whose body is no transaction's answer: is there a portal or a proxy between?")
    said = _list(body.get("entry"))
    if len(said) != entries:
        return Later(f"an answer about {len(said)} of {entries} entries")
    responses: list[Json] = []
    for one in said:
        response = _map(_map(one).get("response"))
        status = str(response.get("status", ""))
        if not status.startswith("2"):
            return Later(f"a 2xx with an entry whose status is {status[:40]!r}")
        kept = ("status", "location")
        responses.append({key: printable(str(response[key])[:200]) for key in kept if key in response})
    evidence: Json = {"sha256": answer["digest"], "entries": responses}
    data = json.dumps(evidence, separators=(",", ":")).encode("utf-8")
    if len(data) > MAX_EVIDENCE:
        data = json.dumps({"sha256": answer["digest"], "count": entries}).encode("utf-8")
    return Taken(data)


def _words(answer: Json, body: Json | None) -> str:
    """The server's own words: of an OperationOutcome its issues."""
    issues = _list(body.get("issue")) if body is not None else []
    if not issues:
        return printable(" ".join(str(answer.get("text", "")).split())) or "no words"
    told: list[str] = []
    for issue in map(_map, issues[:5]):
        text = _map(issue.get("details")).get("text")
        told.append(str(issue.get("diagnostics") or text or issue.get("code") or ""))
    return printable("; ".join(one for one in told if one)) or "no words"


def _map(value: Any) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def wait_s(retry_after: Any, now_s: float | None = None) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110 §10.2.3), at most an hour; 0 when it says none."""
    if not isinstance(retry_after, str):
        return 0.0
    text = retry_after.strip()
    if text.isdecimal():
        return min(MAX_WAIT_S, float(text[:9]))
    try:
        at = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return min(MAX_WAIT_S, max(0.0, at - (time.time() if now_s is None else now_s)))


def evidence_of(answers: list[Json]) -> bytes:
    """What is kept of the answers about a group's bundles."""
    data = json.dumps({"answers": answers}, separators=(",", ":")).encode("utf-8")
    if len(data) > MAX_GROUP_EVIDENCE:
        short = [{"sha256": one["sha256"], "count": len(one.get("entries", ()))} for one in answers]
        data = json.dumps({"answers": short}, separators=(",", ":")).encode("utf-8")
    return data


def pointer_to(batch: int) -> bytes:
    """What is kept with the other batches of a group: which of them has the evidence."""
    return json.dumps({"see": batch}).encode("utf-8")

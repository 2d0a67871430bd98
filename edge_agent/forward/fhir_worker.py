"""The process that speaks to a FHIR server: checks a bundle with fhir.resources, posts it with httpx.

Both libraries weigh more than the agent may, so they live here; the process ends when it was idle. One JSON
object in, one out, each behind its length (4 bytes, big-endian). The first in is the configuration; the
others are bundles. Certificates and the token are read anew whenever their files changed. Redirects are not
followed: a bundle goes to the server that was named, and to no other.
"""

import hashlib
import json
import os
import ssl
import struct
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

from edge_agent.files import check_secret, read_secret

MAX_MESSAGE = 16 << 20
MAX_ANSWER = 8 << 20
MAX_TEXT = 2000
MEMORY = 1 << 30
CONNECT_S = 10.0
READ_S = 30.0
WHOLE_S = 90.0

Json = dict[str, Any]


def write(stream: BinaryIO, message: Json) -> None:
    """One message behind its length."""
    data = json.dumps(message, separators=(",", ":")).encode("utf-8")
    stream.write(struct.pack(">I", len(data)) + data)
    stream.flush()


def read(stream: BinaryIO) -> Json | None:
    """The next message; None at the end. ValueError when it is none."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    (length,) = struct.unpack(">I", head)
    if length > MAX_MESSAGE:
        raise ValueError(f"a message of {length} bytes")
    return cast("Json", json.loads(stream.read(length)))


def check(bundle: Json) -> list[tuple[int, str]]:
    """What is wrong with the entries, by their place: [] when FHIR R4 allows them all."""
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    wrong: list[tuple[int, str]] = []
    for place, entry in enumerate(bundle["entry"]):
        found = entry["resource"]
        try:
            get_fhir_model_class(found["resourceType"]).model_validate(found)
        except ValidationError as e:
            first = e.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            wrong.append((place, f"{found['resourceType']}: {where}: {first['msg']}"[:MAX_TEXT]))
        except KeyError as e:
            wrong.append((place, f"no such resource: {e}"))
    return wrong


class Server:
    """The far end. `client` is made anew when a file that it was made from has changed."""

    def __init__(self, config: Json) -> None:
        self._config = config
        self._client: Any = None
        self._made_from: object = None

    def post(self, bundle: Json) -> Json:
        """The outcome of a transaction: what was answered, or why there is no answer."""
        import httpx

        try:
            headers = {"Accept": "application/fhir+json", "Content-Type": "application/fhir+json"}
            # What it made of each entry is enough; the resources themselves are ours.
            headers["Prefer"] = "return=minimal"
            headers |= self._authorisation()
            body = json.dumps(bundle, separators=(",", ":")).encode("utf-8")
            with self._fresh().stream("POST", self._config["url"], content=body, headers=headers) as answer:
                return _answer(answer)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as e:
            self._client = None
            return {"kind": "unreachable", "text": _why(e)}

    def _authorisation(self) -> dict[str, str]:
        path = self._config.get("token_file")
        if path is None:
            return {}
        token = read_secret(Path(path)).decode("utf-8").strip()
        if not token or not token.isprintable() or " " in token:
            raise ValueError(f"{path}: not one line with a token")
        return {"Authorization": f"Bearer {token}"}

    def _fresh(self) -> Any:
        import httpx

        made_from = [_stamp(self._config.get(key)) for key in ("ca_file", "cert_file", "cert_key_file")]
        if self._client is None or made_from != self._made_from:
            context = ssl.create_default_context(cafile=self._config.get("ca_file"))
            if self._config.get("cert_file") is not None:
                check_secret(Path(self._config.get("cert_key_file") or self._config["cert_file"]))
                context.load_cert_chain(self._config["cert_file"], self._config.get("cert_key_file"))
            limits = httpx.Timeout(READ_S, connect=CONNECT_S)
            self._client = httpx.Client(verify=context, timeout=limits, follow_redirects=False)
            self._made_from = made_from
        return self._client


def _stamp(path: str | None) -> object:
    if path is None:
        return None
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _answer(answer: Any) -> Json:
    deadline = time.monotonic() + WHOLE_S
    data = bytearray()
    for piece in answer.iter_bytes():
        data += piece
        if len(data) > MAX_ANSWER:
            return {"kind": "garbage", "text": f"an answer of more than {MAX_ANSWER} bytes"}
        if time.monotonic() > deadline:
            return {"kind": "unreachable", "text": f"an answer that takes longer than {WHOLE_S:g} s"}
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    made: Json = {
        "kind": "answered",
        "status": answer.status_code,
        "retry_after": answer.headers.get("retry-after"),
        "digest": hashlib.sha256(data).hexdigest(),
    }
    if isinstance(body, dict):
        made["body"] = body
    else:
        made["text"] = data[:MAX_TEXT].decode("utf-8", "replace")
    return made


def _why(error: Exception) -> str:
    """The failure in words, with what to do when that is known."""
    text = str(error) or type(error).__name__
    low = text.lower()
    if isinstance(error, FileNotFoundError):
        return f"{error.filename}: there is no such file: put it there, it is read again at each attempt"
    if "unable to get local issuer" in low or "self-signed" in low or "self signed" in low:
        return f"the server's certificate is by an unknown authority: put the right one into ca_file ({text})"
    if "expired" in low:
        return f"a certificate has expired: renew it; files are read again at each attempt ({text})"
    if "alert" in low and ("certificate" in low or "unknown ca" in low):
        return f"the server does not take our certificate: renew cert_file and cert_key_file ({text})"
    return text


def main(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Serve until the other side closes."""
    config = read(incoming)
    if config is None:
        return
    server = Server(config)
    while (bundle := read(incoming)) is not None:
        wrong = check(bundle)
        write(outgoing, {"kind": "invalid", "wrong": wrong} if wrong else server.post(bundle))


def _bound_memory() -> None:
    # A far end that answers nonsense without end may cost this process its life, never the machine's memory.
    # (Windows has no such bound.)
    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    _bound_memory()
    main(sys.stdin.buffer, sys.stdout.buffer)

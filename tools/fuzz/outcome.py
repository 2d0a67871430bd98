"""What an input came to, in a form that two interpreters can compare; and what must never come of one."""

from protocol.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CAUSES = {
    "cbor": ("malformed_cbor",),
    "cobs": ("malformed_cobs", "oversize"),
    "message": (
        "malformed_message",
        "unknown_message",
        "unknown_version",
        "unknown_node",
        "replayed_hello",
        "no_header",
        "bad_tag",
    ),
    "seal": ("bad_tag", "bad_header", "bad_key", "replayed_downlink"),
    "frame": ("malformed_frame",),
    "session": ("out_of_turn",),
    "waveform": ("malformed_waveform",),
    "batch": (
        "malformed_batch",
        "unknown_version",
        "bad_seal",
        "bad_signature",
        "wrong_agent",
        "bad_count",
        "bad_root",
        "bad_identity",
        "bad_holes",
        "bad_handover",
        "retired_key",
        "bad_proof",
    ),
    "remote": ("oversize", "bad_seal", "wrong_agent", "wrong_authority", "bad_signature", "malformed_batch"),
    "update": (
        "malformed_manifest",
        "bad_path",
        "too_large",
        "bad_signature",
        "wrong_board",
        "old_version",
        "bad_file",
    ),
    "improv": ("malformed_improv",),
}
"""Every cause that a peer's bytes can have, by layer. `local_error` is not among them."""

COUNTED = (
    "no_session",
    "no_key",
    "replayed_welcome",
    "unknown_agent",
    "pairing_busy",
    "too_many_questions",
)
"""Causes that only a session gives, beside those of `CAUSES`."""


class Broken(Exception):
    """A promise that an input broke: not refused by name, not the same twice, or left something unusable."""


def expect(holds: bool, what: str) -> None:
    """Broken(what) unless it holds."""
    if not holds:
        raise Broken(what)


def attempt(size: int, call: "Callable[..., Any]", *arguments: "Any") -> "tuple[Any, str]":
    """(result, "") of a call that may refuse its input of `size` bytes; (None, the refusal) if it did.

    Broken when the refusal is of no documented layer and cause, says nothing, or points outside the input.
    """
    try:
        return call(*arguments), ""
    except ProtocolError as e:
        expect(e.cause in CAUSES.get(e.layer, ()), f"undocumented refusal {e.layer}/{e.cause}: {e}")
        expect(bool(e.detail), "a refusal without a word")
        expect(e.offset is None or 0 <= e.offset <= size, f"offset {e.offset} of {size} bytes: {e}")
        where = "" if e.offset is None else f"@{e.offset}"
        return None, f"{e.layer}/{e.cause}{where}"


def shown(value: "Any") -> str:
    """A value as text, the same on both interpreters."""
    if value is None or value is True or value is False or isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return "t" + hexed(value.encode())
    if isinstance(value, (bytes, bytearray)):
        return "h" + hexed(bytes(value))
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([shown(item) for item in value]) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(sorted([shown(key) + ":" + shown(value[key]) for key in value])) + "}"
    raise Broken(f"a decoder gave a {type(value).__name__}")


def hexed(data: bytes) -> str:
    """`data` in hex; "" for none."""
    return data.hex() if data else ""  # MicroPython before 1.26 gives b"" for no bytes

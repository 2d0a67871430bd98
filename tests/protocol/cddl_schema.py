"""protocol/vitalwire.cddl behind two CDDL validators that have nothing in common."""

import re
from functools import cache
from pathlib import Path

import cbor2
import pytest

from protocol import cbor, messages
from protocol.frame_names import KIND_NAMES

zcbor = pytest.importorskip("zcbor", reason="zcbor, a CDDL validator, is not installed")
try:
    import pycddl
except ImportError:  # no wheel for this platform
    pycddl = None

TEXT = (Path(__file__).resolve().parents[2] / "protocol" / "vitalwire.cddl").read_text("utf-8")

# With closed maps, a value of a wrong type is an error and not an unknown key. What we make holds no
# unknown key.
CLOSED = re.sub(r"(?m)(^  |, )\* uint => any,?", "", TEXT)

# pycddl 0.6 (cddl 0.9.5) cannot do .cbor or a choice of numbers inside an array, and open maps forget their
# keys (github.com/anweiss/cddl, issues 84, 221, 643); what it can do, it must agree to.
NOT_FOR_PYCDDL = {
    "sealed",
    "data-message",
    "downlink-message",
    "signed-head",
    "signed-receipt",
    "signed-head-statement",
    "signed-assignment",
    "signed-manual-entry",
    "signed-consent",
    "signed-erasure",
    "signed-handover",
    "signed-manifest",
    "signed-command",
    "signed-answer",
    "assignment-entry",
    "typed-entry",
    "handover-entry",
    "consent-entry",
    "erasure-entry",
    "batch",
    "proof",
    "external-aad",
}

ENTRY_RULES = (
    "frame-entry",
    "identity-entry",
    "clock-entry",
    "statement-entry",
    "assignment-entry",
    "typed-entry",
    "handover-entry",
    "consent-entry",
    "erasure-entry",
)
FRAME_RULES = {kind: name.replace("_", "-") + "-frame" for kind, name in KIND_NAMES.items()}


@cache
def _by_zcbor(text: str):
    # zcbor 0.9 takes a negative number for a uint; from a range it does not
    return zcbor.DataTranslator.from_cddl(re.sub(r"\buint\b", "i63", text), 1 << 20).my_types


@cache
def _by_pycddl(rule: str):
    return None if pycddl is None else pycddl.Schema(f"start = {rule}\n{CLOSED}")


def zcbor_why_not(rule: str, data: bytes, text: str = CLOSED) -> "str | None":
    """None when `data` is valid under `rule` to zcbor, else its words."""
    try:
        _by_zcbor(text)[rule].validate_str(data)
    except (zcbor.CddlValidationError, cbor2.CBORDecodeError) as error:
        return str(error)
    return None


def why_not(rule: str, data: bytes, text: str = CLOSED) -> "str | None":
    """None when `data` is valid under `rule`, else a validator's words."""
    said = zcbor_why_not(rule, data, text)
    if said is not None:
        return said
    if text is not CLOSED or rule in NOT_FOR_PYCDDL or pycddl is None:
        return None
    try:
        _by_pycddl(rule).validate_cbor(data)  # pyright: ignore[reportOptionalMemberAccess]
    except pycddl.ValidationError as error:
        return str(error)
    return None


def frame_rule(plaintext: bytes) -> str:
    """The rule of a frame, by its kind."""
    return FRAME_RULES.get(cbor.loads(plaintext)[0], "other-frame")


def message_rule(message: bytes) -> str:
    """The rule of a message, by its sort and type."""
    kind = messages.sort(message)
    if kind == messages.SORT_CLEAR:
        return messages.MSG_NAMES[cbor.loads(message)[0]].replace(" ", "-")
    return "data-message" if kind == messages.SORT_DATA else "downlink-message"


def entry_rule(entry: bytes) -> str:
    """The rule of a batch's entry, by its type."""
    kind = cbor.loads(entry)[0]
    return ENTRY_RULES[kind] if kind < len(ENTRY_RULES) else "other-entry"

"""A node's label: the text of its QR code, and what a person types off it.

A label holds the node's fingerprint (docs/wire-protocol.md §2), which is public: it gives nobody anything
but the certainty that the keys on the line are this node's. The QR code has all 256 bits; printed for the eye
are the first 128 as hex in groups of four. Of those, MIN_DIGITS suffice: whoever wanted to pass another node
off as this one would have to try 2^80 keys. An id (16 digits) is a name, not a proof.
"""

from base64 import b32decode, b32encode
from difflib import SequenceMatcher
from string import hexdigits
from typing import NamedTuple

PREFIX = "VW1:"
MIN_DIGITS = 20
ALL_DIGITS = 64
ID_DIGITS = 16
# Base32 of 32 bytes, without its padding.
BASE32_CHARS = 52
# So alike, digit by digit, is what was mistyped.
ALIKE = 0.8
_LOOKALIKES = str.maketrans("oil", "011")
_SEPARATORS = " \t\r\n-_:.,;·–—\u00a0\u3000"


class LabelError(Exception):
    """What was given is no label. `problem`, `hint`."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(f"{problem} ({hint})")
        self.problem = problem
        self.hint = hint


class Label(NamedTuple):
    """The first digits of a fingerprint, in lower-case hex: MIN_DIGITS to ALL_DIGITS of them."""

    digits: str

    @property
    def bits(self) -> int:
        """How much of the fingerprint it fixes."""
        return 4 * len(self.digits)

    @property
    def node(self) -> bytes:
        """The id of its node."""
        return bytes.fromhex(self.digits[:ID_DIGITS])

    def fits(self, fingerprint: bytes) -> bool:
        """Whether it is the label of the node with that fingerprint."""
        return fingerprint.hex().startswith(self.digits)

    def mistyped(self, fingerprint: bytes) -> str:
        """Where it differs from the label of that node, if they are so alike that it was mistyped; else "".

        Groups of four digits are counted from 1.
        """
        other = fingerprint.hex()[: len(self.digits)]
        if self.fits(fingerprint) or SequenceMatcher(None, self.digits, other).ratio() < ALIKE:
            return ""
        groups = range(0, len(other), 4)
        wrong = [i // 4 + 1 for i in groups if self.digits[i : i + 4] != other[i : i + 4]]
        return "group " + ", ".join(map(str, wrong))


def qr_text(fingerprint: bytes) -> str:
    """The text of the QR code: within QR's alphanumeric set, 56 characters."""
    return PREFIX + b32encode(fingerprint).decode().rstrip("=")


def parse(text: str) -> Label:
    """The label that was scanned or typed. Case, spaces and hyphens are nobody's concern; a letter that hex
    has not is the digit that looks like it. LabelError.
    """
    given = text.strip()
    scanned = given[: len(PREFIX)].upper() == PREFIX
    digits = "".join(c for c in (given[len(PREFIX) :] if scanned else given).lower() if c not in _SEPARATORS)
    if scanned and len(digits) == BASE32_CHARS:
        try:
            return Label(b32decode(digits.upper() + "====").hex())
        except ValueError:
            raise LabelError("the code is damaged", "scan it again, or type the digits beside it") from None
    digits = digits.translate(_LOOKALIKES)
    strange = sorted(set(digits) - set(hexdigits))
    if strange:
        hint = "a label has the digits 0 to 9 and the letters a to f"
        raise LabelError(f"{''.join(strange)!r} is in no label", hint)
    if scanned and len(digits) != ALL_DIGITS:
        raise LabelError("the code is cut off", "scan it again, or type the digits beside it")
    if len(digits) < MIN_DIGITS:
        what = "the node's id, which is a name and no proof" if len(digits) == ID_DIGITS else "too short"
        hint = f"type the digits of the label: {MIN_DIGITS} at least"
        raise LabelError(f"{len(digits)} digits are {what}", hint)
    if len(digits) > ALL_DIGITS:
        raise LabelError(f"{len(digits)} digits are more than a fingerprint has", "type the label once")
    return Label(digits)

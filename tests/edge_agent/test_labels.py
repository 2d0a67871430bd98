"""The text of a label, scanned and typed."""

import pytest

from edge_agent.nodes.pairing_label import MIN_DIGITS, Label, LabelError, parse, qr_text
from protocol.identity import fingerprint_text
from tests.edge_agent.fakes import identity

FINGERPRINT = identity(1).fingerprint
DIGITS = FINGERPRINT.hex()
# What QR codes can hold densely.
ALPHANUMERIC = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")


def test_the_code_holds_all_of_the_fingerprint_within_the_alphabet_of_qr():
    text = qr_text(FINGERPRINT)
    assert set(text) <= ALPHANUMERIC and len(text) == 56
    for given in (text, text.lower(), f" {text}\n", f"VW1:{DIGITS}", f"vw1:{DIGITS.upper()}"):
        label = parse(given)
        assert label.bits == 256 and label.fits(FINGERPRINT) and label.node == identity(1).id


@pytest.mark.parametrize("digits", [MIN_DIGITS, 21, 32, 64])
def test_what_is_typed_may_be_short_and_written_in_any_way(digits):
    plain = DIGITS[:digits]
    groups = " ".join(plain[i : i + 4] for i in range(0, digits, 4))
    looks = plain.replace("0", "O").replace("1", "l")
    for given in (plain, plain.upper(), groups, groups.replace(" ", "-"), f"  {groups}\n", looks):
        label = parse(given)
        assert label.digits == plain and label.bits == 4 * digits and label.fits(FINGERPRINT)
    assert parse(fingerprint_text(FINGERPRINT)).bits == 128


def test_each_wrong_digit_is_another_label_and_is_named():
    for i in range(32):
        other = "0" if DIGITS[i] != "0" else "1"
        label = Label(DIGITS[:i] + other + DIGITS[i + 1 : 32])
        assert not label.fits(FINGERPRINT) and label.mistyped(FINGERPRINT) == f"group {i // 4 + 1}"
    swapped = next(i for i in range(30) if DIGITS[i] != DIGITS[i + 1])
    label = Label(DIGITS[:swapped] + DIGITS[swapped + 1] + DIGITS[swapped] + DIGITS[swapped + 2 : 32])
    assert label.mistyped(FINGERPRINT).startswith("group ")
    assert Label(DIGITS[:32]).mistyped(FINGERPRINT) == ""
    assert Label(DIGITS[:32]).mistyped(identity(2).fingerprint) == "", "that is no slip"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "too short"),
        (DIGITS[:16], "no proof"),
        (DIGITS[:19], "too short"),
        (DIGITS + "0", "more than a fingerprint"),
        (DIGITS[:30] + "xz", "'xz' is in no label"),
        ("VW1:" + DIGITS[:40], "cut off"),
        (qr_text(FINGERPRINT)[:-1] + "0", "damaged"),
        ("https://example.org/" + DIGITS, "is in no label"),
    ],
)
def test_what_is_no_label(given, said):
    with pytest.raises(LabelError, match=said) as raised:
        parse(given)
    assert raised.value.hint

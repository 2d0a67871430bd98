"""What was found once, as it was found: each of these inputs broke a promise."""

import pytest

from protocol import cbor
from tools.fuzz.targets import load

FOUND = [
    # A record whose sort is an array: looked up in a table, TypeError.
    ("records", b"\1" + cbor.dumps({1: 1, 2: [2, 3]}), "batch/malformed_batch"),
    # A receipt with the key 11 that only head statements have: taken for a list, TypeError.
    (
        "receipt",
        b"\1"
        + cbor.dumps(
            {1: 1, 2: "receipt", 3: bytes(8), 4: bytes(8), 5: 0, 6: bytes(32), 7: 9, 8: 1, 9: 5, 11: 7}
        ),
        "=",
    ),
    # Arrays within each other without end, under `any`: RecursionError.
    ("inspect", b"\x6c\xa3\x00" + b"\x81" * 1000, "="),
    ("inspect", b"\0" + b"\x83\x03\x00" + b"\xa1\x00" * 900, "="),
    # No bytes at all for `inspect` to recognise: IndexError.
    ("inspect", b"\0", "="),
]


@pytest.mark.parametrize(("name", "data", "outcome"), FOUND)
def test_found(name: str, data: bytes, outcome: str) -> None:
    assert load(name).run(data).startswith(outcome)

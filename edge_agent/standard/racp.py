"""The record access control point (0x2A52, Bluetooth GATT Specification Supplement): how stored measurements
are asked for. Only what a reader of all records needs.
"""

from typing import NamedTuple

REPORT, DELETE, ABORT, COUNT, COUNTED, RESPONSE = 1, 2, 3, 4, 5, 6
ALL = 1
NULL = 0
SUCCESS, NOT_SUPPORTED, NO_RECORDS = 1, 2, 6
MEANINGS = {
    SUCCESS: "done",
    NOT_SUPPORTED: "not supported",
    3: "invalid operator",
    4: "operator not supported",
    5: "invalid operand",
    NO_RECORDS: "no records",
    7: "could not be aborted",
    8: "not completed",
    9: "operand not supported",
}

REPORT_ALL = bytes((REPORT, ALL))
COUNT_ALL = bytes((COUNT, ALL))
DELETE_ALL = bytes((DELETE, ALL))


class Answer(NamedTuple):
    """`records`: how many are stored, None in any other answer; `to`: which op code; `code`: its end."""

    records: int | None
    to: int
    code: int

    @property
    def done(self) -> bool:
        """Whether the request was carried out, be it for want of records."""
        return self.records is not None or self.code in (SUCCESS, NO_RECORDS)

    @property
    def meaning(self) -> str:
        """The code in words."""
        return MEANINGS.get(self.code, f"code {self.code}")


def answer(data: bytes) -> Answer | None:
    """What was indicated; None when it is no answer that is known."""
    if len(data) >= 4 and data[0] == COUNTED and data[1] == NULL:
        return Answer(int.from_bytes(data[2:4], "little"), COUNT, SUCCESS)
    if len(data) >= 4 and data[0] == RESPONSE and data[1] == NULL:
        return Answer(None, data[2], data[3])
    return None

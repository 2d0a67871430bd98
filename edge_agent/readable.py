"""What other parties said, for JSON and for a person's terminal."""

import logging
from datetime import UTC, datetime
from typing import Any, cast


def readable(value: Any) -> Any:
    """The same value with bytes as hex and text keys, for JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(readable(k)): readable(v) for k, v in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [readable(item) for item in cast("list[Any]", value)]
    return value


class LineFormatter(logging.Formatter):
    """A log record's message as one printable line; a traceback after it stays as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        return printable(super().formatMessage(record))


def printable(text: str) -> str:
    """The text as one line that moves no cursor: what cannot be printed is escaped, as in \\x1b and \\n.

    Whatever a node, a collector or another agent may have said goes through here on its way to a terminal.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, noun: str) -> str:
    """As in "1 node", "0 batches", "2 dead letters", "3 entries". `noun`: in the singular."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith(("ch", "sh", "s", "x")):
        return f"{count} {noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{count} {noun[:-1]}ies"
    return f"{count} {noun}s"


def is_are(count: int) -> str:
    """The verb for so many."""
    return "is" if count == 1 else "are"


def utc(unix_ms: int) -> str:
    """A moment in UTC, to the second; one beyond the calendar in milliseconds."""
    try:
        return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{unix_ms} ms"

"""How the agent's log is written: lines for a person on a terminal, else one JSON object a line.

A record's fields are time, level, logger, msg, and node, link and forwarder where whoever logged said so
(`about`). What others said is escaped, cut to a bound, and cleared of passwords in URLs.
"""

import json
import logging
import os
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

from edge_agent.readable import LineFormatter, printable

FIELDS = ("node", "link", "forwarder")
MAX_CHARACTERS = 4000
# sd-daemon(3): the journal takes the priority from the line's beginning.
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_CREDENTIALS = re.compile(r"(?<=://)[^\s/@]*@")


class About(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records carry the same fields."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the fields to what is given with a record."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def about(log: logging.Logger, **fields: str) -> About:
    """`log`, with node, link or forwarder in each record."""
    return About(log, fields)


class Cleared(logging.Filter):
    """No record leaves with credentials in a URL."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Clear the record; it always passes."""
        text = record.getMessage()
        record.msg, record.args = _CREDENTIALS.sub("…@", text)[:MAX_CHARACTERS], None
        return True


class JsonFormatter(logging.Formatter):
    """A record as one JSON object; a traceback is its field `trace`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": printable(record.getMessage()),
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                fields[name] = printable(str(value))
        if record.exc_info:
            fields["trace"] = _CREDENTIALS.sub("…@", self.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False)


class JournalFormatter(JsonFormatter):
    """The same with the journal's priority before it, which the journal takes off."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        return f"<{PRIORITIES.get(record.levelno, 5)}>{super().format(record)}"


def formatter(style: str, stream: TextIO) -> logging.Formatter:
    """The formatter for `[ops] log` ("auto", "text" or "json") on this stream."""
    if style == "text" or (style == "auto" and stream.isatty()):
        return LineFormatter("%(asctime)s %(levelname)-7s %(message)s")
    return JournalFormatter() if _is_journal(stream) else JsonFormatter()


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd reads this stream: $JOURNAL_STREAM is its device and inode."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def begin(style: str, verbose: bool) -> None:
    """Have the process log to stderr so."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(style, sys.stderr))
    handler.addFilter(Cleared())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    # Libraries that tell of each request or packet at INFO.
    for name in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)

"""The text of a configuration file, to say where in it a mistake is."""

import re
from pathlib import Path


class ConfigError(Exception):
    """The configuration cannot be used.

    `path` and `line` (None when no line is to blame) say where, `problem` what, `hint` what to do.
    """

    def __init__(
        self, problem: str, path: Path | None = None, line: int | None = None, hint: str = ""
    ) -> None:
        where = f"{path}, line {line}: " if line else f"{path}: " if path else ""
        super().__init__(where + problem + (f" ({hint})" if hint else ""))
        self.problem = problem
        self.path = path
        self.line = line
        self.hint = hint


class Source:
    """The text of the file, to find the line that a key or table stands on."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines = text.splitlines()

    def line(self, table: str, index: int, key: str | None = None) -> int | None:
        """Where `key` of the index-th `table` is written (its header when the key is nowhere to be seen)."""
        current, seen, header = "", -1, None
        for number, text in enumerate(self._lines, 1):
            head = re.match(r"\s*\[{1,2}\s*[\"']?([^\]\"'.\s]+)", text)
            if head:
                current = head[1]
                if current == table:
                    seen += 1
                    if seen == index:
                        header = number
                        if key is None:
                            return number
                continue
            name = re.match(r"\s*[\"']?([^=\"'.\s]+)[\"']?\s*[.=]", text)
            if not name:
                continue
            if current == "" and name[1] == table:
                header = number
                if key is None:
                    return number
            if key is not None and seen == index and current == table and name[1] == key:
                return number
        return header

    def error(
        self, problem: str, table: str, index: int = 0, key: str | None = None, hint: str = ""
    ) -> ConfigError:
        """The error with the line that it is on."""
        return ConfigError(problem, self.path, self.line(table, index, key), hint)

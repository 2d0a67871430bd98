"""How a table of the configuration and a key in it are described."""

from typing import Any, NamedTuple

from edge_agent.config.checks import Check


class Key(NamedTuple):
    """`default` None: none, or what `shown` says; `example`: a value for a key that has no default."""

    name: str
    check: Check
    default: Any
    meaning: str
    unit: str = ""
    shown: str = ""
    example: Any = None


class Table(NamedTuple):
    """`needs`: the key without which the table is a mistake; `many`: `[[name]]`, any number of times."""

    about: str
    keys: tuple[Key, ...]
    needs: str = ""
    many: bool = False

    def key(self, name: str) -> Key | None:
        """The key of that name."""
        return next((key for key in self.keys if key.name == name), None)

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
    """`needs`: the key without which the table is a mistake; `many`: `[[name]]`, any number of times;
    `switch`: without the table, what it is about is off.
    """

    about: str
    keys: tuple[Key, ...]
    needs: str = ""
    many: bool = False
    switch: bool = False

    @property
    def off_without(self) -> bool:
        """Whether a file without the table means that there is none, and not its defaults."""
        return self.switch or bool(self.needs)

    def key(self, name: str) -> Key | None:
        """The key of that name."""
        return next((key for key in self.keys if key.name == name), None)

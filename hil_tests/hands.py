"""The hands at a bench: for what somebody does to a board there is a command in the rig file, or a person."""

import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence

# What is done, and then undone, by the names of the two in a rig file.
PAIRS = {
    "button": ("hold", "release"),
    "power": ("power_off", "power_on"),
    "cable": ("unplug", "replug"),
}
# As a person is asked for it.
ASKED = {
    "hold": "hold the button of the kit",
    "release": "let go of the button of the kit",
    "power_off": "take the board's power away, its battery's, too",
    "power_on": "give the board its power back",
    "unplug": "cut the cable's data lines; the board keeps its power",
    "replug": "put the cable's data lines back",
    "reset": "press the board's reset button",
}
# A relay or a hub answers at once.
COMMAND_S = 30.0


class HandError(Exception):
    """A hand's command did not do it; the text says which, and what it said."""


class Hands:
    """`commands`: the argv of each hand that has one, by its name in ASKED; `ask`: has a person do the
    others, and returns when it is done; None: there is nobody.
    """

    def __init__(
        self, commands: Mapping[str, Sequence[str]], ask: Callable[[str], None] | None = None
    ) -> None:
        self._commands = commands
        self._ask = ask

    def lacking(self, pairs: Iterable[str]) -> list[str]:
        """What of these PAIRS neither a command nor a person does, as keys of a rig file."""
        if self._ask is not None:
            return []
        return [f"hands.{name}" for pair in pairs for name in PAIRS[pair] if name not in self._commands]

    def do(self, name: str) -> None:
        """Do it, and return when it is done. HandError: it was not, or nothing and nobody is there for it."""
        command = self._commands.get(name)
        if command is None:
            if self._ask is None:
                raise HandError(f"nobody is here to {ASKED[name]}: give the rig file hands.{name}")
            self._ask(ASKED[name])
            return
        shown = f"hands.{name} ({' '.join(command)})"
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_S
            )
        except OSError as e:
            raise HandError(f"{shown}: {e.strerror}") from e
        except subprocess.TimeoutExpired as e:
            raise HandError(f"{shown} did not end within {COMMAND_S:g} s") from e
        if done.returncode:
            raise HandError(f"{shown} → {done.returncode}\n{done.stdout}{done.stderr}")

"""What can go wrong with the store, told apart by what has to happen next."""

from pathlib import Path


class StoreError(Exception):
    """The store at `path` cannot be used: `problem` says why, `hint` what a person can do."""

    def __init__(self, path: Path, problem: str, hint: str = "") -> None:
        super().__init__(f"{path}: {problem}" + (f" ({hint})" if hint else ""))
        self.path = path
        self.problem = problem
        self.hint = hint


class StoreUnwritable(StoreError):
    """Nothing of this commit is on the disk: it is full, read-only or failing.

    What was asked for may be asked again.
    """


class StoreCorrupt(StoreError):
    """The file is damaged; opening it anew sets it aside."""


class StoreKeyError(StoreError):
    """The key is missing or wrong. The file is as it was; nothing is set aside for it."""

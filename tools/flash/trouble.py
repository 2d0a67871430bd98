"""What can go wrong with one board; each says what to do."""


class Trouble(Exception):
    """A board was not flashed. `problem`: why; `remedy`: what a person can do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class Interrupted(Exception):
    """Somebody wants all work on boards to end."""

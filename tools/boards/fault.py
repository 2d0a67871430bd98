"""What is wrong with a board's description."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """`place`: the key or the table; `text`: what is wrong there, and what to do."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"

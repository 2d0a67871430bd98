"""What a session and a pipe of bytes know of each other; neither knows what the other one is made of."""

from typing import Protocol

from edge_agent.links.ports import PortError


class Link(Protocol):
    """A pipe to a node. `write()` only while `ready`."""

    ready: bool
    bytes_in: int
    bytes_out: int

    def write(self, data: bytes) -> None:
        """Send bytes. Where the pipe takes no more for now, `ready` is False until the owner's written()."""
        ...

    def end(self, why: str) -> None:
        """Nobody at the far end is served further: a pipe that one end can close is closed."""
        ...


class LinkOwner(Protocol):
    """Who is told what happens on a link; always in the event loop's thread."""

    def opened(self, link: Link) -> None:
        """The pipe is there; bytes may be written."""
        ...

    def received(self, link: Link, data: bytes, unix_us: int) -> int:
        """Bytes came; `unix_us` is when they were read. How many messages they completed, good or bad."""
        ...

    def written(self, link: Link) -> None:
        """The pipe takes more again."""
        ...

    def closed(self, link: Link, error: PortError, retry_s: float) -> None:
        """The pipe could not be opened, or is gone; the next attempt is in `retry_s`."""
        ...

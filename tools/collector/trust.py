"""Which agents the collector knows: the `.pub` files in one folder.

Putting a file there is the whole enrolment.
"""

from contextlib import suppress
from pathlib import Path

from edge_agent.keys import KeyFileError, PublicKeys, load_public, write_public


class Trust:
    """The public keys in `folder`, by agent id.

    Files that cannot be read, or are another's than an agent's, are named in `problems`, and not trusted.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.problems: dict[str, str] = {}
        self._agents: dict[bytes, PublicKeys] = {}
        self._seen: dict[str, tuple[int, int]] = {}

    def lookup(self, agent: bytes) -> PublicKeys | None:
        """The keys of an agent, or None.

        A file that came or changed since counts; one that is gone no longer does.
        """
        self._refresh()
        return self._agents.get(agent)

    def ids(self) -> list[bytes]:
        """The ids of all known agents, sorted; files that came meanwhile count."""
        self._refresh()
        return sorted(self._agents)

    def add(self, keys: PublicKeys) -> Path:
        """Know one more agent from now on; gives its file."""
        path = self.folder / f"{keys.id.hex()}.pub"
        write_public(path, "agent", keys)
        return path

    def _refresh(self) -> None:
        seen: dict[str, tuple[int, int]] = {}
        for path in sorted(self.folder.glob("*.pub")):
            # One that is removed at this moment is not there.
            with suppress(FileNotFoundError):
                state = path.stat()
                seen[path.name] = (state.st_mtime_ns, state.st_ino)
        if seen == self._seen:
            return
        agents: dict[bytes, PublicKeys] = {}
        problems: dict[str, str] = {}
        for name in seen:
            try:
                keys = load_public(self.folder / name, "agent")
            except KeyFileError as e:
                problems[name] = str(e)
            else:
                agents[keys.id] = keys
        self._agents, self.problems, self._seen = agents, problems, seen

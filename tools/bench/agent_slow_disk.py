"""`vitalwire …` on a slower disk: `python -m tools.bench.agent_slow_disk MS agent run --config FILE`.

Every fsync of the store takes MS milliseconds more, as on a cheap SD card or a disk that many share.
"""

import sys
import time
from pathlib import Path

import apsw

from edge_agent.store.database import Database

NAME = "slow"


class _SlowFile(apsw.VFSFile):
    def __init__(self, name: "str | apsw.URIFilename | None", flags: "list[int]", more_s: float) -> None:
        super().__init__("unix", name, flags)
        self._more_s = more_s

    def xSync(self, flags: int) -> None:
        time.sleep(self._more_s)
        super().xSync(flags)


class _SlowDisk(apsw.VFS):
    def __init__(self, more_s: float) -> None:
        super().__init__(NAME, "unix")
        self._more_s = more_s

    def xOpen(self, name: "str | apsw.URIFilename | None", flags: "list[int]") -> apsw.VFSFile:
        return _SlowFile(name, flags, self._more_s)


def install(more_ms: float) -> apsw.VFS:
    """From now on every store of this process is on the slow disk; keep what it gives."""
    disk = _SlowDisk(more_ms / 1000)
    real = Database.__init__

    def slowly(
        self: Database,
        path: Path,
        key: "bytes | None",
        read_only: bool = False,
        create: bool = False,
        vfs: "str | None" = None,
    ) -> None:
        real(self, path, key, read_only, create, vfs or NAME)

    Database.__init__ = slowly
    return disk


def main() -> None:
    """The process."""
    disk = install(float(sys.argv[1]))
    sys.argv[1:] = sys.argv[2:]
    from tools.cli import main as vitalwire

    vitalwire()
    del disk


if __name__ == "__main__":
    main()

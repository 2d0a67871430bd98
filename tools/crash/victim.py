"""The agent as the campaign runs it: `vitalwire agent run` on a clock and a disk steered from outside.

`python -m tools.crash.victim PARENT STEERING CONFIG`. PARENT is the pid that it must not outlive. STEERING is
a file of 9 bytes: nanoseconds by which the wall's clock is off (signed, little-endian), and what the disk
does (DISK_…). It is mapped, so a change holds at once.
"""

import mmap
import struct
import sys
import time
from pathlib import Path

from tools.demo.leash import bind_to_parent

DISK_GOOD, DISK_FULL, DISK_READ_ONLY = 0, 1, 2
STEERING = struct.Struct("<qB")


class Steering:
    """The file, from either side."""

    def __init__(self, path: Path):
        if not path.exists():
            path.write_bytes(STEERING.pack(0, DISK_GOOD))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), STEERING.size)

    @property
    def clock_ns(self) -> int:
        """How far off the agent's wall clock is."""
        return STEERING.unpack_from(self._map)[0]

    @clock_ns.setter
    def clock_ns(self, offset: int) -> None:
        struct.pack_into("<q", self._map, 0, offset)

    @property
    def disk(self) -> int:
        """What the disk beneath the agent's store does."""
        return self._map[8]

    @disk.setter
    def disk(self, state: int) -> None:
        self._map[8] = state


def main(parent: str, steering_path: str, config: str) -> None:
    """Run the agent until it is told to stop."""
    bind_to_parent(int(parent))
    steering = Steering(Path(steering_path))
    real = time.time_ns
    time.time_ns = lambda: real() + steering.clock_ns
    time.time = lambda: time.time_ns() / 1e9

    from tools.cli import main as vitalwire
    from tools.crash.disk import register

    register(lambda: steering.disk)

    vitalwire(["agent", "run", "--config", config], prog_name="vitalwire")


if __name__ == "__main__":
    main(*sys.argv[1:])

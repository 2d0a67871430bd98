"""`vitalwire …` on a slower disk: `python -m tools.bench.agent_slow_disk MS agent run --config FILE`.

Every fsync of the store takes MS milliseconds more, as on a cheap SD card or a disk that many share.
"""

import sys

from tools.faults.disk import Disk, beneath


def main() -> None:
    """The process."""
    more_s = float(sys.argv[1]) / 1000
    sys.argv[1:] = sys.argv[2:]
    from tools.cli import main as vitalwire

    with Disk("slow", more_s) as disk, beneath(disk.name):
        vitalwire()


if __name__ == "__main__":
    main()

"""The `vitalwire` command for a helper that must not outlive whoever started it, however that one ends.

An agent left behind would go on opening serial ports whose numbers the system has given to others.
"""

import ctypes
import os
import signal
import sys

from tools.cli import main

# <linux/prctl.h>; other systems have no such call, and orphans there end when a person ends them.
PR_SET_PDEATHSIG = 1


def bind_to_parent(parent: int) -> None:
    """Get SIGTERM when the process `parent`, which started us, ends; at once if it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(1)


if __name__ == "__main__":
    bind_to_parent(int(sys.argv.pop(1)))
    main()

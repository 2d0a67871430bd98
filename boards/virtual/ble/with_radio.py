"""`python -m boards.virtual.ble.with_radio HCI MODULE ARGUMENT…`: as `python -m MODULE ARGUMENT…`, with a
Bluetooth adapter that is a controller of a virtual air.
"""

import runpy
import sys

from boards.virtual.ble.central import install


def main() -> None:
    """See above."""
    hci, module = sys.argv[1:3]
    install(hci)
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

"""A VM's way to its host: the bridge that the rig names in the environment. MicroPython on unix only."""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

import os
import socket
import struct
import sys
import time

from boards.virtual.remote_bus import Bridge

AF_UNIX = 1
POLL_S = 0.2
TIMEOUT_MS = 3000


def _gone() -> None:
    # Without the host there is no power: nobody could see this node any more, and it must not live on unseen.
    sys.exit(0)


def connect() -> Bridge:
    """The bridge at $VITALWIRE_BRIDGE; each request carries this node's time. Raises OSError."""
    path = os.getenv("VITALWIRE_BRIDGE")
    if not path:
        raise OSError(2)
    stream = socket.socket(AF_UNIX, socket.SOCK_STREAM)
    # struct sockaddr_un: the family is two bytes on Linux; a length and one byte on macOS
    family = bytes((106, AF_UNIX)) if sys.platform == "darwin" else struct.pack("<H", AF_UNIX)
    stream.connect(family + path.encode() + b"\0")
    stream.settimeout(POLL_S)
    return Bridge(
        stream,
        time.ticks_ms,
        time.ticks_diff,
        timeout_ms=TIMEOUT_MS,
        attempts=2,
        stamp=time.node_us,
        closed=_gone,
    )

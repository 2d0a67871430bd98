"""What a service tells systemd: sd_notify(3), a datagram to its socket, in the few lines it takes."""

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends states to $NOTIFY_SOCKET; without one, as on a terminal, it says nothing.

    Nothing waits and nothing fails: a service manager that does not listen holds up no frame.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for Linux's abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address and hasattr(socket, "AF_UNIX"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        self.watchdog_s = _watchdog_s(environment)

    def send(self, *states: str) -> bool:
        """Say these states, as `READY=1`; whether they went out."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto("\n".join(states).encode(), self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Say no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """How often systemd wants to hear of us; None when it does not, or when it means another process."""
    try:
        seconds = int(environment["WATCHDOG_USEC"]) / 1e6
        meant = int(environment.get("WATCHDOG_PID", os.getpid()))
    except (KeyError, ValueError):
        return None
    return seconds if seconds > 0 and meant == os.getpid() else None

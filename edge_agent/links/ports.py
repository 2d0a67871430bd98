"""Serial ports: opening one, saying what is wrong with one and what to do, and finding those that are plugged
in.
"""

import errno
import os
from typing import Any

import serial

from edge_agent.config import LinkConfig


class PortError(Exception):
    """A port cannot be used.

    `port`: which; `condition`: missing, busy, denied, lost or failed; `hint`: what to do.
    """

    def __init__(self, port: str, condition: str, problem: str, hint: str) -> None:
        super().__init__(f"port {port}: {problem} ({hint})")
        self.port = port
        self.condition = condition
        self.problem = problem
        self.hint = hint


READ_BYTES = 4096
# A tty wakes the reader by its first byte and is then drained; a socket:// port of pyserial cannot say how
# much waits, so its reader collects for as long as a person would not notice.
TTY_TIMEOUT_S = 0.5
SOCKET_TIMEOUT_S = 0.02
WRITE_TIMEOUT_S = 5.0


def is_url(port: str) -> bool:
    """Whether pyserial takes this for a URL rather than a device's name."""
    return "://" in port


def open_port(config: LinkConfig) -> "serial.SerialBase":
    """The open port, held exclusively. PortError."""
    port = config.port
    try:
        device: Any = serial.serial_for_url(
            port,
            config.baud,
            timeout=SOCKET_TIMEOUT_S if is_url(port) else TTY_TIMEOUT_S,
            write_timeout=WRITE_TIMEOUT_S,
            do_not_open=True,
        )
        if not is_url(port):
            device.exclusive = True
        device.open()
    except (OSError, ValueError) as e:
        raise named(port, e) from e
    return device


def read_some(port: Any) -> bytes:
    """What has come, b"" when nothing did within the port's time-out.

    OSError, TypeError when it is closed meanwhile.
    """
    if port.timeout < TTY_TIMEOUT_S:
        return port.read(READ_BYTES)
    data = port.read(1)
    waiting = port.in_waiting if data else 0
    return data + port.read(min(waiting, READ_BYTES)) if waiting else data


def named(port: str, error: Exception) -> PortError:
    """What an exception of pyserial means for this port."""
    number = getattr(error, "errno", None)
    text = str(error)
    for code in (
        errno.ENOENT,
        errno.ENODEV,
        errno.ENXIO,
        errno.EACCES,
        errno.EPERM,
        errno.EBUSY,
        errno.EAGAIN,
        errno.ENOTTY,
        errno.EISDIR,
    ):
        if number is None and f"[Errno {code}]" in text:
            number = code
    if isinstance(error, ValueError):
        return PortError(port, "failed", text, "see the port in the configuration")
    if is_url(port):
        return PortError(port, "missing", "nobody answers there", "start what listens at that address")
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        there = ", ".join(plugged_in()) or "none"
        return PortError(
            port, "missing", "there is no such port", f"plug the node in; USB serial ports here: {there}"
        )
    if number in (errno.EACCES, errno.EPERM):
        return PortError(
            port, "denied", "no right to open it", "add this user to the group dialout, log in again"
        )
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text:
        return PortError(
            port,
            "busy",
            "another program uses it",
            f"close that program, or stop the agent that holds it; fuser {port} names it",
        )
    if number in (errno.ENOTTY, errno.EINVAL, errno.EISDIR) or "Could not configure port" in text:
        return PortError(port, "failed", "it is not a serial port", "name the node's port, like /dev/ttyUSB0")
    if isinstance(error, serial.SerialTimeoutException):
        return PortError(
            port, "lost", "it takes no more bytes", "is the node running? press its reset button"
        )
    if not os.path.exists(port):
        return PortError(port, "lost", "it is gone", "plug the node in again")
    return PortError(port, "failed", text, "unplug the node and plug it in again")


def plugged_in() -> list[str]:
    """The USB serial ports of this machine."""
    from serial.tools import list_ports

    return sorted(str(found.device) for found in list_ports.comports() if found.vid is not None)

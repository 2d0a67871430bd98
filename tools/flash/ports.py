"""The serial ports that boards are plugged into: which there are, and pressing reset through one."""

import os
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import serial
from serial.tools import list_ports

from edge_agent.links.ports import SOCKET_TIMEOUT_S, TTY_TIMEOUT_S, PortError, is_url, named
from tools.flash.trouble import Trouble

T = TypeVar("T")

BAUD = 115200
ESPRESSIF = 0x303A
ADDRESS_DIGITS = 12
# USB-serial chips that development boards carry, by USB vendor and product.
BRIDGES = {
    (0x10C4, 0xEA60): "CP210x",
    (0x10C4, 0xEA70): "CP2105",
    (0x1A86, 0x7523): "CH340",
    (0x1A86, 0x7522): "CH340",
    (0x1A86, 0x55D3): "CH343",
    (0x1A86, 0x55D4): "CH9102",
    (0x0403, 0x6001): "FT232R",
    (0x0403, 0x6010): "FT2232",
    (0x0403, 0x6014): "FT232H",
    (0x0403, 0x6015): "FT231X",
}
HOLD_S = 0.1
# For a port of the chip's own USB to come back after a reset.
AGAIN_S = 10.0
POLL_S = 0.1
# A program that this one starts holds its open ports, too, until it has begun.
BUSY_S = 3.0


class Port(NamedTuple):
    """A port with a board, as far as USB tells. `device`: its name; `about`: what is plugged in."""

    device: str
    about: str


def find() -> tuple[list[Port], list[Port]]:
    """(the ports that may lead to a board, those left out: `about` says why)."""
    boards: list[Port] = []
    others: list[Port] = []
    for found in sorted(list_ports.comports(), key=lambda one: one.device):
        if found.vid is None or found.pid is None:
            others.append(Port(found.device, "not on USB"))
            continue
        bridge = BRIDGES.get((found.vid, found.pid))
        if found.vid == ESPRESSIF:
            boards.append(Port(found.device, "Espressif USB"))
        elif bridge is not None:
            boards.append(Port(found.device, bridge))
        else:
            what = found.description or found.product or "unknown"
            others.append(Port(found.device, f"no board's USB chip: {found.vid:04x}:{found.pid:04x}, {what}"))
    return boards, others


def open_line(port: str) -> "serial.SerialBase":
    """The open port, held exclusively. PortError. As the agent opens it, but for rfc2217:// too, which knows
    no time limit for writing."""
    url = is_url(port)
    try:
        line: Any = serial.serial_for_url(
            port, timeout=SOCKET_TIMEOUT_S if url else TTY_TIMEOUT_S, do_not_open=True
        )
        if not url:
            line.exclusive = True
        line.baudrate = BAUD
        line.open()
    except (OSError, ValueError) as e:
        raise named(port, e) from e
    return line


def check(port: str) -> None:
    """Trouble unless the port can be opened now, and by nobody else."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            open_line(port).close()
            return
        except PortError as e:
            if e.condition != "busy" or time.monotonic() > until:
                raise Trouble(e.problem, e.hint) from e
        time.sleep(POLL_S)


def patiently(port: str, action: Callable[[], T], wrong: tuple[type[Exception], ...]) -> T:
    """What `action` gives, which opens the port by itself; again, where it fails while the port is busy."""
    until = time.monotonic() + BUSY_S
    while True:
        check(port)
        try:
            return action()
        except wrong as e:
            if ("open" not in str(e) and "access" not in str(e)) or time.monotonic() > until:
                raise
        time.sleep(POLL_S)


def chip_of(port: str) -> str:
    """The address of the chip whose own USB leads to `port`; "" on every other port.

    Both the chip's ROM and MicroPython have it as their serial number, each in its own form and under its own
    USB product, so that after a reset the port may be called differently.
    """
    for found in list_ports.comports():
        if found.vid == ESPRESSIF and os.path.realpath(found.device) == os.path.realpath(port):
            return _address(found.serial_number)
    return ""


def _address(serial_number: str | None) -> str:
    """Of the ROM's form, AA:BB:…, and of MicroPython's, whose sixteen digits begin with these twelve."""
    digits = re.sub(r"[^0-9a-f]", "", (serial_number or "").lower())
    return digits[:ADDRESS_DIGITS] if len(digits) >= ADDRESS_DIGITS else ""


def wait_for(port: str, chip: str = "") -> str:
    """The port, once it can be opened: one that is the chip's own goes away while the chip is reset, and may
    come back under another name, by which `chip` (of `chip_of`) finds it. Trouble."""
    until = time.monotonic() + AGAIN_S
    while True:
        there = next((one.device for one in list_ports.comports() if _is(one, chip)), port) if chip else port
        try:
            check(there)
            return there
        except Trouble as e:
            if time.monotonic() > until:
                if not chip:
                    raise
                raise Trouble(
                    f"the port of chip {chip} did not come back after the reset: {e.problem}",
                    "press its reset button, see how its port is called now, and run this again with --port",
                ) from e
        time.sleep(POLL_S)


def _is(found: Any, chip: str) -> bool:
    return found.vid == ESPRESSIF and _address(found.serial_number) == chip


def press_reset(line: Any) -> bool:
    """Reset the board by DTR and RTS, so that it runs what is on its flash; False: there are no such lines.

    On a development board RTS pulls EN down and DTR GPIO 0, each unless the other is set, too.
    """
    if str(line.port).startswith("socket://"):
        return False
    try:
        line.dtr = False
        line.rts = True
        time.sleep(HOLD_S)
        line.rts = False
    except (OSError, serial.SerialException):
        return False
    return True

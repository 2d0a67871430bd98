"""What is wrong with this machine's Bluetooth, and what to do."""

import asyncio
from typing import Any

from bleak import BleakScanner
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakError,
)

from edge_agent.links.ports import PortError
from edge_agent.tasks import run

LOOK_S = 5.0
_DENIED = "add this user to the group bluetooth, log in again"
_REASONS = {
    BleakBluetoothNotAvailableReason.NO_BLUETOOTH: (
        "missing",
        "this machine has no Bluetooth adapter",
        "plug one in; bluetoothctl list shows those that are there",
    ),
    BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE: (
        "failed",
        "the adapter has no Bluetooth LE",
        "plug in one with Bluetooth 4.2 or newer",
    ),
    BleakBluetoothNotAvailableReason.POWERED_OFF: (
        "off",
        "Bluetooth is switched off",
        "rfkill unblock bluetooth; bluetoothctl power on",
    ),
}
_DBUS = {
    "org.freedesktop.DBus.Error.AccessDenied": ("denied", "no right to use Bluetooth", _DENIED),
    "org.freedesktop.DBus.Error.ServiceUnknown": (
        "missing",
        "BlueZ does not run",
        "sudo systemctl enable --now bluetooth",
    ),
    "org.bluez.Error.NotReady": (
        "off",
        "the adapter is switched off",
        "rfkill unblock bluetooth; bluetoothctl power on",
    ),
    "org.bluez.Error.InProgress": ("busy", "another program scans just now", "it is tried again"),
}


def look(adapter: str | None) -> PortError | None:
    """Listen for a moment; why the adapter cannot be used, or None."""
    bluez: Any = {} if adapter is None else {"adapter": adapter}

    async def listen() -> None:
        async with asyncio.timeout(LOOK_S), BleakScanner(bluez=bluez):
            pass

    try:
        run(listen())
    except (BleakError, OSError, TimeoutError, EOFError) as e:
        why = explained(e, adapter)
        # The agent's own scan is in the way of ours.
        return None if why.condition == "busy" else why
    return None


def explained(error: Exception, adapter: str | None) -> PortError:
    """What an exception of bleak means for the adapter."""
    port = f"bluetooth {adapter}" if adapter else "bluetooth"
    if isinstance(error, BleakBluetoothNotAvailableError):
        denied = ("denied", "no right to use Bluetooth", _DENIED)
        return PortError(port, *_REASONS.get(error.reason, denied))
    if isinstance(error, BleakDBusError) and error.dbus_error in _DBUS:
        return PortError(port, *_DBUS[error.dbus_error])
    if isinstance(error, FileNotFoundError):
        return PortError(
            port, "missing", "there is no system D-Bus, so no BlueZ", "install BlueZ: apt install bluez"
        )
    if isinstance(error, PermissionError):
        return PortError(port, "denied", "no right to use the system D-Bus", _DENIED)
    if adapter and f"adapter '{adapter}' not found" in str(error):
        return PortError(port, "missing", "there is no such adapter", "bluetoothctl list shows them")
    return PortError(
        port, "failed", str(error) or type(error).__name__, "journalctl -u bluetooth may say why"
    )

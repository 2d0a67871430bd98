"""The access points that a virtual node hears: a file that its network.WLAN reads (shims/network.py)."""

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

# Of ESP-IDF's wifi_err_reason_t: an access point that lets nobody else in.
ASSOC_FAIL = 203


@dataclass(frozen=True)
class AccessPoint:
    """`band`: 2 or 5 (GHz); `dhcp`: whether it gives addresses; `captive`: whether a login page answers in
    everybody's place; `refuses`: 0, or the reason code with which it turns everybody away; `address`: what
    its DHCP gives; `alone`: nobody else is reached in it.
    """

    ssid: str
    password: str = ""
    bssid: str = "020000000001"
    rssi: int = -50
    channel: int = 6
    band: int = 2
    hidden: bool = False
    dhcp: bool = True
    captive: bool = False
    refuses: int = 0
    address: str = "127.0.0.1"
    alone: bool = False
    on: bool = True


class Air:
    """What is on the air around one node; changed at any time, from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._points: list[AccessPoint] = []
        self._write()

    def set(self, points: Iterable[AccessPoint]) -> None:
        """These, and no others."""
        with self._lock:
            self._points = list(points)
            self._write()

    def change(self, bssid: str, **what: Any) -> None:
        """Change one of them: `on=False` takes it away. KeyError when there is none."""
        with self._lock:
            at = [point.bssid for point in self._points].index(bssid) if self._points else -1
            if at < 0:
                raise KeyError(bssid)
            self._points[at] = replace(self._points[at], **what)
            self._write()

    def log(self) -> list[str]:
        """What the node did: `active 1`, `scan`, `connect SSID BSSID as HOSTNAME`, `name NAME` (asked of
        DNS), in order. No passwords.
        """
        try:
            return self.path.with_name(self.path.name + ".log").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _write(self) -> None:
        beside = self.path.with_name(self.path.name + ".new")
        beside.write_text(json.dumps([asdict(point) for point in self._points]))
        os.replace(beside, self.path)

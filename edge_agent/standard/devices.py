"""The standard devices that this agent reads: a file that commands change while the agent runs.

`devices.json`: {"version": 1, "devices": [{"address", "name", "forget"}, …]}. A device that is not in it is
never connected to. Its keys lie in `devices/ADDRESS.key`, those of its user N in `devices/ADDRESS-N.key`:
removed and added again it is the same node.
"""

import json
import os
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from edge_agent import keys
from edge_agent.files import make_folder, write_atomically
from edge_agent.lock import Locked, hold_soon
from protocol.identity import Identity

# What BlueZ calls a device by; macOS gives a UUID instead.
ADDRESS = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}|[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")
MAX_DEVICES = 16
MAX_NAME_BYTES = 48
LOCK_S = 5.0
# Of stored measurements; more than any such device holds, and 3 MB of memory at most.
KNOWN = 16384
KNOWN_LINE = re.compile(r"[0-9a-f]{32}")


class DevicesError(Exception):
    """The list cannot be read or changed so; the text says why."""


class Device(NamedTuple):
    """`forget`: whether it is told to delete what it had stored once that is durable here."""

    address: str
    name: str
    forget: bool = False


class Devices:
    """The list in `state_dir`."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "devices.json"
        self._folder = state_dir / "devices"

    def all(self) -> tuple[Device, ...]:
        """Every device, in the order in which they were added. DevicesError."""
        try:
            document: Any = json.loads(self._path.read_bytes())
            found = tuple(Device(d["address"], d["name"], bool(d["forget"])) for d in document["devices"])
            for device in found:
                check(device)
            return found
        except FileNotFoundError:
            return ()
        except OSError as e:
            raise DevicesError(f"{self._path}: {e.strerror}") from None
        except (ValueError, KeyError, TypeError) as e:
            why = f"{self._path}: damaged ({e}): restore it, or remove it and add the devices again"
            raise DevicesError(why) from None

    def changed(self) -> object:
        """Something that is another value after each change."""
        try:
            state = self._path.stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_ino, state.st_size

    def add(self, device: Device) -> bool:
        """Durably add it, or change its name; False where it is there just so. DevicesError."""
        try:
            check(device)
        except ValueError as e:
            raise DevicesError(str(e)) from None
        with self._alone():
            before = self.all()
            if device in before:
                return False
            others = [other for other in before if other.address != device.address]
            if len(others) >= MAX_DEVICES:
                raise DevicesError(f"{MAX_DEVICES} devices are read at most: remove one first")
            self._write((*others, device))
        return True

    def remove(self, address: str) -> bool:
        """Durably leave it out; its keys stay. False: it was not there. DevicesError."""
        with self._alone():
            before = self.all()
            after = tuple(device for device in before if device.address != address)
            if after == before:
                return False
            self._write(after)
        return True

    def identity(self, device: Device, user: int | None) -> Identity:
        """The keys that the agent keeps for it. KeyFileError."""
        make_folder(self._folder)
        name = device.address.replace(":", "-") + ("" if user is None else f"-{user}")
        return keys.load_or_create(self._folder / f"{name}.key", "device")

    def nodes(self, device: Device) -> dict[int | None, bytes]:
        """The ids as which it has been heard of, by user (None: the device alone)."""
        stem = device.address.replace(":", "-")
        found: dict[int | None, bytes] = {}
        for path in sorted(self._folder.glob(f"{stem}*.pub")):
            rest = path.stem.removeprefix(stem)
            if rest == "" or rest[1:].isdecimal():
                found[int(rest[1:]) if rest else None] = keys.load_public(path).id
        return found

    def ids(self) -> set[bytes]:
        """The ids of all devices of the list, and of their users, as nodes. DevicesError, KeyFileError."""
        return {node for device in self.all() for node in self.nodes(device).values()}

    def known(self, device: Device) -> list[bytes]:
        """Digests of the stored measurements that have come before, oldest first; without the file: none."""
        try:
            text = self._known_path(device).read_text("ascii", "replace")
        except OSError:
            return []
        # A power cut may have left a piece of a line.
        lines = [line for line in text.split() if KNOWN_LINE.fullmatch(line)]
        if len(lines) > 2 * KNOWN:
            with suppress(OSError):
                write_atomically(self._known_path(device), "\n".join(lines[-KNOWN:]).encode())
        return [bytes.fromhex(line) for line in lines[-KNOWN:]]

    def add_known(self, device: Device, digests: Sequence[bytes]) -> None:
        """Durably note more of them. OSError."""
        make_folder(self._folder)
        with open(self._known_path(device), "ab") as file:
            file.write("".join(f"\n{digest.hex()}" for digest in digests).encode())
            file.flush()
            os.fsync(file.fileno())

    def _known_path(self, device: Device) -> Path:
        return self._folder / f"{device.address.replace(':', '-')}.known"

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Be the only one to change the list."""
        try:
            make_folder(self._path.parent)
            lock = hold_soon(self._path.with_suffix(".lock"), LOCK_S)
        except Locked:
            raise DevicesError(f"{self._path}: another process is changing it: try again") from None
        except OSError as e:
            raise DevicesError(f"{self._path}: {e.strerror}") from None
        with lock:
            yield

    def _write(self, devices: tuple[Device, ...]) -> None:
        document = {"version": 1, "devices": [device._asdict() for device in devices]}
        try:
            write_atomically(self._path, json.dumps(document, indent=1).encode() + b"\n")
        except OSError as e:
            raise DevicesError(f"{self._path}: {e.strerror}") from None


def check(device: Device) -> None:
    """ValueError for one that cannot be in the list."""
    if not ADDRESS.fullmatch(device.address):
        raise ValueError(
            f"{device.address!r} is no Bluetooth address: twelve digits, as in A4:C1:38:00:12:EF"
        )
    if not device.name or len(device.name.encode()) > MAX_NAME_BYTES or not device.name.isprintable():
        raise ValueError(f"a name has 1 to {MAX_NAME_BYTES} bytes, all of them printable")

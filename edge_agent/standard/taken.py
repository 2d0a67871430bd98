"""What was taken from one device: which of it is durable, and which stored measurements have come before.

A stored measurement is known once it is durable, and not earlier: while the disk refuses it, the device is
what has it.
"""

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import suppress

from edge_agent.nodes.ingest import Done
from edge_agent.standard.devices import KNOWN, Device, Devices

# What comes faster for long is no measurement: a strap says one a second, an oximeter four. Stored ones come
# all at once, as many as a device holds.
BURST = 4096
A_SECOND = 4


class Taken:
    """See above. Digests are of what tells a measurement from every other, None: nothing does."""

    def __init__(self, devices: Devices, device: Device) -> None:
        self._devices = devices
        self._device = device
        self._known = OrderedDict.fromkeys(devices.known(device))
        self._fresh: list[bytes] = []
        self._under_way: dict[int, bytes | None] = {}
        self._number = 0
        self._changed = asyncio.Event()
        self._room = float(BURST)
        self._looked_s = 0.0

    def floods(self, now_s: float) -> bool:
        """Whether this one is too many; `now_s`: of a clock that never goes back."""
        self._room = min(BURST, self._room + (now_s - self._looked_s) * A_SECOND)
        self._looked_s = now_s
        if self._room < 1:
            return True
        self._room -= 1
        return False

    def came_before(self, digest: bytes) -> bool:
        """Whether it is durable, or on its way to that."""
        if digest in self._known:
            self._known.move_to_end(digest)
            return True
        return digest in self._under_way.values()

    def begin(self, digest: bytes | None) -> Done:
        """One more is on its way; what is given is to be called once it is durable."""
        self._number += 1
        number = self._number
        self._under_way[number] = digest
        return lambda outcome: self._durable(number, digest)

    def _durable(self, number: int, digest: bytes | None) -> None:
        self._under_way.pop(number, None)
        if digest is not None:
            self._known[digest] = None
            while len(self._known) > KNOWN:
                self._known.popitem(last=False)
            self._fresh.append(digest)
        if self._fresh and not self._under_way:
            # After the frames: cut between the two, they come twice, not never.
            with suppress(OSError):
                self._devices.add_known(self._device, self._fresh)
                self._fresh = []
        self._changed.set()

    async def settled(self) -> None:
        """Until all that is on its way now is durable: for ever, where the disk lets something of it go."""
        waited_for = set(self._under_way)
        while waited_for & self._under_way.keys():
            self._changed.clear()
            await self._changed.wait()

    def leave(self) -> None:
        """The connection is gone: what is not durable yet may be asked for again."""
        self._under_way.clear()


def digest_of(characteristic: str, data: bytes, time: int = 0) -> bytes:
    """Of the `time`th measurement with just these bytes."""
    more = b"" if not time else b"#%d" % time
    return hashlib.sha256(characteristic.encode() + data + more).digest()[:16]

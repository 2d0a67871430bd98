"""What MicroPython's NimBLE asks of a node about pairing: by interrupts, for keys that bumble has made.

As there: a phone that pairs again loses its old keys first; where bonding is switched off (`config(bond=)`)
the connection is encrypted, and nothing kept; how it went is told once all keys are. Keys of LE Secure
Connections only, of phones that keep their address.
"""

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bumble.device import Connection, Device
from bumble.gatt import Characteristic
from bumble.hci import Address
from bumble.keys import KeyStore, PairingKeys
from bumble.pairing import PairingConfig, PairingDelegate

from boards.virtual.ble import wire

if TYPE_CHECKING:
    import asyncio

OUR_SECRET, PEER_SECRET = 1, 2
KEY_BYTES = 16
# Address, size of the key, long-term key, identity key; as many bytes as NimBLE's record.
SECRET = struct.Struct("<7sB16s16s40x")

# A device is known by the address that it is connected with.
KNOWN_BY = PairingConfig.AddressType.RANDOM

# MicroPython's flags above the properties, as bumble's permissions.
_PERMISSIONS = (
    (0x0200, Characteristic.READ_REQUIRES_ENCRYPTION),
    (0x0400, Characteristic.READ_REQUIRES_AUTHENTICATION),
    (0x1000, Characteristic.WRITE_REQUIRES_ENCRYPTION),
    (0x2000, Characteristic.WRITE_REQUIRES_AUTHENTICATION),
)
# To subscribe wants encryption: a flag of newer NimBLEs', which MicroPython passes on.
SUBSCRIBE_ENCRYPTED = 0x8000

Tell = Callable[[int, bytes], "asyncio.Future[bytes]"]


def permissions(flags: int) -> Characteristic.Permissions:
    """Bumble's, of a characteristic with MicroPython's flags."""
    found = Characteristic.READABLE | Characteristic.WRITEABLE
    for flag, permission in _PERMISSIONS:
        if flags & flag:
            found |= permission
    return found


class Settings:
    """What `BLE.config` has said of pairing; the defaults are NimBLE's."""

    def __init__(self) -> None:
        self._bond = self._mitm = self._secure = False
        self._io = 3

    def take(self, settings: dict[str, Any]) -> None:
        """Those that are among `settings`."""
        self._bond = settings.get("bond", self._bond)
        self._mitm = settings.get("mitm", self._mitm)
        self._secure = settings.get("le_secure", self._secure)
        self._io = settings.get("io", self._io)

    def config(self) -> PairingConfig:
        """As bumble has them."""
        delegate = PairingDelegate(PairingDelegate.IoCapability(self._io))
        return PairingConfig(self._secure, self._mitm, self._bond, delegate, KNOWN_BY)


class NodeKeys(KeyStore):
    """The keys that the node keeps."""

    def __init__(self, device: Device, tell: Tell) -> None:
        self._device, self._tell = device, tell

    def watch(self, connection: Connection) -> None:
        """Tell the node whenever this connection's encryption is settled, and of a pairing that begins."""
        sessions = self._device.smp_manager.sessions

        def changed() -> None:
            if connection.handle not in sessions:
                self._settled(connection, True)

        def paired(_: PairingKeys) -> None:
            if not sessions[connection.handle].bonding:
                self._settled(connection, False)

        async def again() -> None:
            name = str(connection.peer_address)
            if await self.get(name) is not None:
                await self.delete(name)

        connection.on(connection.EVENT_CONNECTION_ENCRYPTION_CHANGE, changed)
        connection.on(connection.EVENT_PAIRING, paired)
        connection.on(connection.EVENT_PAIRING_START, lambda: connection.cancel_on_disconnection(again()))

    def _settled(self, connection: Connection, bonded: bool) -> None:
        state = (connection.is_encrypted, False, bonded, KEY_BYTES)
        self._tell(wire.ENCRYPTION_UPDATE, struct.pack("<H???B", connection.handle, *state))

    async def get(self, name: str) -> PairingKeys | None:
        """Of the phone with this address."""
        answer = await self._tell(wire.GET_SECRET, bytes((OUR_SECRET, 0, 1)) + _key(name))
        if answer[0] != 1 or len(answer) != 1 + SECRET.size:
            return None
        return PairingKeys(ltk=PairingKeys.Key(SECRET.unpack(answer[1:])[2]))

    async def update(self, name: str, keys: PairingKeys) -> None:
        """A pairing is over: all that there is to tell goes before what the phone asks for next."""
        for session in self._device.smp_manager.sessions.values():
            connection = session.connection
            if str(connection.peer_address) != name or not session.bonding or keys.ltk is None:
                continue
            key = _key(name)
            irk = keys.irk.value if keys.irk is not None else bytes(16)
            value = SECRET.pack(key, KEY_BYTES, keys.ltk.value, irk)
            for kind in (PEER_SECRET, OUR_SECRET):
                self._tell(wire.SET_SECRET, bytes((kind, 1, len(key))) + key + value)
            self._settled(connection, True)

    async def delete(self, name: str) -> None:
        """Have the node let go of it."""
        key = _key(name)
        for kind in (OUR_SECRET, PEER_SECRET):
            await self._tell(wire.SET_SECRET, bytes((kind, 0, len(key))) + key)


def _key(name: str) -> bytes:
    address = Address(name)
    return bytes([address.address_type & 1]) + bytes(address)

"""bleak on a host whose Bluetooth adapter is a controller of the virtual air (radio.py).

`install(hci)` has bleak use it in this process, instead of what the platform has.
"""

import asyncio
import secrets
from typing import Any

import bleak
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDeviceNotFoundError,
    BleakError,
)
from bumble import core, gatt_client, hci
from bumble.att import ATT_Error
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.hci import Address
from bumble.keys import MemoryKeyStore
from bumble.pairing import PairingConfig
from bumble.transport import open_transport

from boards.virtual.ble.bonding import KNOWN_BY

MTU = 517  # what BlueZ asks for
CONNECT_S = 10.0
REQUEST_S = 5.0


class Adapter:
    """This process's Bluetooth adapter: `device()` is bumble's host on it, in the running event loop."""

    hci = ""
    _device: Device | None = None
    _transport: Any = None
    _keeper: asyncio.Task[None]
    _loop: asyncio.AbstractEventLoop | None = None
    _address = Address.ANY_RANDOM
    _keys = MemoryKeyStore()
    _scanners = 0
    connecting: asyncio.Lock

    @classmethod
    async def device(cls) -> Device:
        """BleakBluetoothNotAvailableError where nobody answers at the HCI."""
        loop = asyncio.get_running_loop()
        if cls._device is not None and cls._loop is loop and not cls._lost():
            return cls._device
        try:
            transport = await open_transport(cls.hci)
        except OSError:
            why = BleakBluetoothNotAvailableReason.NO_BLUETOOTH
            raise BleakBluetoothNotAvailableError("No Bluetooth adapters found.", why) from None
        cls._transport, cls._loop, cls._scanners = transport, loop, 0
        cls._keeper = loop.create_task(held(transport))
        cls.connecting = asyncio.Lock()
        device = Device.with_hci("host", cls._address, transport.source, transport.sink)
        device.keystore = cls._keys
        device.pairing_config_factory = lambda connection: PairingConfig(identity_address_type=KNOWN_BY)
        await device.power_on()
        cls._device = device
        return device

    @classmethod
    def renew(cls, hci_transport: str) -> None:
        """It is another one: with an address of its own, which nobody has bonded with."""
        cls.hci = hci_transport
        # A static random address has its two highest bits set.
        cls._address = Address(":".join(f"{octet:02X}" for octet in (0xF0, *secrets.token_bytes(5))))
        cls._keys = MemoryKeyStore()

    @classmethod
    def _lost(cls) -> bool:
        return cls._transport.sink.transport.is_closing()

    @classmethod
    async def close(cls) -> None:
        """Give it back."""
        device, cls._device = cls._device, None
        if device is not None:
            cls._keeper.cancel()
            await asyncio.wait([cls._keeper])

    @classmethod
    async def scan(cls, more: int) -> Device:
        """One scanner more, or one less."""
        device = await cls.device()
        before, cls._scanners = cls._scanners, cls._scanners + more
        if not before:
            await device.start_scanning(active=False)
        elif not cls._scanners:
            await device.stop_scanning()
        return device


async def held(transport: Any) -> None:
    """Close `transport` when the event loop ends, which cancels what still runs in it."""
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await transport.close()


def install(hci_transport: str) -> None:
    """Have bleak use this adapter from now on."""
    Adapter.renew(hci_transport)
    # A request that leaves as its connection breaks off has no answer, and bumble would wait 30 s for one.
    gatt_client.GATT_REQUEST_TIMEOUT = REQUEST_S  # pyright: ignore[reportPrivateImportUsage]
    bleak.get_platform_client_backend_type = lambda: (BumbleClient, "bumble")  # type: ignore[assignment]
    bleak.get_platform_scanner_backend_type = lambda: (BumbleScanner, "bumble")  # type: ignore[assignment]


class BumbleScanner(BaseBleakScanner):
    """Hears advertisements."""

    def __init__(self, detection_callback: Any, service_uuids: Any, scanning_mode: Any, **_: Any) -> None:
        super().__init__(detection_callback, service_uuids)
        self._device: Device | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self.seen_devices = {}
        self._device = await Adapter.scan(+1)
        self._device.on(Device.EVENT_ADVERTISEMENT, self._heard)

    async def stop(self) -> None:
        """Listen no more."""
        device, self._device = self._device, None
        if device is not None:
            device.remove_listener(Device.EVENT_ADVERTISEMENT, self._heard)
            if await Adapter.device() is device:
                await Adapter.scan(-1)

    def _heard(self, advertisement: Advertisement) -> None:
        uuids: list[str] = []
        data: dict[str, bytes] = {}
        name = None
        for kind, value in advertisement.data.ad_structures:
            if kind in (core.AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, 0x06):
                uuids += [_text(value[i : i + 16]) for i in range(0, len(value), 16)]
            elif kind in (0x02, 0x03):
                uuids += [_text(value[i : i + 2]) for i in range(0, len(value), 2)]
            elif kind == core.AdvertisingData.SERVICE_DATA_128_BIT_UUID:
                data[_text(value[:16])] = value[16:]
            elif kind == core.AdvertisingData.SERVICE_DATA_16_BIT_UUID:
                data[_text(value[:2])] = value[2:]
            elif kind in (0x08, 0x09):
                name = value.decode()
        if not self.is_allowed_uuid(uuids):
            return
        address = advertisement.address.to_string(False)
        adv = AdvertisementData(name, {}, data, uuids, None, -50, ())
        device = self.create_or_update_device(address, address, name, {}, adv)
        self.call_detection_callbacks(device, adv)


def _text(uuid: bytes) -> str:
    return (
        core.UUID.from_bytes(uuid).to_hex_str("-").lower()
        if len(uuid) == 16
        else (f"0000{uuid[::-1].hex()}-0000-1000-8000-00805f9b34fb")
    )


class BumbleClient(BaseBleakClient):
    """A connection to a peripheral."""

    def __init__(self, address_or_ble_device: Any, services: Any = None, **options: Any) -> None:
        super().__init__(address_or_ble_device, **options)
        self._connection: Connection | None = None
        self._told: dict[int, Any] = {}

    @property
    def name(self) -> str:
        """Its address."""
        return self.address

    @property
    def mtu_size(self) -> int:
        """Of ATT."""
        return self._connection.att_mtu if self._connection is not None else 23

    @property
    def is_connected(self) -> bool:
        """Whether it is."""
        return self._connection is not None

    async def connect(self, pair: bool, **_: Any) -> None:
        """Connect, exchange the MTU, and find what is there."""
        device = await Adapter.device()
        try:
            async with Adapter.connecting:
                self._connection = await device.connect(self.address, timeout=min(self._timeout, CONNECT_S))
            self._connection.once(Connection.EVENT_DISCONNECTION, self._lost)
            if device.connections.get(self._connection.handle) is not self._connection:
                # It broke off before anybody listened for that.
                raise asyncio.CancelledError
            self.services = await self._connection.cancel_on_disconnection(self._ready(pair))
        except core.TimeoutError as e:
            raise BleakDeviceNotFoundError(self.address, f"{self.address} was not found") from e
        except (core.BaseBumbleError, ATT_Error, asyncio.CancelledError, TimeoutError) as e:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.remove_all_listeners(Connection.EVENT_DISCONNECTION)
                await self._part(connection)
            if isinstance(e, asyncio.CancelledError) and asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            raise BleakError(f"failed to connect: {e}") from e

    async def _ready(self, pair: bool) -> BleakGATTServiceCollection:
        connection = self._there()
        peer = Peer(connection)
        await peer.request_mtu(MTU)
        keys = connection.device.keystore
        if keys is not None and await keys.get(str(connection.peer_address)) is not None:
            # As a phone does with whom it has bonded with.
            await connection.encrypt()
        elif pair:
            await connection.pair()
        return await self._discover(peer)

    async def _discover(self, peer: Peer) -> BleakGATTServiceCollection:
        found = BleakGATTServiceCollection()
        for its in await peer.discover_services():
            service = BleakGATTService(its, its.handle, _name(its.uuid))
            found.add_service(service)
            for char in await its.discover_characteristics():
                properties = list(gatt_char_props_to_strs(int(char.properties)))
                uuid = _name(char.uuid)
                characteristic = BleakGATTCharacteristic(
                    char, char.handle, uuid, properties, lambda: self.mtu_size - 3, service
                )
                found.add_characteristic(characteristic)
                for descriptor in await char.discover_descriptors():
                    name = _name(descriptor.type)
                    found.add_descriptor(
                        BleakGATTDescriptor(descriptor, descriptor.handle, name, characteristic)
                    )
        return found

    def _lost(self, _: int) -> None:
        self._connection = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def _part(self, connection: Connection) -> None:
        try:
            await connection.disconnect()
        except (core.BaseBumbleError, hci.HCI_Error, asyncio.CancelledError):
            pass

    async def disconnect(self) -> None:
        """Hang up."""
        if self._connection is not None:
            await self._part(self._connection)
            self._connection = None

    async def pair(self, *_: Any, **__: Any) -> None:
        """Bond."""
        await self._there().pair()

    async def unpair(self) -> None:
        """Nothing is kept here."""

    def _there(self) -> Connection:
        if self._connection is None:
            raise BleakError("Not connected")
        return self._connection

    async def _do(self, work: Any) -> Any:
        connection = self._there()
        try:
            return await connection.cancel_on_disconnection(work)
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            raise BleakError("Not connected") from None
        except (core.BaseBumbleError, ATT_Error, TimeoutError) as e:
            raise BleakError(f"ATT error: {e}") from e

    async def read_gatt_char(self, characteristic: Any, **_: Any) -> bytearray:
        """Read it."""
        return bytearray(await self._do(characteristic.obj.read_value()))

    async def read_gatt_descriptor(self, descriptor: Any, **_: Any) -> bytearray:
        """Read it."""
        return bytearray(await self._do(descriptor.obj.read_value()))

    async def write_gatt_char(self, characteristic: Any, data: Any, response: bool) -> None:
        """Write it."""
        await self._do(characteristic.obj.write_value(bytes(data), with_response=response))

    async def write_gatt_descriptor(self, descriptor: Any, data: Any) -> None:
        """Write it."""
        await self._do(descriptor.obj.write_value(bytes(data), with_response=True))

    async def start_notify(self, characteristic: Any, callback: Any, **_: Any) -> None:
        """Have `callback` told of each notification."""

        def told(value: bytes) -> None:
            callback(bytearray(value))

        self._told[characteristic.handle] = told
        await self._do(characteristic.obj.subscribe(told))

    async def stop_notify(self, characteristic: Any) -> None:
        """And no more."""
        await self._do(characteristic.obj.unsubscribe(self._told.pop(characteristic.handle, None)))


def _name(uuid: core.UUID) -> str:
    return _text(uuid.to_bytes()) if len(uuid.to_bytes()) == 2 else uuid.to_hex_str("-").lower()

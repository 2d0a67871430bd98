"""A node's Bluetooth: controller and host of bumble's, driven by the node's `bluetooth` module over a socket
(see wire.py), as MicroPython drives NimBLE on an ESP32.

As there, the host has few buffers for what a node notifies, a connection event carries few packets, and the
host waits with a write until the node's interrupt handler has seen it (`interlock`; MicroPython 1.20 and
older, and other ports, do not: then writes add up, or overwrite each other). Pairing is bumble's; what is
bonded with is the node's to keep (bonding.py).
"""

import asyncio
import contextlib
import errno
import json
import struct
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bumble import att, core, hci
from bumble.controller import Controller
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink

from boards.virtual.ble import bonding, wire

if TYPE_CHECKING:
    from boards.virtual.ble.radio import Radio

# Of ESP-IDF's NimBLE as MicroPython configures it: 12 blocks for what goes out.
BUFFERS = 12
# What a good connection carries: 15 ms, six packets.
INTERVAL_S = 0.015
PACKETS = 6
VALUE_BYTES = 20  # of a characteristic whose buffer nobody has set
DEFAULT_MTU = 256


class _Value:
    """A characteristic's value as MicroPython keeps it: `append` adds what is written; reading takes it."""

    def __init__(self) -> None:
        self.data = b""
        self.length = VALUE_BYTES
        self.append = False

    def written(self, data: bytes) -> None:
        """By the central: what does not fit is cut off."""
        self.data = ((self.data if self.append else b"") + data)[: self.length]

    def read(self) -> bytes:
        """By the node."""
        data = self.data
        if self.append:
            self.data = b""
        return data


class Peripheral:
    """`path`: the socket that the node's VM opens ($VITALWIRE_BLE). Its hands are for tests, from any thread:
    cut(), away(), `held` (no packet leaves), `interlock`, `most_mtu`, `open_subscriptions` (from the node's
    next boot on whoever asks may subscribe, as with an older NimBLE), `no_memory` (for the node's stack, when
    it starts); `notified` counts packets that left.
    """

    def __init__(self, radio: "Radio", path: Path, address: str) -> None:
        self.path = path
        self.address = hci.Address(address)
        self.held = False
        self.interlock = True
        self.most_mtu = 517
        self.open_subscriptions = False
        self.no_memory = False
        self.notified = 0
        self.refused = 0
        self._radio = radio
        self._server: asyncio.Server | None = None
        self._controller: Controller | None = None
        self._device: Device | None = None
        self._values: dict[int, _Value] = {}
        self._characteristics: dict[int, Characteristic[bytes]] = {}
        self._mtu = DEFAULT_MTU
        self._events: asyncio.StreamWriter | None = None
        self._answers: deque[asyncio.Future[bytes]] = deque()
        self._pairing = bonding.Settings()
        self._write_lock = asyncio.Lock()
        self._queue: deque[tuple[Connection, bytes]] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # Hands

    def cut(self) -> None:
        """The connection breaks off: both ends hear nothing of each other any more."""
        self._radio.call(self._cut)

    def away(self, is_away: bool) -> None:
        """Out of range of everybody, or back."""
        self._radio.call(self._away, is_away)

    @property
    def connected(self) -> bool:
        """Whether a central is connected."""
        device = self._device
        return device is not None and bool(device.connections)

    def _cut(self) -> None:
        if self._controller is not None:
            self._radio.air.cut(self._controller)

    def _away(self, is_away: bool) -> None:
        if self._controller is not None:
            controllers = self._radio.air.controllers
            if is_away:
                self._cut()
                controllers.discard(self._controller)
            else:
                controllers.add(self._controller)

    # The node's VM

    async def open(self) -> None:
        """Listen for it."""
        self._server = await asyncio.start_unix_server(self._connected, str(self.path))

    async def close(self) -> None:
        """Nobody is served any more."""
        if self._server is not None:
            self._server.close()
        await self._off()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            kind = await reader.readexactly(1)
            if kind == wire.EVENTS:
                self._events = writer
                while True:
                    (length,) = struct.unpack("<H", await reader.readexactly(2))
                    answer = await reader.readexactly(length)
                    if self._answers:
                        waiting = self._answers.popleft()
                        if not waiting.done():
                            waiting.set_result(answer)
            else:
                await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            # The VM has ended: its chip is reset, and a central notices by silence.
            if self._events is writer or self._events is None or self._events.is_closing():
                self._events = None
            await self._off()
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            (length,) = struct.unpack("<H", await reader.readexactly(2))
            request = await reader.readexactly(length)
            try:
                status, body = 0, await self._do(request[0], request[1:])
            except OSError as e:
                status, body = e.errno or errno.EIO, b""
            except MemoryError:
                status, body = wire.NO_MEMORY, b""
            writer.write(struct.pack("<HB", 1 + len(body), status) + body)

    async def _do(self, op: int, body: bytes) -> bytes:
        if op == wire.ACTIVE and body[0] and self.no_memory:
            raise MemoryError
        if op == wire.ACTIVE:
            await (self._on() if body[0] else self._off())
        elif op == wire.CONFIG:
            settings = json.loads(body)
            self._mtu = settings.get("mtu", self._mtu)
            self._pairing.take(settings)
        elif op == wire.ADDRESS:
            return bytes([1]) + bytes(self.address)[::-1]
        elif self._device is None:
            raise OSError(errno.ENODEV, "not active")
        elif op == wire.ADVERTISE:
            await self._advertise(self._device, body)
        elif op == wire.REGISTER:
            return self._register(self._device, json.loads(body))
        elif op == wire.READ:
            return self._value(body).read()
        elif op == wire.WRITE:
            self._value(body).data = body[3:]
            if body[2]:
                await self._device.notify_subscribers(self._characteristic(body), body[3:])
        elif op == wire.BUFFER:
            value = self._value(body)
            value.length, value.append = struct.unpack("<H?", body[2:])
        elif op in (wire.NOTIFY, wire.INDICATE):
            self._say(self._device, op, body)
        elif op == wire.DISCONNECT:
            return await self._disconnect(self._device, body)
        elif op == wire.PAIR:
            self._connection(self._device, body).request_pairing()
        return b""

    def _later(self, work: Any) -> None:
        async def doing() -> None:
            with contextlib.suppress(
                core.BaseBumbleError, att.ATT_Error, TimeoutError, asyncio.CancelledError
            ):
                await work

        task = asyncio.create_task(doing())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _value(self, body: bytes) -> _Value:
        try:
            return self._values[int.from_bytes(body[:2], "little")]
        except KeyError:
            raise OSError(errno.EINVAL, "no such handle") from None

    def _characteristic(self, body: bytes) -> Characteristic[bytes]:
        return self._characteristics[int.from_bytes(body[:2], "little")]

    def _connection(self, device: Device, body: bytes) -> Connection:
        connection = device.connections.get(int.from_bytes(body[:2], "little"))
        if connection is None:
            raise OSError(errno.ENOTCONN, "no such connection")
        return connection

    # What it asks for

    async def _on(self) -> None:
        if self._device is not None:
            return
        from boards.virtual.ble.radio import new_controller

        controller = self._controller = new_controller(self._radio.air, "node", self._radio.new_address())
        host = Host(controller, AsyncPipeSink(controller))
        device = Device(name="node", address=self.address, host=host)
        device.on(device.EVENT_CONNECTION, self._on_connection)
        self._pairing = bonding.Settings()
        device.pairing_config_factory = lambda connection: self._pairing.config()
        device.keystore = bonding.NodeKeys(device, self._tell)
        await device.power_on()
        self._device = device
        self._sending = asyncio.create_task(self._send())

    async def _off(self) -> None:
        device, self._device = self._device, None
        controller, self._controller = self._controller, None
        if self._sending is not None:
            self._sending.cancel()
        for waiting in self._answers:
            if not waiting.done():
                waiting.set_result(b"\0")
        self._answers.clear()
        self._queue.clear()
        self._values.clear()
        self._characteristics.clear()
        if device is not None and controller is not None:
            with contextlib.suppress(core.BaseBumbleError):
                await device.stop_advertising()
            self._radio.air.cut(controller)
            self._radio.air.controllers.discard(controller)

    async def _advertise(self, device: Device, body: bytes) -> None:
        interval_us, connectable, length = struct.unpack_from("<iBB", body)
        if interval_us < 0:
            await device.stop_advertising()
            return
        await device.start_advertising(
            advertising_data=body[6 : 6 + length],
            scan_response_data=body[6 + length :],
            advertising_interval_min=interval_us / 1000,
            advertising_interval_max=interval_us / 1000,
        )

    def _register(self, device: Device, services: list[Any]) -> bytes:
        handles: list[int] = []
        for uuid, characteristics in services:
            made: list[Characteristic[bytes]] = []
            for its_uuid, flags in characteristics:
                permissions = bonding.permissions(flags)
                made.append(
                    Characteristic(
                        core.UUID(its_uuid), Characteristic.Properties(flags & 0xFF), permissions, b""
                    )
                )
            device.add_service(Service(core.UUID(uuid), made))
            for one, (_, flags) in zip(made, characteristics, strict=True):
                if flags & bonding.SUBSCRIBE_ENCRYPTED and not self.open_subscriptions:
                    configuration = device.gatt_server.get_attribute(one.handle + 1)
                    assert configuration is not None
                    configuration.permissions |= Characteristic.WRITE_REQUIRES_ENCRYPTION
                self._values[one.handle] = _Value()
                self._characteristics[one.handle] = one
                one.value = self._attribute(one.handle)
                handles.append(one.handle)
        return struct.pack(f"<{len(handles)}H", *handles)

    def _attribute(self, handle: int) -> "CharacteristicValue[bytes]":
        async def read(connection: Connection) -> bytes:
            told = self._tell(wire.GATTS_READ_REQUEST, struct.pack("<HH", connection.handle, handle))
            status = (await told)[0]
            if status:
                raise att.ATT_Error(att.ErrorCode(status))
            value = self._values.get(handle)
            return value.data if value is not None else b""

        async def write(connection: Connection, data: bytes) -> None:
            async with self._write_lock if self.interlock else contextlib.nullcontext():
                value = self._values.get(handle)
                if value is None:
                    return
                value.written(data)
                told = self._tell(wire.GATTS_WRITE, struct.pack("<HH", connection.handle, handle))
                if self.interlock:
                    await told

        return CharacteristicValue(read=read, write=write)

    def _say(self, device: Device, op: int, body: bytes) -> None:
        connection = self._connection(device, body)
        value = body[5:] if body[4] else self._value(body[2:]).data
        handle = int.from_bytes(body[2:4], "little")
        value = value[: connection.att_mtu - 3]
        if op == wire.INDICATE:
            self._later(self._indicate(device, connection, handle, value))
            return
        if len(self._queue) >= BUFFERS:
            self.refused += 1
            raise OSError(errno.ENOMEM, "no buffer")
        pdu = att.ATT_Handle_Value_Notification(attribute_handle=handle, attribute_value=value)
        self._queue.append((connection, bytes(pdu)))

    async def _indicate(self, device: Device, connection: Connection, handle: int, value: bytes) -> None:
        status = 0
        try:
            await device.gatt_server.indicate_subscriber(
                connection, self._characteristics[handle], value, force=True
            )
        except (TimeoutError, core.BaseBumbleError):
            status = errno.ETIMEDOUT
        self._tell(wire.GATTS_INDICATE_DONE, struct.pack("<HHB", connection.handle, handle, status))

    async def _send(self) -> None:
        """A connection event after the other."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            device = self._device
            if self.held or device is None:
                continue
            for _ in range(min(PACKETS, len(self._queue))):
                connection, pdu = self._queue.popleft()
                if device.connections.get(connection.handle) is connection:
                    device.gatt_server.send_gatt_pdu(connection, pdu)
                    self.notified += 1

    async def _disconnect(self, device: Device, body: bytes) -> bytes:
        try:
            connection = self._connection(device, body)
        except OSError:
            return b"\0"
        # What was handed over before goes out before.
        for its, pdu in self._queue:
            if its is connection:
                device.gatt_server.send_gatt_pdu(connection, pdu)
        self._queue = deque(one for one in self._queue if one[0] is not connection)
        self._later(connection.disconnect())
        return b"\1"

    # What it is told

    def _tell(self, event: int, body: bytes) -> "asyncio.Future[bytes]":
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self._events is None or self._events.is_closing():
            answer.set_result(b"\0")
            return answer
        self._answers.append(answer)
        self._events.write(struct.pack("<HB", 1 + len(body), event) + body)
        return answer

    def _on_connection(self, connection: Connection) -> None:
        device = self._device
        if device is None:
            return
        device.gatt_server.max_mtu = min(self._mtu, self.most_mtu)
        handle = connection.handle
        address = bytes([connection.peer_address.address_type & 1]) + bytes(connection.peer_address)[::-1]
        self._tell(wire.CENTRAL_CONNECT, struct.pack("<H", handle) + address)

        def lost(_: int) -> None:
            self._tell(wire.CENTRAL_DISCONNECT, struct.pack("<H", handle) + address)

        def mtu() -> None:
            self._tell(wire.MTU_EXCHANGED, struct.pack("<HH", handle, connection.att_mtu))

        connection.on(connection.EVENT_DISCONNECTION, lost)
        connection.on(connection.EVENT_CONNECTION_ATT_MTU_UPDATE, mtu)
        keys = device.keystore
        assert isinstance(keys, bonding.NodeKeys)
        keys.watch(connection)

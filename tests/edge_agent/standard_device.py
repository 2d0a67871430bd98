"""An off-the-shelf device, as its profile has it: a bumble host on the air, with what it measured."""

import asyncio
from typing import Any

from bumble.core import UUID, AdvertisingData
from bumble.device import Device
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import Address
from bumble.transport import open_transport

from boards.virtual.ble.radio import Radio
from edge_agent.standard import racp

SERVICE_OF = {0x2A37: 0x180D, 0x2A5E: 0x1822, 0x2A5F: 0x1822, 0x2A35: 0x1810}
INDICATED = (0x2A35, 0x2A5E)


class StandardDevice:
    """`measure(of, value)` sends; `stored` go out when the record control point is asked for them; `clock` is
    its Date Time, None: it shows none.
    """

    def __init__(self, radio: Radio, address: str, *characteristics: int) -> None:
        self.address = address
        self.stored: list[bytes] = []
        self.clock: bytes | None = None
        self.deleted = 0
        self.requests: list[bytes] = []
        self.control_answers: dict[bytes, bytes] = {}
        self._radio = radio
        self._of = characteristics
        self._made: dict[int, Characteristic] = {}

    def __enter__(self) -> "StandardDevice":
        self._radio.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._radio.run(self._close())

    async def _open(self) -> None:
        self._transport = await open_transport(self._radio.hci)
        self._device = Device.with_hci(
            "device", Address(self.address), self._transport.source, self._transport.sink
        )
        services: dict[int, list[Any]] = {}
        for of in self._of:
            how = Characteristic.Properties.INDICATE if of in INDICATED else Characteristic.Properties.NOTIFY
            self._made[of] = Characteristic(UUID.from_16_bits(of), how, Characteristic.READABLE)
            services.setdefault(SERVICE_OF[of], []).append(self._made[of])
        if 0x2A5E in self._of:
            control = self._control = Characteristic(
                UUID.from_16_bits(0x2A52),
                Characteristic.Properties.WRITE | Characteristic.Properties.INDICATE,
                Characteristic.WRITEABLE,
                CharacteristicValue(write=lambda connection, value: self._asked(bytes(value))),
            )
            services[0x1822].append(control)
        if self.clock is not None:
            shown = Characteristic(
                UUID.from_16_bits(0x2A08),
                Characteristic.Properties.READ,
                Characteristic.READABLE,
                CharacteristicValue(read=lambda connection: self.clock),
            )
            services[SERVICE_OF[self._of[0]]].append(shown)
        version = Characteristic(
            UUID.from_16_bits(0x2A26), Characteristic.Properties.READ, Characteristic.READABLE, b"1.7\0"
        )
        services[0x180A] = [version]
        for uuid, found in services.items():
            self._device.add_service(Service(UUID.from_16_bits(uuid), found))
        self._uuids = [uuid for uuid in services if uuid != 0x180A]
        await self._device.power_on()
        await self._advertise()

    async def _advertise(self) -> None:
        data = AdvertisingData(
            [
                (AdvertisingData.FLAGS, b"\x06"),
                (
                    AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
                    b"".join(uuid.to_bytes(2, "little") for uuid in self._uuids),
                ),
                (AdvertisingData.COMPLETE_LOCAL_NAME, b"Device"),
            ]
        )
        await self._device.start_advertising(
            advertising_data=bytes(data),
            advertising_interval_min=50,
            advertising_interval_max=50,
            own_address_type=1,
            auto_restart=True,
        )

    async def _close(self) -> None:
        await self._device.power_off()
        await self._transport.close()

    # What it does

    def subscribed(self, of: int) -> bool:
        """Whether somebody listens to that characteristic."""

        def look() -> bool:
            server = self._device.gatt_server
            made = self._made[of]
            return any(any(table.get(made.handle, b"")) for table in server.subscribers.values())

        return self._radio.call(look)

    def measure(self, of: int, value: bytes) -> None:
        """Say a value to whoever listens."""
        self._radio.run(self._say(self._made[of], value))

    async def _say(self, made: Characteristic, value: bytes) -> None:
        server = self._device.gatt_server
        if made.properties & Characteristic.Properties.INDICATE:
            await server.indicate_subscribers(made, value)
        else:
            await server.notify_subscribers(made, value)

    def leave(self) -> None:
        """End the connection, as a device does that has said all."""

        async def ending() -> None:
            for connection in list(self._device.connections.values()):
                await connection.disconnect()

        self._radio.run(ending())

    def _asked(self, request: bytes) -> None:
        self.requests.append(request)
        asyncio.get_running_loop().create_task(self._answer(request))

    async def _answer(self, request: bytes) -> None:
        op = request[0]
        code = racp.SUCCESS if self.stored else racp.NO_RECORDS
        if op == racp.REPORT:
            for value in self.stored:
                await self._say(self._made[0x2A5E], value)
        elif op == racp.DELETE:
            self.deleted += len(self.stored)
            self.stored.clear()
        answer = self.control_answers.get(request, bytes((racp.RESPONSE, racp.NULL, op, code)))
        await self._say(self._control, answer)

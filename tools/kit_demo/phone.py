"""A phone with an app that speaks Improv over BLE: it gives the kit that is on air a network.

`python -m tools.kit_demo.phone HCI SSID`, the password on standard input. It is a process of its own, as a
phone is, and uses a public Improv client; exit status 0: the kit is in the network.
"""

import asyncio
import sys

from bleak import BleakScanner
from improv_ble_client import SERVICE_UUID, Error, ImprovBLEClient
from improv_ble_client.errors import ImprovError

from boards.virtual.ble import central

FIND_S = 30.0


async def give(ssid: str, password: str) -> str:
    """What the kit says of itself, once it is in the network; ImprovError, TimeoutError."""
    device = await BleakScanner.find_device_by_filter(
        lambda device, said: SERVICE_UUID in said.service_uuids, timeout=FIND_S
    )
    if device is None:
        raise TimeoutError("no kit is on air")
    client = ImprovBLEClient(device)
    await client.ensure_connected()
    about = await client.get_device_info()
    await client.provision(ssid, password, None)
    return str(about)


def main() -> int:
    """Do it; what went wrong in one line."""
    hci, ssid = sys.argv[1:]
    central.install(hci)
    try:
        print(asyncio.run(give(ssid, sys.stdin.readline().rstrip("\n"))))
    except (ImprovError, TimeoutError) as e:
        reason = getattr(e, "error", None)
        print(f"{reason if isinstance(reason, Error) else e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

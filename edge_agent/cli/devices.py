"""`vitalwire devices`: off-the-shelf Bluetooth devices that this agent reads."""

import json
from pathlib import Path
from typing import Any

import click

from edge_agent import config as configuration
from edge_agent import tasks
from edge_agent.cli.commanding import config_option, fail, told
from edge_agent.readable import printable

SCAN_S = 15.0
SERVICES = {
    "0000180d-0000-1000-8000-00805f9b34fb": "heart rate",
    "00001822-0000-1000-8000-00805f9b34fb": "pulse oximeter",
    "00001810-0000-1000-8000-00805f9b34fb": "blood pressure",
}


@click.group("devices", short_help="Off-the-shelf Bluetooth devices that this agent reads.")
def devices_group() -> None:
    """Heart rate straps, pulse oximeters and blood pressure monitors of the Bluetooth standard profiles.

    The agent reads only those that were added, and signs on their behalf what they say: a reading is then as
    good as the agent's word that it came from that device.

    \b
    Example:
      vitalwire devices scan
    """


@devices_group.command("scan")
@click.option(
    "--seconds", type=click.FloatRange(1, 600), default=SCAN_S, show_default=True, help="How long to listen."
)
@told
def scan_command(seconds: float) -> None:
    """Show the devices of these profiles that are on air now.

    Most blood pressure monitors are, for some seconds after a measurement.

    \b
    Example:
      vitalwire devices scan --seconds 60
    """
    try:
        from bleak import BleakScanner
        from bleak.exc import BleakError
    except ModuleNotFoundError as e:
        raise _no_bleak(e) from None

    async def scan() -> dict[str, tuple[Any, Any]]:
        return await BleakScanner.discover(timeout=seconds, return_adv=True, service_uuids=list(SERVICES))

    try:
        heard = tasks.run(scan())
    except (BleakError, OSError, EOFError) as e:
        from edge_agent.links.ble_trouble import explained

        raise explained(e, None) from e
    found = False
    for device, said in sorted(heard.values(), key=lambda pair: -pair[1].rssi):
        kinds = [name for uuid, name in SERVICES.items() if uuid in said.service_uuids]
        if kinds:
            found = True
            name = printable(said.local_name or device.name or "without a name")
            click.echo(f"{device.address}  {name}: {', '.join(kinds)} ({said.rssi} dBm)")
    if not found:
        click.echo("none is on air: measure once with the device, or switch it on, and scan again")


@devices_group.command("add", short_help="Have the agent read a device from now on.")
@config_option
@click.argument("address", metavar="ADDRESS")
@click.option("--name", required=True, help="What you call it: Dad's cuff.")
@click.option("--forget", is_flag=True, help="Have the device delete what it stored once it is safe here.")
@told
def add_command(config_path: Path | None, address: str, name: str, forget: bool) -> None:
    """Have the agent read a device from now on; a running one begins at once.

    Each device is a node of its own, and so is each user (1, 2, …) of one: assign it to a person as any other
    (vitalwire assign).

    \b
    Example:
      vitalwire devices add A4:C1:38:00:12:EF --name "Dad's cuff"
    """
    from edge_agent.standard.devices import Device, Devices

    devices = Devices(configuration.load(config_path).state_dir)
    device = Device(address.upper(), name, forget)
    new = devices.add(device)
    node = devices.identity(device, None).id.hex()
    click.echo(f"{'added' if new else 'is in the list already'}: {name}, {device.address}, node {node}")


@devices_group.command("remove")
@config_option
@click.argument("address", metavar="ADDRESS")
@told
def remove_command(config_path: Path | None, address: str) -> None:
    """Read a device no more. What it said stays, and so do its keys: added again it is the same node.

    \b
    Example:
      vitalwire devices remove A4:C1:38:00:12:EF
    """
    from edge_agent.standard.devices import Devices

    if not Devices(configuration.load(config_path).state_dir).remove(address.upper()):
        fail(f"{address} is not in the list: vitalwire devices list")
    click.echo(f"removed: {address.upper()}")


@devices_group.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@told
def list_command(config_path: Path | None, as_json: bool) -> None:
    """Show the devices of the list, and as which nodes they are known.

    \b
    Example:
      vitalwire devices list
    """
    from edge_agent.ops import status
    from edge_agent.standard.devices import Devices

    config = configuration.load(config_path)
    devices = Devices(config.state_dir)
    states = {one["address"]: one for one in (status.read(config.status) or {}).get("devices", ())}
    rows: list[dict[str, Any]] = []
    for device in devices.all():
        now = states.get(device.address, {})
        nodes = {
            "" if user is None else str(user): node.hex() for user, node in devices.nodes(device).items()
        }
        rows.append(
            {**device._asdict(), "nodes": nodes, "state": now.get("state"), "problem": now.get("problem")}
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        state = row["problem"] or row["state"] or "the agent does not run"
        click.echo(f"{row['address']}  {printable(row['name'])}: {printable(state)}")
        for user, node in row["nodes"].items():
            click.echo(f"  {'node' if not user else f'user {user}: node'} {node}")
    if not rows:
        click.echo("no devices: vitalwire devices scan shows those on air, vitalwire devices add takes one")


def _no_bleak(error: ModuleNotFoundError) -> click.ClickException:
    from edge_agent.extras import remedy

    return click.ClickException(f"Bluetooth needs {error.name}, which is not installed: {remedy('ble')}")

"""Nodes over Bluetooth: the real firmware's GATT server, the agent's real bleak, a link layer of software."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bleak import BleakClient
from improv_ble_client import ImprovBLEClient
from improv_ble_client.errors import ProvisioningFailed
from improv_ble_client.protocol import SERVICE_UUID, Error, State

from boards.virtual.air import AccessPoint
from boards.virtual.ble.peripheral import Peripheral
from boards.virtual.ble.radio import Radio
from edge_agent.links.ble_link import NOTIFIED, SERVICE, WRITTEN
from edge_agent.nodes.pairing_label import qr_text
from hil_tests.ble_central import PATIENCE_S, Notified, found, on_air, ours
from hil_tests.ble_home import BleHome
from hil_tests.nodes import Node, RigNode
from hil_tests.rig_file import RigFile
from protocol import cobs, messages

EVERY_STEP = os.environ.get("EVERY_STEP") == "1"
CUTS = 50 if EVERY_STEP else 6
SOLICIT = b"\0" + cobs.encode(messages.solicit(messages.VERSION))
NETWORK = AccessPoint("home", "correct horse")


@pytest.fixture
def radio() -> Iterator[Radio]:
    with Radio() as it:
        yield it


class Kit:
    """A node, and its Bluetooth where that can be reached into."""

    def __init__(self, node: Node, chip: Peripheral | None) -> None:
        self.node = node
        self.chip = chip


@pytest.fixture
def make_kit(
    new_node: Callable[..., Node], rig: RigFile, kit_dir: Path, request: pytest.FixtureRequest
) -> Callable[..., Kit]:
    def make(**options: Any) -> Kit:
        chip = None
        if rig.virtual:
            chip = request.getfixturevalue("radio").peripheral()
            options["ble"] = chip.path
        node = new_node(kit_dir, **options)
        node.start()
        return Kit(node, chip)

    return make


@pytest.fixture
def make_home(
    rig: RigFile, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., BleHome]]:
    homes: list[BleHome] = []

    def make(*kits: Kit, ports: list[str] | None = None) -> BleHome:
        radio = request.getfixturevalue("radio") if rig.virtual else rig.adapter
        home = BleHome(tmp_path / f"home{len(homes)}", radio, ports or [])
        homes.append(home)
        for kit in kits:
            # A second agent wants the button.
            with kit.node.held() if len(homes) > 1 else contextlib.nullcontext():
                home.pair_over_cable(kit.node)
        return home

    yield make
    for home in homes:
        home.close()


@pytest.fixture
def at_home(rig: RigFile, request: pytest.FixtureRequest) -> tuple[Kit, BleHome]:
    """A kit that lives on Bluetooth alone, and its agent."""
    if rig.virtual:
        return request.getfixturevalue("with_radio")[:2]
    kit: Kit = request.getfixturevalue("make_kit")()
    home: BleHome = request.getfixturevalue("make_home")(kit)
    kit.node.unplug()
    home.start_agent()
    home.wait_ble()
    return kit, home


@pytest.fixture(scope="module")
def with_radio(
    kit_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Kit, BleHome, Radio]]:
    """The same on the virtual rig, with their radio; tests leave them as they found them."""
    folder = tmp_path_factory.mktemp("at_home")
    with Radio() as radio:
        chip = radio.peripheral()
        home = BleHome(folder / "home", radio, [])
        node = RigNode(kit_dir, folder / "kit", log=folder / "kit.log", ble=chip.path)
        with node:
            try:
                home.pair_over_cable(node)
                node.unplug()
                home.start_agent()
                home.wait_ble()
                yield Kit(node, chip), home, radio
            finally:
                home.close()


def all_told(kit: Kit, home: BleHome) -> dict[str, int]:
    """The sums of the ledger once the node has ended its boot in order, and its next one has said where that
    ended.
    """
    boot = home.boot()
    if isinstance(kit.node, RigNode):
        assert kit.node.stop() == 0
        boot = home.boot()
        kit.node.reset()
    else:
        home.command("order", "--config", str(home.config), kit.node.public_keys().id.hex(), "restart")
    home.wait_until("the next boot", lambda: home.boot() > boot)
    home.wait_until("how the one before ended", lambda: home.ledger()["rows"][-2]["clean"] is not None)
    assert home.ledger()["rows"][-2]["clean"], home.ledger()
    return home.assert_explained()


@pytest.mark.bench("cable", has=("ble",), keys=("ble.adapter",))
def test_frames_come_over_bluetooth_alone(at_home) -> None:
    kit, home = at_home
    home.wait_more(10)
    assert home.status()["ble"]["connections"] == 1
    if kit.chip is not None:
        assert kit.chip.connected
    totals = all_told(kit, home)
    assert totals["lost_at_reset"] == totals["evicted"] == 0, home.ledger()


@pytest.mark.inside("the kit is taken out of the radio's reach")
def test_a_backlog_goes_at_the_speed_of_the_radio(make_kit, make_home, capsys) -> None:
    kit = make_kit(speed=8.0)
    home = make_home(kit)
    kit.node.unplug()
    kit.chip.away(True)
    home.start_agent()
    box_s = kit.node.world_s() + 60
    home.wait_until("a minute of frames", lambda: kit.node.world_s() > box_s)
    kit.chip.away(False)
    home.wait_until("the first frame", lambda: home.stored)
    began, first, sent = time.monotonic(), home.stored, kit.chip.notified
    home.wait_more(100)
    took = time.monotonic() - began
    with capsys.disabled():
        rate = (home.stored - first) / took
        packets = (kit.chip.notified - sent) / took
        print(f"\nover bluetooth: {rate:.0f} frames/s, {packets:.0f} notifications/s, MTU 247")
    totals = all_told(kit, home)
    assert totals["unexplained"] == 0


@pytest.mark.inside("connections are cut in the air")
def test_a_storm_of_disconnections_loses_nothing_and_repeats_nothing(at_home) -> None:
    kit, home = at_home
    for n in range(CUTS):
        # At any moment: while a connection begins, in mid-hello, in mid-frame.
        home.wait_until("another connection", lambda: kit.chip.connected)
        if n % 3:
            home.wait_more(n % 3)
        kit.chip.cut()
    home.wait_ble()
    home.wait_more(5)
    totals = all_told(kit, home)
    assert totals["lost_at_reset"] == totals["evicted"] == 0, home.ledger()


@pytest.mark.inside("its radio is told which MTU to agree to")
def test_the_smallest_mtu_carries_everything(at_home) -> None:
    kit, home = at_home
    kit.chip.most_mtu = 23
    try:
        kit.chip.cut()
        home.wait_ble()
        home.wait_more(15)
        totals = all_told(kit, home)
    finally:
        kit.chip.most_mtu = 517
    assert totals["lost_at_reset"] == totals["evicted"] == 0, home.ledger()


@pytest.mark.inside("its radio is told to have no buffer")
def test_a_stack_without_buffers_is_waited_for(at_home) -> None:
    kit, home = at_home
    kit.chip.held = True
    refused, accepted = kit.chip.refused, home.status()["ble"]["accepted"]
    home.wait_until("no buffer is left", lambda: kit.chip.refused > refused + 10)
    kit.chip.held = False
    home.wait_more(10)
    assert home.status()["ble"]["accepted"] == accepted, "it took patience, no new connection"
    all_told(kit, home)


@pytest.mark.inside("each agent has an adapter of its own, and connections are cut in the air")
def test_two_agents_share_a_node_in_turn(make_kit, make_home) -> None:
    kit = make_kit()
    homes = [make_home(kit), make_home(kit)]
    kit.node.unplug()
    for home in homes:
        home.start_agent()
    for _ in range(6):
        homes[0].wait_until("either has it", lambda: any(home.link() for home in homes))
        before = sum(home.stored for home in homes)
        homes[0].wait_until("frames", lambda before=before: sum(home.stored for home in homes) > before + 3)
        kit.chip.cut()
    for one, other in (homes, homes[::-1]):
        one.stop("agent")
        other.wait_ble()
        other.wait_more(5)
        one.start_agent()
    homes[1].stop("agent")
    homes[0].wait_ble()
    all_told(kit, homes[0])
    homes[1].assert_explained()
    mine, theirs = (home.ledger()["totals"] for home in homes)
    assert mine["elsewhere"] > 0 and theirs["pending"] > 0


@pytest.mark.bench("power", "cable", has=("ble",), keys=("ble.adapter",))
def test_a_node_that_is_reset_in_mid_transfer_comes_back(at_home) -> None:
    kit, home = at_home
    for _ in range(3):
        home.wait_more(3)
        boot = home.boot()
        kit.node.reset()
        home.wait_until("the next boot", lambda boot=boot: home.boot() > boot)
    totals = all_told(kit, home)
    assert totals["evicted"] == 0


@pytest.mark.bench("cable", has=("ble",), keys=("ble.adapter",))
def test_a_node_moves_to_the_cable_and_back(make_kit, make_home) -> None:
    kit = make_kit()
    home = make_home(kit, ports=[kit.node.port])
    kit.node.unplug()
    home.start_agent()
    for _ in range(2 if EVERY_STEP else 1):
        home.wait_ble()
        home.wait_more(5)
        kit.node.replug()
        home.wait_until("live on the cable", lambda: home.link() == kit.node.port)
        home.wait_more(5)
        kit.node.unplug()
    home.wait_ble()
    home.wait_more(5)
    totals = all_told(kit, home)
    assert totals["lost_at_reset"] == totals["evicted"] == 0, home.ledger()


@pytest.mark.bench("button", "cable", has=("ble",), keys=("ble.adapter",))
def test_a_node_is_paired_with_by_its_label_over_bluetooth(make_kit, make_home) -> None:
    kit = make_kit()
    home = make_home(ports=[kit.node.port])
    home.start_agent()
    stranger = home.wait_until("what its label would say", lambda: home.status()["unpaired"])[0]
    kit.node.unplug()
    label = qr_text(bytes.fromhex(stranger["fingerprint"]))
    with kit.node.held():
        home.command("pair", "--config", str(home.config), "--label", label)
    home.wait_ble()
    home.wait_more(5)
    all_told(kit, home)


@pytest.mark.inside("the adapter of this machine is pulled")
def test_an_adapter_that_is_pulled_is_said_and_used_again(with_radio) -> None:
    kit, home, radio = with_radio
    radio.unplug_adapters()
    home.wait_until("its trouble", lambda: home.status()["ble"]["problem"])
    assert "no Bluetooth adapter" in home.status()["ble"]["problem"]
    assert "NOT USABLE" in home.command("status", "--config", str(home.config), ok=False)
    radio.replug_adapters()
    home.wait_ble()
    assert home.status()["ble"]["problem"] is None
    all_told(kit, home)


# Without an agent: a central of the test's own, in this process


@pytest.mark.inside("it hears one kit, and no other, in the air")
def test_what_a_node_says_of_itself_to_everybody(make_kit, radio) -> None:
    make_kit()

    async def hear() -> None:
        _, data = await found(ours)
        said = data.service_data[SERVICE]
        assert len(said) == 9 and said[8] == 1, "its id, and that it is nobody's"
        _, data = await found(lambda data: SERVICE_UUID in data.service_uuids)
        state, *rest = data.service_data["00004677-0000-1000-8000-00805f9b34fb"]
        assert state in (State.AUTHORIZATION_REQUIRED, State.AUTHORIZED)
        assert rest == [7, 0, 0, 0, 0], "it can identify itself, say what it is, and scan"

    on_air(radio, hear())


@pytest.mark.inside("writes overwrite each other in its radio")
@pytest.mark.parametrize("interlock", [True, False])
def test_writes_that_come_before_the_node_looks_add_up(make_kit, radio, interlock) -> None:
    kit = make_kit()
    kit.chip.interlock = interlock

    async def write() -> None:
        device, _ = await found(ours)
        async with BleakClient(device) as client:
            heard = Notified()
            await client.start_notify(NOTIFIED, heard)
            for n in range(len(SOLICIT)):
                await client.write_gatt_char(WRITTEN, SOLICIT[n : n + 1], response=False)
            await heard.more(1)
            assert messages.sort(heard.messages[0]) == messages.SORT_CLEAR

    on_air(radio, write())


@pytest.mark.inside("it hears one kit, and no other, in the air")
def test_one_who_does_nothing_is_hung_up_on(make_kit, radio) -> None:
    make_kit(speed=16.0)

    async def idle() -> None:
        device, _ = await found(ours)
        gone = asyncio.Event()
        async with BleakClient(device, disconnected_callback=lambda _: gone.set()):
            async with asyncio.timeout(PATIENCE_S):
                await gone.wait()
        await found(ours)

    on_air(radio, idle())


@pytest.mark.inside("the air has this network, and connections are cut in it")
def test_an_improv_client_gives_the_node_its_network(make_kit, make_home, radio) -> None:
    kit = make_kit()
    # One that is somebody's wants its button.
    make_home(kit)
    kit.node.air.set([NETWORK])

    async def provision() -> None:
        device, _ = await found(lambda data: SERVICE_UUID in data.service_uuids)
        client = ImprovBLEClient(device)
        assert await client.need_authorization()
        with pytest.raises(ProvisioningFailed) as refused:
            await client.provision(NETWORK.ssid, NETWORK.password, None)
        assert refused.value.error == Error.NOT_AUTHORIZED
        authorised = asyncio.Event()
        await client.subscribe_state_updates(
            lambda state: authorised.set() if state == State.AUTHORIZED else None
        )
        kit.node.press()
        async with asyncio.timeout(PATIENCE_S):
            await authorised.wait()
        assert (await client.get_device_info()).firmware_name == b"Vitalwire"
        assert [network[0] for network in (await client.scan_wifi()).networks] == [NETWORK.ssid.encode()]
        with pytest.raises(ProvisioningFailed) as refused:
            await client.provision(NETWORK.ssid, "wrong horse", None)
        assert refused.value.error == Error.UNABLE_TO_CONNECT
        states: list[State] = []
        await client.provision(NETWORK.ssid, NETWORK.password, states.append)
        assert State.PROVISIONING in states and states[-1] == State.PROVISIONED
        # The client has no other way to leave.
        kit.chip.cut()

    on_air(radio, provision())

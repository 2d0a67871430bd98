"""Links over Bluetooth without any: whom the agent connects to, and what it says of an adapter."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakError,
)
from click.testing import CliRunner

from edge_agent import config
from edge_agent.backoff import Backoff
from edge_agent.cli.devices import devices_group
from edge_agent.config import BleConfig
from edge_agent.links.ble import FRESH_S, MAX_HEARD, BleLinks
from edge_agent.links.ble_absent import NoBle
from edge_agent.links.ble_link import CLAIM_S, PROVE_S, SERVICE, BleLink
from edge_agent.links.ble_trouble import explained
from edge_agent.nodes.wanted import SILENT_MS, Wanted
from edge_agent.ops import doctor_machine
from edge_agent.ops.doctor import BAD

MINE, OTHERS = b"mine0000", b"others00"


class Nodes:
    """`ids`, `alive`, `asked`: what the agent knows of which node."""

    def __init__(self) -> None:
        self.ids = {MINE}
        self.alive: set[bytes] = set()
        self.asked: set[bytes] = set()

    def paired(self) -> set[bytes]:
        return self.ids

    def live(self, node: bytes) -> bool:
        return node in self.alive

    def claimed(self, node: bytes) -> bool:
        return node in self.asked


def pool(nodes: Nodes, claim: bool = True) -> BleLinks:
    return BleLinks(
        BleConfig(claim=claim), nodes, lambda name: pytest.fail("nobody is connected to"),
        lambda: Backoff(uniform=lambda low, high: high),
    )  # fmt: skip


def say(links: BleLinks, said: bytes, at: str = "C4:00:00:00:00:01") -> None:
    adv = AdvertisementData(None, {}, {SERVICE: said}, [], None, -50, ())
    links._advertised(BLEDevice(at, None, {}), adv)


def test_a_paired_node_is_wanted_until_it_lives_somewhere() -> None:
    nodes = Nodes()
    links = pool(nodes)
    say(links, MINE + b"\0")
    assert links._found.is_set() and links._due() == MINE
    nodes.alive.add(MINE)
    assert links._due() is None


def test_a_node_that_is_nobodys_is_wanted_once_somebody_asks_for_it() -> None:
    nodes = Nodes()
    links, careful = pool(nodes), pool(nodes, claim=False)
    for each in (links, careful):
        say(each, OTHERS + b"\1")
    assert links._due() is None and links.summary()["unclaimed"] == [OTHERS.hex()]
    nodes.asked.add(OTHERS)
    assert links._due() == OTHERS and careful._due() is None


def test_after_a_failure_it_waits() -> None:
    links = pool(Nodes())
    links._backoff(MINE).failed()
    say(links, MINE + b"\0")
    assert not links._found.is_set() and links._due() is None


def test_what_was_heard_long_ago_is_gone() -> None:
    links = pool(Nodes())
    say(links, MINE + b"\0")
    links.heard[MINE] = links.heard[MINE]._replace(at_s=time.monotonic() - FRESH_S - 1)
    assert links._due() is None


@pytest.mark.parametrize("said", [b"", MINE, b"short"])
def test_advertisements_that_are_none_are_left_out(said: bytes) -> None:
    links = pool(Nodes())
    say(links, said)
    assert not links.heard


def test_those_who_shout_many_ids_fill_nothing() -> None:
    links = pool(Nodes())
    for n in range(3 * MAX_HEARD):
        say(links, n.to_bytes(8, "big") + b"\1")
    assert len(links.heard) == MAX_HEARD


def test_those_who_shout_many_ids_push_out_no_node_of_ours() -> None:
    links = pool(Nodes())
    say(links, MINE + b"\0")
    for n in range(3 * MAX_HEARD):
        say(links, n.to_bytes(8, "big") + b"\1")
    assert links._due() == MINE and len(links.heard) == MAX_HEARD


@pytest.mark.parametrize("patience_s", [PROVE_S, CLAIM_S])
def test_whoever_says_that_he_is_a_node_has_its_time_to_prove_it(patience_s: float) -> None:
    said = []
    owner = SimpleNamespace(
        node=None, session_state="waiting", opened=said.append, received=lambda *heard: said.append(heard)
    )
    link = BleLink(BLEDevice("C4:00:00:00:00:01", None, {}), patience_s)
    link.begin(owner)  # type: ignore[arg-type]
    began = link._began
    for seconds in range(0, int(patience_s) + 1, 10):
        link._heard_at = began + seconds
        link.look(began + seconds)
        assert not link.over.is_set()
    link.look(began + patience_s + 0.1)
    assert link.over.is_set() and f"within {patience_s:g} s" in str(link.why)


def test_a_node_that_says_nothing_on_its_link_does_not_live() -> None:
    now_ms = 1_000_000_000
    view = SimpleNamespace(heard_ms=now_ms, live_ms=now_ms - 60_000)
    hub = SimpleNamespace(live={MINE: object()}, views={MINE: view}, unix_us=lambda: now_ms * 1000)
    wanted = Wanted(hub, None)  # type: ignore[arg-type]
    assert wanted.live(MINE) and not wanted.live(OTHERS)
    view.heard_ms -= SILENT_MS
    assert not wanted.live(MINE)


REASONS = BleakBluetoothNotAvailableReason


@pytest.mark.parametrize(
    ("error", "condition", "hint"),
    [
        (BleakBluetoothNotAvailableError("", REASONS.NO_BLUETOOTH), "missing", "bluetoothctl list"),
        (BleakBluetoothNotAvailableError("", REASONS.POWERED_OFF), "off", "rfkill unblock"),
        (BleakBluetoothNotAvailableError("", REASONS.DENIED_BY_SYSTEM), "denied", "group bluetooth"),
        (BleakDBusError("org.freedesktop.DBus.Error.AccessDenied", []), "denied", "group bluetooth"),
        (BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", []), "missing", "systemctl"),
        (BleakDBusError("org.bluez.Error.Failed", ["x"]), "failed", "journalctl"),
        (FileNotFoundError(2, "No such file"), "missing", "install bluez"),
        (PermissionError(13, "denied"), "denied", "group bluetooth"),
        (BleakError("adapter 'hci7' not found"), "missing", "bluetoothctl list"),
        (TimeoutError(), "failed", "journalctl"),
    ],
)
def test_what_is_wrong_with_an_adapter_is_said(error: Exception, condition: str, hint: str) -> None:
    why = explained(error, "hci7")
    assert why.condition == condition and hint in why.hint and "bluetooth hci7" in str(why)


def test_the_doctor_listens_for_a_moment(tmp_path) -> None:
    text = '[ble]\nadapter = "hci77"\n'
    patient = SimpleNamespace(config=config.parse(text, tmp_path / "agent.toml"))
    (found,) = doctor_machine.bluetooth(patient)  # type: ignore[arg-type]
    assert found[0] == BAD and "bluetooth hci77 cannot be used" in found[1] and found[2]
    assert not list(doctor_machine.bluetooth(SimpleNamespace(config=config.parse("", tmp_path / "a.toml"))))


def test_without_bleak_the_agent_goes_on_and_says_what_is_missing() -> None:
    absent = NoBle(BleConfig(), "bleak")
    assert "[ble]" in absent.problem and "pip install" in absent.problem
    assert absent.summary()["problem"] == absent.problem

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await absent.run()
        await absent.stop()

    asyncio.run(run())


def test_what_the_configuration_says(tmp_path) -> None:
    def parsed(text: str) -> BleConfig | None:
        return config.parse(text, tmp_path / "agent.toml").ble

    assert parsed("") is None and parsed("[ble]\nenabled = false\n") is None
    assert parsed("[ble]\n") == BleConfig(None, True, 5)
    assert parsed('[ble]\nadapter = "hci1"\nclaim = false\nmax_connections = 3\n') == BleConfig(
        "hci1", False, 3
    )


def test_a_search_for_devices_says_what_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def discover(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("bleak.BleakScanner.discover", discover)
    done = CliRunner().invoke(devices_group, ["scan", "--seconds", "1"])
    assert done.exit_code == 1 and "apt install bluez" in done.output

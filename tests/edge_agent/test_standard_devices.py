"""Off-the-shelf devices, over a real link layer, to frames that the agent made on their behalf."""

import time
from contextlib import closing
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner

from edge_agent.cli.people_asking import Book
from edge_agent.standard import characteristics as c
from edge_agent.standard import racp, sfloat
from edge_agent.standard.devices import Device, Devices, DevicesError
from edge_agent.store.database import open_file
from edge_agent.store.rows import journal_rows
from protocol import attest, cbor, frames
from tests.edge_agent.running import Running, wait_until
from tests.edge_agent.standard_device import StandardDevice
from tools.cli import main

ADDRESS = "D0:00:00:00:00:01"
CUFF, STRAP, SPOT, OXIMETER = 0x2A35, 0x2A37, 0x2A5E, 0x2A5F


def number(value, decimals=0):
    return sfloat.encoded(value, decimals).to_bytes(2, "little")


def pressure(sys=121, dia=79, mean=93, at=None, user=None, status=0):
    flags = 0x10 | (2 if at else 0) | (8 if user is not None else 0)
    value = bytes([flags]) + number(sys) + number(dia)
    value += sfloat.NAN.to_bytes(2, "little") if mean is None else number(mean)
    value += c.date_time(at) if at else b""
    value += b"" if user is None else bytes([user])
    return value + status.to_bytes(2, "little")


def spot(at, spo2=97):
    return bytes([1]) + number(spo2) + number(61) + c.date_time(at)


def told(kit, kind, node=None):
    """[(boot, t_us, body)] of the frames of that kind that are in the store."""
    with closing(open_file(kit.folder / "agent.db")) as db:
        rows = [row for row in journal_rows(db, 0, 1 << 40) if row.boot and node in (None, row.node)]
    unpacked = [(row.boot, *cbor.loads(row.data)) for row in rows]
    return [(boot, t_us, body) for boot, its, t_us, body in unpacked if its == kind]


def added(kit, name="cuff", **more):
    devices = Devices(kit.folder)
    devices.add(Device(ADDRESS, name, **more))
    return devices


def heard(kit, n):
    return lambda: kit.status["devices"][0]["values"] >= n


def test_a_pressure_becomes_a_frame_that_the_agent_made_for_the_device(radio, kit):
    added(kit)
    with StandardDevice(radio, ADDRESS, CUFF) as cuff, Running(kit.config()):
        wait_until(lambda: cuff.subscribed(CUFF), "the agent listens")
        cuff.measure(CUFF, pressure(status=c.IRREGULAR))
        cuff.measure(CUFF, pressure(sys=140, dia=92, mean=None))
        wait_until(heard(kit, 2), "both are heard")
        cuff.leave()
        wait_until(lambda: len(told(kit, frames.KIND_ATTEST)) >= 1, "the boot is signed")
    (boot, _, about), *_ = told(kit, frames.KIND_BOOT)
    assert about[frames.BOOT_READ_BY] == kit.identity.id
    assert about[frames.BOOT_BOARD] == "cuff" and about[frames.BOOT_FIRMWARE] == "1.7"
    (first_boot, first_us, first), (_, _, second) = told(kit, frames.KIND_BP)
    assert first_boot == boot and abs(first_us / 1e6 - time.time()) < 300
    assert [first[key] for key in (frames.BP_SYSTOLIC, frames.BP_DIASTOLIC, frames.BP_MEAN)] == [
        1210,
        790,
        930,
    ]
    assert first[frames.SOURCE] == frames.SRC_DEVICE and first[frames.BP_REASON] == frames.REASON_DEVICE
    assert first[frames.BP_FLAGS] == frames.BP_PULSE_IRREGULAR
    assert second[frames.BP_MEAN] == 1080 and second[frames.BP_FLAGS] == frames.BP_MEAN_RECKONED
    assert (first[frames.BP_NUMBER], second[frames.BP_NUMBER]) == (1, 2)
    book = kit.ledger
    assert book.balanced and book.totals["produced"] == book.totals["delivered"] + book.totals["pending"] >= 4


def test_each_user_of_a_monitor_is_a_node_of_its_own(radio, kit):
    devices = added(kit)
    with StandardDevice(radio, ADDRESS, CUFF) as cuff, Running(kit.config()):
        wait_until(lambda: cuff.subscribed(CUFF), "the agent listens")
        for user in (1, 2, 1):
            cuff.measure(CUFF, pressure(sys=110 + user, user=user))
        wait_until(heard(kit, 3), "all are heard")
    nodes = devices.nodes(Device(ADDRESS, "cuff"))
    assert set(nodes) == {1, 2} and len(set(nodes.values())) == 2
    assert [body[frames.BP_SYSTOLIC] for _, _, body in told(kit, frames.KIND_BP, nodes[1])] == [1110, 1110]
    assert [body[frames.BP_SYSTOLIC] for _, _, body in told(kit, frames.KIND_BP, nodes[2])] == [1120]


def test_heart_rate_and_continuous_oximetry_are_vitals(radio, kit):
    added(kit, "bedside")
    with StandardDevice(radio, ADDRESS, STRAP, OXIMETER) as device, Running(kit.config()):
        wait_until(lambda: device.subscribed(STRAP) and device.subscribed(OXIMETER), "the agent listens")
        device.measure(STRAP, bytes.fromhex("16 48 00 04"))
        device.measure(OXIMETER, bytes([0]) + number(965, 1) + number(71))
        device.measure(OXIMETER, b"\x1f\x01")
        wait_until(lambda: kit.status["devices"][0]["refused"] == 1, "what is malformed is counted")
        wait_until(heard(kit, 2), "both are heard")
    vitals = [body for _, _, body in told(kit, frames.KIND_VITALS)]
    assert vitals[0] == {1: 720, 2: [1000], 15: frames.SRC_DEVICE}
    assert vitals[1] == {3: 965, 4: 710, 16: frames.SRC_DEVICE}


def test_stored_spot_checks_come_once_dated_by_the_devices_clock(radio, kit):
    added(kit, "finger", forget=True)
    now = datetime.now().replace(microsecond=0)
    wrong = timedelta(hours=5)
    with StandardDevice(radio, ADDRESS, SPOT) as finger:
        pass
    finger.clock = c.date_time(now + wrong)
    finger.stored = [spot(now + wrong - timedelta(hours=hours), 90 + hours) for hours in (3, 2, 1)]
    again = list(finger.stored)
    with finger:
        with Running(kit.config()):
            wait_until(lambda: finger.deleted == 3, "they are deleted once they are durable")
            assert finger.requests == [racp.REPORT_ALL, racp.DELETE_ALL]
        found = told(kit, frames.KIND_VITALS)
        assert [body[frames.VITALS_SPO2] for _, _, body in found] == [930, 920, 910]
        for (_, t_us, _), hours in zip(found, (3, 2, 1), strict=True):
            assert abs(t_us / 1e6 - (now - timedelta(hours=hours)).timestamp()) < 60
        finger.stored = again
        finger.requests.clear()
        with Running(kit.config()):
            wait_until(lambda: kit.status["devices"][0]["repeated"] == 3, "known ones are known")
        assert len(told(kit, frames.KIND_VITALS)) == 3


def test_its_frames_are_attested_and_a_second_run_is_another_boot(radio, kit):
    devices = added(kit)
    for n in (1, 2):
        with StandardDevice(radio, ADDRESS, CUFF) as cuff, Running(kit.config()):
            wait_until(lambda cuff=cuff: cuff.subscribed(CUFF), "the agent listens")
            cuff.measure(CUFF, pressure())
            wait_until(heard(kit, 1), "it is heard")
            cuff.leave()
            wait_until(lambda n=n: len(told(kit, frames.KIND_ATTEST)) == n, "the boot is signed")
    boots = [boot for boot, _, _ in told(kit, frames.KIND_BOOT)]
    assert [int.from_bytes(boot[:4], "big") for boot in boots] == [1, 2]
    identity = devices.identity(Device(ADDRESS, "cuff"), None)
    for boot, _, body in told(kit, frames.KIND_ATTEST):
        kinds = (frames.KIND_BOOT, frames.KIND_BP)
        signed = [
            frames.pack(kind, t_us, frame)
            for kind in kinds
            for its, t_us, frame in told(kit, kind)
            if its == boot
        ]
        assert attest.verify(identity.id, identity.ed_pub, boot, body, signed)
    assert kit.ledger.balanced and not kit.ledger.totals["lost_at_reset"]


def test_a_device_that_is_not_in_the_list_is_not_connected_to(radio, kit):
    with StandardDevice(radio, ADDRESS, CUFF) as cuff, Running(kit.config()):
        wait_until(lambda: kit.status["devices"] == [], "the agent runs")
        assert not cuff.subscribed(CUFF)
        added(kit)
        wait_until(lambda: cuff.subscribed(CUFF), "one that is added is read at once")
        Devices(kit.folder).remove(ADDRESS)
        wait_until(lambda: not cuff.subscribed(CUFF), "one that is removed is let go")


def test_what_the_list_takes(tmp_path):
    devices = Devices(tmp_path)
    for address, name in (("A4:C1", "cuff"), (ADDRESS, ""), (ADDRESS, "a\nb"), (ADDRESS, "x" * 49)):
        with pytest.raises(DevicesError):
            devices.add(Device(address, name))
    assert devices.all() == () and devices.add(Device(ADDRESS, "cuff"))
    assert not devices.add(Device(ADDRESS, "cuff")) and devices.add(Device(ADDRESS, "Dad's cuff"))
    assert devices.all() == (Device(ADDRESS, "Dad's cuff"),)
    (tmp_path / "devices.json").write_text('{"version": 1, "devices": [{"address": "no"}]}')
    with pytest.raises(DevicesError, match="damaged"):
        devices.all()


def test_a_device_is_shown_and_assigned_like_a_node(radio, kit):
    devices = added(kit)
    node = devices.identity(Device(ADDRESS, "cuff"), None).id
    with StandardDevice(radio, ADDRESS, CUFF) as cuff, Running(kit.config()):
        wait_until(lambda: cuff.subscribed(CUFF), "the agent listens")
        cuff.measure(CUFF, pressure())

        def shown():
            return [one for one in kit.status["nodes"] if one["node"] == node.hex() and one["live"]]

        (about,) = wait_until(lambda: [one for one in shown() if one["blood_pressure"]], "it is shown")
        assert about["paired"] and about["link"] == "cuff" and about["blood_pressure"]["systolic_mmhg"] == 121
    assert Book(kit.config()).node(node.hex()[:6]) == node


def test_the_commands(tmp_path):
    config = tmp_path / "agent.toml"
    config.write_text('[agent]\nstate_dir = "state"\n')

    def run(*words):
        return CliRunner().invoke(main, ["devices", *words, "--config", str(config)])

    assert "vitalwire devices scan" in run("list").output
    done = run("add", ADDRESS.lower(), "--name", "Dad's cuff")
    assert done.exit_code == 0 and ADDRESS in done.output, done.output
    assert "Dad's cuff" in run("list").output and '"address"' in run("list", "--json").output
    assert run("add", "nonsense", "--name", "x").exit_code == 1
    assert run("remove", ADDRESS).exit_code == 0 and run("remove", ADDRESS).exit_code == 1


def test_what_can_be_proved_of_a_reading_is_what_the_agent_heard(radio, kit, tmp_path):
    devices = added(kit)
    node = devices.identity(Device(ADDRESS, "cuff"), None).id.hex()
    with StandardDevice(radio, ADDRESS, CUFF) as cuff, Running(kit.config()):
        wait_until(lambda: cuff.subscribed(CUFF), "the agent listens")
        cuff.measure(CUFF, pressure())
        wait_until(heard(kit, 1), "it is heard")
        cuff.leave()
        wait_until(lambda: told(kit, frames.KIND_ATTEST), "the boot is signed")
    config = tmp_path / "agent.toml"
    config.write_text(f'[agent]\nstate_dir = "{kit.folder}"\n')
    out = tmp_path / "proof.cbor"
    words = ["prove", "--node", node, "--boot", "1", "--seq", "1", "--out", str(out)]
    done = CliRunner().invoke(main, [*words, "--config", str(config)])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(main, done.output.split("vitalwire ", 1)[1].split())
    assert done.exit_code == 0, done.output
    assert f"agent {kit.identity.id.hex()} made, for the device that it knows as node {node}" in done.output
    assert "that the device is genuine, or said so (it signs nothing itself)" in done.output

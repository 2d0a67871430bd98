"""The doctor: each check finds what it is for, says how to mend it, and changes nothing."""

import json
import os
import socket
import time
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edge_agent import config as configuration
from edge_agent.cli.doctor import doctor_command
from edge_agent.custody import clones
from edge_agent.custody.heads import Begin
from edge_agent.keys import PublicKeys, create, write_public
from edge_agent.lock import hold
from edge_agent.ops import doctor_disk, doctor_machine, machine, status
from edge_agent.ops.doctor import BAD, GOOD, WARN, Patient, all_checks, examine
from edge_agent.store.chain import Cited
from edge_agent.store.opening import open_store
from tests.edge_agent.fakes import identity
from tests.edge_agent.running import Kit, free_port


@pytest.fixture
def kit(tmp_path):
    found = Kit(tmp_path)
    tmp_path.chmod(0o700)
    return found


def patient(kit: Kit, more: str = "", running: int | None = None) -> Patient:
    path = kit.folder / "agent.toml"
    path.write_text(f'[agent]\nstate_dir = "{kit.folder}"\n{more}')
    return Patient(configuration.load(path), running=running)


def found(who: Patient, check: str) -> list[tuple[str, str]]:
    """(state, what) of one check; whatever is not good comes with what to do."""
    out = []
    for _, state, what, remedy in examine(who, {check: all_checks()[check]}):
        assert bool(remedy) == (state != GOOD), what
        assert "could not be checked" not in what, what
        out.append((state, what))
    return out


def has(findings: list[tuple[str, str]], state: str, words: str) -> bool:
    return any(one == state and words in what for one, what in findings)


def test_a_good_machine(kit, monkeypatch):
    monkeypatch.setattr(machine, "clock_synchronised", lambda: True)
    monkeypatch.setattr(machine, "mount_of", lambda path: machine.Mount("/", "ext4", "rw"))
    monkeypatch.setattr(machine, "fsync_ms", lambda path: [2.0] * 20)
    who = patient(kit, '[store]\nquota_mib = 10\n[[links]]\nport = "socket://127.0.0.1:1"\n')
    bad = [one for one in examine(who, all_checks()) if one.state == BAD]
    assert not bad


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [("PYTHON", (4, 0), "Python"), ("SQLITE", (9, 0, 0), "too old")],
)
def test_programs(kit, monkeypatch, attribute, value, words):
    assert all(state == GOOD for state, _ in found(patient(kit), "programs"))
    monkeypatch.setattr(doctor_machine, attribute, value)
    assert has(found(patient(kit), "programs"), BAD, words)


def test_configuration(kit):
    assert found(patient(kit), "configuration")[0][0] == GOOD
    assert has(found(patient(kit, '[tcp]\nlisten = "0.0.0.0:7117"\n'), "configuration"), WARN, "open to its")


def test_clock(kit, monkeypatch):
    for kept, state in ((True, GOOD), (False, WARN), (None, WARN)):
        monkeypatch.setattr(machine, "clock_synchronised", lambda kept=kept: kept)
        assert found(patient(kit), "clock")[0][0] == state
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert found(patient(kit), "clock")[0][0] == BAD


def test_who_else_runs(kit):
    lock = kit.folder / "agent.lock"
    assert doctor_machine.holder(lock) is None and not lock.exists()
    with closing(hold(lock)):
        assert doctor_machine.holder(lock) == os.getpid()
    assert doctor_machine.holder(lock) is None
    assert lock.read_text().strip() == str(os.getpid())
    assert found(patient(kit), "agent")[0][0] == GOOD
    assert has(found(patient(kit, running=7), "agent"), BAD, "says nothing")
    status.write(kit.folder / "status.json", {"state": "running", "written_ms": time.time_ns() // 10**6})
    assert found(patient(kit, running=7), "agent")[0][0] == GOOD


def test_ports(kit, monkeypatch):
    def port(name: str, running: int | None = None) -> list[tuple[str, str]]:
        return found(patient(kit, f'[[links]]\nport = "{name}"\n', running), "ports")

    monkeypatch.setattr(doctor_machine, "plugged_in", list)
    assert has(port("auto"), WARN, "plugged in")
    assert has(port("/dev/ttyNONE"), BAD, "not there")
    assert found(patient(kit, '[tcp]\nlisten = "127.0.0.1:7117"\n'), "ports")[0][0] == GOOD
    device = kit.folder / "tty"
    device.touch()
    assert port(str(device))[0][0] == GOOD
    with device.open():
        assert has(port(str(device)), BAD, f"process {os.getpid()}")
        assert has(port(str(device), os.getpid()), GOOD, "by the agent")
    ours, theirs = os.openpty()
    assert has(port(os.ttyname(theirs)), GOOD, f"pseudo-terminal of process {os.getpid()}")
    os.close(ours), os.close(theirs)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert has(port(str(device)), BAD, "may not be opened")


def test_listeners(kit):
    port = free_port()
    text = f'[tcp]\nlisten = "127.0.0.1:{port}"\n[ops]\nmetrics = "127.0.0.1:{port}"\n'
    assert [state for state, _ in found(patient(kit, text), "listeners")] == [GOOD, GOOD]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen(1)
        assert [state for state, _ in found(patient(kit, text), "listeners")] == [BAD, BAD]
        assert found(patient(kit, text, running=1), "listeners") == []


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"LoadState": "not-found"}, WARN),
        ({"LoadState": "loaded", "ActiveState": "active", "Result": "success", "NRestarts": "0"}, GOOD),
        ({"LoadState": "loaded", "ActiveState": "failed", "Result": "exit-code", "NRestarts": "4"}, BAD),
        ({"LoadState": "loaded", "ActiveState": "activating", "Result": "exit-code", "NRestarts": "2"}, BAD),
        ({"LoadState": "loaded", "ActiveState": "active", "Result": "watchdog", "NRestarts": "1"}, WARN),
        ({"LoadState": "loaded", "ActiveState": "inactive", "Result": "success", "NRestarts": "0"}, WARN),
    ],
)
def test_the_unit(told, state):
    assert [one for one, *_ in doctor_machine.judge_unit(told)] == [state]


def test_a_unit_that_changed_since():
    told = {"LoadState": "loaded", "ActiveState": "active", "NeedDaemonReload": "yes"}
    assert [one for one, *_ in doctor_machine.judge_unit(told)] == [WARN, GOOD]


def test_the_folder(kit, monkeypatch):
    assert found(patient(kit), "folder")[0][0] == GOOD
    kit.folder.chmod(0o755)
    assert has(found(patient(kit), "folder"), WARN, "open to others")
    assert has(found(patient(kit, "[store]\nmin_free_mib = 16000000\n"), "folder"), BAD, "min_free_mib")
    who = patient(kit)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert has(found(who, "folder"), BAD, "not this user's")
    gone = Patient(configuration.parse('[agent]\nstate_dir = "/nowhere/at/all"\n', kit.folder / "x.toml"))
    assert has(found(gone, "folder"), BAD, "cannot be made")
    file = kit.folder / "file"
    file.touch()
    inside = Patient(configuration.parse(f'[agent]\nstate_dir = "{file}"\n', kit.folder / "x.toml"))
    assert has(found(inside, "folder"), BAD, "no folder")


@pytest.mark.parametrize(
    ("kind", "options", "state"),
    [
        ("ext4", "rw", GOOD),
        ("tmpfs", "rw", WARN),
        ("overlay", "rw", WARN),
        ("ext4", "rw,nobarrier", WARN),
        ("nfs4", "rw", BAD),
    ],
)
def test_the_disk(kit, monkeypatch, kind, options, state):
    monkeypatch.setattr(machine, "mount_of", lambda path: machine.Mount("/", kind, options))
    monkeypatch.setattr(machine, "fsync_ms", lambda path: [2.0] * 20)
    assert found(patient(kit), "disk")[0][0] == state


@pytest.mark.parametrize(("took_ms", "state"), [(0.01, WARN), (5.0, GOOD), (40.0, WARN), (900.0, BAD)])
def test_the_disk_is_timed(kit, monkeypatch, took_ms, state):
    monkeypatch.setattr(machine, "mount_of", lambda path: None)
    monkeypatch.setattr(machine, "fsync_ms", lambda path: [took_ms] * 20)
    assert [one for one, _ in found(patient(kit), "disk")] == [state]


def test_fsync_is_measured_and_leaves_nothing(kit):
    before = sorted(kit.folder.iterdir())
    took = machine.fsync_ms(kit.folder, 5)
    assert len(took) == 5 and took == sorted(took) and took[0] > 0
    assert sorted(kit.folder.iterdir()) == before


def test_a_write_that_fails(kit, monkeypatch):
    def failing(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(machine, "mount_of", lambda path: None)
    monkeypatch.setattr(machine, "fsync_ms", failing)
    assert has(found(patient(kit), "disk"), BAD, "Input/output")


def test_mounts_are_read_as_the_kernel_writes_them(tmp_path):
    table = tmp_path / "mounts"
    inner = tmp_path / "a b" / "state"
    point = str(tmp_path / "a b").replace(" ", "\\040")
    table.write_text(f"/dev/sda / ext4 rw 0 0\ntmpfs {point} tmpfs rw,size=1 0 0\nshort\n")
    inner.mkdir(parents=True)
    mount = machine.mount_of(inner / "not" / "there", table)
    assert mount is not None and mount.kind == "tmpfs" and "size=1" in mount.options
    root = machine.mount_of(tmp_path, table)
    assert root is not None and root.kind == "ext4"
    assert machine.mount_of(inner, tmp_path / "none") is None


def test_secrets(kit):
    assert found(patient(kit), "secrets")[0][0] == GOOD
    (kit.folder / "agent.key").chmod(0o644)
    assert has(found(patient(kit), "secrets"), BAD, "others may read it")
    (kit.folder / "agent.key").chmod(0o600)
    write_public(kit.folder / "c.pub", "collector", PublicKeys(*identity(41).public()))
    mqtt = '[collector]\npublic = "c.pub"\n[mqtt]\nurl = "mqtt://127.0.0.1"\n'
    mqtt += 'username = "u"\npassword_file = "pw"\n'
    assert has(found(patient(kit, mqtt), "secrets"), BAD, "No such file")
    (kit.folder / "pw").touch(0o600)
    assert has(found(patient(kit, mqtt), "secrets"), BAD, "is empty")
    (kit.folder / "pw").write_text("hunter2")
    (kit.folder / "pw").chmod(0o644)
    findings = found(patient(kit, mqtt), "secrets")
    assert has(findings, BAD, "others may read") and "hunter2" not in str(findings)
    (kit.folder / "pw").chmod(0o600)
    assert all(state == GOOD for state, _ in found(patient(kit, mqtt), "secrets"))
    (kit.folder / "store.key").touch(0o644)
    (kit.folder / "store.key").write_text("00" * 32)
    told = list(examine(patient(kit), {"secrets": doctor_disk.secrets}))
    assert any(one.state == BAD and one.remedy == f"chmod 600 {kit.folder / 'store.key'}" for one in told)
    (kit.folder / "store.key").unlink()
    (kit.folder / "c.pub").write_text("no key")
    assert has(found(patient(kit, mqtt), "secrets"), BAD, "[collector] public")


def test_who_is_trusted(kit):
    assert [state for state, _ in found(patient(kit), "trusted")] == [GOOD] * 3
    (kit.folder / "operators").mkdir()
    create(kit.folder / "operators" / "ward.key", "operator")
    assert has(found(patient(kit), "trusted"), GOOD, "1 operator is")
    (kit.folder / "operators" / "night.pub").write_text("no key")
    assert has(found(patient(kit), "trusted"), WARN, "night.pub")
    (kit.folder / "authorities").mkdir()
    (kit.folder / "authorities" / "authorities.toml").write_text("[[[")
    assert has(found(patient(kit), "trusted"), WARN, "authorities.toml")
    (kit.folder / "peers.json").write_text("{")
    assert has(found(patient(kit), "trusted"), BAD, "peers.json")


def test_the_store(kit, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert found(patient(kit), "store")[0][0] == GOOD
    store, _ = open_store(kit.folder / "agent.db", kit.identity.id, 1)
    store.close()
    findings = found(patient(kit), "store")
    assert findings[0][0] == GOOD and has(findings, WARN, "no limit")
    assert not has(found(patient(kit, "[store]\nretention_days = 9\n"), "store"), WARN, "no limit")
    assert has(found(patient(kit, "[store]\nquota_mib = 16000000\n"), "store"), WARN, "more than its disk")
    assert has(found(patient(kit, '[store]\ncredential = "c"\n'), "store"), WARN, "not opened")
    assert not has(found(patient(kit), "store"), BAD, "CLONE")
    store, _ = open_store(kit.folder / "agent.db", kit.identity.id, 1)
    begin = Begin(Cited(bytes(8), 3, bytes(32)), "why", "store_behind_collector")
    clones.judged(store, begin, 1_790_000_000_000)
    store.close()
    assert has(found(patient(kit), "store"), BAD, "CLONE, seen 1 time, last 2026-09-21")
    (kit.folder / "store.key").write_text("0" * 64 + "\n")
    assert has(found(patient(kit), "store"), BAD, "key")
    (kit.folder / "store.key").unlink()
    assert has(found(patient(kit), "store"), BAD, "gone")


def test_a_quota_of_hours(kit):
    path = kit.folder / "agent.db"
    path.write_bytes(bytes(100 << 20))
    who = patient(kit, "[store]\nquota_mib = 100\n")
    told = list(doctor_disk._limits(who, path, (0, 4 * doctor_disk.DAY_MS)))
    assert not any("days of what comes" in what for _, what, _ in told)
    told = list(doctor_disk._limits(who, path, (0, 2 * doctor_disk.DAY_MS)))
    assert any(state == WARN and "2.0 days of what comes" in what for state, what, _ in told)


def test_a_damaged_store(kit):
    store, _ = open_store(kit.folder / "agent.db", kit.identity.id, 1)
    store.close()
    with (kit.folder / "agent.db").open("r+b") as file:
        file.seek(200)
        file.write(b"junk" * 100)
    assert found(patient(kit), "store")[0][0] == BAD


def test_the_whole_command(kit, monkeypatch):
    group = click.Group("vitalwire", commands=[doctor_command])
    path = kit.folder / "agent.toml"
    path.write_text(f'[agent]\nstate_dir = "{kit.folder}"\n[[links]]\nport = "/dev/ttyNONE"\n')
    before = {one: one.stat().st_mtime_ns for one in kit.folder.iterdir()}
    result = CliRunner().invoke(group, ["doctor", "--config", str(path)])
    assert result.exit_code == 1 and "✗ ports" in result.output and "→ plug it in" in result.output
    assert {one: one.stat().st_mtime_ns for one in kit.folder.iterdir()} == before
    raw = json.loads(CliRunner().invoke(group, ["doctor", "--config", str(path), "--json"]).output)
    assert {one["check"] for one in raw} >= {"programs", "clock", "folder", "disk", "store", "ports"}
    path.write_text("[agnt]\n")
    broken = CliRunner().invoke(group, ["doctor", "--config", str(path)])
    assert broken.exit_code == 1 and "did you mean 'agent'" in broken.output
    assert Path(path).exists()


def test_a_check_that_fails_itself_is_a_finding(kit):
    def failing(who):
        raise RuntimeError("no idea")

    (one,) = examine(patient(kit), {"x": failing})
    assert one.state == WARN and "no idea" in one.what and one.remedy

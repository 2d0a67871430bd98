"""systemd hears what it should, and no beat while nothing gets done; the unit is one that systemd takes."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_agent import config
from edge_agent.cli.service import service_group
from edge_agent.ops import systemd
from edge_agent.ops.heart import STUCK_S, Heart
from edge_agent.ops.measures import LAG_BUCKETS, Durations
from edge_agent.ops.notify import Notifier
from tests.edge_agent.running import PATIENCE_S, wait_until


class Manager:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(PATIENCE_S)

    def heard(self) -> list[str]:
        """All states that have come."""
        found: list[str] = []
        self.socket.setblocking(False)
        try:
            while True:
                found += self.socket.recv(4096).decode().split("\n")
        except BlockingIOError:
            return found


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path):
    name = str(tmp_path / "notify") if request.param == "file" else f"\0vitalwire-test-{os.getpid()}"
    found = Manager(name)
    found.address = name.replace("\0", "@")
    yield found
    found.socket.close()


def test_states_go_out_as_one_datagram(manager):
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    assert notifier.send("READY=1", "STATUS=a line")
    assert manager.socket.recv(4096) == b"READY=1\nSTATUS=a line"
    notifier.close()
    assert not notifier.send("READY=1")


def test_nobody_listens():
    assert not Notifier({}).send("READY=1")
    gone = Notifier({"NOTIFY_SOCKET": "/nowhere/notify"})
    assert not gone.send("READY=1")
    gone.close()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_how_often_the_watchdog_wants_to_hear(environment, seconds):
    assert Notifier(environment).watchdog_s == seconds


class Body:
    """An agent that opens its store, and whose store's thread can be held; `caught`: it is."""

    def __init__(self) -> None:
        self.working = False
        self.free, self.caught = threading.Event(), threading.Event()
        self.free.set()

    async def probe(self) -> None:
        await asyncio.to_thread(self._work)

    def _work(self) -> None:
        if not self.free.is_set():
            self.caught.set()
        self.free.wait()


def test_no_beat_while_a_commit_does_not_return(tmp_path):
    manager = Manager(str(tmp_path / "n"))
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "40000"})
    body = Body()

    async def heard(state: str) -> list[str]:
        """All that has come when this has."""
        found = manager.heard()
        async with asyncio.timeout(PATIENCE_S):
            while state not in found:
                await asyncio.sleep(0.005)
                found += manager.heard()
        return found

    async def live() -> None:
        heart = Heart(notifier, Durations(LAG_BUCKETS))
        heart.body = body
        task = asyncio.create_task(heart.run())
        assert "READY=1" not in await heard("WATCHDOG=1"), "it opens its store"
        body.working = True
        await heard("READY=1")
        await heard("WATCHDOG=1")
        body.free.clear()
        async with asyncio.timeout(PATIENCE_S):
            while not body.caught.is_set():
                await asyncio.sleep(0.005)
        manager.heard()
        await asyncio.sleep(0.2)
        assert manager.heard() == []
        heart.beat_s -= STUCK_S
        assert heart.stuck_s() is not None
        body.free.set()
        assert "READY=1" not in await heard("WATCHDOG=1")
        assert heart.stuck_s() is None
        task.cancel()

    async def freed() -> None:
        # Else the loop would wait for its thread.
        try:
            await live()
        finally:
            body.free.set()

    try:
        asyncio.run(freed())
    finally:
        notifier.close()
        manager.socket.close()


def test_a_running_agent_is_ready_beats_and_says_that_it_stops(tmp_path):
    manager = Manager(str(tmp_path / "n"))
    (tmp_path / "agent.toml").write_text('[agent]\nstate_dir = "state"\n[[links]]\nport = "/dev/ttyNONE"\n')
    child = (
        "import click; from edge_agent.cli.main import commands; "
        "click.Group('vitalwire', commands=commands)()"
    )
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "1000000"}
    environment.pop("WATCHDOG_PID", None)
    process = subprocess.Popen(
        [sys.executable, "-c", child, "agent", "run", "--config", str(tmp_path / "agent.toml")],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    heard: list[str] = []
    try:
        wait_until(lambda: heard.extend(manager.heard()) or "READY=1" in heard, "READY=1")
        wait_until(lambda: heard.extend(manager.heard()) or "WATCHDOG=1" in heard, "WATCHDOG=1")
    finally:
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE_S)
    heard += manager.heard()
    manager.socket.close()
    assert process.returncode == 0, log
    assert "STOPPING=1" in heard
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"time", "level", "logger", "msg"} <= lines[0].keys()


def unit(text: str = "", path: str = "/etc/vitalwire/agent.toml") -> str:
    document = '[agent]\nstate_dir = "/var/lib/vitalwire"\n' + text
    return systemd.unit(config.parse(document, Path(path)), Path(path))


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    if shutil.which("systemd-analyze") is None:
        assert not os.environ.get("CI"), "systemd-analyze is missing"
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "vitalwire.service"
    path.write_text(unit('[store]\ncredential = "vitalwire-store-key"\n'))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )
    assert verified.returncode == 0 and str(path) not in verified.stderr, verified.stderr
    path.write_text(unit().replace("WatchdogSec=60", "WatchdogSec=soon"))
    refused = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )
    assert "Failed to parse sec value" in refused.stderr


def test_the_unit_grants_what_the_configuration_needs_and_no_more():
    plain = unit()
    assert "ReadWritePaths" not in plain and "LoadCredential" not in plain and "ProtectHome=yes" in plain
    assert "Type=notify" in plain and "WatchdogSec=" in plain and "NoNewPrivileges=yes" in plain
    far = unit('[collector]\npublic = "c.pub"\n[file]\nout = "/media/a b/100%"\nin = "/media/in"\n')
    assert 'ReadWritePaths="-/media/a b/100%%"' in far and "ReadWritePaths=-/media/in" in far
    sealed = unit('[store]\ncredential = "key"\n')
    assert "LoadCredentialEncrypted=key:/etc/vitalwire/key.cred" in sealed
    assert "ProtectHome=read-only" in unit(path="/home/kit/agent.toml")


def test_install_replaces_nothing_unasked(tmp_path):
    path, made = tmp_path / "v.service", ["install", "--config", str(tmp_path / "agent.toml"), "--path"]
    first = CliRunner().invoke(service_group, [*made, str(path)])
    assert first.exit_code == 0 and "systemctl daemon-reload" in first.output
    assert path.stat().st_mode & 0o777 == 0o644 and "ReadWritePaths" not in path.read_text()
    assert CliRunner().invoke(service_group, [*made, str(path)]).exit_code == 0
    path.write_text("mine")
    refused = CliRunner().invoke(service_group, [*made, str(path)])
    assert refused.exit_code == 1 and "--force" in refused.output and path.read_text() == "mine"
    assert CliRunner().invoke(service_group, [*made, str(path), "--force"]).exit_code == 0
    for user in ("root", "a\nExecStart=x"):
        assert CliRunner().invoke(service_group, ["print", "--user", user]).exit_code == 1

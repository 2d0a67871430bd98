"""The agent does its work with the system calls that its unit allows, and no other."""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from edge_agent import config
from edge_agent.ops import systemd
from edge_agent.ops.machine import clock_synchronised
from tests.edge_agent.running import PATIENCE_S, Kit, free_port, wait_until

# Run by the child between fork and exec, as systemd does it: what is not allowed is refused (EPERM).
UNDER = """
import ctypes, os, sys
allowed, command = sys.argv[1].split(","), sys.argv[2:]
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
library.seccomp_init.argtypes = [ctypes.c_uint32]
library.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
library.seccomp_load.argtypes = [ctypes.c_void_p]
filter = library.seccomp_init(0x00050000 | 1)
for name in allowed:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number != -1:
        library.seccomp_rule_add(filter, 0x7FFF0000, number, 0)
assert library.seccomp_load(filter) == 0
os.execv(command[0], command)
"""
AGENT = (
    "import click; from edge_agent.cli.main import commands; click.Group('vitalwire', commands=commands)()"
)


def missing() -> str | None:
    if shutil.which("systemd-analyze") is None:
        return "systemd-analyze is not installed"
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return "libseccomp is not installed"
    return None


def expanded(name: str) -> set[str]:
    """The calls of a group, as this machine's systemd has it."""
    if not name.startswith("@"):
        return {name}
    told = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    )
    words = [line.strip() for line in told.stdout.splitlines()[1:]]
    return {call for word in words if word and not word.startswith("#") for call in expanded(word)}


def allowed(unit: str) -> set[str]:
    found: set[str] = set(expanded("@default"))
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        for word in line.lstrip("~").split():
            found = found - expanded(word) if line.startswith("~") else found | expanded(word)
    return found


def run(calls: set[str], path: Path, log: Path) -> subprocess.Popen:
    with log.open("wb") as file:
        command = [sys.executable, "-c", UNDER, ",".join(sorted(calls))]
        command += [sys.executable, "-c", AGENT, "agent", "run", "--config", str(path)]
        return subprocess.Popen(command, stderr=file, stdout=file)


def test_the_agent_works_under_its_filter(tmp_path):
    why = missing()
    if why is not None:
        assert not os.environ.get("CI"), why
        pytest.skip(why)
    kit, port = Kit(tmp_path), free_port()
    path = tmp_path / "agent.toml"
    path.write_text(
        f'[agent]\nstate_dir = "{tmp_path}"\n[tcp]\nlisten = "127.0.0.1:0"\nmax_connections = 2000\n'
        f'[ops]\nmetrics = "127.0.0.1:{port}"\n'
    )
    calls = allowed(systemd.unit(config.load(path), path))
    assert not calls & {"mount", "ptrace", "bpf", "reboot", "init_module", "clock_settime"}
    agent = run(calls, path, tmp_path / "log")
    report = {}

    def healthy() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as found:
                report.update(json.loads(found.read()))
        except OSError:
            return False
        return report["status"] == "ok"

    try:
        wait_until(healthy, "good health")
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(PATIENCE_S) == 0
    clock = [one for one in report["warnings"] if one["cause"] == "clock"]
    assert bool(clock) == (clock_synchronised() is False), "the clock can be read"
    assert "not permitted" not in (tmp_path / "log").read_text()
    assert (kit.status or {})["state"] == "stopped"
    # What the filter lacks is missed: the test would see it.
    crippled = run(calls - expanded("@network-io"), path, tmp_path / "log")
    assert crippled.wait(PATIENCE_S) != 0

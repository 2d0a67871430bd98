"""The doctor's checks of the machine: programs, clock, ports, service, who else runs."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from edge_agent.config import AUTO
from edge_agent.extras import remedy
from edge_agent.links.listener import EVERYWHERE
from edge_agent.links.mdns import addresses, interfaces, wanted
from edge_agent.links.ports import is_url, plugged_in
from edge_agent.ops import machine, status
from edge_agent.ops.doctor import Check, Found, Patient, bad, good, warn
from edge_agent.readable import counted

# What the code is written for; the store needs SQLite's RETURNING and its WAL repairs.
PYTHON = (3, 11)
SQLITE = (3, 40, 0)
UNIT = "vitalwire.service"
COMMAND_S = 5.0


def holder(lock: Path) -> int | None:
    """The pid of the agent that holds the lock, 0 when unknown; None when nobody does. Nothing is changed."""
    try:
        import fcntl

        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                told = file.read(20).strip()
                return int(told) if told.isdigit() else 0
    except (ImportError, OSError):
        pass
    return None


def programs(patient: Patient) -> Found:
    """Python and SQLite."""
    import apsw

    text = sys.version.split()[0]
    if sys.version_info[:2] < PYTHON:
        yield bad(f"Python {text}", "install Python 3.11 or newer")
    else:
        yield good(f"Python {text}")
    found = apsw.sqlite_lib_version()
    if tuple(int(part) for part in found.split(".")) < SQLITE:
        yield bad(f"SQLite {found} is too old", "pip install --upgrade apsw-sqlite3mc")
    elif not hasattr(apsw, "mc_version"):
        yield bad(f"SQLite {found} cannot encrypt: another apsw is installed", "pip install apsw-sqlite3mc")
    else:
        yield good(f"SQLite {found}, with encryption")


def configured(patient: Patient) -> Found:
    """What the configuration file itself says; that it can be read is known already."""
    config = patient.config
    for warning in config.warnings:
        yield warn(warning, "change it, or know it")
    if not config.warnings:
        yield good(str(config.source) if config.source else "no file: the defaults")


def clock(patient: Patient) -> Found:
    """Whether the time is right, by the kernel's word."""
    if time.time() < 1_700_000_000:
        yield bad(f"the clock says {time.strftime('%Y-%m-%d')}", "set it: timedatectl set-time, or NTP")
        return
    kept = machine.clock_synchronised()
    if kept is None:
        yield warn("nobody says whether the clock is right", "timedatectl")
    elif not kept:
        yield warn(
            "nothing keeps the clock right: times are off by nobody knows what", "timedatectl set-ntp true"
        )
    else:
        yield good("synchronised")


def agent(patient: Patient) -> Found:
    """Whether an agent runs with this state directory, and gets on."""
    if patient.running is None:
        yield good("none runs with this state directory now")
        return
    who = f"pid {patient.running}" if patient.running else "its pid is not known"
    found = status.read(patient.config.status)
    if found is None or status.is_stale(found, time.time_ns() // 1_000_000):
        yield bad(
            f"an agent runs ({who}) and says nothing",
            f"see its log; kill {patient.running or 'it'} if it hangs",
        )
    else:
        yield good(f"runs, {who}")


def ports(patient: Patient) -> Found:
    """Serial ports: there, ours to open, nobody else's."""
    names = [link.port for link in patient.config.links]
    if not names:
        yield good("no serial port is configured: nodes come over TCP")
        return
    devices: list[str] = []
    for name in names:
        if name == AUTO:
            found = plugged_in()
            devices += found
            if not found:
                yield warn(
                    "no USB serial port is plugged in", "plug a node in; the agent takes it when it comes"
                )
        elif not is_url(name):
            devices.append(name)
    for device in devices:
        yield _port(device, patient.running)


def _port(device: str, running: int | None) -> tuple[str, str, str]:
    if not os.path.exists(device):
        return bad(f"{device} is not there", 'plug it in, or change [[links]] port ("auto" takes any)')
    if not os.access(device, os.R_OK | os.W_OK):
        group = _group_of(device)
        return bad(
            f"{device} may not be opened by this user", f"sudo usermod -aG {group} $USER, then log in anew"
        )
    users = _users_of(device)
    if running in users:
        return good(f"{device} is in use by the agent")
    if users and os.path.realpath(device).startswith("/dev/pts/"):
        return good(f"{device} is a pseudo-terminal of process {users[0]}")
    if users:
        return bad(
            f"{device} is in use by process {users[0]}", f"stop it (ps {users[0]}), or name another port"
        )
    return good(f"{device} can be used")


def _group_of(device: str) -> str:
    try:
        import grp

        return grp.getgrgid(os.stat(device).st_gid).gr_name
    except (ImportError, KeyError, OSError):
        return "dialout"


def _users_of(device: str) -> list[int]:
    """The processes that have the device open, as far as we may look."""
    real, found = os.path.realpath(device), list[int]()
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.path.realpath(link) == real for link in folder.iterdir()):
                found.append(int(folder.parent.name))
        except OSError:
            continue
    return found


def listeners(patient: Patient) -> Found:
    """The addresses that the agent listens on."""
    wanted = (
        [("[tcp] listen", (patient.config.tcp.host, patient.config.tcp.port))] if patient.config.tcp else []
    )
    if patient.config.ops.metrics:
        wanted.append(("[ops] metrics", patient.config.ops.metrics))
    if patient.running is not None:
        wanted = []
    for key, (host, port) in wanted:
        why = _bindable(host, port)
        if why:
            yield bad(
                f"{key}: {host}:{port} cannot be listened on: {why}",
                "ss -ltnp shows whose it is; choose another",
            )
        else:
            yield good(f"{key}: {host}:{port} is free")


def _bindable(host: str, port: int) -> str | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            None if host == EVERYWHERE else host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as e:
        return e.strerror or str(e)
    return None


def announced(patient: Patient) -> Found:
    """How nodes on Wi-Fi find the listener."""
    config = patient.config.tcp
    if config is None:
        return
    if not wanted(config):
        yield good("mDNS is off: nodes have to be on the cable, or know the address")
        return
    found = addresses(config.host)
    if not found:
        yield bad(
            "this machine is in no network, so no node on Wi-Fi reaches it", "connect it; see ip address"
        )
        return
    problem = _cannot_announce(interfaces(config.host))
    if problem:
        yield bad(
            f"mDNS cannot be used: {problem}",
            "another program may hold UDP port 5353 alone: ss -lunp; let the firewall admit it",
        )
    else:
        yield good(f"nodes on Wi-Fi find the agent at {', '.join(found)}")


def bluetooth(patient: Patient) -> Found:
    """The adapter with which nodes are found over Bluetooth."""
    config = patient.config.ble
    if config is None:
        return
    try:
        from edge_agent.links.ble_trouble import look
    except ModuleNotFoundError as e:
        yield bad(f"[ble] needs {e.name}", remedy("ble"))
        return
    problem = look(config.adapter)
    if problem is not None:
        yield bad(f"{problem.port} cannot be used: {problem.problem}", problem.hint)
    else:
        yield good(f"{config.adapter or 'the first Bluetooth adapter'} hears what is near")


def _cannot_announce(asked: list[str]) -> str | None:
    from zeroconf import Error, Zeroconf

    try:
        Zeroconf(interfaces=asked).close()
    except (OSError, Error) as e:
        return str(e) or type(e).__name__
    return None


def service(patient: Patient) -> Found:
    """The systemd unit, where there is systemd."""
    if not Path("/run/systemd/system").is_dir() or shutil.which("systemctl") is None:
        yield good("no systemd here")
        return
    told = subprocess.run(
        ["systemctl", "show", UNIT, "-p", "LoadState,ActiveState,Result,NRestarts,NeedDaemonReload"],
        capture_output=True, text=True, timeout=COMMAND_S, check=False,
    )  # fmt: skip
    yield from judge_unit(dict(re.findall(r"^(\w+)=(.*)$", told.stdout, re.MULTILINE)))


def judge_unit(told: dict[str, str]) -> Found:
    """What systemd's properties of the unit mean."""
    if told.get("LoadState") != "loaded":
        yield warn(
            "not installed: nothing starts the agent after a power cut", "sudo vitalwire service install"
        )
        return
    if told.get("NeedDaemonReload") == "yes":
        yield warn("the unit's file has changed since systemd read it", "sudo systemctl daemon-reload")
    state, result = told.get("ActiveState", "?"), told.get("Result", "?")
    restarts = int(told.get("NRestarts") or 0)
    if state == "failed" or (state == "activating" and restarts):
        yield bad(
            f"{state} ({result}), {counted(restarts, 'restart')}", "journalctl -u vitalwire -n 50 says why"
        )
    elif result == "watchdog" or restarts > 3:
        yield warn(
            f"{state}, {counted(restarts, 'restart')}, the last end: {result}",
            "journalctl -u vitalwire -p warning",
        )
    elif state != "active":
        yield warn(state, "sudo systemctl enable --now vitalwire")
    else:
        yield good(f"active, {counted(restarts, 'restart')}")


CHECKS: dict[str, Check] = {
    "programs": programs,
    "configuration": configured,
    "clock": clock,
    "agent": agent,
    "ports": ports,
    "listeners": listeners,
    "mdns": announced,
    "bluetooth": bluetooth,
    "service": service,
}

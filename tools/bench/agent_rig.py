"""The agent's benchmark as processes: broker, collector, agent and the nodes, each with its CPU and memory.

Everything is on loopback and in one folder. The agent is `vitalwire agent run`, the collector
`vitalwire collector run`, the broker Mosquitto (or iotcore, which is in a wheel, where there is none).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from edge_agent import keys
from edge_agent.config import load
from edge_agent.keys import PublicKeys
from edge_agent.ops import status
from protocol import crypto
from protocol.identity import Identity, generate_steps
from tools.collector.folder import AGENTS, KEY
from tools.collector.trust import Trust
from tools.demo.broker import LOOPBACK, free_port, wait_until_listening

START_S = 60.0
SETTLE_S = 180.0
MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 100
"""
AGENT = """
[agent]
state_dir = "{folder}/agent"
[tcp]
listen = "127.0.0.1:{port}"
max_connections = 2000
per_node_frames_s = {share}
[collector]
public = "{folder}/collector/collector.pub"
[mqtt]
url = "mqtt://127.0.0.1:{broker}"
{more}"""


class Failed(Exception):
    """The benchmark cannot be run, or went wrong: what happened, and what the process said."""


class Part:
    """One process."""

    def __init__(self, name: str, arguments: "list[str]", log: Path, **more: Any) -> None:
        self.name, self.log = name, log
        # Ended with us, where the system can do that.
        setpriv = shutil.which("setpriv")
        command = [setpriv, "--pdeathsig", "KILL", *arguments] if setpriv else arguments
        with log.open("wb") as sink:
            self.process = subprocess.Popen(command, stderr=sink, **{"stdout": sink, **more})

    def alive(self) -> None:
        """Failed when it has ended."""
        if self.process.poll() is not None:
            said = self.log.read_text(errors="replace")[-1500:]
            raise Failed(f"the {self.name} ended with status {self.process.returncode}:\n{said}")

    def cpu_s(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, what: str = "VmRSS") -> float:
        """VmRSS, or VmHWM: the most that it ever was."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) / 1024
        return 0.0

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 60.0) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def broker_name() -> str:
    """Which broker will be used."""
    return "Mosquitto" if _mosquitto() else "iotcore"


def _mosquitto() -> "str | None":
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def mosquitto(folder: Path, name: str, settings: str, port: int) -> "Part | None":
    """A Mosquitto with these settings; None when there is none here."""
    found = _mosquitto()
    if found is None:
        return None
    file = folder / f"{name}.conf"
    # Started by root it becomes another user, who may not write here.
    file.write_text(f"user {_user()}\n" + settings)
    part = Part(name, [found, "-c", str(file)], folder / f"{name}.log")
    if not wait_until_listening(port, START_S):
        part.alive()
        raise Failed(f"{name} does not listen")
    return part


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


class Rig:
    """Broker, collector and agent in `folder`; `with` ends them all."""

    def __init__(
        self, folder: Path, nodes: "list[bytes]", fsync_ms: float = 0.0, rate: float = 0.0, more: str = ""
    ) -> None:
        self.folder = folder
        self.seeds = nodes
        self.fsync_ms = fsync_ms
        self.parts: list[Part] = []
        self.port, self.broker_port = free_port(), free_port()
        self.config_path = folder / "agent.toml"
        for name in ("agent", "collector"):
            (folder / name).mkdir(mode=0o700)
        # A node sends what the rate asks of it, be it more than one node may by default.
        share = max(50, int(4 * rate / len(nodes)))
        self.config_path.write_text(
            AGENT.format(folder=folder, port=self.port, broker=self.broker_port, more=more, share=share)
        )
        self.config = load(self.config_path)
        self.identity = keys.load_or_create(self.config.key, "agent")
        keys.load_or_create(folder / "collector" / KEY, "collector")
        Trust(folder / "collector" / AGENTS).add(PublicKeys(*self.identity.public()))
        pair(self.config.peers, (crypto.run(generate_steps(seed)) for seed in nodes))

    def __enter__(self) -> "Rig":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        broker = mosquitto(self.folder, "broker", MOSQUITTO.format(port=self.broker_port), self.broker_port)
        vitalwire = [sys.executable, "-m", "tools.cli"]
        if broker is None:
            log = self.folder / "broker.log"
            broker = Part("broker", [*vitalwire, "broker", "--port", str(self.broker_port)], log)
            if not wait_until_listening(self.broker_port, START_S):
                raise Failed("the broker does not listen")
        self.broker = broker
        self.parts.append(broker)
        url = f"mqtt://{LOOPBACK}:{self.broker_port}"
        run = ["collector", "run", "--state", str(self.folder / "collector"), "--broker", url]
        self.collector = Part("collector", [*vitalwire, *run], self.folder / "collector.log")
        self.parts.append(self.collector)
        agent = ["agent", "run", "--config", str(self.config_path)]
        if self.fsync_ms:
            vitalwire = [sys.executable, "-m", "tools.bench.agent_slow_disk", str(self.fsync_ms)]
        self.agent = Part("agent", [*vitalwire, *agent], self.folder / "agent.log")
        self.parts.append(self.agent)
        if not wait_until_listening(self.port, START_S):
            self.agent.alive()
            raise Failed("the agent does not listen")

    def status(self) -> "dict[str, Any]":
        """The agent's status file, {} when there is none yet."""
        return status.read(self.config.status) or {}

    def settle(self) -> None:
        """Wait until all that is stored is signed and has its receipt."""
        until = time.monotonic() + SETTLE_S
        said: dict[str, Any] = {}
        seen: set[int] = set()
        while time.monotonic() < until:
            self.agent.alive()
            status = self.status()
            said = status.get("custody", {})
            done = said.get("waiting_entries") == 0 and said.get("batches", 0) == said.get("receipts", -1)
            # Twice in a row: what was on its way to the store is in it then.
            seen = {*seen, status["written_ms"]} if done else set()
            if len(seen) == 2:
                return
            time.sleep(0.2)
        raise Failed(f"not all is receipted after {SETTLE_S:g} s: {said}")

    def stop(self) -> None:
        """End everything, the agent first."""
        for part in reversed(self.parts):
            part.stop()

    def __exit__(self, *_: object) -> None:
        self.stop()


def pair(path: Path, nodes: "Iterable[Identity]") -> None:
    """peers.json with these nodes, as `vitalwire pair` leaves it."""
    listed = [
        {"id": node.id.hex(), "ed25519": node.ed_pub.hex(), "x25519": node.x_pub.hex()} for node in nodes
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": 1, "nodes": sorted(listed, key=lambda one: one["id"])}))
    path.chmod(0o600)


class Nodes:
    """The process of the virtual nodes (tools/bench/agent_nodes.py)."""

    def __init__(self, rig: Any, rate: float, module: str = "tools.bench.agent_nodes", **more: Any) -> None:
        self.log = rig.folder / f"sent-{len(rig.parts)}.txt"
        self.part = Part(
            "nodes",
            [sys.executable, "-m", module],
            rig.folder / f"nodes-{len(rig.parts)}.log",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        rig.parts.append(self.part)
        agent = getattr(rig, "identity", None)
        told = {
            "agent": agent.id.hex() if agent else "",
            "x_pub": agent.x_pub.hex() if agent else "",
            "host": LOOPBACK,
            "port": rig.port,
            "seeds": [seed.hex() for seed in rig.seeds],
            "rate": rate,
            "log": str(self.log),
            **more,
        }
        self.problems: list[str] = []
        self.say(json.dumps(told))

    def say(self, line: str) -> None:
        """One line to the process."""
        to: IO[str] | None = self.part.process.stdin
        assert to is not None
        to.write(line + "\n")
        to.flush()

    def heard(self, what: str, timeout_s: float = SETTLE_S) -> "dict[str, Any]":
        """Wait until it has done `what`; what it said of that."""
        from_: IO[str] | None = self.part.process.stdout
        assert from_ is not None
        patience = threading.Timer(timeout_s, self.part.process.kill)
        patience.start()
        try:
            return self._heard(what, from_)
        finally:
            patience.cancel()

    def _heard(self, what: str, from_: "IO[str]") -> "dict[str, Any]":
        for line in from_:
            found: dict[str, Any] = json.loads(line)
            if found.get("did") == what:
                return found
            if "problem" in found and len(self.problems) < 20:
                self.problems.append(found["problem"])
        self.part.process.wait()
        self.part.alive()
        raise Failed("the nodes' process ended")

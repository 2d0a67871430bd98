"""Everything around the nodes, as in the field: broker, collector and agent, each a process of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from edge_agent.custody.audit import ACTION
from edge_agent.ledger.ledger import PARTS, ledger
from edge_agent.store import database
from edge_agent.store.errors import StoreError

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "tools.cli"]


# For whatever a test waits for. Normally that takes a moment; on a busy machine it takes as long as it takes.
PATIENCE_S = 90.0
POLL_S = 0.1
# What is not there yet, or not whole.
NOT_YET = (OSError, ValueError, LookupError, StoreError, database.Error)


class StackError(Exception):
    """Something did not happen in time, or a command failed; the text holds what it said."""


class Stack:
    """One agent on `ports`, its broker and its collector, under one folder."""

    def __init__(self, folder: Path, ports: list[str]) -> None:
        self.folder = folder
        self.ports = ports
        self.agent_dir = folder / "agent"
        self.collector_dir = folder / "collector"
        self.config = folder / "agent.toml"
        self._reserved: list[socket.socket] = []
        self.broker_port = self.own_port()
        # How a process is started, where that is not by COMMAND.
        self.commands: dict[str, list[str]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[IO[bytes]] = []

    def own_port(self) -> int:
        """A TCP port of the loopback. On Linux nobody else is given it before this is closed, and broker or
        agent may listen there all the same, because they say SO_REUSEADDR, too.
        """
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        self._reserved.append(held)
        port = held.getsockname()[1]
        if sys.platform != "linux":
            held.close()
        return port

    # What a person types

    def command(self, *words: str, ok: bool = True) -> str:
        """What the command prints; StackError when it fails, unless it may."""
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            stdin=subprocess.DEVNULL,
        )
        if ok and done.returncode:
            raise StackError(f"vitalwire {' '.join(words)} → {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def exit_code(self, *words: str) -> int:
        """The command's exit status."""
        return subprocess.run(
            [*COMMAND, *words], cwd=ROOT, capture_output=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL
        ).returncode

    def start(self, pair: bool = True) -> None:
        """Make keys, exchange public ones, pair the nodes, start all three."""
        self.folder.mkdir(parents=True)
        self.command("keys", "new", "--role", "agent", str(self.agent_dir / "agent.key"))
        self.command("keys", "new", "--role", "collector", str(self.collector_dir / "collector.key"))
        self.command(
            "collector", "trust", "--state", str(self.collector_dir), str(self.agent_dir / "agent.pub")
        )
        links = "".join(f'[[links]]\nport = "{port}"\n' for port in self.ports)
        self.config.write_text(
            f'[agent]\nstate_dir = "{self.agent_dir}"\n'
            f'[collector]\npublic = "{self.collector_dir / "collector.pub"}"\n'
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{self.broker_port}"\nreceipt_timeout_s = 3\n{links}'
        )
        if pair:
            for port in self.ports:
                self.command("pair", "--config", str(self.config), "--port", port, "--yes")
        self.start_broker()
        self.start_collector()
        self.start_agent()

    def told(self) -> list[str]:
        """What the agent has stated of itself, by code; not what people had it do."""
        return [one["code"] for one in self.ledger()["statements"] if one["code"] != ACTION]

    def ledger(self) -> dict[str, Any]:
        """As `vitalwire ledger --json` has it; it is asked for too often for a process each."""
        return json.loads(json.dumps(ledger(self.agent_dir / "agent.db").as_dict()))

    def status(self) -> dict[str, Any]:
        """The agent's status file."""
        return json.loads((self.agent_dir / "status.json").read_text())

    def collector_status(self) -> dict[str, Any]:
        """The collector's status file."""
        return json.loads((self.collector_dir / "status.json").read_text())

    def waves(self, node: str, channel: int) -> list[dict[str, Any]]:
        """The wave frames that the collector stored of a node (id in hex)."""
        out = self.command(
            "collector",
            "samples",
            "--state",
            str(self.collector_dir),
            "--node",
            node,
            "--channel",
            str(channel),
        )
        return [json.loads(line) for line in out.splitlines()]

    def assert_sound(self) -> None:
        """Agent and collector both verify, the ledger balances, and nothing stands twice anywhere."""
        self.command("verify", "--config", str(self.config))
        proof = json.loads(self.command("collector", "verify", "--state", str(self.collector_dir), "--json"))
        assert proof["sound"], proof["problems"]
        assert proof["attestations"]["failed"] == 0
        found = json.loads(self.command("ledger", "--config", str(self.config), "--json", ok=False))
        assert found["balanced"], found
        assert found["totals"]["duplicates"] == 0
        for row in found["rows"]:
            assert row["produced"] == sum(row[part] for part in PARTS), row

    # Processes

    def start_broker(self) -> None:
        """The embedded MQTT 5 broker."""
        self._spawn("broker", "broker", "--port", str(self.broker_port))

    def start_collector(self) -> None:
        """The reference collector."""
        self._spawn(
            "collector",
            "collector",
            "run",
            "--state",
            str(self.collector_dir),
            "--broker",
            f"mqtt://127.0.0.1:{self.broker_port}",
        )

    def start_agent(self) -> None:
        """The agent."""
        self._spawn("agent", "agent", "run", "--config", str(self.config))

    def kill(self, name: str) -> None:
        """SIGKILL to one of broker, collector, agent. What an agent reported is no report of its next one."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()
        if name == "agent":
            (self.agent_dir / "status.json").unlink(missing_ok=True)

    def stop(self, name: str, timeout_s: float = PATIENCE_S) -> int:
        """SIGTERM to one of them; its exit status."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout_s)

    def _spawn(self, name: str, *words: str) -> None:
        log = open(self.folder / f"{name}.log", "ab")  # noqa: SIM115 - closed in close()
        self._logs.append(log)
        self._processes[name] = subprocess.Popen(
            [*self.commands.get(name, COMMAND), *words],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env=dict(os.environ, PYTHONUNBUFFERED="1"),
        )

    def wait_until(self, what: str, fact: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
        """Poll until `fact` gives something true, and give that; else a StackError with the logs' ends."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with contextlib.suppress(StackError, *NOT_YET):
                found = fact()
                if found:
                    return found
            time.sleep(POLL_S)
        logs = "".join(
            f"\n--- {p.name}\n{p.read_text(errors='replace')[-1500:]}"
            for p in sorted(self.folder.glob("*.log"))
        )
        try:
            known = self.ledger()
        except NOT_YET as e:
            known = e
        raise StackError(f"not within {timeout_s:g} s: {what}\nledger: {known!r}{logs}")

    def wait_delivered(self, at_least: int, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until so many frames have a verified receipt; the ledger then."""

        def enough() -> dict[str, Any] | None:
            found = self.ledger()
            return found if found["totals"]["delivered"] >= at_least else None

        return self.wait_until(f"{at_least} frames delivered", enough, timeout_s)

    def wait_settled(self, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until nothing is pending (the nodes have stopped); the ledger then."""

        def settled() -> dict[str, Any] | None:
            found = self.ledger()
            return found if found["totals"]["pending"] == 0 and found["totals"]["produced"] else None

        return self.wait_until("nothing pending", settled, timeout_s)

    def close(self) -> None:
        """End what still runs."""
        for name in list(self._processes):
            self.kill(name)
        for log in self._logs:
            log.close()
        for held in self._reserved:
            held.close()

"""The processes of a campaign: broker, agent, collectors. Each is killed by its pid, and started again on
what it left behind.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from edge_agent import keys
from edge_agent.keys import PublicKeys
from edge_agent.nodes.peers import Peers
from protocol.identity import Identity
from tools.crash.postgres import Postgres
from tools.crash.victim import Steering
from tools.demo.broker import LOOPBACK, free_port, wait_until_listening

START_S = 60.0

MOSQUITTO = """\
listener {port} {host}
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 1
max_queued_messages 0
log_dest stderr
log_type error
"""

AGENT = """\
[agent]
state_dir = {state}

[tcp]
listen = "{host}:{port}"

[collector]
public = {collector}

[mqtt]
url = "{broker}"
receipt_timeout_s = 2

[custody]
batch_seconds = 0.5
"""


def broker_program() -> str | None:
    """Where Mosquitto is; Debian has it where only root looks."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Process:
    """A command that can be killed and started again; what it prints is added to `log`."""

    def __init__(self, name: str, command: list[str], log: Path):
        self.name = name
        self.log = log
        self.starts = 0
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, in a session of its own."""
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
            )
        self.starts += 1

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            if self.running:
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self, timeout_s: float = 60.0) -> int:
        """SIGTERM; its exit status, negative when it had to be killed."""
        assert self._process is not None
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.wait()


class World:
    """All of them in `folder`, which is kept: keys, stores, logs. `collectors`: how many share the work, for
    which they need a PostgreSQL, `database` (a URL); `server`: it, where it may be ended.
    """

    def __init__(
        self,
        folder: Path,
        collectors: int = 1,
        database: str | None = None,
        server: Postgres | None = None,
    ):
        self.folder = folder
        self.server = server
        self.state = folder / "agent"
        self.places = [folder / f"collector-{n}" for n in range(collectors)]
        self.database = database
        self.state.mkdir(parents=True)
        self.agent_identity = keys.load_or_create(self.state / "agent.key", "agent")
        first = self.places[0]
        for place in self.places:
            (place / "agents").mkdir(parents=True)
            shutil.copy(self.state / "agent.pub", place / "agents")
            if place is first:
                keys.load_or_create(place / "collector.key", "collector")
            else:
                shutil.copy2(first / "collector.key", place)
                shutil.copy2(first / "collector.pub", place)
        self.broker_port, self.port = free_port(), free_port()
        self.config = folder / "agent.toml"
        self.config.write_text(
            AGENT.format(
                state=json.dumps(str(self.state)),
                host=LOOPBACK,
                port=self.port,
                collector=json.dumps(str(first / "collector.pub")),
                broker=f"mqtt://{LOOPBACK}:{self.broker_port}",
            ),
            encoding="utf-8",
        )
        self.steering = Steering(folder / "steering")
        python = [sys.executable, "-m"]
        self.broker = Process("broker", self._broker(), folder / "broker.log")
        self.agent = Process(
            "agent",
            [*python, "tools.crash.victim", str(os.getpid()), str(folder / "steering"), str(self.config)],
            folder / "agent.log",
        )
        self.collectors = [
            Process(
                f"collector {n}",
                [
                    *python,
                    "tools.demo.leash",
                    str(os.getpid()),
                    "collector",
                    "run",
                    *self.collector_options(place),
                ]
                + ["--broker", f"mqtt://{LOOPBACK}:{self.broker_port}"],
                folder / f"collector-{n}.log",
            )
            for n, place in enumerate(self.places)
        ]

    def collector_options(self, place: Path) -> list[str]:
        """Where that collector keeps its things, for any of its commands."""
        database = [] if self.database is None else ["--database", self.database]
        return ["--state", str(place), *database]

    @property
    def processes(self) -> list[Process]:
        """Everything that can be killed."""
        return [self.broker, self.agent, *self.collectors]

    def rekey(self) -> Process:
        """A process that changes the key of the agent's store, not started."""
        command = [sys.executable, "-m", "tools.cli", "store", "rekey", "--config", str(self.config)]
        return Process("rekey", command, self.folder / "rekey.log")

    def pair(self, nodes: list[Identity]) -> None:
        """Make the agent believe these nodes."""
        peers = Peers(self.state / "peers.json")
        for node in nodes:
            peers.add(PublicKeys(*node.public()))

    def start(self) -> None:
        """Start all, the broker first."""
        self.broker.start()
        if not wait_until_listening(self.broker_port, START_S):
            raise RuntimeError(f"the broker did not start: see {self.broker.log}")
        for process in (*self.collectors, self.agent):
            process.start()

    def end(self) -> None:
        """Kill whatever runs still."""
        for process in self.processes:
            process.kill()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`vitalwire ARGUMENTS`, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "tools.cli", *arguments], capture_output=True, text=True, check=False
        )

    def _broker(self) -> list[str]:
        """Mosquitto, which keeps its queues on the disk; else the embedded one, which forgets them."""
        program = broker_program()
        if program is None:
            leashed = [sys.executable, "-m", "tools.demo.leash", str(os.getpid())]
            return [*leashed, "broker", "--port", str(self.broker_port)]
        queues = self.folder / "broker"
        queues.mkdir()
        path = self.folder / "mosquitto.conf"
        path.write_text(
            MOSQUITTO.format(port=self.broker_port, host=LOOPBACK, folder=queues), encoding="utf-8"
        )
        if os.getuid() == 0:
            path.write_text("user root\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
        setpriv = shutil.which("setpriv")
        return [*([setpriv, "--pdeathsig", "KILL"] if setpriv else []), program, "-c", str(path)]

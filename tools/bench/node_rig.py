"""A virtual node with an agent on its serial port, for the benchmarks of a whole node."""

import json
import os
import time
from pathlib import Path

from boards.virtual.rig import RigError, VirtualNode
from edge_agent import config, keys
from edge_agent.config import LinkConfig
from edge_agent.nodes import pairing
from edge_agent.nodes.peers import Peers
from tools import build
from tools.demo.processes import Child, Together

SETTLE_S = 15.0
START = "run(Board(CONFIG), SENSORS, FEATURES)"
CONFIG = '[agent]\nstate_dir = "{state}"\n[[links]]\nport = "{port}"\n'


class Rig(Together):
    """A paired node and its agent, past their start."""

    def __init__(
        self,
        folder: Path,
        record: "str | None",
        *,
        only: "tuple[str, ...]" = (),
        speed: float = 1.0,
        beside: "Path | None" = None,
        first: str = "",
        micropython: "str | None" = None,
    ) -> None:
        """`only`: as tools.build.make; `beside`: a file that lies beside main.py, which does `first` before
        it runs the node; `micropython`: the VM, else the usual one.
        """
        super().__init__()
        folder.mkdir()
        self.log = folder / "node.log"
        self._agent_dir = folder / "agent"
        self._config = folder / "agent.toml"
        built = build.make("virtual", only=only)
        if beside is not None:
            main = built.files["main.py"].decode()
            built.files["main.py"] = main.replace(START, f"{first}\n{START}").encode()
            built.files[beside.name] = beside.read_bytes()
        build.write(built, folder / "tree")
        self._node = VirtualNode(
            folder / "tree",
            folder / "flash",
            record=record,
            speed=speed,
            log=self.log,
            micropython=micropython,
        )

    def _start(self) -> None:
        self._exit.callback(self._node.close)
        self._node.start()
        self._config.write_text(CONFIG.format(state=self._agent_dir, port=self._node.port))
        agent = keys.create(self._agent_dir / "agent.key", "agent")
        peers = Peers(config.load(self._config).peers)
        peers.add(pairing.exchange(LinkConfig(self._node.port), agent))
        child = Child(
            "agent", ["agent", "run", "--config", str(self._config)], self._config.with_name("agent.log")
        )
        self._exit.callback(child.stop)
        time.sleep(SETTLE_S)
        child.check()
        self.heap()

    def cpu(self) -> "tuple[float, float, float]":
        """Milliseconds of the node's process: user and system by the scheduler's ticks, and both together
        exactly.
        """
        process = Path(f"/proc/{self._node.pid}")
        words = (process / "stat").read_text().rpartition(")")[2].split()
        tick_ms = 1000 / os.sysconf("SC_CLK_TCK")
        exact = int((process / "schedstat").read_text().split()[0]) / 1e6
        return int(words[11]) * tick_ms, int(words[12]) * tick_ms, exact

    def heap(self) -> "dict[str, int]":
        """Bytes free, and the least there ever were, as the node said last. RigError unless it runs and its
        frames arrive at the agent.
        """
        if not self._node.running:
            raise RigError(f"the node has ended: {self.log.read_text()[-500:]}")
        try:
            said = json.loads((self._agent_dir / "status.json").read_text())["nodes"][0]
            return {"free": said["status"]["heap_free"], "low_water": said["status"]["heap_free_min"]}
        except (OSError, ValueError, LookupError, TypeError) as e:
            raise RigError(f"the agent has no status of the node: {e!r}") from e

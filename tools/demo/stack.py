"""Everything between a patient and a receipt, on one machine: made, paired, started, and stopped in the right
order.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from boards.virtual.patient import SOURCE_SYNTHETIC, USUAL_BP, Patient, make_patient
from boards.virtual.rig import VirtualNode
from edge_agent import config, keys
from edge_agent.config import LinkConfig
from edge_agent.nodes import pairing
from edge_agent.nodes.peers import Peers
from edge_agent.readable import printable
from tools import build
from tools.demo.broker import LOOPBACK
from tools.demo.processes import Child, ChildError, Together, tail

AGENT_TOML = """\
[agent]
state_dir = {state}

[collector]
public = {collector_public}

[mqtt]
url = {url}
receipt_timeout_s = 5
"""

WAITING = 1.000001
"""The speed of a demo at the wall's: at any but 1 the patient waits for a node whose host holds it up, whose
cuff would stop for readings that come late.
"""

LINK_TOML = """
[[links]]
port = {port}
"""


def agent_toml(state: Path, collector_public: Path, url: str, ports: list[str]) -> str:
    """The text of the agent's configuration, whatever characters the folder's name has."""

    def quoted(text: object) -> str:
        return json.dumps(str(text), ensure_ascii=False)

    text = AGENT_TOML.format(state=quoted(state), collector_public=quoted(collector_public), url=quoted(url))
    return text + "".join(LINK_TOML.format(port=quoted(port)) for port in ports)


@dataclass(frozen=True)
class Input:
    """What the virtual patients are: a recording (path or name), or None for the model.

    `speed` times the wall's clock; `bp_mmhg`: systolic and diastolic pressure in the arm.
    """

    record: str | None
    nodes: int = 1
    speed: float = 1.0
    bp_mmhg: tuple[float, float] = USUAL_BP


class Stack(Together):
    """On entry everything runs and is paired."""

    def __init__(self, folder: Path, source: Input):
        super().__init__()
        self.folder = folder
        self.source = source
        self.agent_state = folder / "agent"
        self.collector_state = folder / "collector"
        self.agent_config = folder / "agent.toml"
        self.wire_bytes = 0
        self.nodes: list[VirtualNode] = []
        self._stopped = False

    @property
    def children(self) -> tuple[Child, ...]:
        """All processes but the nodes', in the order in which they start."""
        return self.broker, self.collector, self.agent

    @property
    def label(self) -> str:
        """What the input is, printable; the same for all nodes."""
        return printable(self.nodes[0].label)

    @property
    def synthetic(self) -> bool:
        """Whether the patients are models."""
        return all(source == SOURCE_SYNTHETIC for n in self.nodes for source in (n.source_ecg, n.source_ppg))

    def check(self) -> None:
        """ChildError when a helper, or a node that nobody has stopped, has ended by itself."""
        for child in self.children:
            child.check()
        if not self._stopped:
            self._check_nodes()

    def press_buttons(self) -> None:
        """Have somebody press every node's button: measure the blood pressure."""
        for node in self.nodes:
            node.press()

    def stop_nodes(self) -> None:
        """Ask every node for an orderly stop: it signs for its last frames and waits until they are
        acknowledged. ChildError when one ends otherwise, or had ended before.
        """
        self._stopped = True
        for n, node in enumerate(self.nodes):
            status = node.stop()
            if status:
                raise self._node_error(n, status)

    def _start(self) -> None:
        # First, for a recording that is none ends all of it.
        patients = [
            make_patient(self.source.record, seed=n + 1, bp_mmhg=self.source.bp_mmhg)
            for n in range(self.source.nodes)
        ]
        self.broker = self._child("broker", ["broker"], ready="listening on ")
        port = int(self.broker.said.rpartition(":")[2])
        self._start_nodes(patients)
        keys.create(self.collector_state / "collector.key", "collector")
        agent = keys.create(self.agent_state / "agent.key", "agent")
        agents = self.collector_state / "agents"
        keys.write_public(agents / "demo-agent.pub", "agent", keys.PublicKeys(*agent.public()))
        url = f"mqtt://{LOOPBACK}:{port}"
        text = agent_toml(
            self.agent_state,
            self.collector_state / "collector.pub",
            url,
            [node.port for node in self.nodes],
        )
        self.agent_config.write_text(text, encoding="utf-8")
        self.collector = self._child(
            "collector", ["collector", "run", "--state", str(self.collector_state), "--broker", url]
        )
        peers = Peers(config.load(self.agent_config).peers)
        for node in self.nodes:
            try:
                peers.add(pairing.exchange(LinkConfig(node.port), agent))
            except pairing.PairingError:
                self._check_nodes()  # of a dead node there is more to say
                raise
        self.agent = self._child("agent", ["agent", "run", "--config", str(self.agent_config)])

    def _check_nodes(self) -> None:
        for n, node in enumerate(self.nodes):
            if node.died:
                raise self._node_error(n, node.exit_code)

    def _node_error(self, n: int, status: int | None) -> ChildError:
        return ChildError(f"node {n} ({self.nodes[n].port})", status, tail(self._node_log(n)))

    def _node_log(self, n: int) -> Path:
        return self.folder / f"node-{n}.log"

    def _child(self, name: str, arguments: list[str], ready: str = "") -> Child:
        child = Child(name, arguments, self.folder / f"{name}.log", ready)
        self._exit.callback(child.stop)
        return child

    def _start_nodes(self, patients: list[Patient]) -> None:
        tree = self.folder / "node"
        build.write(build.make("virtual"), tree)
        for n, patient in enumerate(patients):
            node = VirtualNode(
                tree,
                self.folder / f"flash-{n}",
                patient=patient,
                speed=WAITING if self.source.speed == 1 else self.source.speed,
                log=self._node_log(n),
            )
            self._exit.callback(node.close)
            node.cable.tap = self._tap
            self.nodes.append(node.start())

    def _tap(self, data: bytes) -> None:
        self.wire_bytes += len(data)

"""One moment of the demo, put together from what the processes say of themselves."""

import json
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.ledger.ledger import ledger
from edge_agent.store.database import open_file
from protocol import frames
from tools.demo.readings import NodeReadings, Readings
from tools.demo.stack import Stack

COUNTS = ("produced", "delivered", "pending", "evicted", "lost_at_reset")


@dataclass
class Snapshot:
    """What the view shows and the lines say. Counts are of frames, over all nodes and boots."""

    seconds: float
    input: str
    nodes: list[NodeReadings] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    batches: int = 0
    receipts: int = 0
    wire_bytes: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    attested: int = 0
    alarms: int = 0
    synthetic_input: bool = False
    """Whether the rig's patients are models: what counts until a node has sent a signal."""

    @property
    def synthetic(self) -> bool:
        """Whether the patient is a model: nothing in the input was ever measured on a body.

        With a recording, single signals may be synthetic all the same: `input` and the sources say which.
        """
        signals = [source for node in self.nodes for source in node.sources.values()]
        if not signals:
            return self.synthetic_input
        return all(source == frames.SRC_SYNTHETIC for source in signals)

    @property
    def pressures_in(self) -> bool:
        """Whether every node that has a cuff has measured with it, and the result has a receipt."""
        return all(node.bp_receipted or not node.has_cuff for node in self.nodes)

    @property
    def world_s(self) -> float:
        """The newest time that a node has reported, in seconds of its boot."""
        return max((node.t_us for node in self.nodes), default=0) / 1e6


def take(stack: Stack, readings: Readings, seconds: float, exact: bool = False) -> Snapshot:
    """The present state of things; `readings` is brought up to date.

    Counts are the agent's own, up to a second old; `exact` draws them up from its store, which takes longer
    the more there is in it.
    """
    readings.update()
    nodes = [readings.nodes[node] for node in sorted(readings.nodes)]
    now = Snapshot(seconds, stack.label, nodes, wire_bytes=stack.wire_bytes, synthetic_input=stack.synthetic)
    agent = read_json(stack.agent_state / "status.json")
    now.totals |= agent.get("totals", {})
    custody = agent.get("custody", {})
    now.batches, now.receipts = custody.get("batches", 0), custody.get("receipts", 0)
    if exact and readings.path.exists():
        now.totals = ledger(readings.path).totals
        now.batches, now.receipts = batch_counts(readings.path)
    for link in agent.get("links", []):
        now.links[link["port"]] = link["session"] or link["state"]
    collector = read_json(stack.collector_state / "status.json")
    now.refused = collector.get("refused", {})
    now.attested = collector.get("attestations", {}).get("proved", 0)
    now.alarms = collector.get("alarms_total", 0)
    return now


def batch_counts(store: Path) -> tuple[int, int]:
    """(batches signed, receipts verified) in the agent's store."""
    with closing(open_file(store)) as db:
        (batches,) = db.execute("SELECT count(*) FROM batches").fetchone()
        return batches, db.value("SELECT count(DISTINCT batch) FROM receipts")


def read_json(path: Path) -> dict[str, Any]:
    """A status file; {} before it is first written."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}

"""How a run ended: the ledger, the proofs, and the summary for machines."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent import keys
from edge_agent.custody.verify import verify as verify_agent
from edge_agent.ledger.ledger import Ledger, ledger
from edge_agent.readable import counted
from tools.collector import verify
from tools.collector.folder import STORE
from tools.demo.snapshot import Snapshot
from tools.demo.stack import Stack


@dataclass
class Outcome:
    """`problems` are sentences: of signatures and proofs in `unproved`, of numbers in `unbalanced`."""

    ledger: Ledger
    report: verify.Report
    last: Snapshot
    collected: int
    unproved: list[str] = field(default_factory=list)
    unbalanced: list[str] = field(default_factory=list)

    @property
    def verified(self) -> bool:
        """Whether every signature, chain and sample that was looked at holds."""
        return not self.unproved

    @property
    def empty(self) -> bool:
        """Whether it was over before any node had produced a frame: there is nothing to give account of."""
        return self.ledger.totals["produced"] == 0 and not self.unproved and not self.unbalanced

    @property
    def good(self) -> bool:
        """Whether the demo ends with status 0."""
        return not self.unproved and not self.unbalanced and not self.empty

    def summary(self) -> dict[str, Any]:
        """The end summary. Rates in 1/min, SpO2 in percent, pressures in mmHg (of the first node that has
        measured them); None where nothing was measured.
        """
        totals = self.ledger.totals
        nodes = self.last.nodes
        return {
            "input": self.last.input,
            "synthetic": self.last.synthetic,
            "seconds": round(self.last.seconds, 1),
            "produced": totals["produced"],
            "delivered": totals["delivered"],
            "pending": totals["pending"],
            "evicted": totals["evicted"],
            "lost_at_reset": totals["lost_at_reset"],
            "duplicates": totals["duplicates"],
            "batches": self.last.batches,
            "receipts": self.last.receipts,
            "verified": self.verified,
            "hr_bpm": _mean([(n.hr_sum, n.hr_count) for n in nodes]),
            "spo2_pct": _mean([(n.spo2_sum, n.spo2_count) for n in nodes]),
            "bp": next((n.bp.summary() for n in nodes if n.bp is not None), None),
            "wire_bytes": self.last.wire_bytes,
            "heap_free_min": min((n.heap_low for n in nodes if n.heap_low is not None), default=None),
        }


def draw_up(stack: Stack, last: Snapshot) -> Outcome:
    """The account of a run whose processes have ended, be it before they had made their stores."""
    store = stack.agent_state / "agent.db"
    book = ledger(store) if store.exists() else Ledger(())
    kept = (stack.collector_state / STORE).exists()
    report = verify.verify_folder(stack.collector_state) if kept else verify.Report()
    outcome = Outcome(book, report, last, report.frames)
    agent_public = keys.load_public(stack.agent_state / "agent.pub")
    collector_public = keys.load_public(stack.collector_state / "collector.pub")
    results = verify_agent(store, agent_public, collector_public) if store.exists() else []
    outcome.unproved += [result.sentence for result in results if not result.good]
    outcome.unproved += report.problems
    totals, pending = book.totals, report.attestations["pending"]
    delivered = totals["delivered"]
    if pending and not totals["evicted"] and not totals["lost_at_reset"]:
        outcome.unproved.append(f"{counted(pending, 'attestation')} could not be checked: frames are missing")
    if report.frames < delivered:
        outcome.unbalanced.append(
            f"the agent counts {counted(delivered, 'frame')} delivered, the collector holds {report.frames}"
        )
    for row in book.rows:
        if not row.balanced:
            counts = f"{counted(row.unexplained, 'frame')} unexplained, {row.duplicates} delivered twice"
            outcome.unbalanced.append(f"node {row.node} boot {row.counter}: {counts}")
    return outcome


def _mean(sums: list[tuple[float, int]]) -> float | None:
    count = sum(n for _, n in sums)
    return round(sum(total for total, _ in sums) / count, 2) if count else None


def write_summary(outcome: Outcome, path: Path) -> None:
    """As JSON."""
    path.write_text(json.dumps(outcome.summary(), indent=1) + "\n", encoding="utf-8")

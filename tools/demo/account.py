"""The end of a demo for people: the ledger as a table, what was proved, and a verdict."""

from typing import Any

from rich.console import Console
from rich.table import Table

from edge_agent.ledger.ledger import Ledger
from edge_agent.readable import counted, printable
from tools.demo.outcome import Outcome
from tools.demo.view import value

TABLE_WIDTH = 104
"""On a narrower terminal the columns would break inside their numbers."""
COLUMNS = ("produced", "delivered", "pending", "evicted", "lost_at_reset", "duplicates")


def show(outcome: Outcome, console: Console) -> None:
    """Print the account."""
    if outcome.empty:
        synthetic = " (SYNTHETIC)" if outcome.last.synthetic else ""
        console.print(f"input: {outcome.last.input}{synthetic}", highlight=False, markup=False)
        console.print("interrupted before the first frame: there is nothing to verify", style="bold red")
        return
    _show_ledger(outcome.ledger, console)
    summary = outcome.summary()
    proofs = outcome.report.attestations
    lines = (
        f"input: {summary['input']}{' (SYNTHETIC)' if summary['synthetic'] else ''}",
        f"heart rate {value(summary['hr_bpm'], 1)} /min from 20 s on, SpO2 {value(summary['spo2_pct'], 1)} %",
        f"blood pressure {_pressure(summary['bp'])}",
        f"{counted(summary['batches'], 'batch')} signed, {counted(summary['receipts'], 'receipt')} verified,"
        f" {counted(outcome.collected, 'frame')} at the collector",
        f"node signatures: {proofs['proved']} proved, {proofs['pending']} pending, {proofs['failed']} failed",
    )
    console.print("\n".join(lines), highlight=False, markup=False)
    for problem in outcome.unproved + outcome.unbalanced:
        console.print(f"PROBLEM {printable(problem)}", style="bold red", highlight=False, markup=False)
    if outcome.good:
        pending = summary["pending"]
        text = "everything delivered" if not pending else f"{counted(pending, 'frame')} not yet delivered"
        console.print(f"verified; the ledger balances; {text}", style="bold green")
    else:
        console.print("NOT VERIFIED" if outcome.unproved else "THE LEDGER DOES NOT BALANCE", style="bold red")


def _pressure(bp: dict[str, Any] | None) -> str:
    if bp is None:
        return "not measured"
    if "refused" in bp:
        return f"refused: {bp['refused']}"
    pressures = f"{value(bp['sys'])}/{value(bp['dia'])} mmHg, mean {value(bp['map'])}"
    return f"{pressures}, pulse {value(bp['pulse'])} /min"


def _show_ledger(ledger: Ledger, console: Console) -> None:
    """A boot a row; on a narrow terminal, a boot a block."""
    title = "Ledger: produced = delivered + pending + evicted + lost at reset"
    names = [column.replace("_", " ") for column in COLUMNS]
    if console.width < TABLE_WIDTH:
        console.print(title, style="italic", highlight=False)
        for row in ledger.rows:
            console.print(f"node {row.node}, boot {row.counter}", style="bold", highlight=False)
            for name, column in zip(names, COLUMNS, strict=True):
                console.print(f"  {name:13} {getattr(row, column):>9}", highlight=False)
            console.print(f"  {'balanced':13} {'yes' if row.balanced else 'NO':>9}", highlight=False)
        return
    table = Table(title=title, title_justify="left")
    table.add_column("node, boot")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("balanced")
    for row in ledger.rows:
        counts = [str(getattr(row, column)) for column in COLUMNS]
        table.add_row(f"{row.node}, {row.counter}", *counts, "yes" if row.balanced else "NO")
    console.print(table)

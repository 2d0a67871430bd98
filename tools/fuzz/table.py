"""What a person reads of a run: progress, the table, and how to see a finding again."""

import sys
from collections.abc import Sequence

from tools.fuzz.run import Report

UNMEASURED = "–"


def _cell(report: Report, name: str) -> str:
    value = report.figure(name)
    return UNMEASURED if value is None else str(value)


def progress(report: Report) -> None:
    """A line on standard error."""
    speed = report.inputs / report.seconds if report.seconds else 0
    print(
        f"{report.target}: {report.inputs} inputs, {speed:.0f}/s, {_cell(report, 'accepted')} accepted, "
        f"slowest {_cell(report, 'slowest_us')} µs",
        file=sys.stderr,
        flush=True,
    )


def text(reports: Sequence[Report]) -> str:
    """The table, its sums, and the refusals by cause; – where nothing was measured."""
    rows = [
        (
            "target",
            "inputs",
            "inputs/s",
            "accepted",
            "refused",
            "slowest µs",
            "of bytes",
            "objects +",
            "KiB +",
        )
    ]
    for report in reports:
        rows.append(
            (
                report.target,
                str(report.inputs),
                f"{report.inputs / report.seconds:.0f}" if report.seconds else "",
                _cell(report, "accepted"),
                UNMEASURED if "refused" in report.unmeasured else str(sum(report.refused.values())),
                _cell(report, "slowest_us"),
                _cell(report, "slowest_bytes"),
                _cell(report, "blocks"),
                UNMEASURED if "resident" in report.unmeasured else str(report.resident >> 10),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        )
        for row in rows
    ]
    lines.append("")
    for report in reports:
        causes = ", ".join(f"{cause} {n}" for cause, n in report.refused.most_common())
        if causes or report.note:
            lines.append(f"{report.target}: " + "; ".join(part for part in (causes, report.note) if part))
    lines.append(
        f"{sum(report.inputs for report in reports)} inputs in {sum(r.seconds for r in reports):.0f} s"
    )
    return "\n".join(lines)


def account(report: Report, seed: int) -> str:
    """A finding, and the command that shows it again."""
    finding = report.finding
    if finding is None:
        return ""
    vm = " --vm" if report.on_vms else ""
    lines = [
        f"{finding.kind} in {report.target} after {report.inputs} inputs of seed {seed}:",
        finding.account,
    ]
    if finding.data is None:
        run = f"python -m tools.fuzz {report.target} --seed {seed} --inputs {report.inputs}{vm}"
        lines.append(f"again: {run}")
    else:
        lines.append(f"again: echo {finding.data.hex()} | python -m tools.fuzz {report.target} --again{vm}")
    return "\n".join(lines)

"""How a moment of the demo looks: a live terminal view, or one plain line where there is no terminal."""

import io

from rich import box
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from protocol import frames
from tools.demo.readings import STRIP_S, NodeReadings
from tools.demo.snapshot import Snapshot
from tools.demo.strip import draw

STRIP_ROWS = 7
STRIP_ROWS_OF_MANY = 3
LEAST_ROWS = 3
"""Below so many rows of the strip remarks go first."""
SPAN_UV = 1200.0
"""The strip is never drawn finer than this from top to bottom: noise must not look like an ECG."""
APART_S = 30
"""Seconds by which patient time must differ from the wall's to be shown."""
CHROME = 4
"""Columns of a panel that are frame and padding."""

SHOWN = (
    ("produced", "produced", "by the nodes"),
    ("delivered", "delivered", "receipt verified"),
    ("pending", "pending", "no receipt yet"),
    ("evicted", "evicted", "outbox full"),
    ("lost at reset", "lost_at_reset", "stated by the node"),
)


def value(number: float | None, digits: int = 0) -> str:
    """A measured value, or a dash where there is none."""
    return "–" if number is None else f"{number:.{digits}f}"


def pressure(node: NodeReadings) -> str:
    """What the cuff has to say, in mmHg: what it is at, else how it ended, else a dash."""
    if node.cuff_mmhg is not None:
        return f"cuff at {node.cuff_mmhg:.0f}"
    if node.bp is None:
        return "–"
    if node.bp.refused is not None:
        return node.bp.refused
    return f"{value(node.bp.sys)}/{value(node.bp.dia)}"


def line(now: Snapshot) -> str:
    """One line for logs and pipes."""
    vitals = (
        "; ".join(f"HR {value(n.hr)} SpO2 {value(n.spo2, 1)} BP {pressure(n)}" for n in now.nodes)
        or "waiting for the first frame"
    )
    t = now.totals
    return (
        f"[{now.seconds:5.1f} s] {vitals} | link {' '.join(now.links.values()) or '–'} |"
        f" produced {t['produced']} delivered {t['delivered']} pending {t['pending']} evicted {t['evicted']}"
        f" lost at reset {t['lost_at_reset']} | batches {now.batches} receipted {now.receipts}"
    )


def view(now: Snapshot, width: int, height: int | None = None) -> RenderableType:
    """The whole picture, for a terminal of that size.

    Where it is low, the ECG gives way first, then remarks; the counters stay, above the nodes if need be.
    """
    most = STRIP_ROWS if len(now.nodes) == 1 else STRIP_ROWS_OF_MANY
    whole = _picture(now, width, most)
    if height is None:
        return whole
    for compact in (False, True):
        left = height - _lines(_picture(now, width, 0, compact), width)
        rows = min(most, left // max(1, len(now.nodes)))
        if rows >= (1 if compact else LEAST_ROWS):
            return _picture(now, width, rows, compact)
    title, counters = _title(now), _compact_counters(now)
    values: list[RenderableType] = [_values(node) for node in now.nodes]
    return Group(title, counters, *values)


def _picture(now: Snapshot, width: int, rows: int, compact: bool = False) -> Group:
    parts: list[RenderableType] = [_title(now)]
    parts += [_node(node, width, rows) for node in now.nodes] or [
        Panel("waiting for the first frame …", border_style="grey50")
    ]
    if compact:
        return Group(*parts, _compact_counters(now))
    parts.append(Columns([_frames(now), _custody(now), _links(now)], equal=False, expand=False))
    parts.append(
        Text(
            "Ctrl-C stops: the nodes sign for their last frames, and the ledger is drawn up.", style="grey50"
        )
    )
    return Group(*parts)


def _compact_counters(now: Snapshot) -> Group:
    links = Text(f"link {' '.join(now.links.values()) or '–'}, {now.wire_bytes:,} bytes on the wire")
    tables = Table.grid(padding=(0, 2))
    tables.add_row(_frames(now, remarks=False), _custody(now))
    return Group(tables, links)


def _lines(picture: RenderableType, width: int) -> int:
    console = Console(width=width, file=io.StringIO())
    return len(console.render_lines(picture))


def _title(now: Snapshot) -> Group:
    title = Text.assemble(("Vitalwire", "bold"), f"  {now.seconds:.0f} s")
    if abs(now.world_s - now.seconds) > APART_S:
        title.append(f" ({now.world_s:.0f} s of patient time)")
    signals = sorted({name for node in now.nodes for name in node.synthetic})
    if not signals and now.synthetic:
        signals = ["ECG", "pulse wave"]
    if signals:
        title.append("  ")
        title.append(f" SYNTHETIC: {', '.join(signals)} ", style="bold white on red")
    return Group(title, Text(f"input: {now.input}", style="grey70"))


def _node(node: NodeReadings, width: int, rows: int) -> Panel:
    parts: list[RenderableType] = [_values(node)]
    if rows:
        lines = draw(list(node.ecg_uv), width - CHROME, rows, SPAN_UV)
        parts.insert(0, Text("\n".join(lines), style="green", no_wrap=True))
    # As Text: in a str, brackets in what the node calls its board would be styles.
    title = Text(f"ECG, last {STRIP_S} s · node {node.node.hex()} ({node.board})")
    return Panel(Group(*parts), title=title, title_align="left", border_style="green", box=box.ROUNDED)


def _values(node: NodeReadings) -> Text:
    return Text.assemble(
        ("HR ", "grey70"), (value(node.hr), "bold green"), " /min   ",
        ("SpO2 ", "grey70"), (value(node.spo2, 1), "bold cyan"), " %", (_remark(node), "yellow"),
        ("   pulse ", "grey70"), value(node.pulse), " /min",
        *_pressure(node),
        (f"   heap low {node.heap_low // 1024} KiB" if node.heap_low else "", "grey50"),
    )  # fmt: skip


def _pressure(node: NodeReadings) -> tuple[str | tuple[str, str], ...]:
    if not node.has_cuff:
        return ()
    measured = node.cuff_mmhg is not None or (node.bp is not None and node.bp.refused is None)
    return ("   BP ", "grey70"), (pressure(node), "bold magenta"), " mmHg" * measured


def _remark(node: NodeReadings) -> str:
    remarks = [
        text
        for bit, text in (
            (frames.VITALS_LEAD_OFF, "lead off"),
            (frames.VITALS_NO_FINGER, "no finger"),
            (frames.VITALS_UNCALIBRATED, "uncalibrated"),
            (frames.VITALS_ECG_SETTLING, "ECG settling"),
        )
        if node.flags & bit
    ]
    return f" ({', '.join(remarks)})" if remarks else ""


def _table(title: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, show_header=False, padding=(0, 1)
    )
    table.add_column(style="grey70")
    table.add_column(justify="right")
    return table


def _frames(now: Snapshot, remarks: bool = True) -> Table:
    table = _table("frames")
    if remarks:
        table.add_column(style="grey50")
    for name, key, remark in SHOWN:
        count = now.totals[key]
        bad = key in ("evicted", "lost_at_reset") and count
        table.add_row(name, Text(f"{count:,}", style="bold red" if bad else "bold"), *[remark] * remarks)
    return table


def _custody(now: Snapshot) -> Table:
    table = _table("custody")
    table.add_row("batches signed", f"{now.batches:,}")
    table.add_row("batches receipted", f"{now.receipts:,}")
    table.add_row("attestations proved", f"{now.attested:,}")
    table.add_row("refused", Text(f"{sum(now.refused.values())}", style="bold red" if now.refused else ""))
    table.add_row("alarms", Text(f"{now.alarms}", style="bold red" if now.alarms else ""))
    return table


def _links(now: Snapshot) -> Table:
    table = _table("links")
    for port, state in now.links.items():
        table.add_row(port, Text(state, style="bold green" if state == "live" else "bold yellow"))
    table.add_row("bytes on the wire", f"{now.wire_bytes:,}")
    return table

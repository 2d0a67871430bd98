"""The terminal view as an SVG."""

import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from tools.demo.snapshot import Snapshot
from tools.demo.view import view

WIDTH = 112


def save_picture(now: Snapshot, path: Path) -> None:
    """Draw that moment into the file.

    It fetches nothing when it is looked at: the font is whatever monospace there is.
    """
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(view(now, WIDTH))
    svg = console.export_svg(title="vitalwire demo", theme=MONOKAI)
    svg = re.sub(r"@font-face \{.*?\}|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)
    path.write_text(svg, encoding="utf-8")

"""What every benchmark's report has: the machine it was made on, and a JSON file when one is asked for."""

import argparse
import json
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

from tools import writable


def machine() -> "dict[str, Any]":
    """What the figures were measured on: processor, cores, system, Python."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def machine_line() -> str:
    """`machine` in one line."""
    facts = machine()
    return f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, CPython {facts['python']}"


def add_option(parser: argparse.ArgumentParser) -> None:
    """--json FILE, which is refused before the run where none can be written."""
    parser.add_argument("--json", type=_file, metavar="FILE", help="write the report here, too")


def seconds(text: str) -> float:
    """The type of a --seconds: finite and more than 0."""
    value = float(text)
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return value


def _file(text: str) -> Path:
    why = writable.why_not(Path(text))
    if why is not None:
        raise argparse.ArgumentTypeError(why)
    return Path(text)


def write(path: "Path | None", report: "dict[str, Any]") -> None:
    """The report with the machine in it, as JSON at `path`; nothing when that is None.

    Where it cannot be written, that is said and the program ends with status 2 (SystemExit).
    """
    if path is None:
        return
    try:
        path.write_text(json.dumps({**report, "machine": machine()}, indent=1) + "\n")
    except OSError as e:
        print(f"error: {path} could not be written: {e.strerror}", file=sys.stderr)
        raise SystemExit(2) from None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

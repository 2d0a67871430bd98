"""Coverage leads: the same targets and generator under Atheris (libFuzzer), in a process of their own.

python -m tools.fuzz.guided TARGET SEED [options of libFuzzer] [folders of inputs]
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from edge_agent.extras import remedy
from tools.fuzz.run import OF_ONE_PROCESS, Finding, Report

_STAT = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+)")


def fuzz(name: str, inputs: int, seconds: "float | None", seed: int, corpus: "Path | None") -> Report:
    """`inputs` inputs under Atheris; ClickException when it is not installed."""
    if importlib.util.find_spec("atheris") is None:
        raise click.ClickException(f"Atheris is not installed: {remedy('fuzz')} (x86-64 Linux)")
    report = Report(name, unmeasured=("accepted", "refused", *OF_ONE_PROCESS))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "new"
        folder.mkdir()
        held = [str(folder)]
        if corpus is not None and (corpus / name).is_dir():
            held.append(str(corpus / name))
        limits = [
            f"-runs={inputs}",
            f"-seed={seed or 1}",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-max_len=8192",
        ]
        if seconds is not None:
            limits.append(f"-max_total_time={max(1, round(seconds))}")
        crash = Path(scratch) / "crash"
        ended = subprocess.run(
            [sys.executable, "-m", "tools.fuzz.under_atheris", name, str(seed), *limits]
            + ["-print_final_stats=1", f"-exact_artifact_path={crash}", *held],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        report.seconds = time.monotonic() - began
        covered = _COVERED.findall(ended.stderr)
        stat = _STAT.search(ended.stderr)
        report.inputs = int(stat[1]) if stat else int(covered[-1][0]) if covered else 0
        if covered:
            report.note = f"{covered[-1][1]} edges covered, {covered[-1][2]} features"
        report.learned = [path.read_bytes() for path in sorted(folder.iterdir())]
        if ended.returncode:
            data = crash.read_bytes() if crash.exists() else None
            words = ended.stderr + ended.stdout
            raised = words.find("Uncaught Python exception")
            report.finding = Finding("crash", data, words[raised:][:4000] if raised >= 0 else words[-2000:])
    return report

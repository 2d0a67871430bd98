"""The node's code against MicroPython's own library, as its stubs describe it."""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_node_code_fits_micropython():
    pyright = shutil.which("pyright") or shutil.which("pyright", path=str(Path(sys.executable).parent))
    if pyright is None or not (Path(sysconfig.get_path("purelib")) / "machine.pyi").is_file():
        pytest.skip("no pyright, or no micropython-esp32-stubs")
    command = [pyright, "-p", "pyrightconfig.node.json", "--outputjson", "--pythonpath", sys.executable]
    command += ["--typeshedpath", sysconfig.get_path("purelib")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    found = json.loads(done.stdout)
    problems = [
        f"{Path(d['file']).name}:{d['range']['start']['line'] + 1}: {d['message']}"
        for d in found["generalDiagnostics"]
        if d["severity"] == "error"
    ]
    assert problems == [] and found["summary"]["filesAnalyzed"] > 20

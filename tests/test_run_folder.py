"""A run of tests leaves no folder for good, and takes nobody else's away."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.run_folder import run_folder

RUN = """\
import sys
from pathlib import Path
from tests.run_folder import run_folder
with run_folder("run", Path(sys.argv[1])) as folder:
    (folder / "kept").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def begun(parent: Path) -> "tuple[subprocess.Popen[str], Path]":
    """A run in a process of its own, and its folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(parent)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_run_left_goes_when_the_next_begins(tmp_path: Path) -> None:
    killed, left = begun(tmp_path)
    living, stays = begun(tmp_path)
    (tmp_path / "run-of-somebody-else").mkdir()
    with killed, living:
        try:
            assert (left / "kept").exists(), "it was alive when the other began"
            killed.kill()
            killed.wait()
            assert left.exists()
            with run_folder("run", tmp_path) as folder:
                assert folder.is_dir() and not left.exists()
                assert (stays / "kept").exists()
            assert not folder.exists()
            living.communicate()
            assert living.returncode == 0 and not stays.exists()
        finally:
            killed.kill()
            living.kill()
    assert (tmp_path / "run-of-somebody-else").is_dir()

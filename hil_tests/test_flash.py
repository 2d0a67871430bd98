"""A bare board becomes a node that an agent takes: the commands as a person types them.

On a board of the bench, with `--port` and `--flash-image FILE`, which says that it may be erased.
"""

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from boards.virtual.vm import RigError, find_micropython
from edge_agent.nodes import pairing_label
from hil_tests import rig_file
from hil_tests.conftest import _absent
from hil_tests.stack import COMMAND, PATIENCE_S, ROOT, Stack

KIB = 1024
BUTTON = "press its reset button"


class Bench(NamedTuple):
    """The board under test: `image` goes onto it; `press_reset` is a hand at a virtual one."""

    port: str
    image: Path
    press_reset: object = None


@pytest.fixture
def bench(rig: rig_file.RigFile, tmp_path: Path) -> Iterator[Bench]:
    """A virtual board as from the factory, or the rig's."""
    if rig.port:
        if not rig.image:
            pytest.skip(
                "this test erases the board: say --flash-image FILE, the MicroPython that it is to get"
            )
        yield Bench(rig.port, Path(rig.image))
        return
    try:
        find_micropython()
    except RigError as e:
        _absent(str(e))
    if sys.platform != "linux":
        pytest.skip("the board in software looks into /proc")
    try:
        from hil_tests.flash_board import FlashBoard
    except ImportError as e:
        _absent(f"no package for {e.name}: pip install -e .[dev]")
        return
    image = tmp_path / "image.bin"
    data = bytearray(os.urandom(64 * KIB))
    data[0], data[12:14] = 0xE9, b"\0\0"
    image.write_bytes(data)
    board = FlashBoard(tmp_path / "board")
    yield Bench(board.port, image, board.press_reset)
    board.close()


def vitalwire_flash(bench: Bench, folder: Path, tree: Path, *words: str) -> tuple[int, str]:
    """(exit status, all that `vitalwire flash` says); whoever it asks presses the button."""
    always = ["--tree", str(tree), "--port", bench.port, "--kit", str(folder / "kit.json"), "--yes"]
    said = io.StringIO()
    with subprocess.Popen(
        [*COMMAND, "flash", *always, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=dict(os.environ, PYTHONUNBUFFERED="1"),
    ) as process:
        limit = threading.Timer(5 * PATIENCE_S, process.kill)
        limit.start()
        assert process.stdout is not None
        for line in process.stdout:
            said.write(line)
            if BUTTON in line and callable(bench.press_reset):
                bench.press_reset()
        limit.cancel()
    return process.wait(), said.getvalue()


def test_from_bare_to_paired(bench: Bench, rig: rig_file.RigFile, build_dir: Path, tmp_path: Path) -> None:
    code, said = vitalwire_flash(
        bench,
        tmp_path,
        build_dir,
        *("--erase", "--image", str(bench.image)),
        *("--label", str(tmp_path / "label.png"), "--report", str(tmp_path / "report.csv")),
    )
    assert code == 0, said
    (node,) = json.loads((tmp_path / "kit.json").read_text())["nodes"]
    assert node["board"] == rig.board
    (row,) = csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text()))
    assert (row["result"], row["id"]) == ("passed", node["id"])
    tested = {line["name"]: line for line in json.loads(row["self_test"])}
    assert {"ram", "flash", "ecg", "ppg", "button", "keys", "clock"} <= set(tested)
    assert not [line for line in tested.values() if line["why"]]
    assert (
        pairing_label.parse(pairing_label.qr_text(bytes.fromhex(row["fingerprint"]))).node.hex() == node["id"]
    )
    assert (tmp_path / "label.png").stat().st_size > KIB

    # Once more, with the node running: nothing is new, its keys least of all.
    code, said = vitalwire_flash(bench, tmp_path, build_dir, "--app-only")
    assert code == 0, said
    found = re.search(r"went on with (\d+) of (\d+) files", said)
    assert found is not None, said
    assert found.group(1) == found.group(2)
    assert [one["id"] for one in json.loads((tmp_path / "kit.json").read_text())["nodes"]] == [node["id"]]

    agent = Stack(tmp_path / "home", [bench.port])
    agent.folder.mkdir()
    with contextlib.closing(agent):
        agent.config.write_text(
            f'[agent]\nstate_dir = "{agent.agent_dir}"\n[[links]]\nport = "{bench.port}"\n'
        )
        paired = agent.command("pair", "--config", str(agent.config), "--port", bench.port, "--yes")
    assert node["id"] in paired

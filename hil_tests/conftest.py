"""One rig a session (`--rig NAME`), one node a test; `--port` gives a real board instead of a virtual one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_embedded.plugin import multi_dut_fixture

from boards.virtual.rig import RigError, VirtualNode, find_micropython
from hil_tests import rig_file
from hil_tests.duts import NodeDut, NodeSerial
from hil_tests.listener import watch_mode
from hil_tests.stack import Stack

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rig", default="virtual", help="a rig of hil_tests/rigs, or a TOML file")
    parser.addoption(
        "--flash-image", help="erase the board at --port, and flash it with this MicroPython image"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "patient(**options): options of the virtual node under `dut` (record, speed, …)"
    )
    config.addinivalue_line("markers", "watching: the virtual node under `dut` is in watch mode")


def _absent(why: str) -> None:
    """A missing part is a reason to skip, except where everything is to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def rig(request: pytest.FixtureRequest) -> rig_file.RigFile:
    """The rig's description."""
    try:
        return rig_file.load(str(request.config.getoption("rig")))
    except rig_file.BadRig as e:
        pytest.exit(str(e), returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="session")
def build_dir(rig: rig_file.RigFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that goes onto the board's flash, made by the same command as in the field."""
    out = tmp_path_factory.mktemp("build") / rig.board
    subprocess.run(
        [sys.executable, "-m", "tools.cli", "build", "--board", rig.board, "--out", str(out)],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    return out


@pytest.fixture
def recording() -> Path:
    """The folder of MIT-BIH records; absent, the test cannot run."""
    data = rig_file.data_dir()
    if data is None or not (data / "mitdb").is_dir():
        pytest.skip("no recordings: set VITALWIRE_DATA to a folder with mitdb/ in it")
    return data / "mitdb"


@pytest.fixture
def virtual(rig: rig_file.RigFile, request: pytest.FixtureRequest) -> None:
    """The test pulls plugs and reads FIFOs: it needs a rig of software."""
    if not rig.virtual or request.config.getoption("port"):
        pytest.skip("this test reaches into the rig, which only a virtual one allows")
    try:
        find_micropython()
    except RigError as e:
        _absent(str(e))


@pytest.fixture
def make_node(virtual: None, rig: rig_file.RigFile, build_dir: Path, tmp_path: Path) -> Iterator:
    """make_node(**options of VirtualNode) → a node, not yet switched on; all are ended with the test."""
    nodes: list[VirtualNode] = []

    def make(**options) -> VirtualNode:
        if "record" not in options:
            options = {"hr_bpm": rig.hr_bpm, "spo2_pct": rig.spo2_pct, **options}
        name = f"node{len(nodes)}"
        node = VirtualNode(build_dir, tmp_path / name, log=tmp_path / f"{name}.log", **options)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator:
    """make_stack(node, …) → broker, collector and agent around nodes that are on."""
    stacks: list[Stack] = []

    def make(*nodes: VirtualNode) -> Stack:
        stack = Stack(tmp_path / f"stack{len(stacks)}", [node.port for node in nodes])
        stacks.append(stack)
        stack.start()
        return stack

    yield make
    for stack in stacks:
        stack.close()


# pytest-embedded's services are a closed list: its classes are exchanged here (private, so pinned).


@pytest.fixture
@multi_dut_fixture
def board(request):
    """The virtual node under test; None when `--port` names a real one."""
    if request.config.getoption("port"):
        return None
    marker = request.node.get_closest_marker("patient")
    options = dict(marker.kwargs) if marker else {}
    if "record" in options:
        options["record"] = request.getfixturevalue("recording") / options["record"]
    node = request.getfixturevalue("make_node")(**options)
    if request.node.get_closest_marker("watching"):
        watch_mode(node)
    return node


@pytest.fixture
@multi_dut_fixture
def port(request, board):
    """The serial port of the node under test."""
    return request.config.getoption("port") or board.port


@pytest.fixture
@multi_dut_fixture
def _fixture_classes_and_options(_fixture_classes_and_options, board):
    options = _fixture_classes_and_options
    if "serial" in options.classes:
        options.classes["serial"] = type("BoardSerial", (NodeSerial,), {"board": board})
        options.classes["dut"] = NodeDut
    return options

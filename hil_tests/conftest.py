"""One rig a session (`--rig NAME`), one node a test; `--port`, or a rig file with one, gives a real board
instead of a virtual one.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_embedded.plugin import multi_dut_fixture

from boards.virtual.rig import RigError, find_micropython
from hil_tests import rig_file
from hil_tests.duts import NodeDut, NodeSerial
from hil_tests.hands import Hands
from hil_tests.listener import watch_mode
from hil_tests.nodes import BenchNode, Node, RigNode
from hil_tests.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
RIG = pytest.StashKey[rig_file.RigFile]()
# A real board is no faster than the wall, and is flashed for each test.
BENCH_TEST_S = 3600
# What a test's node comes from, for those that a board of a bench may be.
NODES = "new_node"


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
    config.addinivalue_line(
        "markers",
        "bench(*pairs, has=(), keys=()): a bench will do that has these hands (hil_tests/hands.py), these"
        " tables in its board's description, and these keys in its rig file",
    )
    config.addinivalue_line("markers", "inside(why): only the virtual rig will do")


def _rig(config: pytest.Config) -> rig_file.RigFile:
    """The rig's description, with what the command line puts in its place."""
    if RIG not in config.stash:
        try:
            found = rig_file.load(str(config.getoption("rig")))
        except rig_file.BadRig as e:
            pytest.exit(str(e), returncode=pytest.ExitCode.USAGE_ERROR)
        port, image = config.getoption("port"), config.getoption("flash_image")
        config.stash[RIG] = replace(found, port=str(port or found.port), image=str(image or found.image))
    return config.stash[RIG]


def _hands(config: pytest.Config) -> Hands:
    """Those of the rig file, and the person at the terminal."""
    capture: Any = config.pluginmanager.getplugin("capturemanager")

    def ask(what: str) -> None:
        capture.suspend(in_=True)
        try:
            input(f"\n{what}, then press Enter ")
        finally:
            capture.resume()

    capture.suspend(in_=True)
    try:
        somebody = sys.stdin is not None and sys.stdin.isatty()
    finally:
        capture.resume()
    return Hands(_rig(config).hands, ask if somebody else None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a bench tests take their time."""
    mine = [item for item in items if Path(__file__).parent in item.path.parents]
    if mine and not _rig(config).virtual:
        for item in mine:
            item.add_marker(pytest.mark.timeout(BENCH_TEST_S))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What cannot run on this bench is skipped before anything is built for it, and says why."""
    if not isinstance(item, pytest.Function) or _rig(item.config).virtual:
        return
    inside, bench = item.get_closest_marker("inside"), item.get_closest_marker("bench")
    if inside is not None:
        pytest.skip(f"only on the virtual rig: {inside.args[0]}")
    if bench is None:
        if NODES in item.fixturenames:
            pytest.skip("only on the virtual rig: this test reaches into it")
        return
    rig = _rig(item.config)
    lacking = [f"boards/{rig.board} [{table}]" for table in bench.kwargs.get("has", ()) if not rig.has(table)]
    wanted = ("bench.port", "bench.image", *bench.kwargs.get("keys", ()))
    lacking += [key for key in wanted if not getattr(rig, key.partition(".")[2])]
    lacking += _hands(item.config).lacking(bench.args)
    if lacking:
        pytest.skip(f"this bench has no {', no '.join(lacking)}")


def _absent(why: str) -> None:
    """A missing part is a reason to skip, except where everything is to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def rig(request: pytest.FixtureRequest) -> rig_file.RigFile:
    """The rig's description."""
    return _rig(request.config)


def _built(board: str, out: Path) -> Path:
    """The tree that goes onto the board's flash, made by the same command as in the field."""
    subprocess.run(
        [sys.executable, "-m", "tools.cli", "build", "--board", board, "--out", str(out)],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    return out


@pytest.fixture(scope="session")
def build_dir(rig: rig_file.RigFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What goes onto the rig's board."""
    return _built(rig.board, tmp_path_factory.mktemp("build") / rig.board)


@pytest.fixture(scope="session")
def kit_board(rig: rig_file.RigFile) -> str:
    """The home kit: the bench's board, else the virtual node with radios, spool and updates."""
    return "virtual_kit" if rig.virtual else rig.board


@pytest.fixture(scope="session")
def kit_dir(kit_board: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What goes onto the home kit."""
    return _built(kit_board, tmp_path_factory.mktemp("build") / kit_board)


@pytest.fixture
def recording() -> Path:
    """The folder of MIT-BIH records; absent, the test cannot run."""
    data = rig_file.data_dir()
    if data is None or not (data / "mitdb").is_dir():
        pytest.skip("no recordings: set VITALWIRE_DATA to a folder with mitdb/ in it")
    return data / "mitdb"


@pytest.fixture
def virtual(rig: rig_file.RigFile) -> None:
    """The test pulls plugs and reads FIFOs: it needs a rig of software."""
    if not rig.virtual:
        pytest.skip("only on the virtual rig: this test reaches into it")
    try:
        find_micropython()
    except RigError as e:
        _absent(str(e))


@pytest.fixture
def new_node(rig: rig_file.RigFile, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator:
    """new_node(tree, **options of VirtualNode) → a virtual node that is not yet switched on, or the bench's
    board, flashed with the tree; all are ended with the test.
    """
    if rig.virtual:
        request.getfixturevalue("virtual")
    nodes: list[Node] = []

    def new(tree: Path, **options: Any) -> Node:
        name = f"node{len(nodes)}"
        if rig.virtual:
            nodes.append(RigNode(tree, tmp_path / name, log=tmp_path / f"{name}.log", **options))
            return nodes[-1]
        # Its patient, its clock and its bluetooth are what they are.
        folder = tmp_path / name
        folder.mkdir()
        node = BenchNode(rig, tree, folder, _hands(request.config))
        nodes.append(node)
        return node.start()

    yield new
    for node in nodes:
        node.close()


@pytest.fixture
def make_node(new_node: Callable[..., Node], rig: rig_file.RigFile, build_dir: Path) -> Callable[..., Node]:
    """make_node(**options of VirtualNode) → new_node with the rig's own board and patient."""

    def make(**options: Any) -> Node:
        if "record" not in options:
            options = {"hr_bpm": rig.hr_bpm, "spo2_pct": rig.spo2_pct, **options}
        return new_node(build_dir, **options)

    return make


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator:
    """make_stack(node, …) → broker, collector and agent around nodes that are on."""
    stacks: list[Stack] = []

    def make(*nodes: Node) -> Stack:
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
    """The virtual node under test; None when a real one is on the bench."""
    if not request.getfixturevalue("rig").virtual:
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
def port(rig, board):
    """The serial port of the node under test."""
    return rig.port or board.port


@pytest.fixture
@multi_dut_fixture
def _fixture_classes_and_options(_fixture_classes_and_options, board):
    options = _fixture_classes_and_options
    if "serial" in options.classes:
        options.classes["serial"] = type("BoardSerial", (NodeSerial,), {"board": board})
        options.classes["dut"] = NodeDut
    return options

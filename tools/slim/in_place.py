"""Constants put where they are used, in the text itself: a tree of sources stays what was written, line by
line, without the names that a node would keep.
"""

import ast
from collections import Counter
from collections.abc import Collection, Iterator

from tools.slim.constants import Module, read_constants
from tools.slim.liveness import binds, mentions

Edit = tuple[int, int, int, bytes]  # line from 0, the first column and the one after the last, new text


def put_in_place(sources: dict[str, str]) -> dict[str, str]:
    """`sources` (module name to source) with the values of constants instead of their names.

    Every statement keeps its line. A name inside an f-string keeps its definition, for Python before 3.12
    does not tell where it stands. Definitions and imports that nothing mentions afterwards are blank lines.
    """
    trees = _parsed(sources)
    constants = read_constants(trees)
    edited = {
        name: _edit(sources[name], _uses(tree, constants[name], constants)) for name, tree in trees.items()
    }
    trees = _parsed(edited)
    used = set[str]().union(*(_mentioned(tree) for tree in trees.values()))
    attributes = {n.attr for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    return {name: _edit(edited[name], _idle(tree, sources, used, attributes)) for name, tree in trees.items()}


def _parsed(sources: dict[str, str]) -> dict[str, ast.Module]:
    return {name: ast.parse(source, name) for name, source in sources.items()}


def _uses(tree: ast.AST, module: Module, modules: dict[str, Module]) -> Iterator[Edit]:
    """Each use of a constant, as its value."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr):
            continue
        value = module.meant(node, modules)
        if value is None:
            yield from _uses(node, module, modules)
        elif isinstance(node, ast.expr) and node.lineno == node.end_lineno and node.end_col_offset:
            apart = isinstance(value, int) and (value < 0 or isinstance(tree, ast.Attribute))
            text = f"({value!r})" if apart else repr(value)
            yield node.lineno - 1, node.col_offset, node.end_col_offset, text.encode()


def _mentioned(tree: ast.Module) -> set[str]:
    """What a module mentions; of its imports from other modules what it calls otherwise."""
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    renamed = {alias.name for node in imports for alias in node.names if alias.asname}
    return renamed.union(*(mentions(node) for node in tree.body if node not in imports))


def _idle(tree: ast.Module, shipped: Collection[str], used: set[str], attributes: set[str]) -> Iterator[Edit]:
    """What is of no use and has its lines to itself: top-level constants, tables and imported names that no
    module mentions, and imported modules that this one does not.
    """
    here = attributes | _mentioned(tree)
    lines = Counter(line for node in tree.body for line in _lines(node))
    for node in tree.body:
        if any(lines[line] > 1 for line in _lines(node)):
            continue
        if isinstance(node, ast.Assign):
            names = set(binds(node))
            if names and not names & used:
                yield from _blank(node)
        elif isinstance(node, ast.ImportFrom) and node.module:
            kept = [alias for alias in node.names if _wanted(node.module, alias, shipped, used, here)]
            if len(kept) < len(node.names):
                shorter = ast.unparse(ast.ImportFrom(node.module, kept, 0)) if kept else ""
                yield from _blank(node, shorter.encode())


def _wanted(base: str, alias: ast.alias, shipped: Collection[str], used: set[str], here: set[str]) -> bool:
    if f"{base}.{alias.name}" in shipped:
        return (alias.asname or alias.name) in here
    return base not in shipped or alias.name in used


def _lines(node: ast.stmt) -> range:
    return range(node.lineno - 1, node.end_lineno or node.lineno)


def _blank(node: ast.stmt, instead: bytes = b"") -> Iterator[Edit]:
    """A statement gives way to something on its first line."""
    for line in _lines(node):
        yield line, 0, -1, instead if line == node.lineno - 1 else b""


def _edit(source: str, edits: Iterator[Edit]) -> str:
    """A source with edits made, from its end to its beginning."""
    lines = [line.rstrip(b"\r\n") for line in source.encode().splitlines()]
    for line, begin, end, text in sorted(edits, reverse=True):
        rest = lines[line][end:] if end >= 0 else b""
        lines[line] = lines[line][:begin] + text + rest
    return "".join(line.decode() + "\n" for line in lines)

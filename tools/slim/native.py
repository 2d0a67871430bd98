"""Modules for the board's own compiler: sources still, without what it would keep of them for nothing.

Each name in a source that is compiled on a board stays in its heap for good, be it a constant or a local
variable.
"""

import ast

from tools.slim.in_place import put_in_place
from tools.slim.names import LETTERS, short_names
from tools.slim.strip import fill


def compact(sources: dict[str, str]) -> dict[str, str]:
    """`sources` (module name to source) with constants in place, short local names, and no texts."""
    return {name: _compact(text) for name, text in put_in_place(sources).items()}


def _compact(source: str) -> str:
    tree = ast.parse(source)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            _shorten(node)
    tree.body = [node for node in tree.body if not _idle(node, used)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body = [item for item in node.body if not _is_text(item)]
            fill(node)
    return ast.unparse(tree) + "\n"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _idle(node: ast.stmt, used: set[str]) -> bool:
    imported = (
        isinstance(node, ast.ImportFrom) and not {alias.asname or alias.name for alias in node.names} & used
    )
    return imported or _is_text(node)


def _shorten(function: ast.FunctionDef) -> None:
    """Give its parameters and variables the first of all short names."""
    local = [argument.arg for argument in function.args.args]
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id not in local:
            local.append(node.id)
    others = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} - set(local)
    free = (name for names in (LETTERS, short_names()) for name in names if name not in others)
    new = dict(zip(local, free, strict=False))
    for node in ast.walk(function):
        if isinstance(node, ast.Name):
            node.id = new.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = new[node.arg]

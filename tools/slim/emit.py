"""From a syntax tree back to source in which every statement stands on the line on which it stood before."""

import ast
import copy

COMPOUND = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try),
    *(ast.With, ast.AsyncWith),
)


def emit(tree: ast.Module) -> str:
    """The module's source. Statements that took several lines take their first; comments are gone."""
    out: list[str] = []
    _block(tree.body, 0, out)
    return "\n".join(out) + "\n"


def _line(text: str, indent: int, at: int, out: list[str]) -> None:
    """Put `text` on line `at` (from 1), or on the next one when that is taken."""
    while len(out) < at - 1:
        out.append("")
    out.append("    " * indent + text)


def _block(body: list[ast.stmt], indent: int, out: list[str]) -> None:
    for node in body:
        if isinstance(node, COMPOUND):
            _compound(node, indent, out)
        else:
            _line(ast.unparse(node), indent, node.lineno, out)


def _compound(node: ast.stmt, indent: int, out: list[str], word: str = "") -> None:
    shell = copy.copy(node)
    for part in ("body", "orelse", "finalbody", "handlers"):
        if hasattr(shell, part):
            setattr(shell, part, [])
    if isinstance(node, ast.Try):
        _line("try:", indent, node.lineno, out)
    else:
        setattr(shell, "body", [ast.Pass()])  # noqa: B010 - not every statement has a body
        decorators = getattr(node, "decorator_list", [])
        for decorator in decorators:
            _line("@" + ast.unparse(decorator), indent, decorator.lineno, out)
        if decorators:
            setattr(shell, "decorator_list", [])  # noqa: B010
        _line(word + ast.unparse(shell).split("\n")[0], indent, node.lineno, out)
    _block(getattr(node, "body"), indent + 1, out)  # noqa: B009
    for handler in getattr(node, "handlers", []):
        head = "except" + (f" {ast.unparse(handler.type)}" if handler.type else "")
        _line(head + (f" as {handler.name}:" if handler.name else ":"), indent, handler.lineno, out)
        _block(handler.body, indent + 1, out)
    rest: list[ast.stmt] = getattr(node, "orelse", [])
    if isinstance(node, ast.If) and len(rest) == 1 and isinstance(rest[0], ast.If):
        _compound(rest[0], indent, out, "el")
    elif rest:
        _line("else:", indent, 0, out)
        _block(rest, indent + 1, out)
    if getattr(node, "finalbody", []):
        _line("finally:", indent, 0, out)
        _block(getattr(node, "finalbody"), indent + 1, out)  # noqa: B009

"""What only a node's start needs, given back to the heap once it has started.

A rare module's function HOOK is called when all is made; the build writes its body. Dead from then on, by
name, is what no code leads to that runs later: what stands after the call, what was stored or handed over
before it, what a generator or a coroutine goes on with. A name that any of these mentions keeps all its
bearers.
"""

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tools.slim.liveness import FUNCTIONS, mentions
from tools.slim.rare import Part

HOOK = "forget_start"
LAZY = (*FUNCTIONS, ast.Lambda, ast.GeneratorExp)
RUNS_ON = (ast.Yield, ast.YieldFrom, ast.Await)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Dead(NamedTuple):
    """A definition that may go, of the namespace itself or (`home`) of a class."""

    node: Definition
    home: "ast.ClassDef | None"


def dead_after_start(main: Sequence[Part], others: Sequence[Part], kept: set[str]) -> list[Dead]:
    """The definitions of `main` that are of no use after HOOK was called. `others`: what is loaded later, or
    for the start only; `kept`: names that are used from outside.
    """
    nodes = [node for _, body in (*main, *others) for node in body]
    live = set[str]()
    holders = {n.name for n in nodes if isinstance(n, FUNCTIONS) and HOOK in mentions(n)}
    for node in nodes:
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            live |= _stored(node)
    for _, body in others:
        for node in body:
            if not isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Import, ast.ImportFrom)):
                live |= mentions(node)
    starting = {id(node): _after(node, holders) for node in nodes}
    live |= set[str]().union(*starting.values())
    named = kept.union(*(mentions(node) for node in nodes if starting[id(node)]))
    items = [item for node in nodes if not starting[id(node)] for item in _items(node)]
    items = [item for item in items if item.node.name not in holders]
    lasting = {item.node.name for item in items if _runs_on(item.node)}
    for node in nodes:
        if starting[id(node)]:
            live |= _stored(node) | (mentions(node) & lasting)
    done: set[int] = set()
    size = -1
    while size != len(live) + len(done):
        size = len(live) + len(done)
        for n, item in enumerate(items):
            if n not in done and _lives(item, live):
                done.add(n)
                live |= _all_of(item)
        for n, item in enumerate(items):
            if n not in done:
                live |= _stored(item.node) | (mentions(item.node) & lasting)
    ours = {id(node) for _, body in main for node in body}
    return [
        item
        for n, item in enumerate(items)
        if n not in done and id(item.home or item.node) in ours and (item.home or item.node.name not in named)
    ]


def _items(node: ast.stmt) -> Iterator[Dead]:
    if isinstance(node, FUNCTIONS):
        yield Dead(node, None)
    elif isinstance(node, ast.ClassDef):
        yield Dead(node, None)
        for item in node.body:
            if isinstance(item, FUNCTIONS):
                yield Dead(item, node)


def _runs_on(node: Definition) -> bool:
    return isinstance(node, FUNCTIONS) and any(isinstance(n, RUNS_ON) for n in ast.walk(node))


def _lives(item: Dead, live: set[str]) -> bool:
    """A method with a name of the language's is the interpreter's to call; objects are made by the name of
    their class.
    """
    name = item.node.name
    if item.home is not None and name == "__init__":
        return item.home.name in live
    return name in live or (item.home is not None and name.startswith("__"))


def _all_of(item: Dead) -> set[str]:
    """What a live definition leads to: a class to its bases, its methods on their own."""
    if isinstance(item.node, ast.ClassDef):
        parts = [n for n in item.node.body if not isinstance(n, FUNCTIONS)]
        return set[str]().union(*(mentions(n) for n in (*item.node.bases, *parts)))
    return mentions(item.node)


def _stored(node: ast.AST) -> set[str]:
    """What code that runs at the start only mentions other than to call it or to forget it, and all that is
    in functions within it.
    """
    found: set[str] = set()
    if isinstance(node, ast.ClassDef):
        return found.union(*(mentions(n) for n in node.body if not isinstance(n, FUNCTIONS)))
    todo: list[ast.AST] = list(ast.iter_child_nodes(node))
    while todo:
        child = todo.pop()
        if isinstance(child, LAZY):
            found |= mentions(child)
            continue
        if _forgets(child):
            continue
        if isinstance(child, ast.Call):
            todo += [*child.args, *(keyword.value for keyword in child.keywords)]
            if isinstance(child.func, ast.Name):
                found |= mentions(child) & _texts(child)
            elif isinstance(child.func, ast.Attribute):
                todo.append(child.func.value)
            else:
                todo.append(child.func)
            continue
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load):
            found.add(child.id)
        elif isinstance(child, ast.Attribute):
            found.add(child.attr)
        todo += ast.iter_child_nodes(child)
    return found


def _texts(call: ast.Call) -> set[str]:
    """Names that are asked for as texts: getattr and its kin."""
    return {n.value for n in call.args if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def _after(node: ast.stmt, holders: set[str]) -> set[str]:
    """What a function mentions behind its call of a holder of HOOK."""
    calls = [
        n.lineno
        for n in ast.walk(node)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id in holders
    ]
    if not calls:
        return set()
    found: set[str] = set()
    todo: list[ast.AST] = [node]
    while todo:
        child = todo.pop()
        if not _forgets(child):
            todo += ast.iter_child_nodes(child)
            if isinstance(child, (ast.Name, ast.Attribute)) and child.lineno > min(calls):
                found |= {child.id} if isinstance(child, ast.Name) else {child.attr}
    return found


def _forgets(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value is None


def forgotten(dead: Sequence[Dead], bundle: str) -> list[ast.stmt]:
    """The statements of HOOK, in the names that the definitions have now."""
    lines: list[str] = [f"import {bundle}"]
    for home in {id(item.home): item.home for item in dead if item.home is not None}.values():
        names = [item.node.name for item in dead if item.home is home]
        lines.append(" = ".join(f"{bundle}.{home.name}.{name}" for name in names) + " = None")
    whole = [item.node.name for item in dead if item.home is None]
    if whole:
        lines.append(" = ".join(f"{bundle}.{name}" for name in whole) + " = None")
    return ast.parse("\n".join(lines)).body

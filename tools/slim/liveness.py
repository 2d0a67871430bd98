"""Dead code, by name: what no live code mentions is dropped; a mentioned name keeps all its bearers."""

import ast
from collections.abc import Collection, Iterable, Iterator

from tools.slim.strip import fill

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
IMPORTS = (ast.Import, ast.ImportFrom)
BY_NAME = ("getattr", "hasattr", "setattr")
# Calls without effects, in the value of a name that may be dropped.
PURE_CALLS = frozenset(("array", "bytes", "bytearray", "const", "frozenset", "range", "tuple"))
IMPURE = (ast.Yield, ast.YieldFrom, ast.Await, ast.NamedExpr)


def mentions(node: ast.AST) -> set[str]:
    """Every identifier in a tree that may refer to something defined elsewhere."""
    found: set[str] = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load):
            found.add(child.id)
        elif isinstance(child, ast.Attribute):
            found.add(child.attr)
        elif isinstance(child, ast.alias):
            found.update(child.name.split("."))
        elif isinstance(child, ast.Global):
            found.update(child.names)
        elif isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id in BY_NAME:
            found.update(str(arg.value) for arg in child.args if isinstance(arg, ast.Constant))
    return found


def drop_dead(trees: dict[str, ast.Module], kept: set[str]) -> None:
    """Remove from all modules what neither `kept` nor any code that runs leads to."""
    live = live_names(trees.values(), kept)
    for tree in trees.values():
        tree.body = [node for node in tree.body if _is_live(node, live)]
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                node.body = [item for item in node.body if _method_lives(item, live)]
                fill(node)
            elif isinstance(node, IMPORTS):
                node.names = [alias for alias in node.names if _bound(alias) in live]


class Reading:
    """What statements bind and mention, each read once: for as long as nobody changes them."""

    def __init__(self):
        self._binds: dict[ast.stmt, set[str]] = {}
        self._mentions: dict[ast.AST, set[str]] = {}

    def binds(self, node: ast.stmt) -> set[str]:
        """As the function."""
        if node not in self._binds:
            self._binds[node] = set(binds(node))
        return self._binds[node]

    def mentions(self, node: ast.AST) -> set[str]:
        """As the function."""
        if node not in self._mentions:
            self._mentions[node] = mentions(node)
        return self._mentions[node]


def live_names(trees: Iterable[ast.Module], kept: set[str], read: Reading | None = None) -> set[str]:
    """The names that `kept` and the code that runs lead to. `read`: what earlier calls read of them."""
    read = read or Reading()
    modules = list(trees)
    live = set(kept)
    size = -1
    while len(live) != size:
        size = len(live)
        for tree in modules:
            for node in tree.body:
                live |= _led_to(node, live, read)
    return live


def _led_to(node: ast.stmt, live: set[str], read: Reading) -> set[str]:
    """Names that live code in this top-level statement mentions."""
    names = read.binds(node)
    if names and names.isdisjoint(live):
        return set()
    if isinstance(node, ast.ClassDef):
        outside = [*node.bases, *node.decorator_list, *(i for i in node.body if _method_lives(i, live))]
        return set().union(*(read.mentions(item) for item in outside))
    if isinstance(node, IMPORTS):
        return set().union(*(set(a.name.split(".")) for a in node.names if _bound(a) in live))
    return read.mentions(node)


def _is_live(node: ast.stmt, live: set[str]) -> bool:
    names = set(binds(node))
    return not names or bool(names & live)


def _method_lives(item: ast.stmt, live: set[str]) -> bool:
    return not isinstance(item, FUNCTIONS) or item.name.startswith("__") or item.name in live


def binds(node: ast.stmt) -> Iterator[str]:
    """The names for whose sake alone a top-level statement is there; none: it runs for its effects."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        yield node.name
    elif isinstance(node, IMPORTS):
        yield from (_bound(alias) for alias in node.names)
    elif isinstance(node, ast.Assign):
        if all(isinstance(target, ast.Name) for target in node.targets) and _pure(node.value):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.Try):
        parts = [*node.body, *(item for handler in node.handlers for item in handler.body), *node.orelse]
        bound = [list(binds(part)) for part in parts if not isinstance(part, ast.Pass)]
        if all(bound):
            for names in bound:
                yield from names
    elif isinstance(node, ast.If):
        bound = [list(binds(part)) for part in (*node.body, *node.orelse)]
        if _pure(node.test) and all(bound):
            for names in bound:
                yield from names


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.split(".")[0]


def _pure(node: ast.expr) -> bool:
    for child in ast.walk(node):
        if isinstance(child, IMPURE):
            return False
        if isinstance(child, ast.Call) and ast.unparse(child.func) not in PURE_CALLS:
            return False
    return True


def imported_modules(trees: dict[str, ast.Module], entries: Collection[str]) -> set[str]:
    """The modules among `trees` that the entries lead to."""
    found: set[str] = set()
    todo = list(entries)
    while todo:
        name = todo.pop()
        if name in found or name not in trees:
            continue
        found.add(name)
        for node in ast.walk(trees[name]):
            if isinstance(node, ast.ImportFrom) and node.module:
                todo.append(node.module)
                todo += [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
    return found

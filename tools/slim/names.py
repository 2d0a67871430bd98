"""Shorter names for what no other code can see: parameters that no caller names, private names, and
attributes that objects of these modules alone have.

Modules share them: the same few short names serve every function's parameters, and two other names get the
same short one when no module (or family of modules whose classes inherit from each other) holds both.
"""

import ast
from collections.abc import Collection, Iterable, Iterator
from itertools import count

from tools.slim.known import KNOWN

LETTERS = "abcdefghijklmnopqrstuvwxyz"
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def shorten_parameters(trees: dict[str, ast.Module], kept: set[str]) -> None:
    """Rename parameters that are never passed by name, function by function."""
    by_keyword = set(kept)
    for tree in trees.values():
        by_keyword.update(n.arg for n in ast.walk(tree) if isinstance(n, ast.keyword) and n.arg)
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                _shorten(node, by_keyword)


def _shorten(function: ast.FunctionDef | ast.AsyncFunctionDef, by_keyword: set[str]) -> None:
    taken = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    for inner in ast.walk(function):
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            taken.update(argument.arg for argument in _arguments(inner))
            if inner is not function and not isinstance(inner, ast.Lambda):
                taken.add(inner.name)
        elif isinstance(inner, ast.ExceptHandler) and inner.name:
            taken.add(inner.name)
    free = (letter for letter in LETTERS if letter not in taken)
    new: dict[str, str] = {}
    for argument in _arguments(function):
        if argument.arg != "self" and len(argument.arg) > 1 and argument.arg not in by_keyword:
            short = next(free, None)
            if short is not None:
                new[argument.arg] = short
    if new and not _rebinds(function, set(new)):
        rename = _Rename(new, attributes=False)
        # Its defaults and decorators belong to what is around it, where the same names may be others.
        for node in (*_arguments(function), *function.body):
            rename.visit(node)


def _arguments(function: Function) -> Iterator[ast.arg]:
    arguments = function.args
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    if arguments.vararg:
        yield arguments.vararg
    if arguments.kwarg:
        yield arguments.kwarg


def _rebinds(function: Function, names: set[str]) -> bool:
    """Whether something inside has a parameter of its own of one of these names."""
    inners = [
        node
        for node in ast.walk(function)
        if node is not function and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    ]
    return any(argument.arg in names for inner in inners for argument in _arguments(inner))


def shorten_private(trees: dict[str, ast.Module], kept: Collection[str], attributes: set[str]) -> None:
    """Rename names that begin with one underscore and are defined in these modules, everywhere alike, and so
    too `attributes`: those of these modules alone.
    """
    families = _families(trees)
    held: dict[str, set[str]] = {}
    places: dict[str, set[str]] = {}
    for module, tree in trees.items():
        defined, seen = _names(tree)
        for name in seen:
            held.setdefault(families[module], set()).add(name)
        texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        for name in defined - texts:
            private = name.startswith("_") and not name.startswith("__")
            if (private or name in attributes) and name not in kept:
                places.setdefault(name, set())
    for family, names in held.items():
        for name in names:
            if name in places:
                places[name].add(family)
    used: dict[str, set[str]] = {family: set(names) for family, names in held.items()}
    new: dict[str, str] = {}
    for name in sorted(places, key=lambda n: (-len(places[n]), n)):
        for short in short_names():
            if short not in kept and all(short not in used[family] for family in places[name]):
                break
        new[name] = short
        for family in places[name]:
            used[family].add(short)
    for tree in trees.values():
        _Rename(new, attributes=True).visit(tree)


def shorten_globals(trees: Iterable[ast.Module], long: Iterable[str], kept: Collection[str]) -> None:
    """Rename the globals `long` of one namespace, which stand for nothing else, to what no function calls
    anything of its own.
    """
    modules = list(trees)
    taken = set(kept)
    for tree in modules:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                taken.add(node.id)
            elif isinstance(node, ast.arg):
                taken.add(node.arg)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                taken.add(node.name)
            elif isinstance(node, ast.alias):
                taken.update((node.name, node.asname or node.name))
            elif isinstance(node, ast.ExceptHandler) and node.name:
                taken.add(node.name)
    free = (name for name in short_names() if name not in taken)
    new = dict(zip(long, free, strict=False))
    for tree in modules:
        _Rename(new, attributes=True).visit(tree)


def short_names() -> Iterator[str]:
    """The interpreter's own, then _a, _b, … without end."""
    yield from KNOWN
    for n in count():
        yield "_" + LETTERS[n % 26] + (str(n // 26) if n >= 26 else "")


def _families(trees: dict[str, ast.Module]) -> dict[str, str]:
    """Module to family: a class and its base may each hold a private name that the other's module does not
    mention.
    """
    home = {
        n.name: module for module, tree in trees.items() for n in tree.body if isinstance(n, ast.ClassDef)
    }
    family = {module: module for module in trees}

    def root(module: str) -> str:
        while family[module] != module:
            module = family[module]
        return module

    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for base in node.bases:
                    name = base.attr if isinstance(base, ast.Attribute) else ast.unparse(base)
                    if name in home:
                        family[root(module)] = root(home[name])
    return {module: root(module) for module in trees}


def _names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """(names that a module defines, names that it holds at all)."""
    defined: set[str] = set()
    seen: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, ast.Name):
            seen.add(node.id)
            if isinstance(node.ctx, ast.Store):
                defined.add(node.id)
        elif isinstance(node, ast.Attribute):
            seen.add(node.attr)
            if isinstance(node.ctx, ast.Store):
                defined.add(node.attr)
        elif isinstance(node, ast.arg):
            seen.add(node.arg)
        elif isinstance(node, ast.alias):
            seen.add(node.asname or node.name)
    return defined, seen | defined


class _Rename(ast.NodeTransformer):
    def __init__(self, new: dict[str, str], attributes: bool):
        self._new = new
        self._attributes = attributes

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._new.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self._new.get(node.arg, node.arg)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if self._attributes:
            node.attr = self._new.get(node.attr, node.attr)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._definition(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._definition(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._definition(node)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        if self._attributes:
            node.name = self._new.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_alias(self, node: ast.alias) -> ast.AST:
        if self._attributes:
            node.name = self._new.get(node.name, node.name)
            node.asname = self._new.get(node.asname, node.asname) if node.asname else None
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self._new.get(name, name) for name in node.names]
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        node.names = [self._new.get(name, name) for name in node.names]
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name:
            node.name = self._new.get(node.name, node.name)
        return self.generic_visit(node)

"""Many modules in one: a module costs a node some two hundred bytes, and each name it imports another eight.

Every top-level name gets a name of its own in the bundle; `module.name` and imported names become that name.
Modules stand in the order of their imports.
"""

import ast
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple, TypeGuard

# How the names begin that the bundle gives; they are others in the end.
LONG = "bundled"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Unbundled(Exception):
    """A module does something that one namespace cannot express; the text says where."""


class Own(NamedTuple):
    """A name that a module defines."""

    module: str
    name: str


class Other(NamedTuple):
    """A name, or with name "" a module, from outside the bundle."""

    module: str
    name: str


class Whole(NamedTuple):
    """A module of the bundle."""

    module: str


Target = Own | Other | Whole


def bundle(
    trees: dict[str, ast.Module], entries: Collection[str], kept: set[str]
) -> tuple[list[tuple[str, list[ast.stmt]]], list[str]]:
    """(module, its statements) in order, all in one namespace, and the names that it got: each stands for one
    thing only. Those of the entries in `kept` keep their spelling.

    The first item, under the name "", holds the imports from outside.
    """
    tables = {name: _bindings(name, tree, trees) for name, tree in trees.items()}
    order = list(_in_order(trees, tables, entries))
    names = _Names(tables, entries, kept, _all_locals(trees), set(_errors(trees)))
    outside: dict[str, ast.stmt] = {}
    parts: list[tuple[str, list[ast.stmt]]] = []
    for module in order:
        resolver = _Resolver(module, names)
        body: list[ast.stmt] = []
        for node in trees[module].body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for statement in names.imports(module, node):
                    outside[ast.unparse(statement)] = statement
            else:
                body.append(resolver.visit(node))
        parts.append((module, body))
    return [("", list(outside.values())), *parts], names.long


def _errors(trees: dict[str, ast.Module]) -> Iterator[Target]:
    """The classes whose names a node tells: those of errors."""
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.bases:
                yield Own(module, node.name)


def _bindings(module: str, tree: ast.Module, trees: dict[str, ast.Module]) -> dict[str, Target]:
    """What each top-level name of a module stands for."""
    table: dict[str, Target] = {}

    def bind(name: str, target: Target, line: int) -> None:
        if table.setdefault(name, target) != target:
            raise Unbundled(f"{module}:{line}: {name} stands for two things")

    def block(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                bind(node.name, Own(module, node.name), node.lineno)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                for alias in node.names:
                    bind(alias.asname or alias.name, _imported(base, alias.name, trees), node.lineno)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    bind(alias.asname or alias.name, Other(alias.name, ""), node.lineno)
            else:
                for child in ast.walk(node):
                    if _stores(child):
                        bind(child.id, Own(module, child.id), node.lineno)
                for part in _blocks(node):
                    block(part)

    block(tree.body)
    return table


def _imported(base: str, name: str, trees: dict[str, ast.Module]) -> Target:
    if f"{base}.{name}" in trees:
        return Whole(f"{base}.{name}")
    return Own(base, name) if base in trees else Other(base, name)


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for part in ("body", "orelse", "finalbody"):
        yield getattr(node, part, [])
    for handler in getattr(node, "handlers", []):
        yield handler.body


def _in_order(
    trees: dict[str, ast.Module], tables: dict[str, dict[str, Target]], entries: Iterable[str]
) -> Iterator[str]:
    done: set[str] = set()

    def visit(module: str) -> Iterator[str]:
        if module in done:
            return
        done.add(module)
        for target in tables[module].values():
            if not isinstance(target, Other) and target.module in trees:
                yield from visit(target.module)
        yield module

    for entry in entries:
        yield from visit(entry)


class _Names:
    """The bundle's one namespace."""

    def __init__(
        self,
        tables: dict[str, dict[str, Target]],
        entries: Collection[str],
        kept: set[str],
        local: set[str],
        shown: Collection[Target],
    ):
        self._tables = tables
        self._final: dict[Target, str] = {}
        self._taken = set(kept)
        self._local = local
        self.long: list[str] = []
        for table in tables.values():
            for bound, target in table.items():
                if isinstance(target, Other) and target not in self._final:
                    self._name(target, bound, set())
        for module, table in tables.items():
            for bound, target in table.items():
                if target == Own(module, bound):
                    if bound in kept and module in entries:
                        self._final[target] = bound
                    elif target in shown:
                        self._name(target, bound, self._local)
                    else:
                        self._final[target] = f"{LONG}{len(self.long)}_{bound}"
                        self.long.append(self._final[target])

    def _name(self, target: Target, wanted: str, shadows: set[str]) -> None:
        """A name that nothing else has; `shadows` would be something else inside a function."""
        name, n = wanted, 2
        while name in self._taken or name in shadows:
            name, n = f"{wanted}{n}", n + 1
        self._taken.add(name)
        self._final[target] = name

    def resolve(self, module: str, name: str) -> Target | None:
        """What a top-level name of a module stands for in the end; None: a builtin."""
        target = self._tables[module].get(name)
        while isinstance(target, Own) and target not in self._final:
            target = self._tables[target.module].get(target.name)
        return target

    def final(self, target: Target) -> str:
        """The one name of a target in the bundle."""
        return self._final[target]

    def imports(self, module: str, node: ast.Import | ast.ImportFrom) -> Iterator[ast.stmt]:
        """The imports from outside that a statement makes, one a name, under the bundle's names."""
        for alias in node.names:
            target = self._tables[module][alias.asname or alias.name]
            if isinstance(target, Other):
                final = self._final[target]
                short = ast.alias(alias.name, None if final == alias.name else final)
                if isinstance(node, ast.Import):
                    made: ast.stmt = ast.Import([short])
                else:
                    made = ast.ImportFrom(node.module, [short], 0)
                yield ast.fix_missing_locations(ast.copy_location(made, node))


class _Resolver(ast.NodeTransformer):
    """Rewrites one module's statements into the bundle's names, scope by scope."""

    def __init__(self, module: str, names: _Names):
        self._module = module
        self._names = names
        self._scopes: list[set[str]] = []

    def _target(self, name: str) -> Target | None:
        if any(name in scope for scope in self._scopes):
            return None
        return self._names.resolve(self._module, name)

    def _rename(self, name: str) -> str:
        target = self._target(name)
        return name if target is None or isinstance(target, Whole) else self._names.final(target)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(self._target(node.id), Whole):
            raise Unbundled(f"{self._module}:{node.lineno}: the module {node.id} is used as an object")
        return self._bundled(node, self._rename(node.id))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name):
            base = self._target(node.value.id)
            if isinstance(base, Whole):
                target = self._names.resolve(base.module, node.attr)
                if target is None or isinstance(target, Whole):
                    raise Unbundled(f"{self._module}:{node.lineno}: {base.module} has no {node.attr}")
                if self._scopes and not isinstance(node.ctx, ast.Load):
                    raise Unbundled(
                        f"{self._module}:{node.lineno}: a function sets {node.attr} of {base.module}"
                    )
                return self._bundled(node, self._names.final(target))
        return self.generic_visit(node)

    def _bundled(self, node: ast.Name | ast.Attribute, name: str) -> ast.AST:
        old = node.id if isinstance(node, ast.Name) else node.attr
        if name != old or isinstance(node, ast.Attribute):  # a bare name where there was none, or another
            shadowed = any(name in scope for scope in self._scopes)
            if shadowed:
                raise Unbundled(f"{self._module}:{node.lineno}: {name} is a local name here")
        return ast.copy_location(ast.Name(name, node.ctx), node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        for n, name in enumerate(node.names):
            target = self._names.resolve(self._module, name)
            if target is None or target != Own(self._module, name):
                raise Unbundled(f"{self._module}:{node.lineno}: {name} is not made at the module's top level")
            node.names[n] = self._names.final(target)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._defaults(node.args)
        self._scopes.append(
            {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
        )
        node.body = self.visit(node.body)
        self._scopes.pop()
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._comprehension(node)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> ast.AST:
        first = node.generators[0]
        first.iter = self.visit(first.iter)
        source, first.iter = first.iter, ast.Constant(None)
        self._scopes.append({n.id for part in node.generators for n in ast.walk(part.target) if _stores(n)})
        self.generic_visit(node)
        self._scopes.pop()
        first.iter = source
        return node

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if not self._scopes:
            node.name = self._names.final(Own(self._module, node.name))
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        self._defaults(node.args)
        self._scopes.append(local_names(node))
        node.body = [self.visit(item) for item in node.body]
        self._scopes.pop()
        return node

    def _defaults(self, arguments: ast.arguments) -> None:
        arguments.defaults = [self.visit(default) for default in arguments.defaults]
        arguments.kw_defaults = [default and self.visit(default) for default in arguments.kw_defaults]

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if not self._scopes:
            node.name = self._names.final(Own(self._module, node.name))
        node.bases = [self.visit(base) for base in node.bases]
        plain = [item for item in node.body if not isinstance(item, FUNCTIONS)]
        stored = {n.id for item in plain for n in ast.walk(item) if _stores(n)}
        outer = self._scopes
        for item in node.body:
            # A method does not see the names of its class; the class's own statements do.
            self._scopes = [*outer, set() if isinstance(item, FUNCTIONS) else stored]
            self.visit(item)
        self._scopes = outer
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """An import inside a top-level try; those inside functions bind local names."""
        if not self._scopes:
            for alias in node.names:
                final = self._rename(alias.asname or alias.name)
                alias.asname = None if final == alias.name else final
        return node


def _all_locals(trees: dict[str, ast.Module]) -> set[str]:
    found: set[str] = set()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS):
                found |= local_names(node)
            elif isinstance(node, ast.Lambda):
                found |= {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
            elif isinstance(node, ast.comprehension):
                found |= {name.id for name in ast.walk(node.target) if _stores(name)}
            elif isinstance(node, ast.ClassDef):
                plain = [item for item in node.body if not isinstance(item, FUNCTIONS)]
                found |= {name.id for item in plain for name in ast.walk(item) if _stores(name)}
    return found


def _stores(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def local_names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The names that are local to a function itself; those of its comprehensions have scopes of their own."""
    found = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
    outside: set[str] = set()
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            found.add(node.name)
            continue
        if isinstance(node, (ast.Lambda, ast.comprehension)):
            continue
        if _stores(node):
            found.add(node.id)
        elif isinstance(node, ast.Global):
            outside.update(node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(alias.asname or alias.name for alias in node.names)
        todo += ast.iter_child_nodes(node)
    return found - outside

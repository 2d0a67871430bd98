"""Constants put where they are used: a name that stands for a number costs a node thirty bytes, the number
none.
"""

import ast
from collections import Counter
from collections.abc import Iterator

from tools.slim.bundle import Unbundled

Value = int | str | bytes
MAX_TEXT = 16
FOLDABLE = (ast.Constant, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop, ast.expr_context)


def fold_constants(trees: dict[str, ast.Module], kept: set[str]) -> None:
    """Replace every use of a constant by its value, and drop its definition unless its name is in `kept`.

    A constant is an upper-case name at a module's top level that is assigned once, an integer or a short
    text. Raises Unbundled where a module has the name of one, or of a module that has some, also for
    something else.
    """
    modules = read_constants(trees)
    for module in modules.values():
        _Fold(module, modules).visit(trees[module.name])
    for module in modules.values():
        module.forget(modules, kept)


def read_constants(trees: dict[str, ast.Module]) -> "dict[str, Module]":
    """The constants of each module."""
    modules = {name: Module(name, trees) for name in trees}
    for module in modules.values():
        module.read(modules)
    return modules


class Module:
    """One module's constants (`own`), those that it sees under plain names (`visible`), and the modules that
    it knows by name (`known`).
    """

    def __init__(self, name: str, trees: dict[str, ast.Module]):
        self.name = name
        self.tree = trees[name]
        self.own: dict[str, Value] = {}
        self.visible: dict[str, Value] = {}
        self.known: dict[str, str] = {}
        self._read = False

    def meant(self, node: ast.AST, modules: "dict[str, Module]") -> Value | None:
        """The value of the constant that a name or an attribute in this module stands for, or None."""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            return self.visible.get(node.id)
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
            return None
        known = self.known.get(node.value.id) if isinstance(node.value, ast.Name) else None
        return modules[known].own.get(node.attr) if known else None

    def read(self, modules: "dict[str, Module]") -> None:
        """Find them, and those of the modules that it imports."""
        if self._read:
            return
        self._read = True
        stores = (n for n in ast.walk(self.tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
        assigned = Counter(node.id for node in stores)
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                self._import(node, modules)
            elif isinstance(node, ast.Assign) and len(node.targets) == 1:
                target = node.targets[0]
                if isinstance(target, ast.Name) and target.id.isupper() and assigned[target.id] == 1:
                    value = self._value(node.value, modules)
                    if value is not None:
                        self.own[target.id] = self.visible[target.id] = value
        self._check(modules)

    def _check(self, modules: "dict[str, Module]") -> None:
        for line, name in _inner(self.tree):
            if name in self.visible or name in self.known:
                raise Unbundled(f"{self.name}:{line}: {name} stands for two things")
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                known = self.known.get(node.value.id) if isinstance(node.value, ast.Name) else None
                if known and node.attr in modules[known].own:
                    raise Unbundled(f"{self.name}:{node.lineno}: sets a constant, {known}.{node.attr}")

    def _import(self, node: ast.ImportFrom, modules: "dict[str, Module]") -> None:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            bound = alias.asname or alias.name
            if inner in modules:
                self.known[bound] = inner
                modules[inner].read(modules)
            elif node.module in modules:
                modules[node.module].read(modules)
                value = modules[node.module].own.get(alias.name)
                if value is not None:
                    self.visible[bound] = value

    def _value(self, node: ast.expr, modules: "dict[str, Module]") -> Value | None:
        """What an expression of literals and constants comes to, also inside `const()`, or None."""
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "const":
            node = node.args[0]
        copy = ast.parse(ast.unparse(node), mode="eval")
        folded = _Fold(self, modules).visit(copy).body
        if not all(isinstance(child, FOLDABLE) for child in ast.walk(folded)):
            return None
        value = eval(compile(ast.fix_missing_locations(ast.Expression(folded)), "constant", "eval"))
        if isinstance(value, int) or (isinstance(value, (str, bytes)) and len(value) <= MAX_TEXT):
            return value
        return None

    def forget(self, modules: "dict[str, Module]", kept: set[str]) -> None:
        """Drop definitions and imports that are values now."""
        body: list[ast.stmt] = []
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                if node.targets[0].id in self.own and node.targets[0].id not in kept:
                    continue
            elif isinstance(node, ast.ImportFrom) and node.module in modules:
                there = modules[node.module].own
                node.names = [a for a in node.names if a.name not in there or a.name in kept]
                if not node.names:
                    continue
            body.append(node)
        self.tree.body = body


def _inner(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of what is bound elsewhere than by a module's own statements."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.lineno, node.name
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for child in ast.walk(node):
                if isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load):
                    yield child.lineno, child.id


class _Fold(ast.NodeTransformer):
    def __init__(self, module: Module, modules: dict[str, Module]):
        self._module = module
        self._modules = modules

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._folded(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._folded(node)

    def _folded(self, node: ast.Name | ast.Attribute) -> ast.AST:
        value = self._module.meant(node, self._modules)
        if value is None:
            return self.generic_visit(node)
        if isinstance(value, int) and value < 0:
            # Unparsed as an operation it gets brackets where it needs them.
            return ast.copy_location(ast.UnaryOp(ast.USub(), ast.Constant(-value)), node)
        return ast.copy_location(ast.Constant(value), node)

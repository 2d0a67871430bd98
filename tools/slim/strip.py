"""What never runs on a node: annotations, docstrings, TYPE_CHECKING blocks, the other interpreter's code."""

import ast

ON_A_NODE = "sys.implementation.name == 'micropython'"
NOT_RUN = ("TYPE_CHECKING", "__all__")


class Strip(ast.NodeTransformer):
    """Visit a module with it."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        """Of a branch on where the code runs, the node's side."""
        test = ast.unparse(node.test)
        if test == "TYPE_CHECKING":
            return None
        self.generic_visit(node)
        return node.body if test == ON_A_NODE else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """A docstring goes."""
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        """A name that only a type checker reads goes."""
        target = node.targets[0]
        return None if isinstance(target, ast.Name) and target.id in NOT_RUN else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`const(x)` becomes x."""
        self.generic_visit(node)
        return node.args[0] if ast.unparse(node.func) == "const" else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """The annotation goes, and so does a declaration without a value."""
        if node.value is None:
            return None
        plain = ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)
        return self.generic_visit(ast.fix_missing_locations(plain))

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """The annotation goes."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """The annotation goes; a body that became empty gets a `pass`."""
        node.returns = None
        self.generic_visit(node)
        fill(node)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """As a function."""
        node.returns = None
        self.generic_visit(node)
        fill(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """A body that became empty gets a `pass`."""
        self.generic_visit(node)
        fill(node)
        return node


def fill(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
    """A block that has lost all its statements gets a `pass`."""
    if not node.body:
        node.body = [ast.copy_location(ast.Pass(), node)]

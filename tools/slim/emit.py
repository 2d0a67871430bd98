"""From syntax trees back to source, in as few lines as it takes, and where each came from."""

import ast
import copy

COMPOUND = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try),
    *(ast.With, ast.AsyncWith),
)


class Source:
    """Source being written: `lines`, and for each of them its `origins` (module, line)."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.origins: list[tuple[str, int]] = []
        self._module = ""
        self._at = 0

    def add(self, module: str, body: list[ast.stmt]) -> None:
        """Append the statements of a module."""
        self._module = module
        self._block(body, 0)

    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines) + "\n"

    def _line(self, text: str, indent: int) -> None:
        self.lines.append(" " * indent + text)
        self.origins.append((self._module, self._at))

    def _block(self, body: list[ast.stmt], indent: int) -> None:
        simple: list[ast.stmt] = []
        for node in body:
            if isinstance(node, COMPOUND):
                self._row(simple, indent)
                self._at = node.lineno
                self._compound(node, indent)
            else:
                simple.append(node)
        self._row(simple, indent)

    def _row(self, simple: list[ast.stmt], indent: int) -> None:
        """Statements without blocks in one line; clears them. A line costs a node a byte or two in each
        function."""
        if simple:
            self._at = simple[0].lineno
            self._line("; ".join(ast.unparse(node) for node in simple), indent)
            simple.clear()

    def _suite(self, head: str, body: list[ast.stmt], indent: int) -> None:
        """A head and its block; a block of nothing but simple statements stands in the line of the head."""
        if any(isinstance(node, COMPOUND) for node in body):
            self._line(head, indent)
            self._block(body, indent + 1)
        else:
            self._line(head + " " + "; ".join(ast.unparse(node) for node in body), indent)

    def _compound(self, node: ast.stmt, indent: int, word: str = "") -> None:
        shell = copy.copy(node)
        for part in ("orelse", "finalbody", "handlers", "decorator_list"):
            if hasattr(shell, part):
                setattr(shell, part, [])
        for decorator in getattr(node, "decorator_list", []):
            self._line("@" + ast.unparse(decorator), indent)
        if isinstance(node, ast.Try):
            head = "try:"
        else:
            setattr(shell, "body", [ast.Pass()])  # noqa: B010 - ast.stmt declares no body
            head = word + ast.unparse(shell).split("\n")[0]
        self._suite(head, getattr(node, "body"), indent)  # noqa: B009
        for handler in getattr(node, "handlers", []):
            self._at = handler.lineno
            head = "except" + (f" {ast.unparse(handler.type)}" if handler.type else "")
            self._suite(head + (f" as {handler.name}:" if handler.name else ":"), handler.body, indent)
        rest: list[ast.stmt] = getattr(node, "orelse", [])
        if isinstance(node, ast.If) and len(rest) == 1 and isinstance(rest[0], ast.If):
            self._at = rest[0].lineno
            self._compound(rest[0], indent, "el")
        elif rest:
            self._suite("else:", rest, indent)
        if getattr(node, "finalbody", []):
            self._suite("finally:", getattr(node, "finalbody"), indent)  # noqa: B009

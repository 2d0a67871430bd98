"""Which modules a file imports, and whether a build's lists are what its modules import."""

import ast
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

ROOMS = ("boards", "drivers", "firmware", "protocol")
# What a MicroPython >= 1.24 has of itself, or what guards its import.
INTERPRETER = frozenset(
    (
        *("array", "asyncio", "binascii", "bluetooth", "cryptolib", "errno", "esp32", "gc", "hashlib", "io"),
        *(
            "json",
            "machine",
            "micropython",
            "network",
            "os",
            "random",
            "select",
            "socket",
            "struct",
            "sys",
            "time",
        ),
    )
)


class BadImport(Exception):
    """A module too few, or too many; the text names the line."""


def module_path(root: Path, module: str) -> Path:
    """Where a module's source is."""
    return root.joinpath(*module.split(".")).with_suffix(".py")


def check(root: Path, modules: list[str], left_out: Mapping[str, str], parts: Collection[str]) -> None:
    """BadImport unless the modules import each other, the interpreter's own and nothing else, and none is
    idle; `parts` are those that assembly.py imports.
    """
    listed = set(modules)
    wanted = {"firmware.app", *parts} | {name for name in modules if name.endswith(".board")}
    for module in modules:
        path = module_path(root, module)
        if not path.is_file():
            raise BadImport(f"{module} is listed, but there is no {path.relative_to(root)}")
        for line, found in imports(root, path):
            if found.split(".")[0] not in ROOMS:
                if found.split(".")[0] not in INTERPRETER:
                    raise BadImport(
                        f"{path.relative_to(root)}:{line}: imports {found}, which MicroPython does not have"
                    )
            elif found in listed:
                wanted.add(found)
            elif found not in left_out:
                where = f"{path.relative_to(root)}:{line}"
                raise BadImport(f"{where}: {found} is neither in firmware/modules.toml nor in board.toml")
    idle = sorted(listed - wanted)
    if idle:
        raise BadImport(f"listed, but imported by nothing that is shipped: {', '.join(idle)}")


def imports(root: Path, path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of everything that a file cannot do without when it runs.

    Skipped: what only a type checker sees, and other people's modules whose absence the file itself catches.
    """
    try:
        tree = ast.parse(path.read_text(), str(path))
    except SyntaxError as e:
        raise BadImport(f"{path.relative_to(root)}:{e.lineno}: {e.msg}") from e
    for line, module, optional in _imports(root, tree, False):
        if not optional or module.split(".")[0] in ROOMS:
            yield line, module


def _imports(root: Path, node: ast.AST, optional: bool) -> Iterator[tuple[int, str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield child.lineno, alias.name, optional
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            for alias in child.names:
                inner = f"{base}.{alias.name}"
                is_module = base.split(".")[0] in ROOMS and module_path(root, inner).is_file()
                yield child.lineno, inner if is_module else base, optional
        else:
            yield from _imports(root, child, optional or _catches_import_error(child))


def _catches_import_error(node: ast.AST) -> bool:
    return isinstance(node, ast.Try) and any(
        handler.type is not None and "ImportError" in ast.unparse(handler.type) for handler in node.handlers
    )

"""Which attributes only the node's own objects have: their names may be others."""

import array
import ast
import asyncio
import builtins
import hashlib
import io
from collections.abc import Collection, Iterator

# What objects of the interpreter answer to, on CPython, and what more they do on MicroPython.
BUILTIN = (
    *(str, bytes, bytearray, memoryview, list, dict, set, tuple, int, type, array.array, property),
    *(
        BaseException,
        OSError,
        StopIteration,
        io.StringIO,
        io.FileIO,
        hashlib.sha256(),
        asyncio.Event,
        asyncio.Task,
    ),
)
MICROPYTHON = frozenset(
    (
        *(
            "ticks_us",
            "ticks_ms",
            "ticks_cpu",
            "ticks_add",
            "ticks_diff",
            "sleep_ms",
            "sleep_us",
            "ipoll",
            "any",
        ),
        *(
            "register",
            "unregister",
            "modify",
            "poll",
            "encrypt",
            "decrypt",
            "irq",
            "init",
            "deinit",
            "duty_u16",
        ),
        *("state", "data", "coro", "core", "readinto", "readfrom_mem_into", "writeto_mem", "write_readinto"),
    )
)


def own_attributes(trees: dict[str, ast.Module], outer: Collection[str]) -> set[str]:
    """Public names of methods, and of attributes set on `self` or in a class, that stand for nothing else:
    not in a module of `outer`, in a text, among keywords or imports, nor in what comes from outside.
    """
    own: set[str] = set()
    others = set(MICROPYTHON).union(dir(builtins), *(dir(known) for known in BUILTIN))
    others.update(part for module in trees for part in module.split("."))
    for module, tree in trees.items():
        outside = set(_outside(tree, trees))
        own.update(_set_here(tree))
        others |= outside
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                others.add(node.value)
            elif isinstance(node, ast.keyword) and node.arg:
                others.add(node.arg)
            elif isinstance(node, ast.Attribute) and (module in outer or _root(node) in outside):
                others.add(node.attr)
            elif module in outer and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                others.add(node.name)
            elif module in outer and isinstance(node, ast.Name):
                others.add(node.id)
    return {name for name in own - others if not name.startswith("_")}


def _set_here(tree: ast.Module) -> Iterator[str]:
    """The attributes that a module's classes give their objects."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    yield item.name
                for child in ast.walk(item) if isinstance(item, ast.Assign) else ():
                    if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                        yield child.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _root(node) == "self":
            yield node.attr


def _outside(tree: ast.Module, trees: dict[str, ast.Module]) -> Iterator[str]:
    """The names that a module imports from outside, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module not in trees:
            for alias in node.names:
                if f"{node.module}.{alias.name}" not in trees:
                    yield alias.asname or alias.name
                    yield alias.name


def _root(node: ast.Attribute) -> str:
    """What a chain of attributes begins with."""
    value: ast.expr = node
    while isinstance(value, (ast.Attribute, ast.Call, ast.Subscript)):
        value = value.func if isinstance(value, ast.Call) else value.value
    return value.id if isinstance(value, ast.Name) else ""

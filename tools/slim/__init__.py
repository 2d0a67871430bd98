"""Bytecode for 164 KB: what a node does not need of a module is left out before it is compiled.

A name costs a 32-bit node some thirty bytes of heap, an unused function some hundreds, and stock MicroPython
keeps both. Working on the syntax trees of all shipped modules together, `slim`

1. drops annotations, docstrings and what only a type checker sees (strip.py), 2. puts the values of constants
– upper-case names of integers and short texts – where they are used (constants.py), 3. drops functions,
classes, methods, tables and imports that nothing live mentions; by name, so a name that is mentioned anywhere
keeps all its bearers (liveness.py), 4. shortens parameters that no caller names, and private names, so that
modules share them (names.py).

Statements keep their line numbers (emit.py), so a traceback from a node points into the sources.
"""

import ast
from collections.abc import Collection

from tools.slim.constants import fold_constants
from tools.slim.emit import emit
from tools.slim.liveness import drop_dead, imported_modules, mentions
from tools.slim.names import shorten_parameters, shorten_private
from tools.slim.strip import Strip


def slim(
    sources: dict[str, str], opaque: Collection[str], entries: Collection[str], roots: set[str]
) -> dict[str, str]:
    """The modules (name to source) without what nothing needs.

    `opaque` modules stay as they are and keep whatever they mention; `entries` are the modules that are
    imported from outside, `roots` the names that are used there. Modules that nothing imports any more are
    not in the result.
    """
    kept = set(roots)
    trees: dict[str, ast.Module] = {}
    for name, source in sources.items():
        tree = ast.parse(source, name)
        if name in opaque:
            kept |= mentions(tree)
        trees[name] = tree
    worked = {name: tree for name, tree in trees.items() if name not in opaque}
    for tree in worked.values():
        Strip().visit(tree)
    fold_constants(worked, kept)
    drop_dead(worked, kept)
    shorten_parameters(worked, kept)
    shorten_private(worked, kept)
    needed = imported_modules(trees, entries)
    return {
        name: sources[name] if name in opaque else emit(tree)
        for name, tree in trees.items()
        if name in needed
    }

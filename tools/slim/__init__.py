"""A node in 164 KB: all modules become one, without what a node does not need.

A name costs a 32-bit node some thirty bytes of heap, a function that nobody calls some hundreds, a module two
hundred, and stock MicroPython keeps all of them. Working on the syntax trees of all shipped modules together,
`slim`

1. drops annotations, docstrings and what only a type checker or another interpreter sees (strip.py),
2. puts the values of constants – upper-case names of integers and short texts – where they are used
   (constants.py),
3. empties the texts of errors about received bytes (texts.py),
4. drops functions, classes, methods, tables and imports that nothing live mentions; by name, so a name that
   is mentioned anywhere keeps all its bearers (liveness.py),
5. shortens parameters that no caller names, and private names, so that modules share them (names.py),
6. puts all modules into one namespace (bundle.py), in which dead names show better: step 4 again,

and keeps a record of where each line came from (emit.py), for tracebacks from a node.
"""

import ast
from collections.abc import Collection

from tools.slim.bundle import Unbundled, bundle
from tools.slim.constants import fold_constants
from tools.slim.emit import Source
from tools.slim.liveness import drop_dead, imported_modules
from tools.slim.names import shorten_parameters, shorten_private
from tools.slim.strip import Strip
from tools.slim.texts import drop_texts

ERRORS = "ProtocolError"


def slim(
    sources: dict[str, str], opaque: Collection[str], entries: Collection[str], roots: set[str]
) -> tuple[Source, set[str]]:
    """(the bundle, the opaque modules that it still imports).

    `sources`: module name to source. `opaque` modules stay files of their own, so they may import none of the
    others; `entries` are the modules that are imported from outside, `roots` the names that are used there
    and keep their spelling. Raises Unbundled.
    """
    trees = {name: ast.parse(source, name) for name, source in sources.items()}
    for name in opaque:
        found = sorted(imported_modules(trees, [name]) - {name})
        if found:
            raise Unbundled(f"{name} stays a file of its own, but imports {found[0]}")
    worked = {name: tree for name, tree in trees.items() if name not in opaque}
    for tree in worked.values():
        Strip().visit(tree)
    fold_constants(worked, roots)
    drop_texts(worked, ERRORS)
    drop_dead(worked, roots)
    shorten_parameters(worked, roots)
    shorten_private(worked, roots)
    needed = imported_modules(trees, entries)
    parts = bundle({name: worked[name] for name in worked if name in needed}, entries, roots)
    whole = {str(n): ast.Module(body, []) for n, (_, body) in enumerate(parts)}
    drop_dead(whole, roots)
    source = Source()
    for (module, _), tree in zip(parts, whole.values(), strict=True):
        source.add(module, tree.body)
    return source, needed & set(opaque)

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
5. shortens parameters that no caller names,
6. puts all modules into one namespace (bundle.py), in which dead names show better: step 4 again,
7. parts what is rare from it: files of their own (rare.py),
8. gives private names, attributes that only the node's own objects have (attributes.py) and all of the one
   namespace short names, as far as they go such that the interpreter holds anyway (names.py, known.py),
9. has the other names of rare modules known from the beginning: the table of names grows in blocks, for
   which a heap in pieces has no room later (rare.py),
10. writes what gives back to the heap what only the start needed (once.py),

and keeps a record of where each line came from (emit.py), for tracebacks from a node.

A tree of sources has step 2 alone, in the text of each module (in_place.py).
"""

import ast
from collections.abc import Collection, Sequence
from typing import NamedTuple

from tools.slim.attributes import own_attributes
from tools.slim.bundle import Unbundled, bundle
from tools.slim.constants import fold_constants
from tools.slim.emit import Source
from tools.slim.liveness import drop_dead, imported_modules
from tools.slim.names import shorten_globals, shorten_parameters, shorten_private
from tools.slim.native import compact
from tools.slim.once import HOOK, dead_after_start, forgotten
from tools.slim.rare import Part, rare_names, split, texts_kept
from tools.slim.strip import Strip
from tools.slim.texts import drop_texts

ERRORS = "ProtocolError"
# The rooms whose modules talk to objects of the interpreter's own hardware modules.
OUTER = ("boards", "drivers")


class Slim(NamedTuple):
    """`bundle`; the `opaque` modules that are still imported, as texts; `rare`: the rare modules' sources."""

    bundle: Source
    opaque: dict[str, str]
    rare: dict[str, Source]


def slim(
    sources: dict[str, str],
    opaque: Collection[str],
    entries: Collection[str],
    roots: set[str],
    rare: Collection[str] = (),
    name: str = "node",
    prompt: Collection[str] = (),
) -> Slim:
    """`sources`: module name to source. `opaque` modules stay files of their own, so they may import none of
    the others; `entries` are the modules that are imported from outside, `roots` the names that are used
    there and keep their spelling. `rare` modules are imported inside functions only, as `from pack import
    module`; they become files that import what they need from the bundle, whose module is `name`. Those
    of `prompt` are imported by nobody while the node runs, which makes no provision for them. Raises
    Unbundled.
    """
    trees = {name: ast.parse(source, name) for name, source in sources.items()}
    for module in opaque:
        found = sorted(imported_modules(trees, [module]) - {module})
        if found:
            raise Unbundled(f"{module} stays a file of its own, but imports {found[0]}")
    worked = {module: tree for module, tree in trees.items() if module not in opaque}
    roots = roots | rare_names(worked, rare)
    for tree in worked.values():
        Strip().visit(tree)
    fold_constants(worked, roots)
    drop_texts(worked, ERRORS)
    drop_dead(worked, roots)
    shorten_parameters(worked, roots)
    attributes = own_attributes(worked, {m for m in trees if m in opaque or m.split(".")[0] in OUTER})
    needed = imported_modules(trees, entries)
    apart = sorted(needed & set(rare))
    whole = {module: worked[module] for module in worked if module in needed}
    parts, long = bundle(whole, [*entries, *apart], roots)
    main, others = split(parts, apart, roots, name)
    loaded = [part for module, parts in others.items() if module not in prompt for part in parts]
    dead = dead_after_start(main, loaded, roots)
    together = _by_module([main, *others.values()])
    shorten_private(together, {*roots, *long}, attributes)
    shorten_globals(together.values(), long, roots)
    for parts in others.values():
        for _, body in parts:
            for node in body:
                if isinstance(node, ast.FunctionDef) and node.name == HOOK:
                    node.body += forgotten(dead, name)
    kept = compact({module: sources[module] for module in sorted(needed & set(opaque))})
    apart_names = texts_kept([node for _, body in loaded for node in body])
    source = Source()
    if apart_names:
        source.lines.append(f"if not __name__: ({', '.join(apart_names)},)")
        source.origins.append(("", 0))
    return Slim(_source(main, source), kept, {m: _source(parts, Source()) for m, parts in others.items()})


def _by_module(files: Sequence[Sequence[Part]]) -> dict[str, ast.Module]:
    """What of each module is in any of the files."""
    found: dict[str, ast.Module] = {}
    for parts in files:
        for module, body in parts:
            found.setdefault(module, ast.Module([], [])).body += body
    return found


def _source(parts: Sequence[Part], source: Source) -> Source:
    for module, body in parts:
        source.add(module, body)
    return source

"""Code that a node seldom needs in files of its own, read from flash when it is wanted and forgotten again.

Each rare module is a file, and takes along what nothing else mentions of the modules in the bundle. What it
shares with the bundle it imports from there, under the bundle's names.
"""

import ast
import keyword
from collections.abc import Callable, Collection, Sequence

from tools.slim.bundle import FUNCTIONS, Unbundled, local_names
from tools.slim.known import KNOWN
from tools.slim.liveness import IMPORTS, Reading, binds, drop_dead, live_names

Part = tuple[str, list[ast.stmt]]
# Longer texts are objects of their own.
INTERNED = 10


def rare_names(trees: dict[str, ast.Module], rare: Collection[str]) -> set[str]:
    """What is asked of rare modules by name: `from pack import module` inside functions, then module.name."""
    found: set[str] = set()
    for tree in trees.values():
        bound = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if f"{node.module}.{alias.name}" in rare
        }
        found.update(
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in bound
        )
    return found


def split(
    parts: Sequence[Part], rare: Collection[str], roots: set[str], bundle: str
) -> tuple[list[Part], dict[str, list[Part]]]:
    """(the parts of the bundle, those of each rare module), of one namespace, dead code dropped.

    `bundle`: the name under which the node imports the bundle. Raises Unbundled where the bundle needs a rare
    module at once.
    """
    whole = {str(n): ast.Module(body, []) for n, (_, body) in enumerate(parts)}
    drop_dead(whole, roots)
    trees = list(whole.values())
    owner = [module if module in rare else "" for module, _ in parts]
    read = Reading()

    def without(apart: Callable[[str], bool]) -> set[str]:
        """What lives without these modules; the methods that they call stay with their classes."""
        pairs = list(zip(trees, owner, strict=True))
        asked = {
            n.attr
            for tree, own in pairs
            if apart(own)
            for n in ast.walk(tree)
            if isinstance(n, ast.Attribute)
        }
        return live_names([tree for tree, own in pairs if not apart(own)], roots | asked, read)

    always = without(bool)
    reached = {name: without(name.__eq__) for name in rare}
    main: list[Part] = []
    apart: dict[str, list[Part]] = {name: [] for name in rare}
    for (module, _), tree, own in zip(parts, trees, owner, strict=True):
        if own:
            apart[own].append((module, tree.body))
            continue
        for name in rare:
            moved = [node for node in tree.body if _only_for(node, always, reached[name])]
            if moved and module:
                tree.body = [node for node in tree.body if node not in moved]
                apart[name].append((module, moved))
        main.append((module, tree.body))
    here = {name for _, body in main for node in body for name in binds(node)}
    places = {bound: name for name in rare for _, body in apart[name] for n in body for bound in binds(n)}
    for module, body in main:
        _check(module, body, places)
    _check_copies(apart, _rebound(trees), here)
    outside = [node for node in parts[0][1] if isinstance(node, IMPORTS)] if parts and not parts[0][0] else []
    for name, own_parts in apart.items():
        apart[name] = [("", _header(own_parts, here, places, name, outside, bundle)), *own_parts]
    if outside:
        main[0] = ("", _still_used(main[0][1], set[str]().union(*(_loads(body) for _, body in main))))
    return main, apart


def _still_used(imports: Sequence[ast.stmt], used: set[str]) -> list[ast.stmt]:
    """The imports from outside without those that only moved code needs."""
    kept: list[ast.stmt] = []
    for node in imports:
        if isinstance(node, IMPORTS):
            node.names = [alias for alias in node.names if (alias.asname or alias.name.split(".")[0]) in used]
            if not node.names:
                continue
        kept.append(node)
    return kept


def _only_for(node: ast.stmt, always: set[str], without: set[str]) -> bool:
    """Whether a definition is there for the sake of one rare module alone."""
    names = set(binds(node))
    return bool(names) and not isinstance(node, IMPORTS) and not names & always and not names & without


def _loads(body: Sequence[ast.stmt]) -> set[str]:
    """The names that are mentioned, except what is local to a function."""
    found: set[str] = set()

    def visit(node: ast.AST, local: set[str]) -> None:
        if isinstance(node, ast.Name) and node.id not in local:
            found.add(node.id)
        if isinstance(node, FUNCTIONS):
            inner = local | local_names(node)
            for part in node.body:
                visit(part, inner)
            for part in (node.args, *node.decorator_list):
                visit(part, local)
            return
        for child in ast.iter_child_nodes(node):
            visit(child, local)

    for node in body:
        visit(node, set())
    return found


def _check(module: str, body: Sequence[ast.stmt], places: dict[str, str]) -> None:
    wanted = sorted(_loads(body) & set(places))
    if wanted:
        raise Unbundled(f"{module} uses {wanted[0]}, which is in a file of its own: {places[wanted[0]]}")


def _rebound(trees: Sequence[ast.Module]) -> set[str]:
    """The top-level names that functions give other values."""
    return {name for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Global) for name in n.names}


def _check_copies(apart: dict[str, list[Part]], rebound: set[str], here: set[str]) -> None:
    """What a rare module imports is what it is at that moment."""
    for name, own_parts in apart.items():
        for module, body in own_parts:
            wanted = sorted(_loads(body) & rebound & here)
            if wanted:
                raise Unbundled(f"{module}, for {name}, uses {wanted[0]}, which the bundle changes")


def _header(
    parts: Sequence[Part],
    here: set[str],
    places: dict[str, str],
    name: str,
    outside: Sequence[ast.Import | ast.ImportFrom],
    bundle: str,
) -> list[ast.stmt]:
    """The imports of a rare module's file."""
    used = set[str]().union(*(_loads(body) for _, body in parts))
    imported = {bound for node in outside for bound in binds(node)}
    header: list[ast.stmt] = []
    for node in outside:
        aliases = [alias for alias in node.names if (alias.asname or alias.name.split(".")[0]) in used]
        if isinstance(node, ast.Import) and aliases:
            header.append(ast.Import(aliases))
        elif isinstance(node, ast.ImportFrom) and aliases:
            header.append(ast.ImportFrom(node.module, aliases, 0))
    asked = {bundle: sorted((used & here) - imported)}
    for other in sorted(set(places.values()) - {name}):
        asked[other] = sorted(bound for bound in used if places.get(bound) == other)
    for module, names in asked.items():
        if names:
            header.append(ast.ImportFrom(module, [ast.alias(bound) for bound in names], 0))
    return [ast.fix_missing_locations(node) for node in header]


def texts_kept(body: Sequence[ast.stmt]) -> list[str]:
    """Expressions of the texts that an interpreter keeps for good when it loads `body`: names but those of
    variables, and short texts.
    """
    found: set[str] = set()
    for node in body:
        for child in ast.walk(node):
            if isinstance(child, ast.Attribute):
                found.add(child.attr)
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.add(child.name)
            elif isinstance(child, ast.arg):
                found.add(child.arg)
            elif isinstance(child, ast.alias):
                found.update(child.name.split("."))
            elif (
                isinstance(child, ast.Constant)
                and isinstance(child.value, str)
                and len(child.value) <= INTERNED
            ):
                found.add(child.value)
    return [
        text if text.isidentifier() and not keyword.iskeyword(text) else repr(text)
        for text in sorted(found - {"", *KNOWN})
    ]

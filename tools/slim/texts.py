"""The texts of errors about received bytes: a node counts such errors by cause, and nobody reads them."""

import ast

REJECT = "_reject"


def drop_texts(trees: dict[str, ast.Module], base: str) -> None:
    """Empty the first argument wherever an error of the family of `base` is raised with a text, and the
    second, the detail, of each call of a method REJECT.
    """
    family = {base}
    size = 0
    while size != len(family):
        size = len(family)
        for tree in trees.values():
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and any(ast.unparse(b) in family for b in node.bases):
                    family.add(node.name)
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and len(node.args) == 2 and _is_text(node.args[1]):
                if isinstance(node.func, ast.Attribute) and node.func.attr == REJECT:
                    node.args[1] = ast.copy_location(ast.Constant(""), node.args[1])
            elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                call = node.exc
                if ast.unparse(call.func) in family and _is_text(call.args[0]):
                    call.args[0] = ast.copy_location(ast.Constant(""), call.args[0])


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mod, ast.Add)):
        return _is_text(node.left)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))

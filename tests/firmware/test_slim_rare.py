"""Rare modules: files of their own that take along what nothing else needs, and import the rest."""

import sys
import types

import pytest

from tools.slim import slim
from tools.slim.bundle import Unbundled

LIBRARY = (
    "LIMIT = 3\n\ndef shared(x):\n    return x + LIMIT\n\n"
    "def deep(x):\n    return -x\n\ndef alone(x):\n    return deep(x) * 2\n\ndef dead():\n    return 0\n"
)
APP = (
    "from pack.lib import shared\n\n"
    "def run(x):\n    from pack import seldom\n\n    return seldom.work(shared(x))\n"
)
SELDOM = (
    "import math\n\nfrom pack import lib\n\ndef work(given):\n"
    "    return lib.alone(lib.shared(given)) + math.hypot(lib.LIMIT)\n"
)


def made(**changes: str):
    sources = {"pack.lib": LIBRARY, "pack.app": APP, "pack.seldom": SELDOM} | changes
    return slim(sources, (), ["pack.app"], {"run"}, ["pack.seldom"], "node")


def loaded(monkeypatch, name: str, text: str) -> types.ModuleType:
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(text, module.__dict__)
    return module


def test_a_rare_module_does_what_it_did(monkeypatch):
    found = made()
    node = loaded(monkeypatch, "node", found.bundle.text())
    pack = types.ModuleType("pack")
    monkeypatch.setitem(sys.modules, "pack", pack)
    pack.seldom = loaded(monkeypatch, "pack.seldom", found.rare["pack.seldom"].text())
    assert node.run(1) == -2 * 7 + 3


def lines_of(source, module: str) -> "set[int]":
    """The first lines of the functions of a module that are in a source."""
    starts = [n for n, line in enumerate(source.lines) if line.startswith("def ")]
    return {source.origins[n][1] for n in starts if source.origins[n][0] == module}


def test_what_only_it_needs_goes_with_it_and_what_others_need_stays():
    found = made()
    bundle, rare = found.bundle, found.rare["pack.seldom"]
    shared, deep, alone = 3, 6, 9
    assert lines_of(bundle, "pack.lib") == {shared} and lines_of(rare, "pack.lib") == {deep, alone}
    assert "from node import" in rare.text()
    assert "import math" in rare.text() and "import math" not in bundle.text(), "imports from outside, too"
    assert "LIMIT" not in bundle.text() + rare.text()


def test_its_names_are_known_from_the_beginning():
    first = made().bundle.lines[0]
    assert first.startswith("if not __name__: (") and "hypot" in first and "work" in first


def test_each_line_of_it_leads_to_its_source():
    assert lines_of(made().rare["pack.seldom"], "pack.seldom") == {5}


def test_a_method_that_only_it_calls_keeps_what_it_needs_in_the_bundle():
    app = (
        "from pack.lib import shared\n\nclass Thing:\n    def told(self, x):\n        return shared(x)\n\n"
        "def run(x):\n    from pack import seldom\n\n    return seldom.work(Thing())\n"
    )
    found = made(**{"pack.app": app, "pack.seldom": "def work(thing):\n    return thing.told(1)\n"})
    assert lines_of(found.bundle, "pack.lib") == {3} and not lines_of(found.rare["pack.seldom"], "pack.lib")


def test_a_module_that_is_needed_at_once_cannot_be_rare():
    app = "from pack.seldom import work\n\ndef run(x):\n    return work(x)\n"
    with pytest.raises(Unbundled, match=r"pack\.seldom"):
        made(**{"pack.app": app})


def test_one_that_nobody_asks_for_is_left_out():
    assert made(**{"pack.app": "def run(x):\n    return x\n"}).rare == {}


def test_a_variable_elsewhere_may_be_called_as_one_of_its_functions(monkeypatch):
    library = LIBRARY.replace("return x + LIMIT", "work = x + LIMIT\n    return work")
    node = loaded(monkeypatch, "node", made(**{"pack.lib": library}).bundle.text())
    assert callable(node.run)

"""Slimming: a bundle does what its modules did, in fewer names. Each hazard of a shared namespace has its
test.
"""

import pytest

from tools.slim import slim
from tools.slim.bundle import Unbundled


def bundled(sources, roots=("run",), entry="app", opaque=()):
    made = slim(sources, opaque, [entry], set(roots))
    return made.bundle, made.opaque


def result(sources, *args):
    """What run(*args) of the module app gives, in the bundle."""
    namespace: dict = {}
    source, _ = bundled(sources)
    exec(source.text(), namespace)
    return namespace["run"](*args)


def names(sources):
    namespace: dict = {}
    exec(bundled(sources)[0].text(), namespace)
    return {name for name in namespace if not name.startswith("__")}


def test_modules_become_one_and_call_each_other():
    sources = {
        "lib.a": "def double(x):\n    return 2 * x\n",
        "lib.b": "from lib import a\n\ndef quadruple(x):\n    return a.double(a.double(x))\n",
        "app": "from lib.b import quadruple as four\n\ndef run(x):\n    return four(x)\n",
    }
    assert result(sources, 3) == 12


def test_a_local_name_does_not_capture_a_name_of_another_module():
    library = "def sort(x):\n    return sorted(x)\n"
    by_name = "from pack.lib import sort as by_size\n\ndef run(x):\n    sort = by_size(x)\n    return sort\n"
    by_module = "from pack import lib\n\ndef run(x):\n    sort = lib.sort(x)\n    return sort\n"
    for app in (by_name, by_module):
        assert result({"pack.lib": library, "app": app}, [2, 1]) == [1, 2]


def test_equal_names_of_different_modules_stay_apart():
    sources = {
        "one": "state = [1]\n\ndef get():\n    return state\n",
        "two": "state = [2]\n\ndef get():\n    global state\n    state = state + [3]\n    return state\n",
        "app": (
            "from one import get\nfrom two import get as other\n\n"
            "def run():\n    return get() + other() + other()\n"
        ),
    }
    assert result(sources) == [1, 2, 3, 2, 3, 3]


def test_names_that_only_go_through_a_module_are_followed():
    sources = {
        "deep": "def answer():\n    return 42\n",
        "pack.facade": "from deep import answer\n",
        "app": "from pack import facade\n\ndef run():\n    return facade.answer()\n",
    }
    assert result(sources) == 42


def test_constants_become_their_values():
    constants = """
from micropython import const
A = const(4)
B = A << 2
NAME = "wave"
NEGATIVE = -3
"""
    app = """
from pack import k
from pack.k import B
C = B + k.A

def run():
    return C, B, k.NAME, k.NEGATIVE
"""
    sources = {"pack.k": constants, "app": app}
    assert result(sources) == (20, 16, "wave", -3)
    assert names(sources) == {"run"}


def test_a_name_assigned_twice_is_no_constant():
    assert result({"app": "MODE = 1\nif MODE:\n    MODE = 2\n\ndef run():\n    return MODE\n"}) == 2


def test_what_nothing_mentions_is_gone():
    library = """
import json

def used():
    return Thing().yes()

def dead(n):
    return dead(n - 1) or json

class Thing:
    def yes(self):
        return "y"

    def no(self):
        return dead(1)

class Unused:
    pass
"""
    sources = {"lib": library, "app": "from lib import used\n\ndef run():\n    return used()\n"}
    text = bundled(sources)[0].text()
    assert result(sources) == "y"
    assert not any(name in text for name in ("dead", "Unused", "json", "no("))


def test_a_statement_with_effects_stays():
    sources = {"app": "made = []\nmade.append(1)\nunused = made.append(2)\n\ndef run():\n    return made\n"}
    assert result(sources) == [1, 2]


def test_a_branch_for_another_interpreter_goes():
    sources = {
        "node": "def which():\n    return 'node'\n",
        "app": (
            "import sys\n\nif sys.implementation.name == 'micropython':\n    from node import which\n"
            "else:\n    from host import which\n\ndef run():\n    return which()\n"
        ),
    }
    assert result(sources) == "node"


def test_a_fallback_keeps_its_shape():
    """A module of native code stays a file of its own; where it cannot be loaded the twin is used."""
    app = """
from pack import pure

work = pure.work
NATIVE = False
try:
    from pack import native_fast

    work = native_fast.work
    NATIVE = True
except ImportError:
    pass

def run(x):
    return work(x), NATIVE
"""
    sources = {
        "pack.pure": "def work(x):\n    return x + 1\n",
        "pack.native_fast": "import nothing_like_this\n\ndef work(x):\n    return x + 2\n",
        "app": app,
    }
    source, kept = bundled(sources, opaque=("pack.native_fast",))
    assert list(kept) == ["pack.native_fast"]
    namespace: dict = {}
    exec(source.text(), namespace)
    assert namespace["run"](1) == (2, False)
    sources["pack.native_fast"] = "from pack import pure\n"
    with pytest.raises(Unbundled, match=r"stays a file of its own, but imports pack\.pure"):
        bundled(sources, opaque=("pack.native_fast",))


def test_a_name_for_two_things_is_refused():
    sources = {
        "one": "def f():\n    pass\n",
        "two": "def f():\n    pass\n",
        "app": "from one import f\nfrom two import f\n\ndef run():\n    return f()\n",
    }
    with pytest.raises(Unbundled, match="app:2: f stands for two things"):
        bundled(sources)


def test_parameters_passed_by_name_keep_their_names():
    sources = {
        "app": (
            "def made(width, height=2, *, depth=1):\n    scale = lambda factor: factor * width\n"
            "    return scale(height) * depth\n\n\ndef run(n):\n    return made(n, depth=5)\n"
        )
    }
    text = bundled(sources)[0].text()
    assert result(sources, 3) == 30
    assert "depth" in text and "width" not in text and "height" not in text


def test_private_names_are_shared_but_not_within_a_family():
    base = """
class Base:
    def __init__(self):
        self._first = 1

    def _shown(self):
        return self._first
"""
    other = """
class Other:
    def __init__(self):
        self._mine = 5

    def get(self):
        return self._mine
"""
    app = """
from base import Base
from other import Other

class Derived(Base):
    def __init__(self):
        super().__init__()
        self._second = 2

    def both(self):
        return self._shown(), self._second, Other().get()

def run():
    return Derived().both()
"""
    sources = {"base": base, "other": other, "app": app}
    assert result(sources) == (1, 2, 5)
    assert "_second" not in bundled(sources)[0].text()


def test_class_bodies_and_comprehensions_keep_their_scopes():
    library = "size = [9]\n\ndef limit():\n    return size\n"
    app = """
from lib import limit

size = [1]

class Box:
    size = 7
    double = size * 2

    def outer(self):
        return size, self.size, self.double, [size for size in (1, 2)]

def run():
    return Box().outer(), limit()
"""
    outer, limit = result({"lib": library, "app": app})
    assert outer == ([1], 7, 14, [1, 2]) and limit == [9]


def test_a_module_used_as_an_object_is_refused():
    sources = {"pack.lib": "X = []\n", "app": "from pack import lib\n\ndef run():\n    return lib\n"}
    with pytest.raises(Unbundled, match="app:4: the module lib is used as an object"):
        bundled(sources)


def test_texts_of_protocol_errors_go_and_causes_stay():
    errors = """
class ProtocolError(Exception):
    def __init__(self, detail, cause="x"):
        self.detail = detail
        self.cause = cause

class BadTag(ProtocolError):
    pass
"""
    app = """
from errors import BadTag

def run(n):
    try:
        raise BadTag("tag %d is bad" % n, cause="tag")
    except BadTag as e:
        return e.detail, e.cause
"""
    assert result({"errors": errors, "app": app}, 3) == ("", "tag")
    ours = app.replace("raise BadTag", "raise ValueError")
    assert "tag %d is bad" in bundled({"errors": errors, "app": ours})[0].text()


def test_details_of_what_is_rejected_go_and_causes_stay():
    app = """
class Session:
    def _reject(self, cause, detail):
        return [cause, detail]

    def feed(self, n):
        return self._reject("tag", "tag %d is bad" % n) + self._reject("other", str(n))

def run(n):
    return Session().feed(n)
"""
    assert result({"app": app}, 3) == ["tag", "", "other", "3"]
    ours = app.replace("_reject", "_report")
    assert result({"app": ours}, 3) == ["tag", "tag 3 is bad", "other", "3"]


def test_every_line_knows_where_it_came_from():
    library = """# a comment

def f(x):
    '''Doc.'''
    if x:
        return 1
    elif x is None:
        return 2
    return 3
"""
    sources = {"lib": library, "app": "from lib import f\n\n\ndef run(x):\n    return f(x)\n"}
    source, _ = bundled(sources)
    origins = dict(zip(source.lines, source.origins, strict=True))
    # A block of simple statements stands in the line of its head.
    assert origins[" elif x is None: return 2"] == ("lib", 7) and origins[" return 3"] == ("lib", 9)
    assert [at for module, at in source.origins if module == "app"] == [4]
    assert [result(sources, x) for x in (1, None, 0)] == [1, 2, 3]


def test_every_shape_of_statement_survives():
    app = """
import os
from contextlib import contextmanager

@contextmanager
def opened(log):
    log.append("in")
    try:
        yield log
    except KeyError as e:
        log.append(str(e))
    else:
        log.append("fine")
    finally:
        log.append("out")

def run(items):
    log = []
    with opened(log) as target:
        for i, item in enumerate(items):
            if item == "skip":
                continue
            while item:
                item -= 1
                if item == 3:
                    break
            else:
                target.append(i)
        else:
            target.append("done")
        def inner(*rest, **named):
            return [a for a in rest if a], {**named}, f"{len(rest)}:{os.sep!r}"
        target.append(inner(0, 1, key=2))
        try:
            pass
        finally:
            target.append(True and not False)
        raise KeyError("k")
    return log
"""
    expected: dict = {}
    exec(app, expected)
    assert result({"app": app}, [1, "skip", 5, 2]) == expected["run"]([1, "skip", 5, 2])

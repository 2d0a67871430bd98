"""What slimming would make another program of is refused by file and line, or stays what it was."""

import pytest

from tools.slim import slim
from tools.slim.bundle import Unbundled
from tools.slim.in_place import put_in_place

LIBRARY = "LIMIT = 5\nlevel = 1\n\ndef get():\n    return level\n"
BY_NAME = "from pack.lib import LIMIT\n\ndef run():\n"
BY_MODULE = "from pack import lib\n\ndef run():\n"


@pytest.mark.parametrize(
    "app",
    [
        "LIMIT = 5\n\ndef run(LIMIT=3):\n    return LIMIT\n",
        "LIMIT = 5\n\ndef run():\n    return (lambda LIMIT: LIMIT)(3)\n",
        BY_NAME + "    LIMIT = 3\n    return LIMIT\n",
        BY_NAME + "    return [LIMIT for LIMIT in (3,)]\n",
        "LIMIT = 5\n\ndef run():\n    try:\n        pass\n    except OSError as LIMIT:\n        pass\n",
        "from pack import lib\n\ndef run(lib=None):\n    return lib.LIMIT\n",
    ],
)
def test_a_name_of_a_constant_that_is_something_else_in_a_function(app):
    sources = {"pack.lib": LIBRARY, "app": app}
    for made in (lambda: slim(sources, (), ["app"], {"run"}), lambda: put_in_place(sources)):
        with pytest.raises(Unbundled, match=r"^app:\d: (LIMIT|lib) stands for two things$"):
            made()


def test_a_constant_is_not_set_from_another_module():
    with pytest.raises(Unbundled, match=r"app:4: sets a constant, pack\.lib\.LIMIT"):
        put_in_place({"pack.lib": LIBRARY, "app": BY_MODULE + "    lib.LIMIT = 3\n"})


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (BY_MODULE + "    lib.level = 3\n    return lib.get()\n", "app:4: a function sets level of pack.lib"),
        ("def run():\n    global seen\n    seen = 3\n", "app:2: seen is not made at the module's top level"),
    ],
)
def test_what_one_namespace_cannot_express(app, words):
    with pytest.raises(Unbundled, match=words):
        slim({"pack.lib": LIBRARY, "app": app}, (), ["app"], {"run"})


def test_what_changes_is_not_copied_into_a_rare_module():
    sources = {
        "pack.count": "count = 0\n\ndef bump():\n    global count\n    count += 1\n",
        "pack.seldom": "from pack import count\n\ndef read():\n    return count.count\n",
        "app": (
            "from pack.count import bump\n\ndef run():\n    from pack import seldom\n    bump()\n"
            "    return seldom.read()\n"
        ),
    }
    with pytest.raises(
        Unbundled, match=r"pack\.seldom, for pack\.seldom, uses \w+, which the bundle changes"
    ):
        slim(sources, (), ["app"], {"run"}, ["pack.seldom"])


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ("LOW = -2\n\ndef run():\n    return LOW**2, -LOW, 3 - LOW\n", (4, 2, 5)),
        ("table = [1]\n\ndef of(*, t=table):\n    return t\n\ndef run():\n    return of()\n", [1]),
        ("table = [1]\n\ndef run():\n    return (lambda *, t=table: t)()\n", [1]),
        (
            "def of(value):\n    def more():\n        nonlocal value\n        value += 1\n    more()\n"
            "    return value\n\ndef run():\n    return of(4)\n",
            5,
        ),
    ],
)
def test_what_stays_what_it_was(body, result):
    namespace: dict = {}
    exec(slim({"app": body}, (), ["app"], {"run"}).bundle.text(), namespace)
    assert namespace["run"]() == result


def test_a_default_is_of_the_scope_around_its_function():
    body = (
        "def run():\n    for at in (3,):\n        def inner(x, at=at, given=at):\n"
        "            return x + at + given\n    return inner(1)\n"
    )
    namespace: dict = {}
    exec(slim({"app": body}, (), ["app"], {"run"}).bundle.text(), namespace)
    assert namespace["run"]() == 7


def test_a_method_that_is_called_as_a_builtin_leaves_that_alone():
    body = (
        "class Box:\n    def sorted(self):\n        return 1\n\n"
        "def run():\n    return Box().sorted(), sorted((2, 1))\n"
    )
    namespace: dict = {}
    exec(slim({"app": body}, (), ["app"], {"run"}).bundle.text(), namespace)
    assert namespace["run"]() == (1, [1, 2])

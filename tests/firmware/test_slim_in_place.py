"""Constants in the text of a source tree: the same values on the same lines, and nothing left that none
mentions.
"""

import sys
import types

import pytest

from tools.slim.in_place import put_in_place

NUMBERS = (
    'LIMIT = 3\nBELOW = -LIMIT\nNAME = "ECG"\nPART = const(0x15)\n\n\ndef double(x):\n    return 2 * x\n'
)


def placed(app, **others):
    """The text of the module app beside `pack.numbers` and `others`."""
    sources = {"pack.numbers": NUMBERS, "pack.app": app}
    sources.update({f"pack.{name}": text for name, text in others.items()})
    return put_in_place(sources)


def result(monkeypatch, sources, *args):
    """What run(*args) of pack.app gives."""
    monkeypatch.setitem(sys.modules, "pack", types.ModuleType("pack"))
    for name, text in sources.items():
        module = types.ModuleType(name)
        module.__dict__["const"] = int
        monkeypatch.setitem(sys.modules, name, module)
        setattr(sys.modules["pack"], name.partition(".")[2], module)
        exec(text, module.__dict__)
    return sys.modules["pack.app"].run(*args)


@pytest.mark.parametrize(
    ("app", "text"),
    [
        (
            "from pack import numbers\n\ndef run():\n    return numbers.LIMIT\n",
            "\n\ndef run():\n    return 3\n",
        ),
        (
            "from pack.numbers import NAME\n\ndef run():\n    return NAME\n",
            "\n\ndef run():\n    return 'ECG'\n",
        ),
        (
            "from pack.numbers import PART, double\n\ndef run():\n    return double(PART)\n",
            "from pack.numbers import double\n\ndef run():\n    return double(21)\n",
        ),
        (
            "from pack import numbers\n\ndef run():\n    return 2 ** numbers.BELOW, numbers.BELOW ** 2\n",
            "\n\ndef run():\n    return 2 ** (-3), (-3) ** 2\n",
        ),
        (
            "from pack.numbers import LIMIT\n\ndef run():\n    return LIMIT.bit_length()\n",
            "\n\ndef run():\n    return (3).bit_length()\n",
        ),
        (
            "from pack.numbers import (\n    LIMIT,\n)\n\ndef run():\n    return 'µ', LIMIT, LIMIT  # both\n",
            "\n\n\n\ndef run():\n    return 'µ', 3, 3  # both\n",
        ),
    ],
    ids=["attribute", "text", "part", "negative", "method", "lines"],
)
def test_a_constant_stands_where_its_name_stood(monkeypatch, app, text):
    sources = placed(app)
    assert sources["pack.app"] == text
    assert result(monkeypatch, sources) == result(monkeypatch, {"pack.numbers": NUMBERS, "pack.app": app})


def test_definitions_that_nothing_mentions_become_blank_lines():
    app = "from pack.numbers import LIMIT\n\ndef run():\n    return LIMIT\n"
    assert placed(app)["pack.numbers"] == "\n\n\n\n\n\ndef double(x):\n    return 2 * x\n"


def test_a_table_goes_when_nothing_mentions_it_and_stays_when_something_does(monkeypatch):
    tables = "IDLE = 1\nUSED = {\n    IDLE: 'idle',\n}\nOTHER = (\n    IDLE,\n)\nlate = print(end='')\n"
    app = "from pack.tables import USED\n\ndef run():\n    return USED\n"
    sources = placed(app, tables=tables)
    assert sources["pack.tables"] == "\nUSED = {\n    1: 'idle',\n}\n\n\n\nlate = print(end='')\n"
    in_order = {name: sources[name] for name in ("pack.tables", "pack.app")}
    assert result(monkeypatch, in_order) == {1: "idle"}


def test_a_name_in_an_f_string_keeps_its_definition_and_its_import(monkeypatch):
    app = "from pack.numbers import LIMIT\n\ndef run():\n    return f'{LIMIT:03}', LIMIT\n"
    sources = placed(app)
    assert sources["pack.app"] == app.replace(", LIMIT\n", ", 3\n")
    assert sources["pack.numbers"].startswith("LIMIT = 3\n\n\n\n")
    assert result(monkeypatch, sources) == ("003", 3)


def test_a_name_that_is_asked_for_in_a_function_or_under_another_name_stays(monkeypatch):
    app = (
        "from pack.numbers import LIMIT as most\n\ndef run():\n"
        "    from pack.numbers import NAME\n    return f'{most}', NAME\n"
    )
    sources = placed(app)
    assert sources["pack.app"] == app
    assert result(monkeypatch, sources) == ("3", "ECG")


def test_what_is_assigned_twice_or_shares_its_line_stays():
    app = "NATIVE = False\nif run:\n    NATIVE = True\nA = 1; B = 2\n\ndef run():\n    return NATIVE, A\n"
    assert placed(app)["pack.app"] == app.replace("NATIVE, A", "NATIVE, 1")

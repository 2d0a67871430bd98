"""Names that a node need not keep: short shared ones where only its own objects have them; native code."""

import types
from textwrap import dedent

from tools.slim import slim


def bundled(opaque=(), **sources: str):
    """A namespace in which the bundle of these modules has run, its text, and the opaque ones' texts."""
    texts = {name.replace("__", "."): dedent(source) for name, source in sources.items()}
    made = slim(texts, opaque, ["app"], {"run"})
    namespace: dict = {}
    if not made.opaque:
        exec(made.bundle.text(), namespace)
    return namespace, made.bundle.text(), made.opaque


def test_attributes_of_the_nodes_own_objects_share_short_names():
    namespace, text, _ = bundled(
        pack__one="""
            class A:
                def __init__(self):
                    self.length = 2
                def doubled(self):
                    return 2 * self.length
        """,
        pack__other="""
            class B:
                def __init__(self):
                    self.breadth = 5
                def read(self):
                    return self.breadth
        """,
        app="""
            from pack import one, other
            def run():
                return one.A().doubled() + other.B().read()
        """,
    )
    assert namespace["run"]() == 9
    assert not [name for name in ("length", "breadth", "doubled", "class A", "class B") if name in text]
    assert "read" in text, "files have one, too"


def test_what_boards_and_drivers_name_is_named_so_everywhere():
    """Their objects are those of the interpreter's hardware modules."""
    namespace, _, _ = bundled(
        drivers__chip="""
            class Chip:
                def __init__(self, bus):
                    self.level = bus.level
        """,
        app="""
            from drivers import chip
            def run(bus):
                return chip.Chip(bus).level
        """,
    )
    assert namespace["run"](types.SimpleNamespace(level=7)) == 7


def test_an_error_keeps_its_name_for_those_who_read_of_it():
    _, text, _ = bundled(
        app="""
            class FlashWorn(Exception):
                pass
            def run():
                raise FlashWorn()
        """
    )
    assert "class FlashWorn(Exception)" in text


def test_native_sources_have_short_local_names_and_no_constants():
    _, _, kept = bundled(
        ("pack.native_fast",),
        pack__native_fast="""
            '''What it is.'''
            from micropython import const
            import micropython
            SCALE = const(3)
            @micropython.viper
            def work(samples: ptr32, n: int) -> int:
                '''What it does.'''
                total = SCALE
                return total + samples[n]
        """,
        app="""
            from pack import native_fast
            def run(x):
                return native_fast.work(x, 0)
        """,
    )
    wanted = """
        import micropython

        @micropython.viper
        def work(a: ptr32, b: int) -> int:
            c = 3
            return c + a[b]
    """
    assert kept["pack.native_fast"] == dedent(wanted).lstrip()

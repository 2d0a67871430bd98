"""A board's build is worked out once in a run, and again when what it is made of is another."""

import types

from tests.recorder.site import build_cache


def test_the_same_sources_are_worked_on_once(tmp_path):
    asked: list[object] = []
    (tmp_path / "tools/slim").mkdir(parents=True)
    (tmp_path / "tools/mpy.py").write_text("")

    def process() -> types.ModuleType:
        def slim(sources, roots, name="node"):
            asked.append((sources, roots, name))
            return f"{sources} {name}"

        build = types.ModuleType("tools.build")
        build.__file__ = str(tmp_path / "tools/build.py")
        vars(build).update(slim=slim, put_in_place=slim, compile_mpy=slim)
        for _ in range(2):
            build_cache.install(str(tmp_path), lambda name, wrap: wrap(build))
        return build

    one, other = process(), process()
    assert one.slim({"a": "1", "b": "2"}, {"x", "y"}) == other.slim({"b": "2", "a": "1"}, {"y", "x"})
    assert len(asked) == 1
    one.slim({"a": "1", "b": "3"}, {"x", "y"})
    one.slim({"a": "1", "b": "2"}, {"x"})
    one.slim({"a": "1", "b": "2"}, {"x", "y"}, "other")
    one.put_in_place({"a": "1", "b": "2"}, {"x", "y"})
    assert len(asked) == 5

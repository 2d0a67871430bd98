"""Every example in docs/ runs and prints what the text says; every link in a text leads somewhere."""

import doctest
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXTS = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")])
FENCE = "```"
EXAMPLES = "```pycon"
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE_SPAN = re.compile(r"`[^`\n]*`")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def examples(text: str) -> str:
    """`text` with everything but its blocks of examples blanked, so that line numbers stay."""
    kept: list[str] = []
    inside = False
    for line in text.split("\n"):
        if inside and line.startswith(FENCE):
            inside = False
        kept.append(line if inside else "")
        if not inside and line.startswith(EXAMPLES):
            inside = True
    return "\n".join(kept)


def outside_code(text: str) -> "Iterator[str]":
    """The lines of `text` that are no code, without code spans."""
    fenced = False
    for line in text.split("\n"):
        if line.startswith(FENCE):
            fenced = not fenced
        elif not fenced:
            yield _CODE_SPAN.sub(lambda span: "x" * len(span.group()), line)


@cache
def anchors(path: Path) -> "set[str]":
    """The anchors that GitHub gives the headings of a text."""
    found: dict[str, int] = {}
    fenced = False
    for line in path.read_text("utf-8").split("\n"):
        fenced ^= line.startswith(FENCE)
        heading = None if fenced else re.match(r"#{1,6} (.*)", line)
        if heading is not None:
            slug = re.sub(r"[^\w\- ]", "", heading[1].strip().lower()).replace(" ", "-")
            again = found.get(slug, 0)
            found[slug] = again + 1
            if again:
                found[f"{slug}-{again}"] = 1
    return set(found)


@pytest.mark.parametrize("path", [path for path in TEXTS if ">>> " in path.read_text("utf-8")], ids=name)
def test_examples_print_what_the_text_says(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = path.read_text("utf-8")
    test = doctest.DocTestParser().get_doctest(examples(text), {}, name(path), str(path), 0)
    assert len(test.examples) == len(re.findall(r"^>>> ", text, re.MULTILINE)), "an example in no block"
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def test_there_are_examples_for_the_whole_protocol() -> None:
    counts = {path.name: path.read_text("utf-8").count("\n>>> ") for path in TEXTS}
    assert all(counts[each] > 5 for each in ("encoding.md", "keys.md", "frames.md", "batches.md")), counts


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    for line in outside_code(path.read_text("utf-8")):
        for target in _LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            where, _, anchor = target.partition("#")
            there = (path.parent / where).resolve() if where else path
            assert there.exists(), f"{name(path)}: {target}"
            if anchor:
                assert anchor in anchors(there), f"{name(path)}: {target}; there are {sorted(anchors(there))}"


def test_the_checks_above_can_fail(tmp_path: Path) -> None:
    text = "# A `b`: c (d)\n\n```pycon\n>>> 1 + 1\n3\n```\n## A b c d\n[x](#a-b-c-d-1)\n"
    (tmp_path / "a.md").write_text(text)
    assert anchors(tmp_path / "a.md") == {"a-b-c-d", "a-b-c-d-1"}
    test = doctest.DocTestParser().get_doctest(examples(text), {}, "a", "a.md", 0)
    assert doctest.DocTestRunner(verbose=False).run(test, out=lambda _: None).failed == 1
    assert list(outside_code("a [`x](y)` b\n```\n[c](d)\n```\n")) == ["a [xxxxxxx b", ""]

"""docs/signals.md and docs/boards/ say what the firmware and the boards' descriptions hold."""

import re

import pytest

from firmware import annunciator, indications, signals
from tools import build
from tools.boards import docs
from tools.boards.signals import PAGE, WORDS, page

TEXT = PAGE.read_text("utf-8")


def test_the_table_of_states_is_current() -> None:
    assert page(TEXT) == TEXT, "run python -m tools.boards.signals"


def test_every_state_has_its_words() -> None:
    colours = ("GREEN", "BLUE", "VIOLET", "WHITE")
    named = {name for name, value in vars(indications).items() if name.isupper() and isinstance(value, int)}
    assert named - set(colours) == set(WORDS)
    assert len({words.means for words in WORDS.values()}) == len(WORDS)


def test_a_page_without_the_places_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match=r"signals\.md has no lines"):
        page("# What the kit says\n")


def test_the_times_are_those_of_the_firmware() -> None:
    said = [int(number) for number in re.findall(r"\d+", TEXT.partition("## For whoever builds one")[2])]
    for value in (
        signals.SEARCH_S,
        signals.LOW_PCT,
        signals.UNDER_WAY,
        annunciator.SHORT_MS,
        annunciator.LONG_MS,
        annunciator.GAP_MS,
        annunciator.PAUSE_MS,
        annunciator.CALM_MS,
    ):
        assert value in said


def test_every_board_s_page_and_picture_are_current() -> None:
    made = docs.pages()
    there = {path.name: path.read_text("utf-8") for path in docs.FOLDER.iterdir()}
    assert there == made, "run python -m tools.boards.docs"
    assert {name.partition(".")[0] for name in made} == {
        name for name in build.board_names() if build.read_board(name).chip
    }

"""The hands at a bench: commands, or a person."""

import sys

import pytest

from hil_tests.hands import HandError, Hands


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-E", "-c", code)


def test_a_command_does_it_and_a_person_what_has_none(tmp_path) -> None:
    mark = tmp_path / "held"
    asked: list[str] = []
    hands = Hands({"hold": python(f"open({str(mark)!r}, 'w')")}, asked.append)
    hands.do("hold")
    assert mark.exists() and not asked
    hands.do("release")
    assert asked == ["let go of the button of the kit"]
    assert hands.lacking(("button", "power")) == []


def test_without_a_person_it_says_what_is_lacking() -> None:
    hands = Hands({"hold": ("true",), "release": ("true",)})
    assert hands.lacking(("button",)) == []
    assert hands.lacking(("button", "cable")) == ["hands.unplug", "hands.replug"]
    with pytest.raises(HandError, match=r"nobody is here to press the board's reset button.*hands\.reset"):
        hands.do("reset")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (python("print('no such relay'); raise SystemExit(3)"), r"hands.hold \(.*→ 3\nno such relay"),
        (("/no/such/command",), r"hands.hold \(/no/such/command\): No such file"),
    ],
    ids=["fails", "absent"],
)
def test_a_command_that_does_not_do_it(command: tuple[str, ...], words: str) -> None:
    with pytest.raises(HandError, match=words):
        Hands({"hold": command}).do("hold")

"""A family's way, as the guide has it: from a kit that is nobody's to the first heartbeat."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools.boards import signals
from tools.kit_demo import command as kit_demo
from tools.kit_demo import guide
from tools.kit_demo.scene import SSID, Scene

pytestmark = pytest.mark.usefixtures("own_multicast")

GUIDES = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("options", "most"), [([], 3), (["--cable"], 2)], ids=["wifi", "cable"])
def test_a_new_kit_is_at_the_agent_after_so_many_actions(options, most, tmp_path):
    done = CliRunner().invoke(kit_demo.command, [*options, "--keep", str(tmp_path / "kit")])
    said = re.search(r"(\d+) actions, (\d+) s from .* \((\d+)/min\)", done.output.replace("\n", " "))
    assert said is not None, done.output
    assert int(said[1]) == most and 60 <= int(said[3]) <= 85
    assert "its light flashes white: it is new" in done.output


def test_the_guide_has_the_same_steps():
    scene = object.__new__(Scene)
    scene.cable = False
    does = [action.does for action in kit_demo.actions(scene)]
    guide = (GUIDES / "for-families.md").read_text()
    steps = re.findall(r"^## (\d)\. (.+)$", guide, re.MULTILINE)
    assert [int(n) for n, _ in steps] == [1, 2, 3]
    assert len(does) == len(steps) == kit_demo.MOST_ACTIONS
    for (_, step), words in zip(steps, ("plug", "phone", "button"), strict=True):
        assert words in step.casefold()
    assert all(words in did for did, words in zip(does, ("plug", "phone", "button"), strict=True))
    assert SSID in does[1]


@pytest.mark.parametrize("name", guide.HEADS)
def test_the_guides_tables_are_what_the_firmware_shows(name):
    path = GUIDES / name
    assert guide.page(path) == path.read_text("utf-8"), "python -m tools.kit_demo.guide writes them"
    rows = guide.table(name).splitlines()[2:]
    assert len(rows) == len(signals.states()) == len({row.split(" | ")[0] for row in rows})


def test_both_guides_have_the_same_pictures_and_steps():
    english, chinese = ((GUIDES / name).read_text("utf-8") for name in guide.HEADS)
    pictures = [re.findall(r"\]\((pictures/[^)]+)\)", text) for text in (english, chinese)]
    assert pictures[0] == pictures[1] and all((GUIDES / one).is_file() for one in pictures[0])
    assert len(re.findall(r"^## ", english, re.MULTILINE)) == len(re.findall(r"^## ", chinese, re.MULTILINE))


def test_both_guides_tell_of_each_light_that_is_an_alarm():
    english, chinese = (
        (GUIDES / name).read_text("utf-8").rpartition("<!-- to here -->")[2] for name in guide.HEADS
    )
    priorities = re.findall(
        r"^\| (?:high|medium|low) \| (\w+), ", (GUIDES / "alarms.md").read_text("utf-8"), re.MULTILINE
    )
    assert priorities == ["red", "yellow", "cyan"]
    for colour, its in zip(priorities, "红黄青", strict=True):
        assert colour in english.casefold() and its in chinese

"""What a person finds first: commands that exist, files that are there, rooms that can be imported."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("boards", "drivers", "edge_agent", "firmware", "hil_tests", "protocol", "tools")
TARGETS = ("demo", "test", "hil", "bench", "lint", "clean")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_makefile_has_every_target():
    assert targets() >= set(TARGETS)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_commands_named_in_the_documents_exist(document):
    text = (ROOT / document).read_text()
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)\b", text)) - {"it"}
    assert named
    assert named <= targets()
    from tools.cli import main

    commands = set(re.findall(r"(?:^|`)vitalwire ([a-z][a-z-]*)", text, re.MULTILINE))
    import click

    assert commands <= set(main.list_commands(click.Context(main)))


@pytest.mark.parametrize("document", sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("*.md")))
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / document).read_text()):
        assert (ROOT / document).parent.joinpath(target).exists(), target


def test_the_licence_is_the_apache_licence():
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_packages_and_import_nothing_at_their_door(room):
    assert import_module(room).__doc__
    source = (ROOT / room / "__init__.py").read_text()
    assert not re.search(r"^(import|from) ", source, re.MULTILINE)


def test_every_room_is_shipped_and_guarded():
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(ROOMS)
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == set(ROOMS)


def test_every_dependency_is_explained():
    project = PROJECT["project"]
    wanted = project["dependencies"] + [
        d for extra in project["optional-dependencies"].values() for d in extra
    ]
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    for requirement in wanted:
        name = re.match(r"[\w-]+", requirement)[0]
        if name != "vitalwire":
            assert f"`{name}`" in explained, name
            assert re.search(r"[>=]=", requirement), f"{requirement} has no lower bound"


def test_recordings_and_secrets_are_kept_out():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"*.key", "*.dat", "*.atr", "*.hea", ".venv/"} <= set(ignored)

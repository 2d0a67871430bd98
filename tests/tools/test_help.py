"""Every command says in its help what it does, and shows a line that one may type."""

import shlex
from collections.abc import Iterator

import click
import pytest

from tools.cli import main


def walk(
    command: click.Command, path: tuple[str, ...], ctx: click.Context
) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None
            yield from walk(inner, (*path, name), click.Context(inner, ctx, name))


COMMANDS = dict(walk(main, ("vitalwire",), click.Context(main, info_name="vitalwire")))


@pytest.mark.parametrize("path", COMMANDS)
def test_help_has_an_example(path: str) -> None:
    command = COMMANDS[path]
    text = command.get_help(click.Context(command, info_name=path))
    if "(not available:" in text:
        pytest.skip("its package is not installed")
    examples = [line.strip() for line in text.splitlines() if f"{path} " in f"{line.strip()} "]
    # The first line of a help is how click itself writes the usage.
    shown = [line for line in examples if not line.startswith("Usage:")]
    assert shown, f"{path} --help shows no example: add \\b, Example: and a line to its docstring"
    for line in shown:
        typed = line[f"{line} ".rindex(f"{path} ") :].partition(" | ")[0].partition(" > ")[0]
        _typed(shlex.split(typed)[1:])


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_is_explained_and_the_list_of_commands_is_whole(path: str) -> None:
    command = COMMANDS[path]
    unexplained = [one.opts for one in command.params if isinstance(one, click.Option) and not one.help]
    assert not unexplained
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        names = command.list_commands(ctx)
        # As wide as click makes it on a terminal of 80.
        limit = 78 - 6 - max(map(len, names))
        told = {name: command.get_command(ctx, name) for name in names}
        cut = [
            name
            for name, one in told.items()
            if one is not None and one.get_short_help_str(limit).endswith("...")
        ]
        assert not cut, f"{path}: give these a short_help: {cut}"


def _typed(words: list[str]) -> None:
    """Each command and option of the line exists."""
    command: click.Command = main
    path = "vitalwire"
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        path = f"{path} {words.pop(0)}"
        assert path in COMMANDS, path
        command = COMMANDS[path]
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{path} has no {word}"


def test_there_are_commands_to_look_at() -> None:
    assert {"vitalwire agent run", "vitalwire doctor", "vitalwire config check"} <= COMMANDS.keys()

"""`vitalwire config`: check a configuration, show what holds, print an example with every key."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import config_option, told
from edge_agent.config.described import Key
from edge_agent.config.table import TABLES
from edge_agent.readable import printable

WIDTH = 76


@click.group("config", short_help="Check or show the agent's configuration.")
def config_group() -> None:
    """Check the agent's configuration, show what holds, print an example.

    \b
    Example:
      vitalwire config check --config /etc/vitalwire/agent.toml
    """


@config_group.command("check")
@config_option
@told
def check_command(config_path: Path | None) -> None:
    """Read the configuration and say what is wrong with it, or risky. Exit status 1 when it cannot be used.

    Whose the public keys are that it names is looked at, if they are there; `vitalwire doctor` looks at all
    files.

    \b
    Example:
      vitalwire config check
    """
    from edge_agent.keys import load_public

    config = configuration.load(config_path)
    for warning in config.warnings:
        click.echo(printable(f"! {warning}"))
    for path in (config.collector, config.file and config.file.public):
        if path is not None and path.exists():
            load_public(path, "collector")
    where = f"{config.source}: " if config.source else "no file, so the defaults: "
    click.echo(printable(f"{where}can be used"))


@config_group.command("show", short_help="Show every setting that holds, as TOML.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON: table, key, value; null where there is none.")
@told
def show_command(config_path: Path | None, as_json: bool) -> None:
    """Show every setting that holds, as TOML; what is a default is marked so.

    Secrets are files: their paths are shown, never what is in them.

    \b
    Example:
      vitalwire config show --json
    """
    path = config_path or configuration.default_path()
    config = configuration.load(config_path)
    found = configuration.settings("" if config.source is None else configuration.read_text(path), path)
    if as_json:
        click.echo(json.dumps(_document(found), indent=1, default=str))
        return
    for number, (name, table) in enumerate(TABLES.items()):
        if number:
            click.echo()
        if table.many:
            for index, link in enumerate(config.links):
                click.echo(f"[[{name}]]")
                given: configuration.Values = found.links[index] if found.links else {}
                click.echo(_line("port", link.port, "port" in given))
                click.echo(_line("baud", link.baud, "baud" in given))
            continue
        given = found.given.get(name, {})
        click.echo(f"[{name}]" if name in found.given or not table.off_without else f"# [{name}]: none")
        for key in table.keys if name in found.given or not table.off_without else ():
            click.echo(_shown(key, found.value(name, key.name), key.name in given))


def _document(found: configuration.Settings) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, table in TABLES.items():
        if table.many:
            out[name] = [
                {key.name: link.get(key.name, key.default) for key in table.keys} for link in found.links
            ]
        else:
            holds = name in found.given or table.off_without
            out[name] = found.values(name) if holds else _defaults(found, name)
    return out


def _defaults(found: configuration.Settings, name: str) -> dict[str, Any]:
    return {key.name: found.value(name, key.name) for key in TABLES[name].keys}


def _shown(key: Key, value: Any, given: bool) -> str:
    if value is None:
        return printable(f"# {key.name}: {key.shown.replace('`', '') or 'none'}")
    return _line(key.name, value, given)


def _line(key: str, value: Any, given: bool) -> str:
    return printable(f"{key} = {toml(value)}") + ("" if given else "  # default")


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


@config_group.command("example", short_help="Print a configuration with every key, commented out.")
@told
def example_command() -> None:
    """Print a configuration with every key, its meaning and its default, all of it commented out.

    \b
    Example:
      vitalwire config example > agent.toml
    """
    sys.stdout.write(example())


def example() -> str:
    """The text: a table's lines become valid when their `#` is taken away."""
    from textwrap import wrap

    out = ["# The agent's configuration. Take the # away before a table and its keys to set them."]
    for name, table in TABLES.items():
        out += ["", *(f"## {line}" for line in wrap(table.about.replace("`", ""), WIDTH))]
        out.append(f"#[[{name}]]" if table.many else f"#[{name}]")
        for key in table.keys:
            value = key.example if key.default is None else key.default
            says = f"{key.meaning} ({'; '.join(_facts(key))})".replace("`", "")
            out += [f"## {line}" for line in wrap(says, WIDTH)]
            out.append(f"#{key.name} = {toml(value)}")
    return "\n".join(out) + "\n"


def _facts(key: Key) -> list[str]:
    facts = [f"{key.check.says} {key.unit}".strip()]
    if key.default is not None:
        facts.append("this is the default")
    elif key.shown:
        facts.append(f"without it: {key.shown}")
    return facts

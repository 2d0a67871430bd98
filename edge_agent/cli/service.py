"""`vitalwire service`: the systemd unit of the agent."""

import re
from pathlib import Path

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import fail, told
from edge_agent.ops import systemd

_config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=systemd.CONFIG,
    show_default=True,
    help="The agent's TOML file, as the service will read it; without it there, the defaults.",
)
_user_option = click.option(
    "--user", default=systemd.USER, show_default=True, help="Whose process it will be; never root's."
)


@click.group("service")
def service_group() -> None:
    """The agent as a systemd service.

    \b
    Example:
      sudo vitalwire service install
    """


@service_group.command("print", short_help="Print the unit.")
@_config_option
@_user_option
@told
def print_command(config_path: Path, user: str) -> None:
    """Print the unit: what the agent may write and see is taken from its configuration.

    \b
    Example:
      vitalwire service print --config /etc/vitalwire/agent.toml
    """
    click.echo(_unit(config_path, user), nl=False)


@service_group.command("install")
@_config_option
@_user_option
@click.option(
    "--path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=systemd.PATH,
    show_default=True,
    help="The unit's file.",
)
@click.option("--force", is_flag=True, help="Replace a unit that is there and differs.")
@told
def install_command(config_path: Path, user: str, path: Path, force: bool) -> None:
    """Write the unit, and say which commands start it. Nothing is started.

    \b
    Example:
      sudo vitalwire service install --config /etc/vitalwire/agent.toml
    """
    text = _unit(config_path, user)
    if path.exists() and path.read_text("utf-8", "replace") != text and not force:
        fail(f"{path} is there and differs: look at it, then say --force")
    if not path.parent.is_dir():
        fail(f"{path.parent} is no folder: does systemd run here? else name the unit's file: --path")
    from edge_agent.files import write_atomically

    write_atomically(path, text.encode(), durable=True)
    # Others than root read units too; there is nothing secret in one.
    path.chmod(0o644)
    click.echo(f"written: {path}")
    click.echo("now, as root:")
    for line in _next(config_path, user, path.stem):
        click.echo(f"  {line}")


def _unit(config_path: Path, user: str) -> str:
    if user == "root":
        fail("the agent needs no rights of root's: make it a user of its own (useradd --system)")
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", user):
        fail(f"{user} is no name of a user: small letters, digits, _ and -")
    # The state's default is that of the service, not of whoever types this.
    config = configuration.load(config_path) if config_path.exists() else configuration.parse("", config_path)
    text = configuration.read_text(config_path) if config_path.exists() else ""
    if configuration.settings(text, config_path).value("agent", "state_dir") is None:
        from dataclasses import replace

        config = replace(config, state_dir=systemd.STATE)
    return systemd.unit(config, config_path.absolute(), user)


def _next(config_path: Path, user: str, name: str) -> list[str]:
    return [
        f"id {user} || useradd --system -d {systemd.STATE} -s /usr/sbin/nologin -G dialout {user}",
        f"test -e {config_path} || vitalwire config example > {config_path}",
        f"vitalwire doctor --config {config_path}",
        f"systemctl daemon-reload && systemctl enable --now {name}",
        f"systemctl status {name}",
    ]

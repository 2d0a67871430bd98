"""The `vitalwire` command.

Each subcommand is imported when it is used, so that a missing extra stops only what needs it.
"""

import importlib
from difflib import get_close_matches
from typing import NamedTuple

import click

from edge_agent.cli.interrupted import interruptible
from edge_agent.extras import remedy


class Place(NamedTuple):
    """Where a subcommand lives."""

    module: str
    attribute: str = "command"


PLACES = {
    "bench": Place("tools.bench.command"),
    "boards": Place("tools.boards.command"),
    "bridge": Place("boards.virtual.bridge_cli", "bridge"),
    "broker": Place("tools.demo.broker"),
    "build": Place("tools.build", "build"),
    "collector": Place("tools.collector.commands"),
    "demo": Place("tools.demo.command"),
    "flash": Place("tools.flash.command"),
    "import": Place("tools.collector.import_command"),
    "inspect": Place("tools.inspect"),
    "kit-demo": Place("tools.kit_demo.command"),
    "node": Place("tools.node"),
    "release": Place("tools.release.command"),
}

EXTRAS = {
    "iotcore": "demo",
    "numpy": "demo",
    "wfdb": "demo",
    "bleak": "ble",
    "bumble": "kit-demo",
    "improv_ble_client": "kit-demo",
    "psycopg": "postgres",
    "httpx": "fhir",
    "esp_pylib": "flash",
    "esptool": "flash",
    "mpremote": "flash",
    "PIL": "flash",
    "segno": "flash",
}
ROOMS = ("boards", "drivers", "edge_agent", "firmware", "protocol", "tools")


class Commands(click.Group):
    """The agent's commands, and the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, whether or not their module can be imported."""
        return sorted([*PLACES, *(_agent_commands())])

    def invoke(self, ctx: click.Context) -> object:
        """As click does it; a signal ends it as interruptible() says."""
        with interruptible():
            return super().invoke(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported only now; None for an unknown name."""
        place = PLACES.get(cmd_name)
        if place is None:
            return _agent_commands().get(cmd_name)
        try:
            return getattr(importlib.import_module(place.module), place.attribute)
        except ModuleNotFoundError as e:
            package = (e.name or "").partition(".")[0]
            if package in ROOMS:
                raise
            return _unavailable(cmd_name, package)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the nearest name in the error."""
        if self.get_command(ctx, args[0]) is None:
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


def _agent_commands() -> dict[str, click.Command]:
    from edge_agent.cli.main import commands

    return {c.name: c for c in commands if c.name}


def _unavailable(name: str, package: str) -> click.Command:
    """A command in the place of one whose package is not installed, which says so."""
    extra = EXTRAS.get(package)
    command_line = remedy(extra) if extra else f"pip install {package}"

    needs = f"the extra [{extra}]" if extra else package

    @click.command(
        name,
        short_help=f"(not available: needs {needs})",
        help=f"Not available: it needs the package {package}. Its options are shown once that is installed:"
        f"\n\n\b\n  {command_line}",
        context_settings={"ignore_unknown_options": True},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        raise click.ClickException(
            f"{name} needs the package {package}, which is not installed: {command_line}"
        )

    return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vitalwire")
def main() -> None:
    """Vital signs from a sensor to a signed receipt.

    \b
    Example:
      vitalwire doctor
    """


if __name__ == "__main__":
    main()

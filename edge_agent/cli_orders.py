"""`vitalwire order` and `vitalwire authority`: commands to a node, and whose this agent carries out.

An order with --authority is the same signed command that comes from afar, brought to the agent as an errand:
what an agent checks, it checks here, too.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_agent import config as configuration
from edge_agent.cli_nodes import LATE_S, POLL_S, named_node
from edge_agent.commanding import config_option, fail, show, told
from edge_agent.config import Config, LinkConfig
from edge_agent.ordering import ALARMS, CHANNELS, CUFFS, MODES, OrderingError
from edge_agent.readable import printable
from protocol import remote
from protocol.errors import LocalError

F = TypeVar("F", bound=Callable[..., Any])

ASK_AGAIN_S = 0.5


def operation_options(command: F) -> F:
    """What an operation may be given, for `order` here and at the clinic."""
    for option in reversed(
        (
            click.option("--cuff", type=click.Choice(list(CUFFS)), help="bp, config: the cuff's size."),
            click.option("--text", help="mark: what happened (64 bytes)."),
            click.option("--mains", type=click.Choice(["50", "60"]), help="config: mains frequency in Hz."),
            click.option(
                "--not-sent",
                type=click.Choice([*CHANNELS, "none"]),
                multiple=True,
                help="config: waveforms that the node keeps to itself; none: it sends all.",
            ),
            click.option(
                "--mode", type=click.Choice(list(MODES)), help="limits: whether alarms are watched."
            ),
            click.option(
                "--limit",
                multiple=True,
                metavar="NAME=VALUE:SECONDS",
                help=f"limits: such as spo2-low=88:15; {', '.join(ALARMS)}, in /min, % and mmHg.",
            ),
            click.option(
                "--channel", type=click.Choice(list(CHANNELS)), help="strip: of what; else the ECG."
            ),
            click.option(
                "--seconds", type=click.IntRange(1, remote.MAX_STRIP_S), help="strip: how long; else 30."
            ),
            click.option("--next", is_flag=True, help="strip: of what comes, not of what was."),
            click.option(
                "--mmhg", type=click.IntRange(20, 250), help="static-pressure: what is to be shown."
            ),
            click.option("--reason", default="", help="Why, for the audit (200 bytes)."),
        )
    ):
        command = option(command)
    return command


operation_argument = click.argument("operation", type=click.Choice(list(remote.OPERATIONS)))


@click.command("order")
@config_option
@click.argument("node")
@operation_argument
@click.option(
    "--authority",
    "key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The authority's .key file. Needed for what moves the cuff or changes alarms, and for strips.",
)
@operation_options
@click.option("--port", help="Where the node is, if no agent runs; else the configured links.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(5, 3600),
    default=120.0,
    show_default=True,
    help="Seconds that it holds.",
)
@told
def order_command(
    config_path: Path | None,
    node: str,
    operation: str,
    key: Path | None,
    reason: str,
    port: str | None,
    wait_s: float,
    **given: Any,
) -> None:
    """Have the node NODE (its id in hex, or how it begins) do OPERATION, through the agent of this machine.

    A measurement begins when somebody presses the node's button within 60 s. Exit status 1 when it was not
    done.

    \b
    Examples:
      vitalwire order 3f2a identify
      vitalwire order 3f2a bp --cuff medium --authority clinic.key
      vitalwire order 3f2a limits --limit spo2-low=88:15 --authority clinic.key
    """
    from edge_agent.ordering import wanted

    config = configuration.load(config_path)
    node_id = named_node(config, node)
    if port is not None:
        config = replace(config, links=(LinkConfig(port),))
    try:
        arguments = wanted(operation, given | {"mains": int(given["mains"]) if given["mains"] else None})
        if key is None:
            _local(config, node_id, operation, arguments, wait_s)
        else:
            asyncio.run(_by_authority(config, node_id, operation, arguments, key, reason, wait_s))
    except OrderingError as e:
        fail(e)
    except LocalError as e:
        fail(f"{operation}: {e.detail}")


def _local(config: Config, node: bytes, operation: str, arguments: Any, wait_s: float) -> None:
    """What needs no authority: the agent's own word is enough for the node."""
    from edge_agent.cli_nodes import run_errand
    from edge_agent.errands import ORDER
    from protocol import cbor

    if operation == remote.STRIP:
        fail("a strip is kept for an authority: --authority KEY says for whom")
    run_errand(config, ORDER, node, wait_s, data=cbor.dumps([operation, arguments or {}]))


async def _by_authority(
    config: Config, node: bytes, operation: str, arguments: Any, key: Path, reason: str, wait_s: float
) -> None:
    """The signed command, brought as errands to the agent that runs, or to one that runs for this alone."""
    from edge_agent import keys
    from edge_agent.agent import Agent
    from edge_agent.lock import Locked
    from edge_agent.ordering import Ordering, new_command

    authority = keys.load(key)
    agent = keys.load_public(keys.public_path(config.key))
    now_ms = time.time_ns() // 1_000_000
    command = new_command(authority, agent.id, node, operation, arguments, now_ms, wait_s, reason)
    ordering = Ordering(authority, agent, command)
    stop = asyncio.Event()

    async def beside() -> None:
        with suppress(Locked):
            await Agent(config).run(stop)
            return
        await stop.wait()

    running = asyncio.create_task(beside())
    asking = asyncio.create_task(_until_final(config, ordering, wait_s + 420.0))
    try:
        await asyncio.wait({running, asking}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        asking.cancel()
        await asyncio.gather(running)
    if asking.done() and not asking.cancelled():
        asking.result()
    answer = ordering.answer
    if answer is None or answer.outcome != remote.DONE:
        fail(ordering.said())


async def _until_final(config: Config, ordering: Any, most_s: float) -> None:
    """Say it again and again, and tell what comes of it, each thing once."""
    from edge_agent.errands import COMMAND, Errands

    errands = Errands(config.errands)
    ends = time.monotonic() + most_s
    while time.monotonic() < ends:
        until_ms = time.time_ns() // 1_000_000 + int(LATE_S * 1000)
        errand = errands.put(COMMAND, b"", until_ms, data=ordering.message())
        try:
            answer = None
            while answer is None and time.time_ns() // 1_000_000 < until_ms:
                await asyncio.sleep(POLL_S)
                answer = errands.answer_to(errand)
        finally:
            errands.take_back(errand)
        if answer is not None and ordering.take(bytes.fromhex(answer["text"])):
            click.echo(printable(ordering.said()))
        if ordering.answer is not None and ordering.answer.final:
            return
        await asyncio.sleep(ASK_AGAIN_S)


# Authorities


@click.group("authority")
def authority_group() -> None:
    """Whose signed commands this agent carries out, and which.

    \b
    Example:
      vitalwire authority list
    """


@authority_group.command("add")
@config_option
@click.argument("public", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--may",
    type=click.Choice(["all", *remote.OPERATIONS]),
    multiple=True,
    required=True,
    help="An operation that it may order; again for more.",
)
@click.option(
    "--node", "nodes", multiple=True, help="Only of this node (id, or how it begins); again for more."
)
@click.option(
    "--person", "persons", multiple=True, help="Only of whoever this is (32 hex digits); again for more."
)
@click.option("--name", default="", help="For people.")
@told
def authority_add(
    config_path: Path | None,
    public: Path,
    may: tuple[str, ...],
    nodes: tuple[str, ...],
    persons: tuple[str, ...],
    name: str,
) -> None:
    """Carry out the commands of the authority with the key file PUBLIC (.pub); what it could before is
    replaced. A running agent knows at once.

    What moves the cuff or changes alarms the node has to believe as well: `vitalwire pair --authority`.

    \b
    Example:
      vitalwire authority add clinic.pub --may bp --may identify --name cardiology
    """
    from edge_agent import keys
    from edge_agent.authorities import Authorities
    from edge_agent.people_asking import record_action

    config = configuration.load(config_path)
    found = keys.load_public(public)
    try:
        whose = [bytes.fromhex(one) for one in persons]
    except ValueError:
        whose = [b""]
    if any(len(one) != 16 for one in whose):
        fail("a person is 32 hex digits, as `vitalwire people list` shows them")
    only = [named_node(config, one) for one in nodes]
    record_action(config, "authority allowed", found.id, operations=", ".join(may))
    Authorities(config.authorities).add(found, list(may), name, only or None, whose or None)
    show("authority", found.fingerprint)
    click.echo(f"may order: {', '.join(may)}")


@authority_group.command("list")
@config_option
@told
def authority_list(config_path: Path | None) -> None:
    """Show whose commands are carried out, and which.

    \b
    Example:
      vitalwire authority list
    """
    from edge_agent.authorities import Authorities

    for one in Authorities(configuration.load(config_path).authorities).all():
        show("authority", one.keys.fingerprint)
        may = ", ".join(sorted(one.operations)) or "nothing"
        of = "all nodes" if one.nodes is None else ", ".join(sorted(node.hex() for node in one.nodes))
        whose = "" if one.persons is None else f"; of {len(one.persons)} persons only"
        name = f"{one.name}: " if one.name else ""
        click.echo(printable(f"  {name}{may}; {of}{whose}"))


@authority_group.command("remove")
@config_option
@click.argument("authority")
@told
def authority_remove(config_path: Path | None, authority: str) -> None:
    """Carry out nothing more of AUTHORITY (its id, 16 hex digits). Nodes that believe it go on to: at their
    kits, `vitalwire pair --no-authorities`.

    \b
    Example:
      vitalwire authority remove 0123456789abcdef
    """
    from edge_agent.authorities import Authorities
    from edge_agent.people_asking import record_action

    try:
        who = bytes.fromhex(authority)
    except ValueError:
        who = b""
    config = configuration.load(config_path)
    known = Authorities(config.authorities)
    if who not in [one.keys.id for one in known.all()]:
        fail(f"{authority} is no authority here (`vitalwire authority list` shows their ids)")
    record_action(config, "authority removed", who)
    known.remove(who)
    click.echo(f"authority {authority} may order nothing here any more")


order_commands: list[click.Command] = [order_command, authority_group]

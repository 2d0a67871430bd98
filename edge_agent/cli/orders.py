"""`vitalwire order` and `vitalwire authority`: commands to a node, and whose this agent carries out.

An order with --authority is the same signed command that comes from afar, brought to the agent as an errand:
what an agent checks, it checks here, too.
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_agent import config as configuration
from edge_agent import tasks
from edge_agent.cli.commanding import config_option, fail, from_when, show, told
from edge_agent.cli.nodes import LATE_S, MIN_DIGITS, POLL_S, named_node
from edge_agent.config import Config, LinkConfig
from edge_agent.readable import counted, printable
from edge_agent.remote.ordering import ALARMS, CHANNELS, CUFFS, MODES, OrderingError
from protocol import remote
from protocol.errors import LocalError

if TYPE_CHECKING:
    from edge_agent.remote.authorities import Authority

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


@click.command("order", short_help="Have a node do something, through this machine's agent.")
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
    from edge_agent.remote.ordering import wanted

    config = configuration.load(config_path)
    node_id = named_node(config, node)
    if port is not None:
        config = replace(config, links=(LinkConfig(port),))
    try:
        arguments = wanted(operation, given | {"mains": int(given["mains"]) if given["mains"] else None})
        if key is None:
            _local(config, node_id, operation, arguments, reason, wait_s)
        else:
            tasks.run(_by_authority(config, node_id, operation, arguments, key, reason, wait_s))
    except OrderingError as e:
        fail(e)
    except LocalError as e:
        fail(f"{operation}: {e.detail}")


def _local(config: Config, node: bytes, operation: str, arguments: Any, reason: str, wait_s: float) -> None:
    """What needs no authority: the agent's own word is enough for the node."""
    from edge_agent.cli.nodes import run_errand
    from edge_agent.custody.audit import by_user
    from edge_agent.nodes.errands import ORDER
    from protocol import cbor

    if operation == remote.STRIP:
        fail("a strip is kept for an authority: --authority KEY says for whom")
    by = by_user(os.getuid() if hasattr(os, "getuid") else 0)
    run_errand(config, ORDER, node, wait_s, data=cbor.dumps([operation, arguments or {}, reason, by]))


async def _by_authority(
    config: Config, node: bytes, operation: str, arguments: Any, key: Path, reason: str, wait_s: float
) -> None:
    """The signed command, brought as errands to the agent that runs, or to one that runs for this alone."""
    from edge_agent import keys
    from edge_agent.agent import Agent
    from edge_agent.lock import Locked
    from edge_agent.remote.ordering import Ordering, new_command

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
        if ordering.remark:
            click.echo(ordering.remark, err=True)
    if asking.done() and not asking.cancelled():
        asking.result()
    answer = ordering.answer
    if answer is None or answer.outcome != remote.DONE:
        fail(ordering.said())


async def _until_final(config: Config, ordering: Any, most_s: float) -> None:
    """Say it again and again, and tell what comes of it, each thing once."""
    from edge_agent.nodes.errands import COMMAND, Errands

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
        if answer is not None and ordering.take(bytes.fromhex(answer["text"])) and not _failed(ordering):
            click.echo(printable(ordering.said()))
        if ordering.answer is not None and ordering.answer.final:
            return
        await asyncio.sleep(ASK_AGAIN_S)


def _failed(ordering: Any) -> bool:
    """Whether its end is another than `done`: that is said once, as the command's error."""
    answer = ordering.answer
    return answer is not None and answer.final and answer.outcome != remote.DONE


# Authorities


@click.group("authority")
def authority_group() -> None:
    """Whose signed commands this agent carries out, and which.

    \b
    Example:
      vitalwire authority list
    """


@authority_group.command("add", short_help="Carry out the commands of an authority.")
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
    from edge_agent.remote.authorities import Authorities, load_authority

    config = configuration.load(config_path)
    own = keys.public_path(config.key)
    found = load_authority(public, keys.load_public(own) if own.exists() else None)
    try:
        whose = [bytes.fromhex(one) for one in persons]
    except ValueError:
        whose = [b""]
    if any(len(one) != 16 for one in whose):
        fail("a person is 32 hex digits, as `vitalwire person list` shows them")
    only = [named_node(config, one) for one in nodes]
    told: dict[str, bytes | str | int] = {"operations": ", ".join(may)}
    # Texts of an action stay on this machine.
    told["nodes"] = ", ".join(one.hex() for one in only) or "all"
    told["persons"] = ", ".join(one.hex() for one in whose) or "all"
    _recorded(config, "authority allowed", found.id, "nothing has changed: try again once it answers", **told)
    known = Authorities(config.authorities)
    before = {one.keys.id: one for one in known.all()}.get(found.id)
    known.add(found, list(may), name, only or None, whose or None)
    show("authority", found.fingerprint)
    after = {one.keys.id: one for one in known.all()}[found.id]
    for line in _changed(before, after):
        click.echo(printable(line))
    click.echo(printable(f"may order: {_allowed(after)}; {from_when(config)}"))


def _allowed(one: "Authority") -> str:
    may = ", ".join(sorted(one.operations)) or "nothing"
    of = "all nodes" if one.nodes is None else ", ".join(sorted(node.hex() for node in one.nodes))
    return f"{may}; {of}" + (
        "" if one.persons is None else f"; of {counted(len(one.persons), 'person')} only"
    )


def _changed(before: "Authority | None", after: "Authority") -> list[str]:
    """What an authority could until now, and what of it is gone or has become more."""
    if before is None or not before.operations:
        return []
    lines = [f"before: {_allowed(before)}"]
    gone = before.operations - after.operations
    if gone and "all" not in after.operations:
        lines.append(f"not any more: {', '.join(sorted(gone))}")
    for what, old, new in (("node", before.nodes, after.nodes), ("person", before.persons, after.persons)):
        if old is not None and (new is None or new - old):
            more = f"all {what}s" if new is None else "other " + counted(len(new - old), what)
            lines.append(f"wider than before: {more} now (--{what} keeps it to one)")
    return lines


@authority_group.command("list")
@config_option
@told
def authority_list(config_path: Path | None) -> None:
    """Show whose commands are carried out, and which.

    \b
    Example:
      vitalwire authority list
    """
    from edge_agent.remote.authorities import Authorities

    for one in Authorities(configuration.load(config_path).authorities).all():
        show("authority", one.keys.fingerprint)
        name = f"{one.name}: " if one.name else ""
        click.echo(printable(f"  {name}{_allowed(one)}"))


@authority_group.command("remove", short_help="Carry out nothing more of an authority.")
@config_option
@click.argument("authority")
@told
def authority_remove(config_path: Path | None, authority: str) -> None:
    """Carry out nothing more of AUTHORITY (its id, how that begins, or its name). Nodes that believe it go
    on to: at their kits, `vitalwire pair --no-authorities`.

    \b
    Example:
      vitalwire authority remove 0123456789abcdef
    """
    from edge_agent.remote.authorities import FILE, Authorities

    config = configuration.load(config_path)
    known = Authorities(config.authorities)
    begins = authority.lower() if len(authority) >= MIN_DIGITS else "no id"
    named = [one.keys.id for one in known.all() if authority and one.name == authority]
    found = named or [one.keys.id for one in known.all() if one.keys.id.hex().startswith(begins)]
    if len(found) != 1:
        many = f"{authority} is {len(found)} authorities' name, or how their ids begin"
        problem = many if found else f"{authority} is no authority here"
        fail(f"{problem} (`vitalwire authority list` shows their ids)")
    (who,) = found
    authority = who.hex()
    folder = config.authorities
    remedy = (
        f"nothing has changed: {authority} may order what it could. To stop it all the same, take its lines "
        f"out of {folder / FILE}, then delete its .pub file there: nothing of it is carried out then, by an "
        "agent that hangs as soon as it goes on; the log does not have it"
    )
    _recorded(config, "authority removed", who, remedy)
    known.remove(who)
    click.echo(f"authority {authority} may order nothing here any more; {from_when(config)}")


def _recorded(config: Config, what: str, on: bytes, otherwise: str, **more: bytes | str | int) -> None:
    """The action signed for; where it cannot be, the command ends and says what holds `otherwise`."""
    from edge_agent.cli.people_asking import record_action

    try:
        record_action(config, what, on, **more)
    except click.ClickException as e:
        fail(f"{e.message}; {otherwise}")


order_commands: list[click.Command] = [order_command, authority_group]

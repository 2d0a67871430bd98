"""`vitalwire update`: bundles, and roll-outs of them to nodes in waves."""

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import config_option, fail, told
from edge_agent.cli.nodes import WAIT_S, named_node, run_errand
from edge_agent.config import Config
from edge_agent.readable import counted, printable, utc

REASON_BYTES = 200

_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
_wait_option = click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(1, 600),
    metavar="SECONDS",
    default=WAIT_S,
    show_default=True,
    help="How long to wait for the agent.",
)
_reason_option = click.option("--reason", default="", help=f"Why, for the audit ({REASON_BYTES} bytes).")


@click.group("update", short_help="Update nodes: in waves, and not beyond a bad version.")
def update_group() -> None:
    """Update nodes: a maker's signed bundle, to a group of nodes, in waves.

    The agent sends it in the background, with a small share of each link. A roll-out halts by itself when too
    few nodes confirm the new version; only `resume` lets it go on.

    \b
    Example:
      vitalwire update start 1.3.0 --percent 10 --then 50,100
    """


@update_group.command("add", short_help="Take a bundle, if a maker that is believed here signed it.")
@config_option
@click.argument("bundle", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@told
def add_command(config_path: Path | None, bundle: Path) -> None:
    """Take the file BUNDLE, if every byte of it is what a maker signed whose key is in [updates] makers.

    Nothing is sent to any node by that.

    \b
    Example:
      vitalwire update add esp32_s3_kit-1.3.0.vwu
    """
    from edge_agent.cli.people_asking import record_action

    config = configuration.load(config_path)
    shelf = _shelf(config)
    found = shelf.check(bundle)
    if not shelf.has(found.id):
        record_action(config, "update_added", found.id, version=found.version)
        shelf.add(bundle)
        click.echo(f"added {_bundle_line(found)}")
    else:
        click.echo(f"is here already: {_bundle_line(found)}")


@update_group.command("list", short_help="List the bundles that nodes can be updated with.")
@config_option
@_json_option
@told
def list_command(config_path: Path | None, as_json: bool) -> None:
    """List the bundles that nodes can be updated with. Exit status 1 when a file there is no bundle.

    \b
    Example:
      vitalwire update list
    """
    shelf = _shelf(configuration.load(config_path))
    found = shelf.all()
    if as_json:
        listed = [
            {"version": one.version, "board": one.board, "update": one.id.hex(), "bytes": one.size}
            for one in found
        ]
        click.echo(json.dumps(listed, indent=1))
    else:
        for one in found:
            click.echo(printable(_bundle_line(one)))
        if not found:
            click.echo("no bundles: vitalwire update add FILE")
    if shelf.problems:
        fail("; ".join(shelf.problems))


@update_group.command("start", short_help="Begin to roll a version out.")
@config_option
@click.argument("version")
@click.option("--group", default="all", show_default=True, help="Whose nodes: a group of [updates] groups.")
@click.option(
    "--percent", type=click.FloatRange(0, 100, min_open=True), default=10.0, show_default=True,
    help="How much of the group the first wave takes; one node at least.",
)  # fmt: skip
@click.option(
    "--then",
    default="100",
    show_default=True,
    metavar="PERCENT,…",
    help="The waves after it; `none`: no further one.",
)
@_wait_option
@told
def start_command(
    config_path: Path | None, version: str, group: str, percent: float, then: str, wait_s: float
) -> None:
    """Roll VERSION out to the nodes of a group, in waves. Bundles of it must be here (`update add`).

    Which nodes a wave takes is fixed by their ids and the version. The next one begins when all that the one
    before reached have confirmed it, and some time has passed (docs/rollout.md).

    \b
    Example:
      vitalwire update start 1.3.0 --group ward-a --percent 10 --then 50,100
    """
    config = configuration.load(config_path)
    try:
        more = [] if then == "none" else [float(part) for part in then.split(",")]
    except ValueError:
        raise click.UsageError(f"--then {then}: percentages with commas between, as in 50,100") from None
    percents = [percent, *(part for part in more if part != percent)]
    _ask(config, wait_s, do="start", version=version, group=group, percents=percents)


@update_group.command("status", short_help="Show the roll-out that is under way, and its nodes.")
@config_option
@_json_option
@click.option("--all", "every", is_flag=True, help="Roll-outs that are over, too.")
@told
def status_command(config_path: Path | None, as_json: bool, every: bool) -> None:
    """Show the newest roll-out, and what became of each of its nodes. Exit status 1 when it has halted.

    \b
    Example:
      vitalwire update status
    """
    from edge_agent.cli.shown_updates import rollout_lines
    from edge_agent.updates import kept, rollout

    config = configuration.load(config_path)
    found = _rollouts(config)
    if not found:
        click.echo("no roll-out yet: vitalwire update start VERSION")
        return
    shown = found if every else found[-1:]
    if as_json:
        click.echo(kept.encoded(shown).decode().strip())
    else:
        nodes = _nodes_now(config)
        for one in shown:
            for line in rollout_lines(one, nodes):
                click.echo(printable(line))
    if found[-1].state == rollout.HALTED:
        raise SystemExit(1)


@update_group.command("node", short_help="Show what became of each update of a node.")
@config_option
@click.argument("node")
@_json_option
@told
def node_command(config_path: Path | None, node: str, as_json: bool) -> None:
    """Show the updates that were meant for the node NODE (its id in hex, or how it begins), step by step.

    \b
    Example:
      vitalwire update node 5ae2
    """
    config = configuration.load(config_path)
    name = named_node(config, node).hex()
    found = [(one, one.nodes[name]) for one in _rollouts(config) if name in one.nodes]
    now = _nodes_now(config).get(name)
    if as_json:
        told_of = [
            {"rollout": one.id, "version": one.version, "state": state.state, "history": state.history}
            for one, state in found
        ]
        click.echo(json.dumps({"node": name, "updates": told_of, "now": now}, indent=1))
        return
    from edge_agent.cli.shown_updates import progress

    for one, state in found:
        click.echo(printable(f"{one.version} (roll-out {one.id}, wave {state.wave + 1}): {state.state}"))
        for at_ms, was, why in state.history:
            click.echo(printable(f"  {utc(at_ms)}  {was}" + (f": {why}" if why else "")))
    if found and now is not None:
        for line in progress(now):
            click.echo(printable(f"  now: {line}"))
    if not found:
        click.echo(f"no update was meant for node {name}")


@update_group.command("pause", short_help="Send nothing of an update for a while.")
@config_option
@_reason_option
@_wait_option
@told
def pause_command(config_path: Path | None, reason: str, wait_s: float) -> None:
    """Send no node anything more of the roll-out, until it is resumed. Nodes that try the new version go on.

    \b
    Example:
      vitalwire update pause --reason "round on ward A"
    """
    _turn(configuration.load(config_path), "pause", reason, wait_s)


@update_group.command("resume", short_help="Let a paused or halted roll-out go on.")
@config_option
@_reason_option
@_wait_option
@told
def resume_command(config_path: Path | None, reason: str, wait_s: float) -> None:
    """Let a roll-out go on that was paused, or has halted. Nodes that failed until now no longer count.

    \b
    Example:
      vitalwire update resume --reason "the two kits were taken apart"
    """
    _turn(configuration.load(config_path), "resume", reason, wait_s)


@update_group.command("halt", short_help="Halt a roll-out: a bad version, or another one follows.")
@config_option
@_reason_option
@_wait_option
@told
def halt_command(config_path: Path | None, reason: str, wait_s: float) -> None:
    """Halt the roll-out, as it does by itself when too few nodes confirm. `resume` takes that back; another
    `start` ends it.

    \b
    Example:
      vitalwire update halt --reason "1.3.0 reads the cuff wrongly"
    """
    _turn(configuration.load(config_path), "halt", reason, wait_s)


def _turn(config: Config, what: str, reason: str, wait_s: float) -> None:
    try:
        size = len(reason.encode())
    except UnicodeEncodeError:
        fail("this reason is not text in the encoding of this terminal")
    if size > REASON_BYTES:
        fail(f"a reason has {REASON_BYTES} bytes at most")
    _ask(config, wait_s, do=what, why=reason)


def _ask(config: Config, wait_s: float, **asked: Any) -> None:
    """Have the agent do it, the one that runs or one that runs for this alone, and print what it says."""
    from edge_agent.custody.audit import by_user
    from edge_agent.nodes.errands import UPDATE

    by = by_user(os.getuid() if hasattr(os, "getuid") else 0)
    run_errand(config, UPDATE, b"", wait_s, data=json.dumps({**asked, "by": by}).encode(), quiet=True)


def _shelf(config: Config) -> Any:
    from edge_agent.updates.shelf import Shelf

    return Shelf(config.bundles, config.makers)


def _bundle_line(found: Any) -> str:
    files = counted(len(found.objects) - 1, "file")
    return f"{found.version}  {found.board}  update {found.id.hex()}, {files}, {counted(found.size, 'byte')}"


def _rollouts(config: Config) -> list[Any]:
    from edge_agent.updates import kept

    try:
        return kept.read(config.bundles / "rollouts.json")
    except kept.RolloutsError as e:
        fail(e)


def _nodes_now(config: Config) -> dict[str, Any]:
    """What the running agent says of each node's update; nothing where none runs."""
    from edge_agent.ops import status

    found = status.read(config.status)
    if found is None or status.is_stale(found, time.time_ns() // 1_000_000):
        return {}
    return {node["node"]: node["update"] for node in found["nodes"] if node.get("update")}

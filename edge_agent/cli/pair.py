"""The agent's commands about whose a node is: `pair`, `pair list`, `move`, `wipe`.

While an agent runs, its links are its own: it is asked to pair (an errand). A port that no agent holds is
opened by the command itself.
"""

import json
import os
from pathlib import Path
from typing import Any

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import answered, config_option, fail, show, told
from edge_agent.cli.nodes import named_node, run_errand
from edge_agent.cli.pair_heard import heard, holds, runs
from edge_agent.config import Config, LinkConfig

WAIT_S = 90.0
HOLD = "Hold the node's button until this command ends (6 s at least)."


@click.group("pair", invoke_without_command=True, short_help="Pair with a node: by cable, or by its label.")
@config_option
@click.option("--port", metavar="PORT", help="The node's serial port, or a pyserial URL.")
@click.option("--baud", type=click.IntRange(min=1), default=115200, show_default=True, help="Its baud rate.")
@click.option("--label", metavar="CODE", help="The text of its label's QR code, or the digits beside it.")
@click.option("--yes", is_flag=True, help="Do not ask: the right node is on that cable.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(1, 3600),
    metavar="SECONDS",
    default=WAIT_S,
    show_default=True,
    help="How long to wait for a node on a link of the agent.",
)
@click.option(
    "--authority",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Have the node believe the orders of this authority (its .pub file), too: hold the node's button.",
)
@click.option(
    "--no-authorities", is_flag=True, help="Have it believe nobody's orders any more: hold its button."
)
@click.pass_context
@told
def pair_group(
    ctx: click.Context,
    config_path: Path | None,
    port: str | None,
    baud: int,
    label: str | None,
    yes: bool,
    wait_s: float,
    authority: Path | None,
    no_authorities: bool,
) -> None:
    """Pair with a node: exchange public keys with it.

    By cable: the node on --port, or the one that the running agent hears; its fingerprint is shown and asked
    about. By label: --label, over whatever link the node is on, while somebody holds its button.

    With --authority the node also learns who may order what moves its cuff or changes its alarms: only here,
    at the kit, while somebody holds its button for 5 s. It may be paired already. The agent must not run on
    that port meanwhile.

    \b
    Example:
      vitalwire pair --port /dev/ttyUSB0 --authority clinic.pub
      vitalwire pair --label "5ae2 91c0 77d4 0be1 93aa"
    """
    if ctx.invoked_subcommand is not None:
        return
    from edge_agent.nodes.pairing_label import LabelError, parse

    if authority is not None and no_authorities:
        raise click.UsageError("--authority and --no-authorities contradict each other: give one of them")
    believing = authority is not None or no_authorities
    if believing and (port is None or label is not None):
        raise click.UsageError("an authority is believed over the node's cable: give --port, and no --label")
    try:
        meant = None if label is None else parse(label)
    except LabelError as e:
        fail(e)
    config = configuration.load(config_path)
    ours = port is None or (not believing and holds(config, port))
    if ours:
        _by_agent(config, port, meant, yes, wait_s)
    elif port is not None:
        _by_port(config, LinkConfig(port, baud), meant, yes, authority, no_authorities)


def _by_port(
    config: Config, link: LinkConfig, meant: Any, yes: bool, authority: Path | None, no_authorities: bool
) -> None:
    """On a port that this process opens."""
    from edge_agent import keys
    from edge_agent.cli.people_asking import record_action
    from edge_agent.nodes.pairing import HOLD_TIMEOUT_S, exchange
    from edge_agent.nodes.peers import Peers
    from edge_agent.remote.authorities import load_authority

    believed: list[bytes] | None = [] if no_authorities else None
    identity = _identity(config)
    peers = Peers(config.peers)
    # What the log says beside: an id goes to every forwarder, as the node's own event of it does.
    more: dict[str, bytes | int] = {"authorities": 0} if no_authorities else {}
    if authority is not None:
        found = load_authority(authority, keys.PublicKeys(*identity.public()))
        believed = [found.ed_pub, found.x_pub]
        more = {"authority": found.id}
        show("authority", found.fingerprint)
    if believed is not None or meant is not None:
        click.echo(HOLD)
        node = exchange(link, identity, HOLD_TIMEOUT_S, authority=believed, label=meant)
    else:
        node = exchange(link, identity)
    show("node", node.fingerprint)
    if not yes and meant is None and peers.lookup(node.id) is None:
        _confirm()
    record_action(config, "pair", node.id, **more)
    new = peers.add(node)
    click.echo(f"{'paired with' if new else 'was paired already with'} node {node.id.hex()}")
    _proofs(node.id)
    if believed is not None:
        click.echo("it believes this authority now" if believed else "it believes no authority any more")


def _by_agent(config: Config, port: str | None, meant: Any, yes: bool, wait_s: float) -> None:
    """On a link of the agent that runs, or of one that runs for this."""
    from edge_agent.nodes.claims import COMMAND, LABEL
    from edge_agent.nodes.errands import CLAIM
    from edge_agent.nodes.pairing_label import Label
    from protocol import cbor

    how = LABEL
    if meant is None and not runs(config):
        fail("no agent runs here that could hear the node: vitalwire agent run; or give --port or --label")
    _identity(config)
    if meant is None:
        how = COMMAND
        fingerprint = heard(config, port, wait_s)
        show("node", fingerprint)
        if not yes:
            _confirm()
        meant = Label(fingerprint.hex())
    else:
        click.echo(f"node {meant.node.hex()}, by {meant.bits} bits of its label")
        click.echo(HOLD)
    uid = os.getuid() if hasattr(os, "getuid") else 0
    told = cbor.dumps({"uid": uid, "how": how, "label": meant.digits})
    run_errand(config, CLAIM, b"", wait_s, data=told)
    _proofs(meant.node)


def _identity(config: Config) -> Any:
    from edge_agent import keys

    fresh = not config.key.exists()
    identity = keys.load_or_create(config.key, "agent")
    # A node has eight places: an agent that was made by a forgotten --config would take one unseen.
    show("agent", identity.fingerprint)
    if fresh:
        click.echo(
            f"made now, in {config.key.parent}: to pair another agent, stop here and name its --config"
        )
    return identity


def _confirm() -> None:
    question = "Is that the fingerprint of your node?"
    answered(lambda: click.confirm(question, abort=True), "--yes, if the right node is on that cable")


def _proofs(node: bytes) -> None:
    click.echo(f"its public keys, for whoever checks proofs: vitalwire keys node {node.hex()} node.pub")


@pair_group.command("list", short_help="Nodes that are paired, expected, or heard and nobody's.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@told
def list_command(config_path: Path | None, as_json: bool) -> None:
    """Show the nodes that are paired with this agent, that a kit file says will come, that are heard and not
    paired, and that were wiped as lost.

    \b
    Example:
      vitalwire pair list
    """
    found = listed(configuration.load(config_path))
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for one in found["paired"]:
        where = f"live on {one['link']}" if one["live"] else "not there"
        moving = f"; goes to agent {one['moving']} once that has it" if one["moving"] else ""
        others = f"; paired with agent {', '.join(one['others'])}, too" if one["others"] else ""
        click.echo(f"paired    {one['node']}  {where}{others}{moving}")
    for one in found["expected"]:
        kit = ", ".join(one[name] for name in ("board", "firmware", "flashed_at") if one[name])
        click.echo(f"expected  {one['node']}  {kit}".rstrip())
    for one in found["unpaired"]:
        click.echo(f"unpaired  {one['node']}  on {one['link']} since {one['since']}: {one['next']}")
    for node in found["wiped"]:
        click.echo(f"wiped     {node}  lost: told to forget this agent if it comes back")
    if not any(found.values()):
        click.echo("no node is paired, expected or heard")


def listed(config: Config) -> dict[str, Any]:
    """What `pair list` shows, as its JSON has it. PeersError, KitError."""
    from edge_agent.cli.people_asking import shown_time
    from edge_agent.nodes.kit import Expected
    from edge_agent.nodes.peers import Peers
    from edge_agent.ops import status

    peers = Peers(config.peers)
    told = (status.read(config.status) or {}) if runs(config) else {}
    nodes = {one["node"]: one for one in told.get("nodes", [])}
    moving = peers.moving()
    paired = [
        {
            "node": node.hex(),
            "live": bool(nodes.get(node.hex(), {}).get("live")),
            "link": nodes.get(node.hex(), {}).get("link"),
            "others": nodes.get(node.hex(), {}).get("other_agents", []),
            "moving": moving[node].hex() if node in moving else None,
        }
        for node in peers.ids()
    ]
    expected = [
        {"node": node.hex(), "board": one.board, "firmware": one.firmware, "flashed_at": one.flashed_at}
        for node, one in Expected(config.expected).all().items()
        if peers.lookup(node) is None
    ]
    strangers = [
        {**one, "since": shown_time(one["since_ms"]), "next": what_next(one)}
        for one in told.get("unpaired", [])
        if peers.lookup(bytes.fromhex(one["node"])) is None
    ]
    wiped = [node.hex() for node in peers.lost()]
    return {"paired": paired, "expected": expected, "unpaired": strangers, "wiped": wiped}


def what_next(stranger: dict[str, Any]) -> str:
    """What a person does about a node that is heard and not paired."""
    if stranger.get("expected"):
        return "expected, and asked to pair; over a radio hold its button for 6 s"
    if stranger.get("has_agent"):
        return "it has another agent; vitalwire pair --label CODE, and hold its button"
    command = f"vitalwire pair --port {stranger['link']}"
    if stranger.get("asked") == "button":
        return f"hold its button for 6 s, or {command}"
    if " " in stranger["link"]:
        return "vitalwire pair --label CODE, and hold its button"
    return command


@click.command("move", short_help="Have a node go to another agent.")
@config_option
@click.argument("node")
@click.option(
    "--to",
    "to_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The public keys of the other agent: its agent.pub.",
)
@click.option("--cancel", is_flag=True, help="Take that back: the node stays.")
@told
def move_command(config_path: Path | None, node: str, to_path: Path | None, cancel: bool) -> None:
    """Have the node NODE (its id in hex, or how it begins) go to another agent.

    Nothing changes until the node is paired with that one, too (vitalwire pair --label there, and its button
    held). When the node next says so here, and all that it still holds from before has arrived, it and this
    agent forget each other. What this agent has stays its to deliver.

    \b
    Example:
      vitalwire move 5ae2 --to daughters-agent.pub
    """
    from edge_agent import keys
    from edge_agent.cli.people_asking import record_action
    from edge_agent.nodes.peers import Peers

    if (to_path is None) != cancel:
        raise click.UsageError("give --to, or --cancel")
    config = configuration.load(config_path)
    which = named_node(config, node)
    if to_path is None:
        record_action(config, "move cancelled", which)
        Peers(config.peers).move(which, None)
        click.echo(f"node {which.hex()} stays")
        return
    to = keys.load_public(to_path, "agent")
    if to.id == keys.PublicKeys(*keys.load(config.key).public()).id:
        fail(f"{to_path} is this agent's own: name the other one's")
    show("to agent", to.fingerprint)
    record_action(config, "move", which, to=to.id)
    Peers(config.peers).move(which, to.id)
    click.echo(f"node {which.hex()} goes to agent {to.id.hex()} once it is paired there:")
    click.echo("at that agent: vitalwire pair --label CODE, and hold the node's button")
    click.echo("this agent lets go of it when the node is back here and says so (vitalwire pair list)")


@click.command("wipe", short_help="Forget a node that is lost.")
@config_option
@click.argument("node")
@click.option("--yes", is_flag=True, help="Do not ask.")
@told
def wipe_command(config_path: Path | None, node: str, yes: bool) -> None:
    """Forget the node NODE (its id in hex, or how it begins), which is lost or stolen.

    From now on nothing that it says is kept. What it wraps for this agent opens nothing any more. If it ever
    says hello here again it is told to forget this agent. What it delivered before stays. To have it back:
    pair with it anew.

    \b
    Example:
      vitalwire wipe 5ae2
    """
    from edge_agent.cli.people_asking import record_action
    from edge_agent.nodes.errands import UNPAIR
    from edge_agent.nodes.kit import Expected
    from edge_agent.nodes.peers import Peers

    config = configuration.load(config_path)
    which = named_node(config, node)
    if not yes:
        question = f"Forget node {which.hex()} for good?"
        answered(lambda: click.confirm(question, abort=True), "--yes")
    record_action(config, "wipe", which)
    Peers(config.peers).part(which, None, wipe=True)
    Expected(config.expected).remove(which)
    run_errand(config, UNPAIR, which, WAIT_S, force=True)
    click.echo("if it comes back, it is told to forget this agent")

"""The agent's commands about one node: `pair`, `unpair`, `identify`.

While an agent runs, its links are its own: the last two ask it to do it (errands). Otherwise they run one for
as long as it takes, so that what the node says meanwhile is stored and acknowledged like any other day.
"""

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from string import hexdigits
from typing import Any

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import answered, config_option, fail, show, told
from edge_agent.config import Config, LinkConfig
from edge_agent.readable import printable

WAIT_S = 60.0
POLL_S = 0.2
# A node may be named by so many digits of its id, if no other paired one's begins with them.
MIN_DIGITS = 4
# What the agent needs to answer after the errand's own time is over.
LATE_S = 10.0


@click.command("pair", short_help="Pair with the node on a serial port.")
@config_option
@click.option("--port", metavar="PORT", required=True, help="The node's serial port, or a pyserial URL.")
@click.option("--baud", type=click.IntRange(min=1), default=115200, show_default=True, help="Its baud rate.")
@click.option("--yes", is_flag=True, help="Do not ask: the right node is on that cable.")
@click.option(
    "--authority",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Have the node believe the orders of this authority (its .pub file), too: hold the node's button.",
)
@click.option(
    "--no-authorities", is_flag=True, help="Have it believe nobody's orders any more: hold its button."
)
@told
def pair_command(
    config_path: Path | None, port: str, baud: int, yes: bool, authority: Path | None, no_authorities: bool
) -> None:
    """Pair with the node on a serial port: exchange public keys over the cable.

    With --authority the node also learns who may order what moves its cuff or changes its alarms: only here,
    at the kit, while somebody holds its button for 5 s. It may be paired already. The agent must not run on
    that port meanwhile.

    \b
    Example:
      vitalwire pair --port /dev/ttyUSB0 --authority clinic.pub
    """
    from edge_agent import keys
    from edge_agent.cli.people_asking import record_action
    from edge_agent.nodes.pairing import HOLD_TIMEOUT_S, exchange
    from edge_agent.nodes.peers import Peers
    from edge_agent.remote.authorities import load_authority

    if authority is not None and no_authorities:
        fail("--authority and --no-authorities contradict each other: give one of them")
    believed: list[bytes] | None = [] if no_authorities else None
    config = configuration.load(config_path)
    fresh = not config.key.exists()
    identity = keys.load_or_create(config.key, "agent")
    # A node has eight places: an agent that was made by a forgotten --config would take one unseen.
    show("agent", identity.fingerprint)
    if fresh:
        click.echo(
            f"made now, in {config.key.parent}: to pair another agent, stop here and name its --config"
        )
    peers = Peers(config.peers)
    # What the log says beside: an id goes to every forwarder, as the node's own event of it does.
    more: dict[str, bytes | int] = {"authorities": 0} if no_authorities else {}
    if authority is not None:
        found = load_authority(authority, keys.PublicKeys(*identity.public()))
        believed = [found.ed_pub, found.x_pub]
        more = {"authority": found.id}
        show("authority", found.fingerprint)
    if believed is not None:
        click.echo("Hold the node's button until this command ends (5 s at least).")
    link = LinkConfig(port, baud)
    if believed is None:
        node = exchange(link, identity)
    else:
        node = exchange(link, identity, HOLD_TIMEOUT_S, authority=believed)
    show("node", node.fingerprint)
    if not yes and peers.lookup(node.id) is None:
        question = "Is that the fingerprint of your node?"
        answered(lambda: click.confirm(question, abort=True), "--yes, if the right node is on that cable")
    record_action(config, "pair", node.id, **more)
    new = peers.add(node)
    click.echo(f"{'paired with' if new else 'was paired already with'} node {node.id.hex()}")
    click.echo(f"its public keys, for whoever checks proofs: vitalwire keys node {node.id.hex()} node.pub")
    if believed is not None:
        click.echo("it believes this authority now" if believed else "it believes no authority any more")


_node_argument = click.argument("node")
_port_option = click.option(
    "--port", metavar="PORT", help="Where the node is, if no agent runs; else the configured links."
)
_wait_option = click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(1, 3600),
    metavar="SECONDS",
    default=WAIT_S,
    show_default=True,
    help="How long to wait for the node.",
)


@click.command("unpair", short_help="Have a node and this agent forget each other.")
@config_option
@_node_argument
@click.option("--force", is_flag=True, help="Forget the node without its word: it still believes this agent.")
@_port_option
@_wait_option
@told
def unpair_command(config_path: Path | None, node: str, force: bool, port: str | None, wait_s: float) -> None:
    """Have the node NODE (its id in hex, or how it begins) and this agent forget each other.

    Without --force nothing is forgotten before the node has answered. With it, a node that comes back is not
    paired here, but goes on wrapping its keys for this agent until it is erased or un-paired: use it for a
    node that is lost or broken.

    \b
    Example:
      vitalwire unpair 5ae2 --force
    """
    from edge_agent.nodes.errands import UNPAIR

    _run(configuration.load(config_path), UNPAIR, node, port, wait_s, force)


@click.command("identify", short_help="Have a node show itself: its light blinks.")
@config_option
@_node_argument
@_port_option
@_wait_option
@told
def identify_command(config_path: Path | None, node: str, port: str | None, wait_s: float) -> None:
    """Have the node NODE (its id in hex, or how it begins) show itself: its light blinks, if it has one.

    \b
    Example:
      vitalwire identify 5ae2 --wait 10
    """
    from edge_agent.nodes.errands import IDENTIFY

    _run(configuration.load(config_path), IDENTIFY, node, port, wait_s, False)


def _run(config: Config, what: str, node: str, port: str | None, wait_s: float, force: bool) -> None:
    """Ask the agent; its answer, or exit status 1."""
    node_id = named_node(config, node)
    if port is not None:
        config = replace(config, links=(LinkConfig(port),))
    # Who asked is for the statement that the node is not paired any more.
    uid = os.getuid() if hasattr(os, "getuid") else 0
    run_errand(config, what, node_id, wait_s, force, b"%d" % uid)


def run_errand(
    config: Config, what: str, node: bytes, wait_s: float, force: bool = False, data: bytes = b""
) -> None:
    """Ask the agent that runs, or one that runs for this; its answer, or exit status 1."""
    from edge_agent.nodes.errands import Errands

    errands = Errands(config.errands)
    errand = errands.put(what, node, time.time_ns() // 1_000_000 + int(wait_s * 1000), force, data)
    try:
        answer = asyncio.run(answer_of(config, errands, errand, wait_s + LATE_S))
    finally:
        errands.take_back(errand)
    if answer is None:
        fail(f"the agent did not answer within {wait_s + LATE_S:g} s (its log says so if its disk is full)")
    if not answer["good"]:
        fail(answer["text"])
    click.echo(printable(answer["text"]))


def named_node(config: Config, given: str) -> bytes:
    """The paired node whose id begins so."""
    from edge_agent.nodes.peers import Peers

    return _paired(Peers(config.peers).ids(), given)


def _paired(nodes: list[bytes], given: str) -> bytes:
    if not MIN_DIGITS <= len(given) <= 16 or set(given) - set(hexdigits):
        fail(
            f"{given} is no node id: 16 hex digits, or the first of them ({MIN_DIGITS} at least), as"
            " `vitalwire status` shows them"
        )
    found = [node for node in nodes if node.hex().startswith(given.lower())]
    if not found:
        fail(f"node {given} is not paired with this agent (`vitalwire keys show` lists those that are)")
    if len(found) > 1:
        fail(f"the ids of {len(found)} paired nodes begin with {given}: give more of its 16 digits")
    return found[0]


async def answer_of(
    config: Config, errands: Any, errand: Any, wait_s: float, quiet: bool = False
) -> dict[str, Any] | None:
    """The answer of the agent that runs, or of one that runs for this alone, `quiet` or not; None: none in
    time.
    """
    from edge_agent.agent import Agent
    from edge_agent.lock import Locked

    async def polled() -> dict[str, Any]:
        while True:
            found = errands.answer_to(errand)
            if found is not None:
                return found
            await asyncio.sleep(POLL_S)

    stop = asyncio.Event()
    ours = Agent(config, quiet=quiet)

    async def agent() -> None:
        with suppress(Locked):
            await ours.run(stop)
            return
        await stop.wait()

    running = asyncio.create_task(agent())
    answered = asyncio.create_task(polled())
    try:
        await asyncio.wait({running, answered}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        answered.cancel()
        await asyncio.gather(running)
        opening = getattr(ours, "opening", None)
        if opening is not None and opening.message:
            click.echo(f"the store: {printable(opening.message)}", err=True)
    return answered.result() if answered.done() and not answered.cancelled() else None

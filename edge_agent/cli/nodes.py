"""The agent's commands about one node that is paired: `unpair`, `identify`.

While an agent runs, its links are its own: both ask it to do it (errands). Otherwise they run one for
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
from edge_agent import tasks
from edge_agent.cli.commanding import config_option, fail, told
from edge_agent.config import Config, LinkConfig
from edge_agent.readable import printable

WAIT_S = 60.0
POLL_S = 0.2
# A node may be named by so many digits of its id, if no other paired one's begins with them.
MIN_DIGITS = 4
# What the agent needs to answer after the errand's own time is over.
LATE_S = 10.0


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
    config: Config,
    what: str,
    node: bytes,
    wait_s: float,
    force: bool = False,
    data: bytes = b"",
    quiet: bool = False,
) -> None:
    """Ask the agent that runs, or one that runs for this (`quiet` or not); its answer, or exit status 1."""
    from edge_agent.nodes.errands import Errands

    errands = Errands(config.errands)
    errand = errands.put(what, node, time.time_ns() // 1_000_000 + int(wait_s * 1000), force, data)
    try:
        answer = tasks.run(answer_of(config, errands, errand, wait_s + LATE_S, quiet))
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
        fail(f"node {given} is not paired with this agent (`vitalwire pair list` shows those that are)")
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

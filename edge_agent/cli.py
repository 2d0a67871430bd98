"""The agent's commands; those about one node are in cli_nodes. `tools.cli` mounts `commands`.

Modules that cost memory or time are imported where they are used: `agent run` keeps what it imports.
"""

import json
import sys
import time
from pathlib import Path

import click

from edge_agent import config as configuration
from edge_agent.cli_config import config_group
from edge_agent.cli_doctor import doctor_command
from edge_agent.cli_forward import dead_letters_group
from edge_agent.cli_nodes import identify_command, pair_command, unpair_command
from edge_agent.cli_orders import order_commands
from edge_agent.cli_people import commands as people_commands
from edge_agent.cli_proof import prove_command, verify_command
from edge_agent.cli_service import service_group
from edge_agent.cli_store import store_group
from edge_agent.commanding import NEVER_RAN, config_option, fail, show, told
from protocol.errors import ProtocolError

EXIT_FAILED = 1
REWRITTEN = "the agent rewrites it every few seconds while it runs"
# What comes of values that were never written so.
UNEXPECTED = (KeyError, TypeError, AttributeError, ValueError, IndexError, ProtocolError)


@click.group()
def agent() -> None:
    """The edge agent: takes what nodes send, and passes it on.

    \b
    Example:
      vitalwire agent run
    """


@agent.command("run")
@config_option
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@told
def run_command(config_path: Path | None, verbose: bool) -> None:
    """Run the agent until it is told to stop (Ctrl-C, SIGTERM).

    \b
    Example:
      vitalwire agent run --config /etc/vitalwire/agent.toml
    """
    from edge_agent import logs, loops, service

    config = configuration.load(config_path)
    logs.begin(config.ops.log, verbose)
    loops.run(service.serve(config))


@click.command("status")
@config_option
@click.option("--json", "as_json", is_flag=True, help="The status file as it is.")
@told
def status_command(config_path: Path | None, as_json: bool) -> None:
    """Show what the agent is doing. Exit status 1 when it is not running.

    \b
    Example:
      vitalwire status --json
    """
    from edge_agent import status

    config = configuration.load(config_path)
    found = status.read(config.status)
    if found is None:
        if config.status.exists():
            fail(f"{config.status}: damaged, {REWRITTEN}")
        fail(f"no status at {config.status}: {NEVER_RAN}")
    now_ms = time.time_ns() // 1_000_000
    try:
        if as_json:
            lines = [json.dumps(found, indent=1)]
        else:
            from edge_agent.shown import status_lines

            lines = list(status_lines(found, now_ms))
        stale = status.is_stale(found, now_ms)
    except UNEXPECTED as e:
        fail(f"{config.status}: damaged, {REWRITTEN} ({type(e).__name__}: {e})")
    for line in lines:
        click.echo(line)
    if stale:
        sys.exit(EXIT_FAILED)


@click.command("ledger")
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@told
def ledger_command(config_path: Path | None, as_json: bool) -> None:
    """Account for every frame: produced = delivered + pending + evicted + lost.

    Exit status 1 if it does not balance.

    \b
    Example:
      vitalwire ledger
    """
    from edge_agent.ledger import ledger
    from edge_agent.store import database, keys
    from edge_agent.store.integrity import damage

    config = configuration.load(config_path)
    if not config.store.exists():
        fail(f"no store at {config.store}: {NEVER_RAN}")
    source = keys.source_of(config)
    why = damage(config.store, keys.unlock(config.store, source))
    if why is not None:
        fail(f"{config.store}: damaged: {why} (vitalwire agent run sets it aside)")
    try:
        found = ledger(config.store, source)
    except UNEXPECTED as e:
        fail(f"{config.store}: damaged: its rows contradict each other ({type(e).__name__}: {e})")
    except database.Error as e:
        fail(f"{config.store}: cannot be read: {e} (vitalwire verify says more)")
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=1))
    else:
        from edge_agent.shown import ledger_lines

        for line in ledger_lines(found):
            click.echo(line)
    if not found.balanced:
        sys.exit(EXIT_FAILED)


@click.group("keys")
def keys_group() -> None:
    """Make keys for an agent, a collector or an authority; show fingerprints.

    \b
    Example:
      vitalwire keys show
    """


@keys_group.command("new")
@config_option
@click.option(
    "--role", type=click.Choice(["agent", "collector", "authority"]), default="agent", show_default=True
)
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), required=False)
@told
def keys_new(config_path: Path | None, role: str, path: Path | None) -> None:
    """Make new keys in PATH (NAME.key; NAME.pub goes beside it), by default the agent's own.

    Never replaces a file.

    \b
    Example:
      vitalwire keys new --role collector collector.key
    """
    from edge_agent import keys

    if path is None:
        path = configuration.load(config_path).key if role == "agent" else Path(f"{role}.key")
    identity = keys.create(path, role)
    click.echo(f"secret  {path}")
    click.echo(f"public  {keys.public_path(path)}")
    show(role, identity.fingerprint)


@keys_group.command("rotate")
@config_option
@click.option("--wait", "wait_s", type=click.FloatRange(1, 600), default=60.0, show_default=True)
@told
def keys_rotate(config_path: Path | None, wait_s: float) -> None:
    """Hand the signing of batches over to a new key; the agent may be running.

    The agent's id, its pairings and what the collector knows of it stay: each batch carries the hand-over,
    signed by the old key and the new one. The new key is kept in NAME-signing.key beside the agent's key.
    Back both up: without it nothing can be signed any more.

    Example: vitalwire keys rotate
    """
    import asyncio

    from edge_agent.cli_nodes import answer_of
    from edge_agent.errands import ROTATE, Errands
    from edge_agent.signing import signing_path

    config = configuration.load(config_path)
    errands = Errands(config.errands)
    errand = errands.put(ROTATE, b"", time.time_ns() // 1_000_000 + int(wait_s * 1000))
    try:
        answer = asyncio.run(answer_of(config, errands, errand, wait_s + 2))
    finally:
        errands.take_back(errand)
    if answer is None:
        fail(f"the agent did not answer within {wait_s + 2:g} s (its log says so if its disk is full)")
    if not answer["good"]:
        fail(answer["text"])
    click.echo(answer["text"])
    click.echo(f"back up {signing_path(config.key)} together with {config.key}")


@keys_group.command("show")
@config_option
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), required=False)
@told
def keys_show(config_path: Path | None, path: Path | None) -> None:
    """Show the fingerprint of a .key or .pub file; without PATH, of the agent, its collector and its paired
    nodes.

    \b
    Example:
      vitalwire keys show collector.pub
    """
    from edge_agent import keys
    from edge_agent.peers import Peers

    if path is not None:
        known = (
            keys.load_public(path) if path.suffix == ".pub" else keys.PublicKeys(*keys.load(path).public())
        )
        show(path.name, known.fingerprint)
        return
    config = configuration.load(config_path)
    show("agent", keys.PublicKeys(*keys.load(config.key).public()).fingerprint)
    if config.collector is not None:
        show("collector", keys.load_public(config.collector).fingerprint)
    peers = Peers(config.peers)
    for node in peers.ids():
        found = peers.lookup(node)
        if found is not None:
            show("node", found.fingerprint)


commands: list[click.Command] = [
    agent,
    status_command,
    ledger_command,
    prove_command,
    verify_command,
    keys_group,
    config_group,
    service_group,
    store_group,
    doctor_command,
    pair_command,
    unpair_command,
    identify_command,
    *order_commands,
    *people_commands,
    dead_letters_group,
]

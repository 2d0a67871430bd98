"""The agent's commands; those about one node are in nodes.py. `tools.cli` mounts `commands`.

Modules that cost memory or time are imported where they are used: `agent run` keeps what it imports.
"""

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import NEVER_RAN, config_option, fail, show, told
from edge_agent.cli.config import config_group
from edge_agent.cli.devices import devices_group
from edge_agent.cli.doctor import doctor_command
from edge_agent.cli.forward import dead_letters_group
from edge_agent.cli.kit import kit_group
from edge_agent.cli.nodes import identify_command, unpair_command
from edge_agent.cli.orders import order_commands
from edge_agent.cli.pair import move_command, pair_group, wipe_command
from edge_agent.cli.people import commands as people_commands
from edge_agent.cli.proof import prove_command, verify_command
from edge_agent.cli.service import service_group
from edge_agent.cli.store import store_group
from edge_agent.cli.updates import update_group
from edge_agent.cli.wifi import wifi_group
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
    from edge_agent import loops
    from edge_agent.ops import logs, service

    config = configuration.load(config_path)
    logs.begin(config.ops.log, verbose)
    loops.run(service.serve(config))


@click.command("status")
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@told
def status_command(config_path: Path | None, as_json: bool) -> None:
    """Show what the agent is doing. Exit status 1 when it is not running.

    \b
    Example:
      vitalwire status --json
    """
    from edge_agent.keys import KeyFileError
    from edge_agent.nodes.peers import Peers, PeersError
    from edge_agent.ops import status
    from edge_agent.standard.devices import Devices, DevicesError

    config = configuration.load(config_path)
    found = status.read(config.status)
    if found is None:
        if config.status.exists():
            fail(f"{config.status}: damaged, {REWRITTEN}")
        fail(f"no status at {config.status}: {NEVER_RAN}")
    now_ms = time.time_ns() // 1_000_000
    try:
        # A file that cannot be read now is the agent's to name.
        with suppress(PeersError, DevicesError, KeyFileError, OSError):
            status.forget(found, {*Peers(config.peers).ids(), *Devices(config.state_dir).ids()})
        if as_json:
            lines = [json.dumps(found, indent=1)]
        else:
            from edge_agent.cli.shown import status_lines

            lines = list(status_lines(found, now_ms))
        stale = status.is_stale(found, now_ms)
    except UNEXPECTED as e:
        fail(f"{config.status}: damaged, {REWRITTEN} ({type(e).__name__}: {e})")
    for line in lines:
        click.echo(line)
    if stale:
        sys.exit(EXIT_FAILED)


@click.command("ledger", short_help="Account for every frame that a node produced.")
@config_option
@click.option("--all", "every", is_flag=True, help="Each statement of the agent, not the last of its kind.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with each statement.")
@told
def ledger_command(config_path: Path | None, every: bool, as_json: bool) -> None:
    """Account for every frame: produced = delivered + pending + evicted + lost, as in docs/agent.md.

    Below it stands what the agent stated. Exit status 1 if it does not balance.

    \b
    Example:
      vitalwire ledger
    """
    from edge_agent.ledger.ledger import ledger
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
        from edge_agent.cli.shown import ledger_lines

        for line in ledger_lines(found, every):
            click.echo(line)
    if not found.balanced:
        sys.exit(EXIT_FAILED)


@click.group("keys", short_help="Make keys, show fingerprints, write a node's public keys.")
def keys_group() -> None:
    """Make keys for an agent, a collector or an authority; show fingerprints; write a node's public keys.

    \b
    Example:
      vitalwire keys show
    """


@keys_group.command("new", short_help="Make new keys, by default the agent's own.")
@config_option
@click.option(
    "--role",
    type=click.Choice(["agent", "collector", "authority"]),
    default="agent",
    show_default=True,
    help="Whose keys they are, as the files say.",
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


@keys_group.command("rotate", short_help="Hand the signing of batches over to a new key.")
@config_option
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(1, 600),
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="How long to wait for the agent.",
)
@told
def keys_rotate(config_path: Path | None, wait_s: float) -> None:
    """Hand the signing of batches over to a new key; the agent may be running. The collector has to be within
    reach once: the hand-over names the last batch of the old key.

    The agent's id, its pairings and what the collector knows of it stay: each batch carries the hand-over,
    signed by the old key and the new one. The new key is kept in NAME-signing.key beside the agent's key.
    Back both up: without it nothing can be signed any more.

    \b
    Example:
      vitalwire keys rotate
    """
    from edge_agent import tasks
    from edge_agent.cli.nodes import answer_of
    from edge_agent.custody.signing import signing_path
    from edge_agent.nodes.errands import ROTATE, Errands

    config = configuration.load(config_path)
    if not config.key.exists() or not config.store.exists():
        # An agent that ran for this alone would make both, and hand over a key that nobody knows.
        fail(f"no agent's key and store in {config.state_dir}: {NEVER_RAN}")
    errands = Errands(config.errands)
    errand = errands.put(ROTATE, b"", time.time_ns() // 1_000_000 + int(wait_s * 1000))
    try:
        answer = tasks.run(answer_of(config, errands, errand, wait_s + 2))
    finally:
        errands.take_back(errand)
    if answer is None:
        fail(f"the agent did not answer within {wait_s + 2:g} s (its log says so if its disk is full)")
    if not answer["good"]:
        fail(answer["text"])
    click.echo(answer["text"])
    click.echo(f"back up {signing_path(config.key)} together with {config.key}")


@keys_group.command("show", short_help="Show the fingerprints of keys.")
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
    from edge_agent.nodes.peers import Peers

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


@keys_group.command("node", short_help="Write the public keys of a paired node.")
@config_option
@click.argument("node")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default=Path("node.pub"))
@told
def keys_node(config_path: Path | None, node: str, path: Path) -> None:
    """Write the public keys of the paired node NODE (its id in hex, or how it begins) to PATH, by default
    node.pub: for whoever checks proofs (vitalwire verify --node-key).

    They are those that it showed over the cable. Never replaces a file.

    \b
    Example:
      vitalwire keys node 5ae2 node.pub
    """
    from edge_agent import keys
    from edge_agent.cli.nodes import named_node
    from edge_agent.nodes.peers import Peers

    config = configuration.load(config_path)
    found = Peers(config.peers).lookup(named_node(config, node))
    assert found is not None
    if path.exists():
        fail(f"{path} exists already: name another file")
    keys.write_public(path, "node", found)
    click.echo(f"public  {path}")
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
    pair_group,
    unpair_command,
    move_command,
    wipe_command,
    kit_group,
    identify_command,
    wifi_group,
    devices_group,
    *order_commands,
    *people_commands,
    dead_letters_group,
    update_group,
]

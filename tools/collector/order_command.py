"""`vitalwire collector order`: what an authority at the clinic types."""

import sys
import time
from pathlib import Path
from string import hexdigits
from typing import Any

import click

from edge_agent import keys
from edge_agent.cli.orders import operation_argument, operation_options
from edge_agent.readable import printable
from edge_agent.remote.ordering import Ordering, OrderingError, new_command, wanted
from protocol import remote
from protocol.errors import LocalError
from tools.collector import database
from tools.collector.commands_read import (
    ID_DIGITS,
    MIN_DIGITS,
    MOST_NAMED,
    damaged,
    in_words,
    node_digits,
    node_of,
    open_reader,
    state_option,
)
from tools.collector.folder import AGENTS, STORE
from tools.collector.orders import Unanswered, order
from tools.collector.service import Broker, BrokerError
from tools.collector.trust import Trust


@click.command("order", short_help="Have an agent's node do something.")
@state_option
@click.option("--agent", required=True, help="The agent's id in hex, or how it begins.")
@click.option(
    "--node",
    required=True,
    callback=node_digits,
    help="The node's id in hex, or how it begins, where the collector's store is in the state folder.",
)
@operation_argument
@click.option(
    "--authority",
    "key",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The authority's .key file; its .pub is known to the agent (vitalwire authority add).",
)
@operation_options
@click.option(
    "--broker",
    "url",
    default="mqtt://127.0.0.1:1883",
    show_default=True,
    help="mqtt://host[:port] or mqtts://…",
)
@click.option("--username", help="User name at the broker.")
@click.option(
    "--password-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the password."
)
@click.option("--ca-file", type=click.Path(dir_okay=False, path_type=Path), help="CA certificates for mqtts.")
@click.option("--cert-file", type=click.Path(dir_okay=False, path_type=Path), help="A certificate for mqtts.")
@click.option("--cert-key-file", type=click.Path(dir_okay=False, path_type=Path), help="And its key.")
@click.option(
    "--valid",
    "valid_s",
    type=click.FloatRange(5, 3600),
    default=120.0,
    show_default=True,
    help="Seconds after which it is not begun any more.",
)
def order_command(
    state: Path,
    agent: str,
    node: str,
    operation: str,
    key: Path,
    reason: str,
    url: str,
    username: str | None,
    password_file: Path | None,
    ca_file: Path | None,
    cert_file: Path | None,
    cert_key_file: Path | None,
    valid_s: float,
    **given: Any,
) -> None:
    """Have an agent's node do OPERATION, and wait for what becomes of it. Exit status 1 when it was not done.

    A measurement begins when somebody presses the node's button within 60 s.

    \b
    Examples:
      vitalwire collector order --agent 3f2a --node 0123456789abcdef bp --authority clinic.key
      vitalwire collector order --agent 3f2a --node 0123456789abcdef identify --authority clinic.key
    """
    try:
        broker = Broker.of_url(url, username, password_file, ca_file, cert_file, cert_key_file)
        authority = keys.load(key)
        far = _agent(state, agent)
        arguments = wanted(operation, given | {"mains": int(given["mains"]) if given["mains"] else None})
        now_ms = time.time_ns() // 1_000_000
        subject = _node(state, node)
        command = new_command(authority, far.id, subject, operation, arguments, now_ms, valid_s, reason)
        ordering = Ordering(authority, far, command)
        click.echo(f"command {command.command_id.hex()}: {operation} of node {subject.hex()}", err=True)
        try:
            order(broker, far.id, ordering, valid_s, lambda line: click.echo(printable(line)))
        finally:
            if ordering.remark:
                click.echo(ordering.remark, err=True)
    except LocalError as e:
        raise click.ClickException(printable(f"{operation}: {e.detail}")) from e
    except (keys.KeyFileError, BrokerError, OrderingError, Unanswered, OSError) as e:
        raise in_words(e) from e
    if ordering.answer is None or ordering.answer.outcome != remote.DONE:
        sys.exit(1)


def _agent(state: Path, given: str) -> keys.PublicKeys:
    trust = Trust(state / AGENTS)
    sound = MIN_DIGITS <= len(given) <= ID_DIGITS and not set(given) - set(hexdigits)
    found = [agent for agent in trust.ids() if sound and agent.hex().startswith(given.lower())]
    if not found:
        raise click.ClickException(
            printable(
                f"no agent is known by {given!r} in {state / AGENTS}: give its id, or {MIN_DIGITS} of its"
                " first digits at least (`vitalwire collector trust` adds one)"
            )
        )
    if len(found) > 1:
        listed = ", ".join(agent.hex() for agent in found[:MOST_NAMED])
        raise click.ClickException(f"the ids of {len(found)} agents begin with {given}: {listed}")
    known = trust.lookup(found[0])
    assert known is not None
    return known


def _node(state: Path, given: str) -> bytes:
    """By all of its digits without a store: who orders need not have one."""
    if len(given) == ID_DIGITS:
        return bytes.fromhex(given)
    if not (state / STORE).exists():
        raise click.BadParameter(
            f"{given}: all {ID_DIGITS} digits, please: no store in {state} knows which nodes there are",
            param_hint="--node",
        )
    store = open_reader(state, None)
    try:
        with store.reading():
            return node_of(store, given)
    except database.errors() as e:
        raise damaged(state, None, e) from e
    finally:
        store.close()

"""`vitalwire collector …`: run it, enrol an agent, look at it. What reads its store: commands_read.py."""

import json
import logging
import secrets
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import click

from edge_agent import keys
from edge_agent.files import make_folder, write_atomically
from edge_agent.lock import Locked, hold
from edge_agent.ops.logs import begin
from edge_agent.readable import printable
from protocol.errors import LocalError
from tools.collector import commands_export, commands_read, database
from tools.collector.commands_read import check_begun, damaged, database_option, in_words, state_option
from tools.collector.deadman import SILENT_AFTER_S
from tools.collector.folder import AGENTS, INSTANCE, KEY, LOCK, OPERATORS, STATUS, STORE, note
from tools.collector.intake import Intake
from tools.collector.opening import open_store
from tools.collector.operator_command import operator_command
from tools.collector.order_command import order_command
from tools.collector.people import Erasing
from tools.collector.saying import FarEnd
from tools.collector.service import Broker, BrokerError, Service
from tools.collector.signing import Signing
from tools.collector.store import Store, StoreError
from tools.collector.trust import Trust

log = logging.getLogger("vitalwire.collector")

RETRY_S = 2.0
DEAD_MS = 60_000
"""A status that says "running" and is older than this was written by a collector that is no more."""


@click.group("collector", short_help="Receive batches, verify, store and receipt them.")
def command() -> None:
    """The reference collector: receives batches over MQTT, verifies, stores, and signs receipts.

    \b
    Example:
      vitalwire collector run --broker mqtts://broker.example --database postgresql://db.example/vitalwire
    """


for _read in (*commands_read.COMMANDS, *commands_export.COMMANDS):
    command.add_command(_read)
command.add_command(order_command)
command.add_command(operator_command)


@command.command("run")
@state_option
@database_option
@click.option(
    "--broker",
    "url",
    metavar="URL",
    default="mqtt://127.0.0.1:1883",
    show_default=True,
    help="mqtt://host[:port] or mqtts://…",
)
@click.option("--username", help="User name at the broker.")
@click.option(
    "--password-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the password."
)
@click.option(
    "--ca-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CA certificates for mqtts, if not the system's.",
)
@click.option(
    "--cert-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="This collector's certificate for mqtts, where the broker wants one.",
)
@click.option("--cert-key-file", type=click.Path(dir_okay=False, path_type=Path), help="And its key.")
@click.option(
    "--silent-after",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    default=SILENT_AFTER_S,
    show_default=True,
    help="How long an agent may be silent before that is an alarm.",
)
@click.option(
    "--log",
    "style",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    show_default=True,
    help="The log on stderr: lines for people, or JSON; auto is text on a terminal only.",
)
def run(
    state: Path,
    place: str | None,
    url: str,
    username: str | None,
    password_file: Path | None,
    ca_file: Path | None,
    cert_file: Path | None,
    cert_key_file: Path | None,
    silent_after: float,
    style: str,
) -> None:
    """Collect until stopped (SIGTERM or Ctrl-C). Makes the collector's keys if there are none.

    Several collectors may write one PostgreSQL database: give each a state folder of its own, with copies of
    the same collector.key and agents/.

    \b
    Example:
      PGPASSWORD=… vitalwire collector run --database postgresql://clinic@db.example/vitalwire
    """
    begin(style, verbose=False)
    stopping = threading.Event()
    with ExitStack() as closing:
        try:
            make_folder(state)
            closing.enter_context(hold(state / LOCK))
            identity = keys.load_or_create(state / KEY, "collector")
            broker = Broker.of_url(url, username, password_file, ca_file, cert_file, cert_key_file)
            instance = _instance(state)
            signing = Signing(identity, state / KEY)
        except Locked as e:
            who = f" (pid {e.pid})" if e.pid else ""
            raise click.ClickException(
                f"another collector{who} runs with the state {state}: stop it first"
            ) from e
        except (keys.KeyFileError, BrokerError, OSError) as e:
            raise in_words(e) from e

        service: Service | None = None

        def stop(_number: int, _frame: FrameType | None) -> None:
            stopping.set()
            if service is not None:
                service.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        try:
            store = _open(state, place, instance, stopping)
            if store is None:
                return
            closing.callback(store.close)
            intake = Intake(store, signing, Trust(state / AGENTS))
            service = Service(
                intake,
                store,
                broker,
                state / STATUS,
                instance,
                silent_after,
                Erasing(store, state / OPERATORS),
            )
        except (StoreError, BrokerError, OSError) as e:
            raise in_words(e) from e
        except database.errors() as e:
            raise damaged(state, place, e) from e
        if stopping.is_set():
            return
        known = len(intake.trust.ids())
        who = f"{known} agent{'s' if known != 1 else ''} known"
        log.info("collector %s on %s, store %s, %s", identity.id.hex(), broker, store.name, who)
        try:
            service.run()
        except database.errors() as e:
            raise damaged(state, place, e) from e


def _open(state: Path, place: str | None, instance: bytes, stopping: threading.Event) -> Store | None:
    """The store; None when it is to stop while the database is waited for."""
    if place is None or not database.is_postgres(place):
        path = state / STORE if place is None else Path(place)
        store, said = open_store(path, time.time_ns() // 1_000_000)
        if said:
            log.warning("%s", said)
        return store
    far = FarEnd(log, "database")
    while not stopping.is_set():
        try:
            store = Store(place, writer=instance)
        except database.unavailable() as e:
            far.lost(printable(" ".join(str(e).split())))
            stopping.wait(RETRY_S)
        else:
            far.there()
            if store.db.warning:
                log.warning("%s", store.db.warning)
            return store
    return None


def _instance(state: Path) -> bytes:
    """Four bytes that are this state folder's: its collector's name among those that share an identity."""
    path = state / INSTANCE
    try:
        found = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (FileNotFoundError, ValueError):
        found = b""
    if len(found) != 4:
        found = secrets.token_bytes(4)
        write_atomically(path, found.hex().encode() + b"\n")
    return found


@command.command("trust")
@state_option
@click.argument("public", type=click.Path(dir_okay=False, path_type=Path))
def trust(state: Path, public: Path) -> None:
    """Accept batches from the agent whose .pub file PUBLIC is. A running collector notices at once.

    \b
    Example:
      vitalwire collector trust agent.pub
    """
    try:
        agent = keys.load_public(public, "agent")
        make_folder(state)
        note(state, "agent trusted", public.name, agent.id)
        path = Trust(state / AGENTS).add(agent)
    except (keys.KeyFileError, OSError) as e:
        raise in_words(e) from e
    click.echo(f"agent {agent.id.hex()}, fingerprint {keys.fingerprint_text(agent.fingerprint)}: {path}")


@command.command("status")
@state_option
def status(state: Path) -> None:
    """Print what the collector last said about itself, as JSON.

    Exit 1 when it no longer runs though it was not stopped, and when an agent is silent.

    \b
    Example:
      vitalwire collector status | jq .alarms
    """
    try:
        text = (state / STATUS).read_text(encoding="utf-8")
        facts = json.loads(text)
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else "it is no status"
        hint = "start it: vitalwire collector run; or name its folder: --state"
        raise click.ClickException(
            f"no status in {state}: has the collector run there? ({why}; {hint})"
        ) from e
    click.echo(text, nl=False)
    troubles = [alarm["detail"] for alarm in facts.get("alarms", ()) if alarm["code"] == "silent"]
    age_ms = time.time_ns() // 1_000_000 - facts["written_ms"]
    if facts["state"] == "running" and age_ms > DEAD_MS:
        troubles.append(f"the collector wrote this {age_ms // 1000} s ago and has not since: start it again")
    for trouble in troubles:
        click.echo(trouble, err=True)
    sys.exit(1 if troubles else 0)


@command.group("keys")
def keys_command() -> None:
    """The key that signs receipts.

    \b
    Example:
      vitalwire collector keys rotate
    """


@keys_command.command("rotate")
@state_option
def rotate(state: Path) -> None:
    """Hand over to a new key. Receipts are signed by it from then on, and prove it with the hand-over.

    The collector's .pub stays, agents need nothing new, and a running collector notices within a second.
    Collectors that share the identity need the new file, too: copy it to their state folders.

    \b
    Example:
      vitalwire collector keys rotate
    """
    check_begun(state)
    try:
        identity = keys.load(state / KEY)
        note(state, "key rotated", KEY, identity.id)
        number = Signing(identity, state / KEY).hand_over()
    except (keys.KeyFileError, OSError, LocalError) as e:
        raise in_words(e) from e
    path = state / f"{KEY}.{number}"
    click.echo(f"hand-over {number}: {path} signs from now on. Back it up with {KEY}, which is still needed.")

"""`vitalwire collector …`: run it, enrol an agent, look at it, prove its store, read measurements back."""

import json
import signal
import sqlite3
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import click

from edge_agent import keys
from edge_agent.files import make_folder
from edge_agent.lock import Locked, hold
from edge_agent.readable import printable
from tools.collector import query, verify
from tools.collector.folder import AGENTS, KEY, LOCK, STATUS, STORE, default_state_dir
from tools.collector.intake import Intake
from tools.collector.opening import open_store
from tools.collector.service import Broker, BrokerError, Service
from tools.collector.store import Store, StoreError
from tools.collector.trust import Trust


def _in_words(e: Exception) -> click.ClickException:
    return click.ClickException(printable(str(e)))


def _damaged(state: Path, e: sqlite3.DatabaseError) -> click.ClickException:
    return click.ClickException(
        f"{state / STORE}: {e}; restore it from a backup, or let the collector"
        " begin anew: at its next start it sets this one aside"
    )


_state = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_state_dir,
    show_default="~/.local/share/vitalwire-collector",
    help="Folder with the collector's key, store, status and the agents it knows.",
)


@click.group("collector")
def command() -> None:
    """The reference collector: receives batches over MQTT, verifies, stores, and signs receipts."""


@command.command("run")
@_state
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
@click.option(
    "--ca-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CA certificates for mqtts, if not the system's.",
)
def run(
    state: Path, url: str, username: str | None, password_file: Path | None, ca_file: Path | None
) -> None:
    """Collect until stopped (SIGTERM or Ctrl-C). Makes the collector's keys if there are none."""
    with ExitStack() as closing:
        try:
            make_folder(state)
            closing.enter_context(hold(state / LOCK))
            identity = keys.load_or_create(state / KEY, "collector")
            store, said = open_store(state / STORE, time.time_ns() // 1_000_000)
            closing.callback(store.close)
            if said:
                click.echo(f"WARNING {said}", err=True)
            intake = Intake(store, identity, Trust(state / AGENTS))
            broker = Broker.of_url(url, username, password_file, ca_file)
            service = Service(intake, store, broker, state / STATUS)
        except Locked as e:
            who = f" (pid {e.pid})" if e.pid else ""
            raise click.ClickException(
                f"another collector{who} runs with the state {state}: stop it first"
            ) from e
        except sqlite3.DatabaseError as e:
            raise _damaged(state, e) from e
        except (keys.KeyFileError, StoreError, BrokerError, OSError) as e:
            raise _in_words(e) from e

        def stop(_number: int, _frame: FrameType | None) -> None:
            service.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        known = len(intake.trust.ids())
        who = f"{known} agent{'s' if known != 1 else ''} known"
        click.echo(f"collector {identity.id.hex()} on {url}, {who}", err=True)
        try:
            service.run()
        except sqlite3.DatabaseError as e:
            raise _damaged(state, e) from e


@command.command("trust")
@_state
@click.argument("public", type=click.Path(dir_okay=False, path_type=Path))
def trust(state: Path, public: Path) -> None:
    """Accept batches from the agent whose .pub file PUBLIC is. A running collector notices at once."""
    try:
        agent = keys.load_public(public)
        path = Trust(state / AGENTS).add(agent)
    except (keys.KeyFileError, OSError) as e:
        raise _in_words(e) from e
    click.echo(f"agent {agent.id.hex()}, fingerprint {keys.fingerprint_text(agent.fingerprint)}: {path}")


@command.command("status")
@_state
def status(state: Path) -> None:
    """Print what the collector last said about itself, as JSON."""
    try:
        click.echo((state / STATUS).read_text(encoding="utf-8"), nl=False)
    except OSError as e:
        raise click.ClickException(
            f"no status in {state}: has the collector run there? ({e.strerror})"
        ) from e


@command.command("verify")
@_state
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def verify_command(state: Path, as_json: bool) -> None:
    """Prove the store again from its bytes: signatures, roots, links, receipts, attestations, numbers.

    Exit 1 when it fails.
    """
    try:
        report = verify.verify_folder(state)
    except sqlite3.DatabaseError as e:
        raise _damaged(state, e) from e
    except (keys.KeyFileError, StoreError) as e:
        raise _in_words(e) from e
    click.echo(json.dumps(_as_json(report), indent=1) if as_json else _as_text(report))
    sys.exit(0 if report.sound else 1)


def _as_json(report: verify.Report) -> dict[str, object]:
    return {
        "sound": report.sound,
        "batches": report.batches,
        "chains": report.chains,
        "waiting": report.waiting,
        "frames": report.frames,
        "attestations": report.attestations,
        "problems": report.problems,
        "boots": [
            {k: v.hex() if isinstance(v, bytes) else v for k, v in row._asdict().items()}
            for row in report.boots
        ],
    }


def _as_text(report: verify.Report) -> str:
    proofs = report.attestations
    lines = [
        f"{report.batches} batches in {report.chains} chains, {report.waiting} waiting for their predecessor;"
        f" {report.frames} frames",
        f"attestations: {proofs['proved']} proved, {proofs['pending']} pending, {proofs['failed']} failed",
    ]
    for row in report.boots:
        lines.append(
            f"node {row.node.hex()} boot {int.from_bytes(row.boot[:4], 'big')}:"
            f" {row.stored} of {row.highest + 1} frames, {row.evicted} evicted, {row.missing} not here,"
            f" {row.attested} attested"
        )
    lines += [f"PROBLEM {problem}" for problem in report.problems]
    lines.append("sound" if report.sound else "NOT SOUND")
    return "\n".join(map(printable, lines))


@command.command("samples")
@_state
@click.option("--node", required=True, help="Node id in hex.")
@click.option("--channel", type=int, default=0, show_default=True, help="0 ECG, 1 PPG red, 2 PPG infrared.")
def samples(state: Path, node: str, channel: int) -> None:
    """Print a node's waveform frames, one JSON object a line, in the order in which they were measured.

    Exit 1 when one of them is damaged.
    """
    try:
        node_id = bytes.fromhex(node)
    except ValueError as e:
        raise click.BadParameter(f"{node!r} is not hex", param_hint="--node") from e
    try:
        store = Store(state / STORE, read_only=True)
    except StoreError as e:
        raise _in_words(e) from e
    damaged = False
    try:
        for wave in query.waves(store, node_id, channel):
            click.echo(json.dumps(_wave_as_json(wave), separators=(",", ":")))
            damaged = damaged or wave.error is not None
    except sqlite3.DatabaseError as e:
        raise _damaged(state, e) from e
    finally:
        store.close()
    sys.exit(1 if damaged else 0)


def _wave_as_json(wave: query.Wave | query.Unread) -> dict[str, object]:
    facts: dict[str, object] = {**wave._asdict(), "boot": wave.boot.hex()}
    if isinstance(wave, query.Wave) and wave.samples is not None:
        facts["samples"] = wave.samples.tolist()
    if wave.error is None:
        del facts["error"]
    return facts

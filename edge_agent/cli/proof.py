"""`vitalwire prove` and `vitalwire verify`: one frame for anybody, or the whole store for its owner."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import is_zipfile

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import NEVER_RAN, config_option, fail, told
from edge_agent.cli.people_asking import record_action
from edge_agent.cli.waiting import busy
from edge_agent.readable import counted, printable
from protocol.errors import BatchError, ProtocolError

if TYPE_CHECKING:
    from edge_agent.custody.verify import Result
    from protocol.proof import Party

EXIT_FAILED = 1
KEY_DIGITS = 64

_out = click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("proof.cbor"),
    show_default=True,
    help="Where the proof goes.",
)
_force = click.option("--force", is_flag=True, help="Write over a file that is there.")


@click.command("prove", short_help="Write a proof of one frame.")
@config_option
@click.option("--node", metavar="NODE", required=True, help="The node's id in hex, or how it begins.")
@click.option(
    "--boot",
    metavar="BOOT",
    required=True,
    help="The boot's counter as `vitalwire ledger` shows it, or its id.",
)
@click.option(
    "--seq",
    metavar="NUMBER",
    required=True,
    type=click.IntRange(0, (1 << 32) - 1),
    help="The frame's number.",
)
@_out
@_force
@told
def prove_command(config_path: Path | None, node: str, boot: str, seq: int, out: Path, force: bool) -> None:
    """Write a proof of one frame: a small file that anybody checks off-line with public keys only.

    It shows that frame, and of all others nothing but hashes. The agent may be running. That it was made is
    recorded.

    \b
    Example:
      vitalwire prove --node 487de116 --boot 12 --seq 345 -o proof.cbor
    """
    from contextlib import closing

    from edge_agent import keys
    from edge_agent.custody import prove
    from edge_agent.files import write_atomically
    from edge_agent.store import database

    config = configuration.load(config_path)
    if not config.store.exists():
        fail(f"no store at {config.store}: {NEVER_RAN}")
    if out.exists() and not force:
        fail(f"{out} exists already: name another file (-o), or write over it (--force)")
    if not out.absolute().parent.is_dir():
        fail(f"{out.absolute().parent} is no folder: make it first, or name another place (-o)")
    agent = keys.load_public(keys.public_path(config.key))
    try:
        with closing(database.open_reader(config)) as db:
            db.execute("BEGIN")
            known = [found for (found,) in db.execute("SELECT node FROM nodes ORDER BY node")]
            matching = [one for one in known if one.hex().startswith(node.lower())]
            if len(matching) != 1:
                found = "no node" if not matching else counted(len(matching), "node")
                fail(f"{found} in this store whose id begins with {node} (`vitalwire ledger` lists them)")
            ed_pub = db.value("SELECT ed_pub FROM nodes WHERE node = ?", (matching[0],))
            made = prove.make(db, agent, matching[0], boot, seq)
    except prove.ProveError as e:
        fail(e)
    except (database.Error, ProtocolError, ValueError) as e:
        fail(f"the store is damaged ({e}): `vitalwire verify` says what fails")
    record_action(config, "prove", matching[0], boot=boot, number=seq)
    write_atomically(out, made)
    click.echo(f"{out}: {counted(len(made), 'byte')}; to check it, with the keys as known from elsewhere:")
    click.echo(
        f"  vitalwire verify {out} --node-key {ed_pub.hex()} --agent-key {keys.public_path(config.key)}"
        + (f" --collector-key {config.collector}" if config.collector else "")
    )


@click.command("verify", short_help="Check a proof, a person's export, or the store.")
@config_option
@click.argument("file", type=click.Path(exists=True, path_type=Path), required=False)
@click.option(
    "--node-key",
    metavar="KEY",
    help="Of a proof: the node's .pub file (vitalwire keys node), or its Ed25519 key in hex.",
)
@click.option(
    "--agent-key",
    metavar="KEY",
    help="Of a proof or an export: the agent's .pub file, or its first Ed25519 key.",
)
@click.option(
    "--collector-key",
    metavar="KEY",
    help="Of a proof: the same of the collector; without it, no receipt counts.",
)
@told
def verify_command(
    config_path: Path | None,
    file: Path | None,
    node_key: str | None,
    agent_key: str | None,
    collector_key: str | None,
) -> None:
    """Check a proof or a person's export, FILE, and say what it proves; without FILE, check the store: chain,
    signatures, Merkle roots, receipts, attestations.

    A proof and an export need nothing but the keys: no store, no network. Exit status 1 if anything fails.

    \b
    Example:
      vitalwire verify proof.cbor --node-key node.pub --agent-key agent.pub
    """
    if file is not None:
        # One that is cut off is no zip any more, and no proof either.
        if file.is_dir() or file.suffix == ".zip" or is_zipfile(file):
            _export(file, agent_key)
        else:
            _proof(file, node_key, agent_key, collector_key)
        return
    if node_key or agent_key or collector_key:
        fail("keys are for a proof: name its FILE")
    from edge_agent.cli.damaged import tell_agent
    from edge_agent.custody.verify import verify
    from edge_agent.keys import load_public, public_path
    from edge_agent.store.keys import source_of

    config = configuration.load(config_path)
    if not config.store.exists():
        fail(f"no store at {config.store}: {NEVER_RAN}")
    collector = None if config.collector is None else load_public(config.collector)
    carried = None if config.file is None else config.file.public
    others = {} if carried is None else {"file": load_public(carried)}
    agent = load_public(public_path(config.key))
    with busy("reading the store through"):
        results = verify(config.store, agent, collector, source_of(config), others)
    if not all(result.good for result in results):
        tell_agent(config)
    _told(results)


def _told(results: "list[Result]") -> None:
    for result in results:
        click.echo(f"{'ok    ' if result.good else 'FAILED'}  {printable(result.sentence)}")
    if not all(result.good for result in results):
        sys.exit(EXIT_FAILED)


def _export(path: Path, agent_key: str | None) -> None:
    from edge_agent.people.export_check import check

    expected = None if agent_key is None else _party(agent_key).ed_pub
    with busy("checking the export"):
        results = check(path, expected)
    _told(results)


def _party(given: str) -> "Party":
    from edge_agent.keys import load_public
    from protocol.proof import Party

    if len(given) == KEY_DIGITS and not Path(given).exists():
        try:
            return Party(bytes.fromhex(given))
        except ValueError:
            fail(f"{given} is neither a file nor a key: {KEY_DIGITS} hex digits")
    known = load_public(Path(given))
    return Party(known.ed_pub, known.id)


def _proof(file: Path, node_key: str | None, agent_key: str | None, collector_key: str | None) -> None:
    from edge_agent.custody.prove import sentence
    from protocol.proof import MAX_PROOF, verify_proof

    if node_key is None or agent_key is None:
        fail(
            "a proof is checked with --node-key and --agent-key: who measured, and who signed for it"
            " (`vitalwire prove` named them; where the node is paired, `vitalwire keys node` writes its keys)"
        )

    with file.open("rb") as opened:
        data = opened.read(MAX_PROOF + 1)
    collector = None if collector_key is None else _party(collector_key)
    try:
        proved = verify_proof(data, _party(node_key), _party(agent_key), collector)
    except BatchError as e:
        click.echo(f"FAILED  {printable(e.detail)} ({e.cause}): nothing in {file} is proved")
        sys.exit(EXIT_FAILED)
    click.echo(f"ok      {printable(sentence(proved))}")

"""`vitalwire kit`: the nodes of a factory's kit file become expected ones."""

from pathlib import Path

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import config_option, fail, from_when, told
from edge_agent.readable import counted

MIN_DIGITS = 4


@click.group("kit", short_help="Expect the nodes of a kit file.")
def kit_group() -> None:
    """Expect the nodes of a kit file, which `vitalwire flash` or a factory wrote.

    \b
    Example:
      vitalwire kit import kit.json
    """


@kit_group.command("import", short_help="Expect the nodes that a kit file lists.")
@config_option
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@told
def import_command(config_path: Path | None, path: Path) -> None:
    """Expect the nodes that FILE lists: each is paired when it first says hello, on any link.

    Over a cable it needs nobody; over a radio, its button held for 5 s. One entry that contradicts another,
    or what is known here, and nothing is taken.

    \b
    Example:
      vitalwire kit import kit.json
    """
    from edge_agent.cli.people_asking import record_action
    from edge_agent.nodes.kit import Expected, compare, read
    from edge_agent.nodes.peers import Peers
    from protocol import crypto

    config = configuration.load(config_path)
    expected = Expected(config.expected)
    nodes = read(path)
    found = compare(nodes, expected, Peers(config.peers))
    for word, some in (("new", found.new), ("expected", found.expected), ("paired", found.paired)):
        for node in some:
            kit = " ".join(text for text in (node.board, node.firmware) if text)
            click.echo(f"{word:8}  {node.keys.id.hex()}  {kit}".rstrip())
    if found.wrong:
        for sentence in found.wrong:
            click.echo(f"wrong     {sentence}", err=True)
        fail(f"{path}: {counted(len(found.wrong), 'contradiction')}: nothing was taken")
    if not found.new:
        click.echo("nothing new: all of them are known here")
        return
    digest = crypto.sha256(path.read_bytes())
    record_action(config, "kit import", digest, nodes=len(found.new))
    expected.add(found.new)
    click.echo(f"{counted(len(found.new), 'node')} more expected; {from_when(config)}")


@kit_group.command("forget", short_help="Expect a node no more.")
@config_option
@click.argument("node")
@told
def forget_command(config_path: Path | None, node: str) -> None:
    """Expect the node NODE (its id in hex, or how it begins) no more. One that is paired stays so.

    \b
    Example:
      vitalwire kit forget 5ae2
    """
    from edge_agent.cli.people_asking import record_action
    from edge_agent.nodes.kit import Expected

    config = configuration.load(config_path)
    expected = Expected(config.expected)
    found = [one for one in expected.all() if len(node) >= MIN_DIGITS and one.hex().startswith(node.lower())]
    if len(found) != 1:
        fail(f"{len(found) or 'no'} expected nodes begin with {node} (vitalwire pair list shows them)")
    record_action(config, "kit forget", found[0])
    expected.remove(found[0])
    click.echo(f"node {found[0].hex()} is expected no more; {from_when(config)}")

"""`vitalwire wifi`: give a node its network over a link that it has, or have it forget it."""

import os
import sys
from pathlib import Path

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import config_option, fail, told
from edge_agent.cli.nodes import named_node

# Joining takes a node some 20 s where nobody answers it, and as long to come back.
WAIT_S = 90.0
MAX_SSID = 32
# IEEE 802.11: a passphrase, or the key itself in hexadecimal digits.
MIN_PASSWORD, MAX_PASSWORD, KEY_DIGITS = 8, 63, 64

_wait_option = click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(5, 3600),
    metavar="SECONDS",
    default=WAIT_S,
    show_default=True,
    help="How long to wait for the node.",
)


@click.group("wifi", short_help="A node's Wi-Fi: join, forget.")
def wifi_group() -> None:
    """Give a node a Wi-Fi network over a link that it has (the cable, Bluetooth, another network).

    \b
    Example:
      vitalwire wifi join 5ae2 --ssid "Flat 7"
    """


@wifi_group.command("join", short_help="Have a node join a network.")
@config_option
@click.argument("node")
@click.option("--ssid", required=True, help="The network's name, letter by letter.")
@click.option("--open", "is_open", is_flag=True, help="It has no password.")
@_wait_option
@told
def join_command(config_path: Path | None, node: str, ssid: str, is_open: bool, wait_s: float) -> None:
    """Have the node NODE (its id in hex, or how it begins) join a Wi-Fi network and keep it.

    The password is asked for, or read from standard input where that is no terminal: it is no argument, so it
    stays out of the shell's history. It is kept by the node alone; what is recorded is the network, and that
    there was a password. When joining fails, the answer says why, and the node goes back to what it had.

    \b
    Examples:
      vitalwire wifi join 5ae2 --ssid "Flat 7"
      vitalwire wifi join 5ae2 --ssid "Flat 7" < password.txt
    """
    name = _encoded(ssid, "name")
    if not 0 < len(name) <= MAX_SSID:
        fail(f"the name of a network has 1 to {MAX_SSID} bytes in UTF-8; this one has {len(name)}")
    password = "" if is_open else _password()
    _ask(config_path, node, "join", ssid, password, wait_s)


@wifi_group.command("forget", short_help="Have a node forget its network.")
@config_option
@click.argument("node")
@_wait_option
@told
def forget_command(config_path: Path | None, node: str, wait_s: float) -> None:
    """Have the node NODE (its id in hex, or how it begins) leave its Wi-Fi network and forget the password.

    It is reached by the cable or Bluetooth from then on.

    \b
    Example:
      vitalwire wifi forget 5ae2
    """
    _ask(config_path, node, "forget", "", "", wait_s)


def _password() -> str:
    if sys.stdin.isatty():
        given = str(click.prompt("Password of the network", hide_input=True))
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    said = _encoded(given, "password")
    is_key = len(said) == KEY_DIGITS and all(byte in b"0123456789abcdefABCDEF" for byte in said)
    if not is_key and not MIN_PASSWORD <= len(said) <= MAX_PASSWORD:
        fail(
            f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} bytes, or is {KEY_DIGITS} hexadecimal digits; "
            "--open says that there is none"
        )
    return given


def _encoded(text: str, what: str) -> bytes:
    """In UTF-8. What a node cannot be told, or its radio would cut off, ends the command."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        fail(f"the {what} is not UTF-8")
    if b"\0" in data:
        fail(f"the {what} has a NUL in it")
    return data


def _ask(config_path: Path | None, node: str, what: str, ssid: str, password: str, wait_s: float) -> None:
    from edge_agent import keys
    from edge_agent.cli.nodes import run_errand
    from edge_agent.custody.audit import by_user
    from edge_agent.nodes.errands import WIFI
    from edge_agent.nodes.networks import asked

    config = configuration.load(config_path)
    node_id = named_node(config, node)
    agent = keys.load_public(keys.public_path(config.key))
    by = by_user(os.getuid() if hasattr(os, "getuid") else 0)
    data = asked(node_id, what, ssid, password, agent.id, agent.x_pub, by)
    run_errand(config, WIFI, b"", wait_s, data=data)

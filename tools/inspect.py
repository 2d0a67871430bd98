"""`vitalwire inspect`: an annotated dump of a captured stream, message, frame, batch, receipt or record.

What it prints and the shape of its JSON: docs/inspect.md.
"""

import json
import os
import re
import sys
from bisect import bisect_right
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import click

from edge_agent import keys as key_files
from edge_agent.nodes.peers import Peers, PeersError
from edge_agent.readable import counted
from protocol.identity import Identity
from tools.dissect import capture, cddl
from tools.dissect.capture import Keys, Part
from tools.dissect.walker import Line, Problem

PEERS_FILE = "peers.json"
SHOWN_BYTES = 8
MAX_BYTES = 256 << 20
"""Of a source: all of it is held, several times over."""
_HEADING = re.compile(rf"Vitalwire ({'|'.join(key_files.ROLES)}) [0-9a-f]{{16}}, ".encode())
EXIT_WRONG, EXIT_NOT_READ, EXIT_UNREAD = 1, 2, 141
_HEX = re.compile(rb"(0x)?[0-9a-fA-F\s:]+\Z")


class NotRead(click.ClickException):
    """Nothing came of it: the source or a key file could not be read, or the output not be written."""

    exit_code = EXIT_NOT_READ


@click.command("inspect", short_help="Show what each byte is, and where a bad one is bad.")
@click.argument("source", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@click.option(
    "--as",
    "kind",
    metavar="WHAT",
    help='What it is, when the guess is wrong: "stream", or a rule of protocol/vitalwire.cddl.',
)
@click.option(
    "--collector-key", type=click.Path(path_type=Path), help="A collector's .key file: opens batches."
)
@click.option(
    "--agent-key",
    type=click.Path(path_type=Path),
    help="An agent's .key file: opens the frames of a stream in which the node says hello to that agent.",
)
@click.option(
    "--peers",
    type=click.Path(path_type=Path),
    help="The agent's file of paired nodes; else the peers.json beside --agent-key.",
)
@click.option("--signer", type=click.Path(path_type=Path), help="The .pub file of who should have signed it.")
@click.option("--json", "as_json", is_flag=True, help="For programs; docs/inspect.md has the shape.")
@click.option(
    "--color",
    "--colour",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="auto: on a terminal, unless NO_COLOR is set.",
)
@click.pass_context
def command(
    context: click.Context,
    source: str,
    kind: "str | None",
    collector_key: "Path | None",
    agent_key: "Path | None",
    peers: "Path | None",
    signer: "Path | None",
    as_json: bool,
    color: str,
) -> None:
    """Show what each byte of SOURCE is, and where and why a bad one is bad.

    SOURCE is a file (- or none: standard input) with a captured COBS stream, one message, a frame's
    plaintext, a batch, a receipt, a record or any other item of the protocol, as bytes or in hex. Without
    keys everything is shown that is visible; what is sealed is called so.

    Exit status: 0 nothing wrong was found; 1 something is wrong with it; 2 it could not be read, or the
    output not be written; 141 nobody read the output to its end.

    \b
    Example:
      vitalwire inspect capture.bin --agent-key agent.key
    """
    context.color = {"always": True, "never": False}.get(color, False if os.environ.get("NO_COLOR") else None)
    data = _read(source)
    if kind is not None and kind != capture.STREAM and kind not in cddl.load().rules:
        raise click.BadParameter(f"{kind} is neither stream nor a rule of the schema", param_hint="--as")
    try:
        known = _keys(collector_key, agent_key, peers, signer)
    except (key_files.KeyFileError, PeersError) as e:
        raise NotRead(str(e)) from None
    part = capture.take_apart(data, kind or capture.recognise(data), known)
    try:
        if as_json:
            click.echo(json.dumps(_as_json(part), indent=1, ensure_ascii=False))
        else:
            _show(part, 0)
            _summary(part)
    except OSError as e:
        _not_said(e)
    sys.exit(EXIT_WRONG if part.all_problems() else 0)


def _not_said(error: OSError) -> NoReturn:
    """The end where the output goes nowhere: when nobody reads on without words, as if by SIGPIPE."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        sys.exit(EXIT_UNREAD)
    raise NotRead(f"standard output: {error.strerror}") from None


def _keys(
    collector_key: "Path | None", agent_key: "Path | None", peers: "Path | None", signer: "Path | None"
) -> Keys:
    agent = _secret(agent_key, "agent") if agent_key else None
    signing = key_files.load_public(signer).ed_pub if signer else None
    if peers is None and agent_key is not None:
        peers = agent_key.with_name(PEERS_FILE)
    elif peers is not None and not peers.is_file():
        raise PeersError(peers, "there is no such file", "the agent's is peers.json in its state_dir")
    return Keys(
        _secret(collector_key, "collector") if collector_key else None,
        signing or (agent.ed_pub if agent else None),
        agent,
        Peers(peers).lookup if peers else (lambda _: None),
    )


def _secret(path: Path, role: str) -> Identity:
    """The keys at `path`. KeyFileError also when its heading, if it has one, names another role."""
    identity = key_files.load(path)
    heading = _HEADING.match(path.read_bytes())
    held = heading[1].decode() if heading else role
    if held != role:
        raise key_files.KeyFileError(
            path, f"holds the keys of a party in the role {held}, not {role}", f"--{held}-key is for those"
        )
    return identity


def _read(source: str) -> bytes:
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as e:
        raise NotRead(f"{source}: {e.strerror}") from None
    if len(data) > MAX_BYTES:
        raise NotRead(
            f"{source}: more than {MAX_BYTES >> 20} MiB, the most that is taken apart; cut it first"
        )
    if not data.strip():
        raise NotRead(f"{source}: nothing in it")
    if not _HEX.match(data):
        return data
    digits = re.sub(rb"0x|[\s:]", b"", data).decode()
    if len(digits) % 2:
        raise NotRead(f"{source}: {len(digits)} hex digits; bytes have two each")
    return bytes.fromhex(digits)


def _show(part: Part, depth: int) -> None:
    """The part and those in it. A line of an inner one says where it is in the capture, then in the part."""
    indent = "  " * depth
    where = f" at {part.places[0]:04x}" if depth else ""
    click.echo(indent + click.style(f"{part.title}{where}, {counted(len(part.data), 'byte')}", bold=True))
    marked, loose = _marked(part)
    for line, found in zip(part.lines, marked, strict=True):
        raw = part.data[line.offset : line.offset + line.length]
        dump = raw[:SHOWN_BYTES].hex(" ") + (" …" if len(raw) > SHOWN_BYTES else "")
        name = click.style(line.name, fg="cyan") + (": " if line.name else "")
        note = click.style(f"  ({line.note})", dim=True) if line.note and line.note != line.text else ""
        at = f"{part.in_capture(line.offset):04x} +{line.offset:04x}" if depth else f"{line.offset:04x}"
        click.echo(f"{indent}  {at}  {dump:26}{'  ' * line.depth}{name}{line.text}{note}")
        for problem in found:
            click.echo(f"{indent}        " + _problem(part, problem))
    for problem in loose:
        click.echo(f"{indent}  " + _problem(part, problem))
    for fact in part.facts:
        click.echo(f"{indent}  " + click.style(fact, fg="green"))
    for why in part.unchecked:
        click.echo(f"{indent}  " + click.style(f"not checked: {why}", fg="yellow"))
    for inner in part.parts:
        _show(inner, depth + 1)


def _marked(part: Part) -> "tuple[list[list[Problem]], list[Problem]]":
    """The problems at each line of a part, and those at none."""
    marked: list[list[Problem]] = [[] for _ in part.lines]
    loose: list[Problem] = []
    begins = [line.offset for line in part.lines]
    for problem in part.problems:
        at = bisect_right(begins, problem.offset) - 1
        held = at >= 0 and _holds(part.lines[at], problem.offset) and problem.capture is None
        (marked[at] if held else loose).append(problem)
    return marked, loose


def _holds(line: Line, offset: int) -> bool:
    return line.offset <= offset < line.offset + line.length


def _problem(part: Part, problem: Problem) -> str:
    at = part.place_of(problem)
    within = "" if at == problem.offset or problem.capture is not None else f", byte {problem.offset} of it"
    return click.style(f"✗ {problem.layer}, offset {at} (0x{at:x}){within}: {problem.why}", fg="red")


def _summary(part: Part) -> None:
    found, unchecked = part.all_problems(), part.all_unchecked()
    if unchecked:
        click.echo(click.style(f"not checked, for want of a key: {len(unchecked)}", fg="yellow", bold=True))
    if not found:
        click.echo(click.style("nothing wrong found", fg="green", bold=True))
        return
    count = counted(len(found), "problem")
    click.echo(click.style(f"{count}:", fg="red", bold=True))
    for holder, problem in found:
        click.echo(f"  {holder.title}: " + _problem(holder, problem))


def _as_json(part: Part) -> "dict[str, Any]":
    marked, _ = _marked(part)
    return {
        "what": part.title,
        "rule": part.rule,
        "offset": part.offset,
        "capture_offset": part.places[0],
        "length": len(part.data),
        "ok": not part.all_problems(),
        "items": [
            {
                "offset": line.offset,
                "capture_offset": part.in_capture(line.offset),
                "length": line.length,
                "depth": line.depth,
                "hex": part.data[line.offset : line.offset + line.length].hex(),
                "name": line.name,
                "rule": line.rules[-1] if line.rules else None,
                "rules": line.rules,
                "value": line.text,
                "meaning": line.note,
                "error": "; ".join(problem.why for problem in found) or None,
            }
            for line, found in zip(part.lines, marked, strict=True)
        ],
        "problems": [
            {
                "offset": problem.offset,
                "capture_offset": part.place_of(problem),
                "layer": problem.layer,
                "cause": problem.cause or None,
                "why": problem.why,
            }
            for problem in part.problems
        ],
        "facts": part.facts,
        "unchecked": part.unchecked,
        "parts": [_as_json(inner) for inner in part.parts],
    }

"""The kit file: the public keys of the nodes that were flashed, for agents to expect (`vitalwire kit
import`).

JSON: {"version": 1, "nodes": [{"id", "ed25519", "x25519", "board", "firmware", "flashed_at"}]}; keys in hex,
the time as ISO 8601 in UTC. A node that is flashed again has one entry, the newest.
"""

import json
from pathlib import Path
from typing import Any

from edge_agent import lock
from edge_agent.files import write_atomically
from tools.flash.node import Keys
from tools.flash.trouble import Trouble

VERSION = 1
PLAIN_FILE = 0o644
WAIT_S = 30.0


def read(path: Path) -> list[dict[str, Any]]:
    """The nodes of a kit file; none where there is no file. Trouble when it is something else."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as e:
        raise Trouble(f"{path} cannot be read as a kit file: {e}", "name another --kit, or mend it") from e
    if (
        not isinstance(found, dict)
        or found.get("version") != VERSION
        or not isinstance(found.get("nodes"), list)
    ):
        raise Trouble(f"{path} is no kit file of version {VERSION}", "name another --kit")
    return found["nodes"]


def add(path: Path, keys: Keys, board: str, firmware: str, flashed_at: str) -> None:
    """Put a node into the kit file, which is replaced in one step; others may add to it at the same time."""
    entry = {
        "id": keys.id,
        "ed25519": keys.ed25519.hex(),
        "x25519": keys.x25519.hex(),
        "board": board,
        "firmware": firmware,
        "flashed_at": flashed_at,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock.hold_soon(path.with_name(f".{path.name}.lock"), WAIT_S):
            nodes = [node for node in read(path) if node.get("id") != keys.id]
            text = json.dumps({"version": VERSION, "nodes": [*nodes, entry]}, indent=1) + "\n"
            write_atomically(path, text.encode(), PLAIN_FILE)
    except lock.Locked as e:
        raise Trouble(f"{path} is being written by another program", "run this again") from e
    except OSError as e:
        raise Trouble(f"{path}: {e.strerror}", "name another --kit") from e

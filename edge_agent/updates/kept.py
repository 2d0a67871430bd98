"""The roll-outs on the disk: one JSON file, replaced in one step whenever something has changed."""

import json
from pathlib import Path
from typing import Any, cast

from edge_agent.files import write_atomically
from edge_agent.updates.rollout import OPEN, STATES, NodeState, Rollout, Rules

VERSION = 1
# Finished ones stay as a history; the oldest go.
MAX_KEPT = 20


class RolloutsError(Exception):
    """The file of roll-outs cannot be used: `path`, `problem`."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem} (restore it, or move it away: roll-outs begin anew)")
        self.path = path
        self.problem = problem


def encoded(rollouts: list[Rollout]) -> bytes:
    """As it is written: oldest first."""
    still = [one for one in rollouts if one.state in OPEN]
    over = [one for one in rollouts if one.state not in OPEN]
    kept = sorted([*over[-MAX_KEPT:], *still], key=lambda one: one.begun_ms)
    # A deep copy (asdict) of a thousand nodes would hold the event loop up for a twentieth of a second.
    listed = [
        vars(one)
        | {"rules": one.rules._asdict(), "nodes": {node: vars(each) for node, each in one.nodes.items()}}
        for one in kept
    ]
    return json.dumps({"version": VERSION, "rollouts": listed}).encode() + b"\n"


def write(path: Path, data: bytes) -> None:
    """OSError as it comes."""
    write_atomically(path, data)


def read(path: Path) -> list[Rollout]:
    """The roll-outs, oldest first; none without a file. RolloutsError, OSError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    try:
        document: Any = json.loads(data)
        if document["version"] != VERSION:
            raise ValueError(f"of version {document['version']}")
        return [_rollout(one) for one in cast("list[dict[str, Any]]", document["rollouts"])]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise RolloutsError(path, f"damaged: {e}") from None


def _rollout(told: dict[str, Any]) -> Rollout:
    nodes = {node: _node(one) for node, one in told.pop("nodes").items()}
    rules = Rules(**told.pop("rules"))
    one = Rollout(**told, rules=rules, nodes=nodes)
    if not all(bytes.fromhex(node).hex() == node and len(node) == 16 for node in nodes):
        raise ValueError("a node without an id")
    return one


def _node(told: dict[str, Any]) -> NodeState:
    history = [(int(at), str(state), str(why)) for at, state, why in told.pop("history")]
    one = NodeState(**told, history=history)
    if one.state not in STATES:
        raise ValueError(f"state {one.state!r}")
    return one

"""The roll-outs on the disk: one JSON file, replaced in one step whenever something has changed.

It may come from a backup or from somebody's editor: read() believes no value of it unseen.
"""

import json
import logging
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from edge_agent.beside import beside
from edge_agent.files import make_folder, write_atomically
from edge_agent.updates.rollout import OPEN, ROLLOUT_STATES, STATES, NodeState, Rollout, Rules
from protocol.errors import ProtocolError
from protocol.update import version_key

log = logging.getLogger("vitalwire.updates")

VERSION = 1
# Finished ones stay as a history; the oldest go.
MAX_KEPT = 20
# A node that failed is asked a few times more; each doubles the pause.
MAX_TRIED = 16
# Of a number: times are Unix ms, of years that a date can be said of.
MOST = 1 << 47
_TEXTS = ("id", "version", "group", "by", "state", "why")


class RolloutsError(Exception):
    """The file of roll-outs cannot be used: `path`, `problem`."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem} (restore it, or move it away, and start the agent again)")
        self.path = path
        self.problem = problem


class Disk:
    """The file as an agent keeps it. `dirty`: something has changed since; `problem`: why it cannot be read
    or written just now, or "".
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dirty = False
        self.problem = ""
        self._writing = False

    @property
    def settled(self) -> bool:
        """Whether all of it is on the disk."""
        return not self.dirty and not self._writing

    def load(self) -> list[Rollout]:
        """The roll-outs; none where there is a `problem`."""
        try:
            return read(self.path)
        except (RolloutsError, OSError) as e:
            self.problem = str(e)
            log.error("roll-outs: %s", e)
            return []

    async def keep(self, rollouts: list[Rollout]) -> bool:
        """Write them, if something has changed; whether that is on the disk now."""
        unreadable = bool(self.problem) and not rollouts and self.path.exists()
        if not self.dirty or unreadable:
            return False
        self.dirty, self._writing = False, True
        data = encoded(rollouts)
        try:
            await beside(self.write, data)
        except OSError as e:
            self.dirty = True
            if not self.problem:
                log.warning("roll-outs cannot be kept, so none goes on: %s", e)
            self.problem = f"{self.path}: {e.strerror or e}"
            return False
        finally:
            self._writing = False
        self.problem = ""
        return True

    def write(self, data: bytes) -> None:
        """OSError as it comes."""
        make_folder(self.path.parent)
        write(self.path, data)


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
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ProtocolError) as e:
        raise RolloutsError(path, f"damaged: {e}") from None


def _rollout(told: dict[str, Any]) -> Rollout:
    nodes = {_id(node): _node(one) for node, one in told.pop("nodes").items()}
    rules = Rules(**_sound(told.pop("rules")))
    one = Rollout(**_sound(told), rules=rules, nodes=nodes)
    version_key(one.version)
    rising = [0, *one.percents]
    good = (
        one.state in ROLLOUT_STATES
        and -1 <= one.wave < len(one.percents)
        and all(before < after <= 100 for before, after in pairwise(rising))
        and all(0 <= node.wave <= one.wave for node in nodes.values())
        and bool(one.bundles)
    )
    if not good:
        raise ValueError(f"the state, the waves or the bundles of roll-out {one.id}")
    return one


def _node(told: dict[str, Any]) -> NodeState:
    history = [(at, state, why) for at, state, why in told.pop("history")]
    for at, state, why in history:
        _sound({"at_ms": at, "state": state, "why": why})
    one = NodeState(**_sound(told), history=history)
    if one.state not in STATES or not 0 <= one.tries <= MAX_TRIED:
        raise ValueError(f"a node in state {one.state!r}, tried {one.tries} times")
    return one


def _sound(told: dict[str, Any]) -> dict[str, Any]:
    """`told`, each field of which is of its kind; whether there are such fields is the constructor's."""
    for name, value in told.items():
        if name in _TEXTS:
            good = isinstance(value, str)
        elif name == "percents":
            good = isinstance(value, list) and all(_is_number(one) for one in cast("list[Any]", value))
        elif name == "forgiven":
            good = isinstance(value, list) and all(_id(one) for one in cast("list[Any]", value))
        elif name == "bundles":
            good = all(_id(one) for one in value.values())
        else:
            good = _is_number(value) and (name == "confirm_percent" or isinstance(value, int))
        if not good:
            raise ValueError(f"{name} {value!r}")
    return told


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1 <= value < MOST


def _id(text: Any) -> str:
    if not isinstance(text, str) or len(text) != 16 or bytes.fromhex(text).hex() != text:
        raise ValueError(f"{text!r} is no id")
    return text

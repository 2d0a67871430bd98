"""Every frame that a node made is at the collector once, as it was made; chains, receipts and ledger hold."""

import hashlib
from collections.abc import Iterator
from contextlib import closing

from edge_agent.readable import counted
from tools.collector.folder import STORE
from tools.collector.store import Store
from tools.crash.nodes import Key
from tools.crash.world import World

SHOWN = 5


def problems(world: World, made: dict[Key, bytes]) -> list[str]:
    """What does not hold, in words; the processes have ended."""
    return [*_frames(world, made), *_commands(world)]


def _frames(world: World, made: dict[Key, bytes]) -> Iterator[str]:
    with closing(Store(world.database or world.places[0] / STORE, read_only=True)) as store:
        rows = store.db.execute("SELECT node, boot, seq, plaintext FROM frames").fetchall()
        (conflicts,) = store.db.execute("SELECT count(*) FROM conflicts").fetchone()
    there = {(node, boot, seq): hashlib.sha256(plaintext).digest() for node, boot, seq, plaintext in rows}
    if len(there) != len(rows):
        yield f"at the collector more than once: {counted(len(rows) - len(there), 'frame')}"
    if conflicts:
        yield f"{counted(conflicts, 'frame')} came to the collector with other content than before"
    missing = made.keys() - there.keys()
    if missing:
        yield f"{counted(len(missing), 'frame')} never arrived: {_named(missing)}"
    strange = there.keys() - made.keys()
    if strange:
        yield f"{counted(len(strange), 'frame')} arrived that nobody made: {_named(strange)}"
    changed = {key for key in made.keys() & there.keys() if made[key] != there[key]}
    if changed:
        yield f"{counted(len(changed), 'frame')} arrived with other content: {_named(changed)}"


def _named(keys: "set[Key]") -> str:
    shown = sorted(keys)[:SHOWN]
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(f"{node.hex()}/{boot.hex()[:8]}/{seq}" for node, boot, seq in shown) + more


def _commands(world: World) -> Iterator[str]:
    agent = ["--config", str(world.config)]
    for command in (
        ["verify", *agent],
        ["ledger", *agent],
        ["store", "check", *agent],
        ["collector", "verify", *world.collector_options(world.places[0])],
    ):
        found = world.command(*command)
        if found.returncode:
            lines = [line for line in found.stdout.splitlines() if not line.startswith("ok")]
            yield f"vitalwire {' '.join(command)}: {found.stderr.strip() or ' | '.join(lines[:SHOWN])}"

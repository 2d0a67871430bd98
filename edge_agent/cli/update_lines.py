"""The newest roll-out as lines of the status, as long as there is something to say of it."""

from collections.abc import Iterator, Mapping
from typing import Any


def update_lines(updates: Mapping[str, Any]) -> Iterator[str]:
    """`updates`: that part of a status; {} of an agent that has none."""
    if updates.get("problem"):
        yield f"updates: {updates['problem']}"
    newest: Mapping[str, Any] | None = updates.get("rollout")
    if newest is None or newest["state"] in ("finished", "ended"):
        return
    nodes: Mapping[str, int] = newest["nodes"]
    counts = ", ".join(f"{count} {state}" for state, count in nodes.items() if count)
    wave = f"wave {newest['wave']} of {len(newest['waves'])}"
    state = newest["state"]
    if state == "halted":
        state = f"HAS HALTED: {newest['why'] or 'somebody said so'}"
    yield f"update {newest['version']}: {state} ({wave}: {counts or 'no node yet'})"

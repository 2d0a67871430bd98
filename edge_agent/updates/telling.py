"""Updates in status.json: the roll-out that is under way, and each node's own."""

from typing import Any

from edge_agent.updates import rollout
from edge_agent.updates.rollout import Rollout
from edge_agent.updates.service import Updates


def told(updates: Updates) -> dict[str, Any]:
    """All of it but the nodes'. `share`: bytes of updates / bytes that the links could carry meanwhile."""
    courses = updates.courses
    share = courses.meter.share
    newest = updates.rollouts[-1] if updates.rollouts else None
    return {
        "rollout": None if newest is None else _rollout(newest),
        "sending": sum(not course.hold and course.away_ms is None for course in courses.open.values()),
        "held": sum(bool(course.hold) for course in courses.open.values()),
        "bytes": courses.bytes,
        "share": None if share is None else round(share, 4),
        "problem": updates.disk.problem or next(iter(updates.shelf.problems), None),
    }


def _rollout(one: Rollout) -> dict[str, Any]:
    counts = one.counts()
    return {
        "id": one.id,
        "version": one.version,
        "group": one.group,
        "state": one.state,
        "why": one.why or None,
        "wave": one.wave + 1,
        "waves": one.percents,
        "begun_ms": one.begun_ms,
        "changed_ms": one.changed_ms,
        "nodes": {state: counts.get(state, 0) for state in rollout.STATES},
    }


def of_node(updates: Updates, node: bytes) -> dict[str, Any] | None:
    """What became of the newest update that is meant for it; None: none is."""
    one = next(updates.of_node(node), None)
    if one is None:
        return None
    state = one.nodes[node.hex()]
    out: dict[str, Any] = {
        "version": one.version,
        "state": state.state,
        "why": state.why or None,
        "since_ms": state.since_ms,
    }
    course = updates.courses.open.get(node)
    if course is not None and course.rollout == one.id:
        transfer = course.transfer
        share = course.meter.share
        out |= {
            "held": course.hold or (None if course.away_ms is None else "it is away"),
            "percent": round(100 * transfer.held_bytes / transfer.size, 1),
            "bytes_s": round(course.rate_bytes_s(updates.now_ms()), 1),
            "share": None if share is None else round(share, 4),
            "said": transfer.detail or None,
        }
    elif state.state == rollout.WAITING and one.state == rollout.RUNNING:
        out["held"] = updates.courses.hold(node) or None
    return out

"""Roll-outs as lines of text."""

from collections.abc import Iterator, Mapping
from typing import Any

from edge_agent.readable import counted, utc
from edge_agent.updates import rollout
from edge_agent.updates.rollout import NodeState, Rollout

# Beyond so many nodes in one state, only their number is told.
MANY = 20


def rollout_lines(one: Rollout, nodes: Mapping[str, Any]) -> Iterator[str]:
    """The roll-out, then its nodes by state. `nodes`: what the agent says of each just now."""
    waves = ", ".join(f"{percent:g} %" for percent in one.percents)
    why = f": {one.why}" if one.why else ""
    yield f"roll-out {one.id} of {one.version} to {one.group}: {one.state}{why}"
    wave = f"wave {one.wave + 1} since {utc(one.wave_ms)}"
    yield f"  begun {utc(one.begun_ms)} by {one.by}; waves: {waves}; {wave}"
    if one.state == rollout.HALTED:
        yield "  vitalwire update resume lets it go on; another vitalwire update start ends it"
    for state in rollout.STATES:
        mine = {name: each for name, each in sorted(one.nodes.items()) if each.state == state}
        if not mine:
            continue
        yield f"  {state}: {counted(len(mine), 'node')}"
        for name, each in list(mine.items())[:MANY]:
            yield "    " + "; ".join([f"{name} (wave {each.wave + 1})", *_about(each, nodes.get(name))])
        if len(mine) > MANY:
            yield f"    and {len(mine) - MANY} more: vitalwire update status --json"


def _about(each: NodeState, now: Mapping[str, Any] | None) -> Iterator[str]:
    if each.why:
        yield each.why
    if now is not None and now["state"] == each.state:
        yield from progress(now)


def progress(now: Mapping[str, Any]) -> Iterator[str]:
    """How far a node's update is, by the agent that sends it."""
    if "percent" in now:
        yield f"{now['percent']:g} % at {now['bytes_s']:g} bytes/s"
    if now.get("held"):
        yield f"held back: {now['held']}"
    if now.get("said"):
        yield f"the node says: {now['said']}"

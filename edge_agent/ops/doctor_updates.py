"""The doctor's check of updates: bundles, makers, groups, and a roll-out that waits for a person."""

from edge_agent.ops.doctor import Check, Found, Patient, bad, good, warn
from edge_agent.readable import counted
from edge_agent.updates import groups, kept, makers, rollout
from edge_agent.updates.shelf import Shelf


def updates(patient: Patient) -> Found:
    """Whether nodes can be updated; nothing where nobody has begun with it."""
    config = patient.config
    try:
        believed = makers.load(config.makers)
        rollouts = kept.read(config.bundles / "rollouts.json")
        groups.load(config.groups)
    except (makers.MakersError, kept.RolloutsError, groups.GroupsError) as e:
        yield bad(str(e), "no node is updated before")
        return
    shelf = Shelf(config.bundles, config.makers)
    found = shelf.all()
    for problem in shelf.problems:
        yield warn(
            f"a bundle that is not offered to any node: {problem}", "vitalwire update add its file again"
        )
    if rollouts and rollouts[-1].state == rollout.HALTED:
        newest = rollouts[-1]
        yield warn(
            f"the roll-out of {newest.version} has halted: {newest.why or 'somebody said so'}",
            "vitalwire update status; then update resume, or start another version",
        )
    if (found or rollouts) and not believed:
        yield warn(f"no maker's key in {config.makers}", "copy the maker's .pub file there")
    elif found:
        yield good(
            f"{counted(len(found), 'bundle')} by {counted(len(believed), 'maker')} that is believed here"
        )


CHECKS: dict[str, Check] = {"updates": updates}

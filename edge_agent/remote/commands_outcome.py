"""What a node's answer, and the blood pressure that follows, mean for the command that was behind it."""

from typing import Any

from edge_agent.nodes.orders import Order
from protocol import frames, remote
from protocol.frame_names import BP_RESULT_NAMES

_REFUSED = {
    frames.RESULT_UNSUPPORTED: ("unsupported", "the node cannot do that, or not with these arguments"),
    frames.RESULT_UNAUTHORISED: (
        "node_not_authorised",
        "the node does not believe this authority: `vitalwire pair --authority` at its kit",
    ),
    frames.RESULT_INTERLOCK: (
        "interlock",
        "not now: a charger, an alarm, the cuff in use, or a fault of it that nobody has acknowledged",
    ),
    frames.RESULT_NO_CONSENT: ("consent", "the person refused"),
    frames.RESULT_MALFORMED: ("malformed", "the node takes no such arguments"),
}
_OVER = {remote.RESTART: "it restarts", remote.LEAK_TEST: "", remote.STATIC_PRESSURE: ""}
_SHOWN = "it waits 60 s for the button; what it finds is a mark among the node's events"


def node_outcome(operation: str, order: Order) -> tuple[str, str, str]:
    """(outcome, cause, detail) of a node's answer."""
    result = order.result
    if result == frames.RESULT_DONE:
        return remote.DONE, "", ""
    if result == frames.RESULT_BEGUN:
        if operation in _OVER:
            return remote.DONE, "", _OVER[operation] or _SHOWN
        return remote.BEGUN, "", "somebody at the kit presses the button within 60 s, or it is not done"
    if result == frames.RESULT_EXPIRED:
        return remote.EXPIRED, "late", "it came to the node too late"
    if result in _REFUSED:
        return remote.REFUSED, *_REFUSED[result]
    return remote.FAILED, "failed", f"the node answered: {order.result_name}"


def bp_outcome(body: dict[int, Any]) -> tuple[str, str, str]:
    """(outcome, cause, detail) of a blood-pressure frame. The pressure itself is in the frame, for those who
    may have it.
    """
    result = body[frames.BP_RESULT]
    name = BP_RESULT_NAMES.get(result, f"result {result}")
    if result == frames.BP_MEASURED:
        return remote.DONE, "", name
    if result == frames.BP_CANCELLED and not body[frames.BP_PEAK]:
        return remote.REFUSED, "consent", "nobody pressed the button within 60 s"
    if result == frames.BP_CANCELLED:
        return remote.REFUSED, "consent", "the person stopped it"
    return remote.FAILED, "not_measured", name

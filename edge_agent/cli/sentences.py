"""What an agent stated, as a sentence for people."""

from collections.abc import Callable
from typing import Any

from edge_agent.readable import counted, readable
from edge_agent.store.details import HASH

OUTCOMES = {
    "answered": "the node answered",
    "expired": "not answered in time",
    "withdrawn": "not answered before it was taken back",
    "new_boot": "the node began anew before it answered: whether it did is not known",
}


def sentence(code: str, detail: "dict[Any, Any]") -> str:
    """A statement in words; one that has none, or whose detail is not as it is made here, with its values."""
    words = _SENTENCES.get(code)
    try:
        if words is not None:
            return words(detail)
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    return f"statement {code}: {readable(detail)}"


def _ordered(detail: "dict[Any, Any]") -> str:
    boot = int.from_bytes(detail["boot"][:4], "big")
    order, node = detail["order"].hex(), detail["node"].hex()
    return f"order {order}: {detail['name']}, to node {node} in its boot {boot}"


def _order_ended(detail: "dict[Any, Any]") -> str:
    how = OUTCOMES.get(detail["outcome"], detail["outcome"])
    return f"order {detail['order'].hex()} to node {detail['node'].hex()} ended: {how}"


def _node_unpaired(detail: "dict[Any, Any]") -> str:
    word = "it agreed" if detail["node_agreed"] else "without its word: it may still take us for its agent"
    order = f" (order {detail['order'].hex()})" if "order" in detail else ""
    if detail.get("wiped"):
        word = "it was wiped as lost, and is told to forget us if it comes back"
    if "moved_to" in detail:
        word += f"; it went to agent {detail['moved_to'].hex()}"
    return f"node {detail['node'].hex()} is not paired any more: {word}{order}"


def _wiped_node_heard(detail: "dict[Any, Any]") -> str:
    return f"node {detail['node'].hex()}, wiped as lost, was heard again, and told to forget us"


def _action(detail: "dict[Any, Any]") -> str:
    what, by = detail["what"], f"by {detail['by']}"
    if detail["on"] == b"":
        # A name of a file or a person is kept from statements (store/details.py).
        return f"{what}, {by}" + (" (vitalwire audit says of what)" if HASH in detail else "")
    return f"{what}: {readable(detail['on'])}, {by}"


def _update_offered(detail: "dict[Any, Any]") -> str:
    what = f"version {detail['version']} (roll-out {detail['rollout']})"
    return f"{what} is offered to node {detail['node'].hex()}"


def _update_ended(detail: "dict[Any, Any]") -> str:
    return f"version {detail['version']} at node {detail['node'].hex()}: {detail['outcome']}"


def _wave(detail: "dict[Any, Any]") -> str:
    return (
        f"roll-out {detail['rollout']}: wave {detail['wave']}, {counted(len(detail['nodes']), 'node')} more"
    )


def _rollout(what: str) -> "Callable[[dict[Any, Any]], str]":
    def words(detail: "dict[Any, Any]") -> str:
        return f"roll-out {detail['rollout']} of version {detail['version']} {what}, by {detail['by']}"

    return words


_SENTENCES: "dict[str, Callable[[dict[Any, Any]], str]]" = {
    "action": _action,
    "ordered": _ordered,
    "order_ended": _order_ended,
    "node_unpaired": _node_unpaired,
    "update_offered": _update_offered,
    "update_ended": _update_ended,
    "rollout_wave": _wave,
    "rollout_started": _rollout("begins"),
    "rollout_running": _rollout("goes on"),
    "rollout_paused": _rollout("is paused"),
    "rollout_halted": _rollout("HAS HALTED"),
    "rollout_finished": _rollout("is finished"),
    "rollout_ended": _rollout("is given up"),
    "wiped_node_heard": _wiped_node_heard,
}

"""Nodes whose person a lost store knew alone.

Records are in the store. When that was set aside, lost, or an older copy of it was put back, nothing in it
says that a node was somebody's, or that they had withdrawn. So beside each paired node lies the id of the
last record that said whose it is (nodes/peers.py): where this store does not have that record, or believes
no one who signed it, the node's frames are held back until an operator says whose it is, or that it was
nobody's.
"""

import logging

from edge_agent.nodes.peers import Assigned, Peers, PeersError
from edge_agent.people.state import NOBODY, Fields, PeopleState
from protocol.records import ASSIGNMENT

log = logging.getLogger("vitalwire.people")

ALWAYS_MS = 1 << 53


def find(peers: Peers, state: PeopleState) -> dict[bytes, int]:
    """Node → Unix ms: whose it was before that, nobody here knows. PeersError."""
    out: dict[bytes, int] = {}
    for node, mark in peers.assigned().items():
        if state.known(mark.record_id) is None:
            out[node] = ALWAYS_MS
        elif mark.unknown_before_ms is not None:
            out[node] = mark.unknown_before_ms
    return out


def take_up(peers: Peers, state: PeopleState) -> None:
    """Let the state know of lost nodes, and note the last record of all others. PeersError; a disk that
    refuses is logged: it is noted at the next start.
    """
    state.lost = find(peers, state)
    _note(peers, _last(state))


def keep(peers: Peers, state: PeopleState, seen: frozenset[bytes]) -> frozenset[bytes]:
    """Note the last record of nodes that were paired, or paired anew, since the call that gave `seen`."""
    try:
        marked = peers.assigned()
        bare = frozenset(node for node in peers.ids() if node not in marked)
    except (PeersError, OSError):
        # Whoever looks a node up says so.
        return seen
    if bare <= seen:
        return bare
    last = _last(state)
    return bare - last.keys() if _note(peers, last) else bare


def _last(state: PeopleState) -> dict[bytes, Assigned]:
    """Of each node that is not lost, what is to be noted."""
    last = {one["node_id"]: one["record_id"] for one in state.records() if one["record"] == ASSIGNMENT}
    return {node: Assigned(found) for node, found in last.items() if node not in state.lost}


def taken(peers: Peers, state: PeopleState, fields: Fields) -> None:
    """An assignment was taken: from when it begins, the node's person is known again."""
    node, begin, end = fields["node_id"], fields["from_ms"], fields["to_ms"]
    before = state.lost.pop(node, None)
    if fields["person"] == NOBODY:
        before = None
    elif before is not None and end != begin and (end is None or end >= before):
        before = min(before, begin)
    if before is not None:
        state.lost[node] = before
    _note(peers, {node: Assigned(fields["record_id"], before)})


def problem(node: bytes) -> str:
    """What is the matter with a lost node."""
    return (
        f"node {node.hex()} was somebody's, and the record of whose is not in this store: what it measured "
        "before somebody says so is held back"
    )


def remedy(node: bytes) -> str:
    """What to do about a lost node."""
    return (
        f"say since when it is whose: vitalwire assign {node.hex()} PERSON --from TIME, and consents anew; "
        f"or that it was nobody's: vitalwire unassign {node.hex()}; or put operators/ back, if that is gone"
    )


def _note(peers: Peers, marks: dict[bytes, Assigned]) -> bool:
    try:
        peers.assign(marks)
    except (PeersError, OSError) as e:
        log.warning("whose nodes are cannot be noted beside the store: %s", e)
        return False
    return True

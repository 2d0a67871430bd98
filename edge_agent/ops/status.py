"""status.json: what the agent is doing, written every second or so in one step; and the same for people.

docs/agent.md describes the fields. Everything in it is also in the store or in the journal of the system:
nothing reads it back.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from edge_agent.custody import clones
from edge_agent.files import write_atomically
from edge_agent.ledger.ledger import COUNTS, Ledger, Row
from edge_agent.nodes.hub import Stranger
from edge_agent.ops.machine import free_bytes
from edge_agent.store.schema import GONE_ERASED, GONE_EVICTED, GONE_RETENTION
from edge_agent.updates import telling

if TYPE_CHECKING:
    from edge_agent.agent import Agent

VERSION = 1
STALE_MS = 5000
# A live node says something every second.
SILENT_S = 15
GONE = {GONE_RETENTION: "retention", GONE_EVICTED: "quota", GONE_ERASED: "erased"}


class StoreFacts(NamedTuple):
    """What only the store's thread may ask for."""

    ledger: Ledger
    size: int
    free: int | None
    frames: int
    gone: dict[str, int]
    waiting: dict[str, dict[str, float]]
    custody: dict[str, Any]
    set_aside: int


def store_facts(
    agent: "Agent", rows: tuple[Row, ...], set_aside: int, withheld: Mapping[str, int]
) -> StoreFacts:
    """Used in the store's thread. `rows`: the ledger's; `set_aside`: how often a store was; `withheld`: by
    forwarder, entries.
    """
    custody = agent.delivery.custody
    tip = custody.chain.tip
    told = {
        **custody.chain.counts,
        **clones.told(agent.store),
        "chain": tip.chain.hex() if tip else None,
        "number": tip.number if tip and tip.number >= 0 else None,
        "waiting_entries": custody.chain.waiting,
        "asking_collector": custody.asking,
        "collector_said": custody.collector_said,
        "sent_again": custody.sent_again,
    }
    free = free_bytes(agent.config.state_dir)
    store, ledger = agent.store, Ledger(rows)
    gone, waiting = _gone(agent), _waiting(agent, withheld)
    return StoreFacts(ledger, store.size(), free, store.frames, gone, waiting, told, set_aside)


def _waiting(agent: "Agent", withheld: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Of each forwarder, the age of its oldest batch without a receipt, what was refused for ever, and how
    much it may not have.
    """
    chain, now_ms = agent.delivery.custody.chain, time.time_ns() // 1_000_000
    rows = agent.store.db.execute("SELECT forwarder, count(*) FROM dead_letters GROUP BY forwarder")
    letters: dict[str, int] = dict(rows.fetchall())
    out: dict[str, dict[str, float]] = {}
    for guard in agent.delivery.guards:
        name = guard.channel.name
        oldest = chain.unreceipted(name, 1)
        lag_ms = max(0, now_ms - chain.batch(oldest[0]).made_ms) if oldest else 0
        out[name] = {
            "lag_s": round(lag_ms / 1000, 1),
            "dead_letters": letters.get(name, 0),
            "withheld": withheld.get(name, 0),
        }
    return out


def _gone(agent: "Agent") -> dict[str, int]:
    """Frames whose data is gone, by cause."""
    rows = agent.store.db.execute("SELECT cause, sum(count) FROM evictions GROUP BY cause")
    return {GONE.get(cause, str(cause)): count for cause, count in rows}


def counts_of(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """The sums of the ledger's counts, by node."""
    per_node: dict[str, dict[str, int]] = {}
    for row in rows:
        counts = per_node.setdefault(row.node, dict.fromkeys(COUNTS, 0))
        for name in COUNTS:
            counts[name] += getattr(row, name)
    return per_node


def snapshot(agent: "Agent", facts: StoreFacts, state: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything about a running agent. Used in the event loop's thread. `nodes`: by node()."""
    unix_us = time.time_ns() // 1000
    hub, delivery, ledger = agent.hub, agent.delivery, facts.ledger
    return {
        "version": VERSION,
        "state": state,
        "written_ms": unix_us // 1000,
        "started_ms": agent.started_ms,
        "pid": os.getpid(),
        "agent": agent.identity.id.hex(),
        "links": [_link(agent, port) for port in sorted(agent.sessions)],
        "tcp": None if agent.tcp is None else agent.tcp.summary(),
        "ble": None if agent.ble is None else agent.ble.summary(),
        "devices": agent.readers.summary(),
        "frames_per_s": hub.frames_per_s(),
        "wire_bytes": hub.wire_bytes,
        "rejected": dict(sorted(hub.rejected.items())),
        "refused_by_nodes": dict(sorted(hub.refused.items())),
        "carried": _carried(agent),
        "flow": {
            "level": hub.flow.level.name,
            "changes": hub.flow.changes,
            "waiting_items": agent.ingest.backlog,
            "calm_s": hub.flow.calm_s,
        },
        "orders_open": hub.orders.open,
        "commands": agent.remote.status(),
        "unpaired": [_stranger(agent, node, stranger) for node, stranger in sorted(hub.unpaired.items())],
        "store": {
            "path": str(agent.store.path),
            "bytes": facts.size,
            "frames": facts.frames,
            "problem": agent.ingest.problem or delivery.problem,
            "free_bytes": facts.free,
            "quota_bytes": agent.config.storage.quota_mib << 20 or None,
            "stored_frames": agent.ingest.stored,
            "refused_frames": agent.ingest.refused,
            "gone": facts.gone,
            "room": agent.keeper.told(),
            "set_aside": facts.set_aside,
            "opening": agent.opening.message or None,
            "whose_unknown": [node.hex() for node in sorted(dict(agent.people.state.lost))],
        },
        "custody": facts.custody,
        "forward": _forward(agent, facts.waiting),
        "updates": telling.told(agent.updates),
        "nodes": nodes,
        "totals": ledger.totals,
        "balanced": ledger.balanced,
        "unheard_boots": ledger.unheard_boots,
        "contradictions": ledger.contradictions,
    }


def _stranger(agent: "Agent", node: bytes, stranger: Stranger) -> dict[str, Any]:
    keys = stranger.keys
    return {
        "node": node.hex(),
        "link": stranger.port,
        "since_ms": stranger.since_ms,
        "heard_ms": stranger.heard_ms,
        "fingerprint": None if keys is None else keys.fingerprint.hex(),
        "has_agent": keys is None,
        **agent.claims.told(node),
    }


def _link(agent: "Agent", port: str) -> dict[str, Any]:
    session, link = agent.sessions[port], agent.links[port]
    problem, node = session.problem, session.node
    ends = node is not None and node not in agent.paired
    return {
        "port": port,
        "state": session.state,
        "session": session.session_state if session.state == "open" and not ends else None,
        "node": None if node is None or ends else node.hex(),
        "opened": session.opened_count,
        "bytes_in": link.bytes_in,
        "bytes_out": link.bytes_out,
        "problem": str(problem) if problem else None,
        "condition": problem.condition if problem else None,
        "retry_s": round(session.retry_s, 1) if problem else None,
        "last_rejected": session.last_rejected,
        "last_refused": session.last_refused,
    }


def _forward(agent: "Agent", waiting: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for guard in agent.delivery.guards:
        told = {**guard.channel.status(), **waiting.get(guard.channel.name, {})}
        if guard.problem is not None:
            told["problem"] = guard.problem
        out[guard.channel.name] = told | {"required": guard.channel.required}
    return out


def node(agent: "Agent", node: bytes, counts: Mapping[str, int] | None, unix_us: int) -> dict[str, Any]:
    """What is known of one node. Used in the event loop's thread. `counts`: of the ledger, None when it has
    none.
    """
    counts = counts or dict.fromkeys(COUNTS, 0)
    view = agent.hub.views.get(node)
    paired = node in agent.paired
    out: dict[str, Any] = {"node": node.hex(), "paired": paired, "live": False, **counts}
    out["update"] = telling.of_node(agent.updates, node)
    if view is not None:
        quiet_s = max(0, unix_us // 1000 - max(view.heard_ms, view.live_ms)) // 1000
        # One that has just been forgotten ends its session in its own time.
        live = view.live and paired
        silent_s = quiet_s if live and quiet_s > SILENT_S else None
        out |= {
            "live": live and silent_s is None,
            "silent_s": silent_s,
            "link": view.link,
            "boot": int.from_bytes(view.boot[:4], "big") if view.boot else None,
            "heard_ms": view.heard_ms,
            "other_agents": view.others,
            "about": view.about,
            "vitals": view.vitals,
            "status": view.status,
            "blood_pressure": view.blood_pressure,
            "alarms": view.told.alarms,
            "events": view.told.events,
            "crash": view.crash,
            "sources": sorted(view.sources),
            "malformed": view.malformed,
            "clock": view.clock(unix_us),
        }
    return out


def _carried(agent: "Agent") -> dict[str, int]:
    """What is of a later protocol than ours, by sort: kept and passed on as it is."""
    counts = dict(agent.hub.carried)
    for session in agent.all_sessions:
        for cause, n in session.unknown.items():
            counts[cause] = counts.get(cause, 0) + n
    return dict(sorted(counts.items()))


def write(path: Path, status: Mapping[str, Any]) -> None:
    """Replace the file in one step. OSError as it comes."""
    write_atomically(path, json.dumps(status).encode() + b"\n", durable=False)


def read(path: Path) -> dict[str, Any] | None:
    """The last status, or None when there is none that can be read."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None


def forget(status: Mapping[str, Any], paired: Iterable[bytes]) -> None:
    """Take back what a status says of nodes that were un-paired since it was written."""
    known = {node.hex() for node in paired}
    for node in status["nodes"]:
        if node["node"] not in known:
            node["paired"] = node["live"] = False
            node["silent_s"] = None
    for link in status["links"]:
        if link["node"] and link["node"] not in known:
            link["session"] = link["node"] = None


def is_stale(status: Mapping[str, Any], now_ms: int) -> bool:
    """Whether the agent that wrote this has stopped, or hangs."""
    return status.get("state") != "running" or now_ms - int(status.get("written_ms", 0)) > STALE_MS

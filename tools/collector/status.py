"""What the collector says about itself: `status.json`, rewritten in one step at most once a second."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_agent.files import write_atomically
from tools.collector import linkage, schema
from tools.collector.deadman import Silent, sentence
from tools.collector.saying import Alarm
from tools.collector.store import Store

ALARMS_SHOWN = 20
CHAINS_SHOWN = 8


GAP_MS = 60_000
"""So long a batch may wait for its predecessor before that is an alarm."""


def alarms(store: Store, now_ms: int, silent: Sequence[Silent] = ()) -> list[Alarm]:
    """All that stand."""
    found = store.alarms() + _gaps(store, now_ms)
    return found + [(one.since_ms, "silent", sentence(one, now_ms)) for one in silent]


def summary(store: Store, now_ms: int, silent: Sequence[Silent] = ()) -> dict[str, Any]:
    """Counts that are the same after a restart, none of them by reading the whole store.

    Ids are hex, times Unix ms.
    """
    stored = store.counters("stored")
    unlinked = dict(
        store.db.execute(
            "SELECT linkage, count(*) FROM batches WHERE linkage > 0 GROUP BY linkage"
        ).fetchall()
    )
    unproved = dict(
        store.db.execute("SELECT state, count(*) FROM attestations WHERE state > 0 GROUP BY state").fetchall()
    )
    batches, attestations = stored.get("batches", 0), stored.get("attestations", 0)
    waiting, broken = unlinked.get(schema.WAITING, 0), unlinked.get(schema.BROKEN, 0)
    pending, failed = unproved.get(schema.PENDING, 0), unproved.get(schema.FAILED, 0)
    standing = alarms(store, now_ms, silent)
    return {
        "batches": batches,
        "batches_again": stored.get("batches_again", 0),
        "entries": stored.get("entries", 0),
        "frames": stored.get("frames", 0),
        "frames_malformed": stored.get("frames_malformed", 0),
        "duplicates": stored.get("duplicates", 0),
        "filled_in": stored.get("filled_in", 0),
        "erased": stored.get("erased", 0),
        "conflicts": stored.get("conflicts", 0),
        "wire_bytes": stored.get("wire_bytes", 0),
        "nodes": store.db.execute("SELECT count(*) FROM nodes").fetchone()[0],
        "refused": store.counters("refused"),
        "linkage": {"linked": batches - waiting - broken, "waiting": waiting, "broken": broken},
        "attestations": {"proved": attestations - pending - failed, "pending": pending, "failed": failed},
        "chains": [
            {"agent": agent.hex(), "chain": chain.hex(), "newest": newest, "batches": n}
            for agent, chain, newest, n in store.db.execute(
                "SELECT agent, chain, newest, batches FROM chains ORDER BY id DESC LIMIT ?", (CHAINS_SHOWN,)
            )
        ],
        "silent": [one.agent.hex() for one in silent],
        "heard_ms": {agent.hex(): at_ms for agent, at_ms in sorted(store.heard().items())},
        "alarms": [
            {"at_ms": at, "code": code, "detail": detail} for at, code, detail in standing[-ALARMS_SHOWN:]
        ],
        "alarms_total": len(standing),
    }


def _gaps(store: Store, now_ms: int) -> list[Alarm]:
    """An alarm for each gap that persists; it is over when the gap is filled."""
    return [
        (
            received_ms + GAP_MS,
            "gap",
            f"agent {agent.hex()} chain {chain.hex()}: {number} is here, {number - 1} is not",
        )
        for received_ms, agent, chain, number in linkage.gaps(store, now_ms - GAP_MS)
    ]


def write(path: Path, facts: Mapping[str, Any]) -> None:
    """Replace the status file: readers see the old one or the new one."""
    write_atomically(path, json.dumps(facts, indent=1).encode() + b"\n", durable=False)

"""Frames for the FHIR forwarder, and what it has to know beside them."""

import json
from pathlib import Path

from edge_agent.forward import fhir_worker
from edge_agent.forward.fhir_gather import Gatherer, Item, Row
from edge_agent.nodes.clockfit import Fix
from protocol import frames as f

AGENT, NODE, OTHER = b"agent---", b"node-one", b"node-two"
BOOT = b"\0\0\0\1" + bytes(8)
ANNA, BERTA = bytes(range(16)), bytes(range(16, 32))
# The beginning of a minute.
EPOCH_US = 1_789_999_980_000_000
SECOND = 1_000_000
VECTORS = {
    one["name"]: bytes.fromhex(one["plaintext"])
    for one in json.loads((Path(__file__).parents[2] / "protocol/vectors/frames.json").read_text("utf-8"))[
        "frames"
    ]
}


class Known:
    """Both nodes are Anna's, who agreed to everything; their clocks began at `EPOCH_US`."""

    def __init__(self) -> None:
        self.persons = {NODE: ANNA, OTHER: ANNA}
        self.handed_over_ms: int | None = None
        self.refused: set[bytes] = set()
        self.fixes: dict[bytes, Fix] = {BOOT: Fix(0, EPOCH_US, 0, 900)}
        self.stored: dict[int, bytes] = {}

    def person_at(self, node: bytes, unix_ms: int) -> bytes | None:
        if self.handed_over_ms is not None and unix_ms >= self.handed_over_ms:
            return BERTA
        return self.persons.get(node)

    def allows(self, forwarder: str, purpose: str, person: bytes, unix_ms: int) -> bool:
        assert (forwarder, purpose) == ("fhir", "care")
        return person not in self.refused

    def fix(self, node: bytes, boot: bytes, t_us: int) -> Fix | None:
        return self.fixes.get(boot)

    def boot_frame(self, boot: bytes, node: bytes) -> dict:
        return {f.BOOT_FIRMWARE: "0.1.0", f.BOOT_BOARD: "virtual"}

    def frames(self, node: bytes, boot: bytes, first: int, count: int) -> list[tuple[int, bytes]]:
        return [(seq, self.stored[seq]) for seq in range(first, first + count) if seq in self.stored]


def row(seq: int, kind: int, t_us: int, body: dict, node: bytes = NODE) -> Row:
    return Row(node, BOOT, seq, f.pack(kind, t_us, body))


def vitals(first: int, count: int, node: bytes = NODE, **more) -> list[Row]:
    """One frame a second: heart rate 60.0 and rising by 0.1, SpO2 97.4, pulse 60.1, perfusion 2.10."""
    extra = {int(key[1:]): value for key, value in more.items()}
    return [
        row(
            seq, f.KIND_VITALS, seq * SECOND, {1: 600 + seq % 60, 3: 974, 4: 601, 5: 210, 8: 0, **extra}, node
        )
        for seq in range(first, first + count)
    ]


def gathered(rows: list[Row], known: Known | None = None, strips: bool = True) -> tuple[Gatherer, list[Item]]:
    gatherer = Gatherer(AGENT, strips)
    items = gatherer.gather(rows, known or Known())
    assert fhir_worker.check({"entry": [e.json() for e in entries(items)]}) == []
    return gatherer, items


def entries(items: list[Item]) -> list:
    found = {}
    for item in items:
        for entry in (*item.needs, item.entry):
            found[entry.url] = entry
    return list(found.values())


def by_code(items: list[Item], code: str) -> list[dict]:
    resources = [item.entry.resource for item in items]
    return [one for one in resources if any(c["code"] == code for c in one["code"]["coding"])]

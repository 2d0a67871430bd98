"""Reads measurements back from the collector's store: what is seen at the end of the way."""

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from protocol import frames, waveform, waveform_compiled
from tools.collector.store import Store

BULK = 1000
"""After so many blocks the compiled codec is worth its start, where it is installed."""


class Wave(NamedTuple):
    """One wave frame.

    `t_us`: the first sample, node time; `lsb`: nV (ECG) or pA (PPG); `source`: None on a body.
    """

    boot: bytes
    seq: int
    t_us: int
    period_ns: int
    lsb: int
    flags: int
    late: int
    missed: int
    source: int | None
    samples: "array[int]"


def waves(store: Store, node: bytes, channel: int) -> Iterator[Wave]:
    """Every wave frame of a node's channel in the order of measurement: by boot, then by number."""
    rows = store.db.execute(
        "SELECT boot, seq, plaintext FROM frames"
        " WHERE node = ? AND kind = ? AND channel = ? ORDER BY boot, seq",
        (node, frames.KIND_WAVE, channel),
    )
    for n, (boot, seq, plaintext) in enumerate(rows):
        decode = waveform.decode if n < BULK else waveform_compiled.decode
        _, t_us, body = frames.unpack(plaintext)
        yield Wave(
            boot,
            seq,
            t_us,
            body[frames.WAVE_PERIOD_NS],
            body[frames.WAVE_LSB],
            body.get(frames.WAVE_FLAGS, 0),
            body.get(frames.WAVE_LATE, 0),
            body.get(frames.WAVE_MISSED, 0),
            body.get(frames.SOURCE),
            decode(body[frames.WAVE_DATA], body[frames.WAVE_COUNT]),
        )


def samples(db: Path, node_id: bytes, channel: int) -> list[tuple[int, int, int, "array[int]"]]:
    """(t_us, period_ns, lsb, samples) of every wave frame of a node's channel, in order."""
    store = Store(db, read_only=True)
    try:
        return [(w.t_us, w.period_ns, w.lsb, w.samples) for w in waves(store, node_id, channel)]
    finally:
        store.close()


def of_kind(store: Store, node: bytes, kind: int) -> Iterator[tuple[bytes, int, int, Any]]:
    """(boot, seq, t_us, body) of a node's frames of one kind, in order."""
    for boot, seq, plaintext in store.db.execute(
        "SELECT boot, seq, plaintext FROM frames WHERE node = ? AND kind = ? ORDER BY boot, seq",
        (node, kind),
    ):
        _, t_us, body = frames.unpack(plaintext)
        yield boot, seq, t_us, body


def nodes(store: Store) -> list[bytes]:
    """The ids of all nodes of which there are frames."""
    return [row[0] for row in store.db.execute("SELECT DISTINCT node FROM frames ORDER BY node")]

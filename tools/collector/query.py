"""Reads measurements back from the collector's store: what is seen at the end of the way."""

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from protocol import frames, waveform, waveform_compiled
from protocol.errors import CodecError, FrameError
from tools.collector.store import Store

BULK = 1000
"""After so many blocks the compiled codec is worth its start, where it is installed."""


class Wave(NamedTuple):
    """One wave frame.

    `t_us`: the first sample, node time; `lsb`: nV (ECG) or pA (PPG); `source`: None on a body.
    `samples`: None of a codec that is not read here, and of a damaged block, of which `error` then tells.
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
    codec: int
    samples: "array[int] | None"
    error: str | None


class Unread(NamedTuple):
    """A frame that is filed as a wave, but is none by the rules of this version."""

    boot: bytes
    seq: int
    error: str


def waves(store: Store, node: bytes, channel: int) -> Iterator[Wave | Unread]:
    """Every wave frame of a node's channel in the order of measurement: by boot, then by number."""
    rows = store.db.stream(
        "SELECT boot, seq, plaintext FROM frames"
        " WHERE node = ? AND kind = ? AND channel = ? ORDER BY boot, seq",
        (node, frames.KIND_WAVE, channel),
    )
    for n, (boot, seq, plaintext) in enumerate(rows):
        decode = waveform.decode if n < BULK else waveform_compiled.decode
        try:
            kind, t_us, body = frames.unpack(plaintext)
        except FrameError as e:
            yield Unread(boot, seq, str(e))
            continue
        if kind != frames.KIND_WAVE:
            yield Unread(boot, seq, f"filed as a wave, but a frame of kind {kind}")
            continue
        codec, found, error = body[frames.WAVE_CODEC], None, None
        # Any block may parse by the rules of another codec: then it would be taken for samples.
        if codec == waveform.CODEC:
            try:
                found = decode(body[frames.WAVE_DATA], body[frames.WAVE_COUNT])
            except CodecError as e:
                error = str(e)
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
            codec,
            found,
            error,
        )


def samples(db: Path, node_id: bytes, channel: int) -> list[tuple[int, int, int, "array[int] | None"]]:
    """(t_us, period_ns, lsb, samples) of every wave frame of a node's channel, in order."""
    store = Store(db, read_only=True)
    try:
        found = waves(store, node_id, channel)
        return [(w.t_us, w.period_ns, w.lsb, w.samples) for w in found if isinstance(w, Wave)]
    finally:
        store.close()


def of_kind(store: Store, node: bytes, kind: int) -> Iterator[tuple[bytes, int, int, Any]]:
    """(boot, seq, t_us, body) of a node's frames of one kind, in order."""
    for boot, seq, plaintext in store.db.stream(
        "SELECT boot, seq, plaintext FROM frames WHERE node = ? AND kind = ? ORDER BY boot, seq",
        (node, kind),
    ):
        _, t_us, body = frames.unpack(plaintext)
        yield boot, seq, t_us, body


def nodes(store: Store) -> list[bytes]:
    """The ids of all nodes of which there are frames."""
    return [row[0] for row in store.db.execute("SELECT DISTINCT node FROM frames ORDER BY node")]


def nodes_like(store: Store, digits: str, most: int) -> list[bytes]:
    """The ids of nodes of which there are frames that begin with these hex digits; `most` at most."""
    after = bytes.fromhex(f"{digits:0<16}")
    last = bytes.fromhex(f"{digits:f<16}")
    found: list[bytes] = []
    # One step in the index for each node: DISTINCT would read all that it has.
    question = "SELECT node FROM frames WHERE node {} ? AND node <= ? ORDER BY node LIMIT 1"
    while len(found) < most:
        sign = ">" if found else ">="
        row = store.db.execute(question.format(sign), (after, last)).fetchone()
        if row is None:
            break
        after = row[0]
        found.append(after)
    return found

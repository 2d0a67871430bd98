"""How long making room holds up an agent, by its commits and its event loop, with a store of many frames.

python -m tools.bench evictions [--frames 5000000] [--per-batch 6] [--steps 300] [--json FILE]

The store is filled past its event loop and its links, as a node a second fills it in weeks: small batches, so
very many of them, the older half delivered. Then it is made room in as a running agent does it, from the
store's thread, while the event loop counts for how long it could not run. `unsigned`: the same frames in no
batch, as where no collector has ever answered; half of those that are looked through first are gone already.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edge_agent.nodes.ingest import Worker
from edge_agent.store import rows
from edge_agent.store.compacting import EMPTY_LOG
from edge_agent.store.opening import open_store
from edge_agent.store.retention import DAY_MS, Keeper, Limits
from edge_agent.store.schema import CLASS_TREND, CLASS_WAVE, GONE_EVICTED
from edge_agent.store.store import Frame, Store
from protocol import frames
from tools.bench import report

FRAMES, BYTES, PER_BATCH, STEPS, NODES = 5_000_000, 200, 6, 300, 4
LARGE, GONE = 2000, 0.3
LONG_MS = 50.0
TICK_S = 0.001
AT_ONCE = 100_000
NODE_S = 3
_INSERT = (
    "INSERT INTO journal(id, kind, boot, seq, data, made_ms, key, class, gone, leaf, attested) "
    "VALUES(?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def fill(store: Store, number: int, gone: float) -> None:
    """So many frames; of the oldest this share has no data any more."""
    nodes = [bytes([n]) * 8 for n in range(NODES)]
    boot_id = b"\0\0\0\1" + bytes(8)
    store.commit([Frame(node, boot_id, 0, b"\x83\x05\x01\xa1", 1) for node in nodes])
    boots = [store.boots[node, boot_id] for node in nodes]
    keys = [store.sealer.key(1, node) for node in nodes]
    begin = store.last_journal + 1
    wave, vitals = bytes((0x83, frames.KIND_WAVE, 1, 0xA6, 1, 0)), bytes((0x83, frames.KIND_VITALS, 1, 0xA1))
    hashed = os.urandom(32)

    def made(first: int) -> Iterator[tuple[Any, ...]]:
        for n in range(first, min(first + AT_ONCE, number)):
            which, seq = n % NODES, 1 + n // NODES
            text = (vitals if seq % NODE_S == 0 else wave) + os.urandom(BYTES - 6)
            sort = CLASS_TREND if seq % NODE_S == 0 else CLASS_WAVE
            at = (begin + n, boots[which].row, seq)
            if n < number * gone:
                yield *at, None, 1 + n, keys[which].id, sort, GONE_EVICTED, hashed, hashed
            else:
                sealed = rows.seal(keys[which].aead, text, rows.binding(boot_id, seq))
                yield *at, sealed, 1 + n, keys[which].id, sort, None, None, None

    store.db.pragma("synchronous", "off")
    for first in range(0, number, AT_ONCE):
        with store.transaction() as db:
            db.executemany(_INSERT, made(first))
    store.last_journal = begin + number - 1
    for boot in boots:
        boot.stored.add(1, number // NODES)
        store.uncharted.add(boot.row)
    store.checkpoint()
    store.db.pragma("synchronous", "full")


def batched(store: Store, per_batch: int) -> None:
    """All frames in batches of so many, instead of those that there are; 0: in none. The older half is
    delivered, and has given up what is gone.
    """
    last = store.last_journal
    with store.transaction() as db:
        db.execute("DELETE FROM batches")
        if not per_batch:
            return
        at = db.value("SELECT min(id) FROM journal WHERE gone IS NULL AND class < 3")
        db.executemany(
            "INSERT INTO batches(chain, number, first_id, last_id, preamble, signed, hash, made_ms, "
            "delivered, freed) VALUES(x'aa', ?, ?, ?, x'80', zeroblob(150), zeroblob(32), ?, ?, ?)",
            (
                (n, first, min(first + per_batch - 1, last), first, first < last // 2, 3 if first < at else 0)
                for n, first in enumerate(range(1, last + 1, per_batch))
            ),
        )


async def held(worker: Worker, step: Callable[[], bool], steps: int) -> tuple[list[float], float]:
    """(ms of each step in the store's thread, the longest ms that the event loop was held)."""
    longest = 0.0
    ended = asyncio.Event()

    async def loop() -> None:
        nonlocal longest
        while not ended.is_set():
            before = time.perf_counter()
            await asyncio.sleep(TICK_S)
            longest = max(longest, (time.perf_counter() - before - TICK_S) * 1000)

    watching = asyncio.create_task(loop())
    took: list[float] = []
    for _ in range(steps):
        began = time.perf_counter()
        more = await worker.run(step)
        took.append((time.perf_counter() - began) * 1000)
        if not more:
            break
    ended.set()
    await watching
    return took, longest


def _figures(took: list[float], longest: float) -> dict[str, float]:
    ordered = sorted(took)
    return {
        "steps": len(took),
        "median_ms": round(ordered[len(ordered) // 2], 2),
        "p99_ms": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 2),
        "longest_ms": round(ordered[-1], 2),
        "loop_longest_ms": round(longest, 2),
    }


def measure(number: int, per_batch: int, steps: int, folder: Path) -> dict[str, dict[str, float]]:
    """By what makes room: its steps, and how long the event loop waited for the longest of them."""
    worker = Worker()
    store, _ = open_store(folder / "agent.db", b"agent-01", 1)
    found: dict[str, dict[str, float]] = {}
    now_ms = number + 100 * DAY_MS
    aged = Limits(wave_days=1)
    try:
        fill(store, number, GONE)
        for name, batch, limits in (
            ("quota, small batches", per_batch, None),
            ("age, small batches", per_batch, aged),
            ("quota, large batches", LARGE, None),
            ("age, large batches", LARGE, aged),
            ("pruned, large batches", LARGE, Limits(retention_days=1)),
            ("quota, in no batch", 0, None),
        ):
            batched(store, batch)
            store.give_back(EMPTY_LOG)
            keeper = Keeper(store, limits or Limits(), alone=False)
            if limits is None:
                # Within reach, or what is not delivered would not go at all.
                keeper.limits = Limits(quota_mib=max(1, keeper.used() * 9 // 10 >> 20))
            found[name] = _figures(*asyncio.run(held(worker, lambda k=keeper: k.step(now_ms), steps)))
            print(f"{name:22} {_line(found[name])}", flush=True)
        with store.transaction() as db:
            db.execute("DELETE FROM journal WHERE id > ?", (store.last_journal // 2,))
        store.give_back(EMPTY_LOG)
        keeper = Keeper(store, Limits(), alone=False)
        name = "giving pages back"
        found[name] = _figures(*asyncio.run(held(worker, lambda: keeper.step(now_ms), steps)))
        print(f"{name:22} {_line(found[name])}", flush=True)
    finally:
        worker.close()
        store.close()
    return found


def _line(figures: dict[str, float]) -> str:
    held = f"event loop held {figures['loop_longest_ms']:.1f}"
    steps = f"median {figures['median_ms']:.1f}, 99 of 100 {figures['p99_ms']:.1f}"
    return f"{figures['steps']:5.0f} steps, ms: {steps}, longest {figures['longest_ms']:.1f}; {held}"


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command; 1 when a step or the event loop took longer than it may."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench evictions", description="How long making room holds up an agent."
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help="of 200 bytes (%(default)s: 1.4 GB)")
    parser.add_argument("--per-batch", type=int, default=PER_BATCH, help="in a small batch (%(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each sort (%(default)s)")
    report.add_option(parser)
    options = parser.parse_args(argv)
    if options.frames < 1000 or options.per_batch < 1 or options.steps < 1:
        parser.error("--frames begins at 1000, the others at 1")
    with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as folder:
        began = time.perf_counter()
        found = measure(options.frames, options.per_batch, options.steps, Path(folder))
        size = (Path(folder) / "agent.db").stat().st_size
    print(
        f"{options.frames} frames, {size / 1e9:.2f} GB at the end, {time.perf_counter() - began:.0f} s in all"
    )
    print(report.machine_line())
    report.write(options.json, {"frames": options.frames, "limit_ms": LONG_MS, "sorts": found})
    late = [name for name, one in found.items() if max(one["longest_ms"], one["loop_longest_ms"]) > LONG_MS]
    for name in late:
        print(f"longer than {LONG_MS:g} ms: {name}")
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main())

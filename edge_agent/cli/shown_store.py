"""What `vitalwire store stats` says, for people."""

from collections.abc import Iterator
from typing import Any

from edge_agent.readable import counted, utc

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def sized(count: float | None) -> str:
    """Bytes as people say them."""
    if count is None:
        return "unknown"
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:.0f} bytes" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def stats_lines(found: dict[str, Any]) -> Iterator[str]:
    """One line on each thing, of what stats() gives."""
    log, unused = sized(found["log_bytes"]), sized(found["unused_bytes"])
    yield f"store {found['path']}: {sized(found['file_bytes'])}, log {log}, of it unused {unused}"
    limit = "no quota" if found["quota_bytes"] is None else f"quota {sized(found['quota_bytes'])}"
    yield f"  {limit}; free on its disk {sized(found['disk_free_bytes'])}"
    batches = found["batches"]
    yield (
        f"entries {found['entries']}, in {counted(batches['signed'], 'batch')},"
        f" {batches['delivered']} delivered"
    )
    for name, told in found["frames"].items():
        yield f"  {name:5}  {told['frames']:>10} frames  {sized(told['bytes'])}"
    if found["oldest_ms"] is not None:
        yield f"  oldest {utc(found['oldest_ms'])}, newest {utc(found['newest_ms'])}"
    freeable = found["freeable"]
    yield f"freeable: {freeable['frames']} delivered frames, {sized(freeable['bytes'])}"
    gone, pruned = found["gone"], found["pruned"]
    said = ", ".join(f"{name} {count}" for name, count in gone.items())
    yield f"data gone, hashes kept: {said}"
    if pruned["batches"]:
        yield (
            f"pruned to head and receipts: {counted(pruned['batches'], 'batch')},"
            f" {counted(pruned['entries'], 'entry')}"
        )
    for one in found["evictions"]:
        fate = "after delivery" if one["delivered"] else "NOT DELIVERED"
        yield f"  gave up {counted(one['frames'], 'frame')} of {one['class']} ({one['cause']}): {fate}"
    keys = found["keys"]
    yield f"data keys: {keys['open']} open, {keys['ended']} ended, {keys['destroyed']} destroyed"

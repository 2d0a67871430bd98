"""What a value means, in words: by the name of the rule that it is under."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from protocol import frame_names, frames, messages

RESETS = {0: "unknown", 1: "power on", 2: "hard", 3: "watchdog", 4: "deep sleep", 5: "soft", 6: "brown-out"}
PRIORITIES = {0: "information", 1: "low", 2: "medium", 3: "high"}
SOURCES = {frames.SRC_REPLAY: "replay of a recording", frames.SRC_SYNTHETIC: "synthetic"}
WAVE_FLAGS = ("saturated", "lead or finger off", "FIFO overflowed before")
VITALS_FLAGS = ("lead off", "no finger", "SpO2 uncalibrated", "ECG settling", "PPG settling")
UNBOUNDED_S = 0xFFFFFFFF
DIRECTIONS = {0: "up", 1: "down"}


def _named(names: dict[int, str]) -> Callable[[int], str]:
    return lambda value: names.get(value, "not known here")


def _flags(names: "tuple[str, ...]") -> Callable[[int], str]:
    def words(value: int) -> str:
        known = [name for i, name in enumerate(names) if value >> i & 1]
        rest = value >> len(names) << len(names)
        return ", ".join([*known, f"0x{rest:x} not known here"] if rest else known) or "none"

    return words


def _scaled(by: int, unit: str) -> Callable[[int], str]:
    places = len(str(by)) - 1
    return lambda value: f"{value / by:.{places}f} {unit}"


def _unix_ms(value: int) -> str:
    try:
        moment = datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return "beyond the calendar"
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{value % 1000:03d} UTC"


def _boot_id(value: bytes) -> str:
    return f"boot {int.from_bytes(value[:4], 'big')}, random {value[4:].hex()}"


def _bound(value: int) -> str:
    if not value:
        return "and no more"
    return "and nobody knows how many more" if value == UNBOUNDED_S else f"and up to {value} s of more"


def _period(value: int) -> str:
    return f"{1e9 / value:g} samples/s"


def _partial_iv(value: bytes) -> str:
    return f"sequence number or counter {int.from_bytes(value, 'big')}"


MEANINGS: dict[str, Callable[[Any], str]] = {
    "t-us": _scaled(1_000_000, "s"),
    "received-us": _scaled(1_000_000, "s"),
    "unix-ms": _unix_ms,
    "made-at": _unix_ms,
    "received-at": _unix_ms,
    "boot-id": _boot_id,
    "known-next": lambda value: f"frames 0 to {value - 1} existed" if value else "no frame is known of",
    "known-frames": lambda value: f"{value} frames existed",
    "bound-s": _bound,
    "partial-iv": _partial_iv,
    "channel": _named(frame_names.CHANNEL_NAMES),
    "period-ns": _period,
    "wave-flags": _flags(WAVE_FLAGS),
    "vitals-flags": _flags(VITALS_FLAGS),
    "heart-rate": _scaled(10, "/min"),
    "pulse-rate": _scaled(10, "/min"),
    "spo2": _scaled(10, "%"),
    "perfusion-index": _scaled(100, "%"),
    "rr-ms": lambda value: f"{value} ms",
    "reset-cause": _named(RESETS),
    "last-reset-cause": _named(RESETS),
    "entropy": _named({0: "weak", 1: "strong"}),
    "event-code": _named(frame_names.EVENT_NAMES),
    "priority": _named(PRIORITIES),
    "source": _named(SOURCES),
    "ppg-source": _named(SOURCES),
    "refusal-code": _named(messages.REFUSE_NAMES),
    "loss-reason": _named({frames.LOSS_OUTBOX_FULL: "outbox full"}),
    "direction": _named(DIRECTIONS),
    "kind": _named(frame_names.KIND_NAMES),
    "other-kind": _named(frame_names.KIND_NAMES),
}


def shown(value: Any) -> str:
    """A value of CBOR for people: short."""
    if isinstance(value, bytes):
        return f"h'{value[:16].hex()}{'…' if len(value) > 16 else ''}'" + (
            f" ({len(value)} bytes)" if len(value) > 16 else ""
        )
    if isinstance(value, str):
        return '"' + value.encode("unicode_escape").decode().replace('"', '\\"') + '"'
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, dict):
        return "a map"
    return str(value)


def meaning(names: "list[str]", value: Any) -> str:
    """What `value` means under the first of these rules or labels that says something; "" when none does."""
    for name in names:
        words = MEANINGS.get(name)
        if words is not None and not isinstance(value, (list, dict, bool)):
            return words(value)
    return ""

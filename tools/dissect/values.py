"""What a value means, in words: by the name of the rule that it is under."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from edge_agent.readable import counted
from protocol import frame_names, frames, messages, nomenclature


def _named(names: dict[int, str]) -> Callable[[int], str]:
    return lambda value: names.get(value, "not known here")


def _flags(names: dict[int, str]) -> Callable[[int], str]:
    def words(value: int) -> str:
        known = [name for bit, name in names.items() if value & bit]
        rest = value & ~sum(names)
        return ", ".join([*known, f"0x{rest:x} not known here"] if rest else known) or "none"

    return words


def _seconds(value: int) -> str:
    return f"{value / 1_000_000:.6f} s"


def _quantity(kind: int, key: int) -> Callable[[int], str]:
    quantity = nomenclature.by_key(kind, key)
    assert quantity is not None
    return lambda value: nomenclature.text(quantity.number, value)


def _quantity_name(number: int) -> str:
    quantity = nomenclature.by_number(number)
    return "not known here" if quantity is None else f"{quantity.what}, in {quantity.unit or 'a number'}"


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
    if value == frame_names.UNBOUNDED:
        return "and nobody knows how many more"
    return f"and up to {value} s of more"


def _period(value: int) -> str:
    return f"{1e9 / value:g} samples/s"


_channel = _named(frame_names.CHANNEL_NAMES)
_source = _named(frame_names.SOURCE_NAMES)
_reset = _named(frame_names.RESET_NAMES)

# By the name of a rule, or of a place in an array.
MEANINGS: dict[str, Callable[[Any], str]] = {
    # messages
    "direction": _named({0: "up", 1: "down"}),
    "partial-iv": lambda value: f"sequence number or counter {int.from_bytes(value, 'big')}",
    "refusal-code": _named(messages.REFUSE_NAMES),
    # all frames
    "kind": _named(frame_names.KIND_NAMES),
    "other-kind": _named(frame_names.KIND_NAMES),
    "order-kind": _named(frame_names.KIND_NAMES),
    "t-us": _seconds,
    "source": _source,
    "ppg-source": _source,
    # boot
    "boot-id": _boot_id,
    "reset-cause": _reset,
    "known-next": lambda value: f"frames 0 to {value - 1} existed" if value else "no frame is known of",
    "known-frames": lambda value: f"{counted(value, 'frame')} existed",
    "bound-s": _bound,
    "entropy": _named({0: "weak", 1: "strong"}),
    # wave
    "channel": _channel,
    "period-ns": _period,
    "wave-flags": _flags(frame_names.WAVE_FLAG_NAMES),
    # vitals
    "heart-rate": _quantity(frames.KIND_VITALS, frames.VITALS_HR),
    "rr-ms": _quantity(frames.KIND_VITALS, frames.VITALS_RR),
    "spo2": _quantity(frames.KIND_VITALS, frames.VITALS_SPO2),
    "pulse-rate": _quantity(frames.KIND_VITALS, frames.VITALS_PULSE),
    "perfusion-index": _quantity(frames.KIND_VITALS, frames.VITALS_PI),
    "ecg-quality": _quantity(frames.KIND_VITALS, frames.VITALS_ECG_QUALITY),
    "ppg-quality": _quantity(frames.KIND_VITALS, frames.VITALS_PPG_QUALITY),
    "vitals-flags": _flags(frame_names.VITALS_FLAG_NAMES),
    # bp
    "bp-result": _named(frame_names.BP_RESULT_NAMES),
    "systolic": _quantity(frames.KIND_BP, frames.BP_SYSTOLIC),
    "diastolic": _quantity(frames.KIND_BP, frames.BP_DIASTOLIC),
    "mean-pressure": _quantity(frames.KIND_BP, frames.BP_MEAN),
    "bp-pulse-rate": _quantity(frames.KIND_BP, frames.BP_PULSE),
    "peak-pressure": _quantity(frames.KIND_BP, frames.BP_PEAK),
    "confidence": _quantity(frames.KIND_BP, frames.BP_CONFIDENCE),
    "cuff-size": _named(frame_names.CUFF_NAMES),
    "bp-reason": _named(frame_names.REASON_NAMES),
    "bp-flags": _flags(frame_names.BP_FLAG_NAMES),
    # event, status, loss, log
    "event-code": _named(frame_names.EVENT_NAMES),
    "priority": _named(frame_names.PRIORITY_NAMES),
    "event-state": _named(frame_names.STATE_NAMES),
    "last-reset-cause": _reset,
    "loss-reason": _named(frame_names.LOSS_NAMES),
    "log-level": _named(frame_names.LEVEL_NAMES),
    # orders and their answers
    "operation": _named(frame_names.OPERATION_NAMES),
    "mode": _named(frame_names.MODE_NAMES),
    "mains-hz": lambda value: f"{value} Hz",
    "delay-s": lambda value: f"{value} s",
    "result": _named(frame_names.RESULT_NAMES),
    "update-step": _named(frame_names.STEP_NAMES),
    "update-object": lambda value: "the manifest" if value == 0 else f"file {value} of the manifest",
    "most-bytes-s": lambda value: f"at most {counted(value, 'byte')} a second",
    "most-in-flight": lambda value: f"at most {counted(value, 'frame')} in flight",
    # batches and records
    "unix-ms": _unix_ms,
    "made-at": _unix_ms,
    "received-at": _unix_ms,
    "quantity": _quantity_name,
}


def shown(value: Any) -> str:
    """A value of CBOR for people: short."""
    if isinstance(value, bytes):
        return f"h'{value[:16].hex()}{'…' if len(value) > 16 else ''}'" + (
            f" ({counted(len(value), 'byte')})" if len(value) > 16 else ""
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

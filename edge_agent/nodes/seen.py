"""Bodies of frames in words and plain units, as status.json shows them."""

from typing import Any

from protocol import frames
from protocol.frame_names import (
    BP_FLAG_NAMES,
    BP_RESULT_NAMES,
    CUFF_NAMES,
    EVENT_NAMES,
    PRIORITY_NAMES,
    REASON_NAMES,
    RESET_NAMES,
    STATE_NAMES,
    VITALS_FLAG_NAMES,
)

# Event codes of what is the matter with the person; every other alarm is about the kit or its signal.
PHYSIOLOGICAL = range(32, 48)
SOURCE_NAMES = {None: "sensor", frames.SRC_REPLAY: "replay", frames.SRC_SYNTHETIC: "synthetic"}
STATUS_NAMES = {
    frames.STATUS_HEAP_FREE: "heap_free",
    frames.STATUS_HEAP_LOW: "heap_free_min",
    frames.STATUS_LATE: "late_samples",
    frames.STATUS_MISSED: "missed_samples",
    frames.STATUS_JITTER_US: "worst_jitter_us",
    frames.STATUS_UPTIME_S: "uptime_s",
    frames.STATUS_OUTBOX_FRAMES: "outbox_frames",
    frames.STATUS_OUTBOX_BYTES: "outbox_bytes",
    frames.STATUS_EVICTED: "evicted",
    frames.STATUS_REJECTED: "downlink_rejected",
    frames.STATUS_RESENT: "resent",
    frames.STATUS_BUS_ERRORS: "bus_errors",
    frames.STATUS_NEXT_SEQ: "next_seq",
}

Body = dict[int, Any]


def named(names: dict[int, str], number: int | None, what: str) -> str | None:
    """The number's name; of one that is not in the list, the number."""
    return None if number is None else names.get(number, f"{what} {number}")


def _scaled(body: Body, key: int, divisor: int) -> float | None:
    return body[key] / divisor if key in body else None


def vitals(body: Body) -> dict[str, Any]:
    """A vitals frame."""
    flags = body.get(frames.VITALS_FLAGS, 0)
    return {
        "hr_bpm": _scaled(body, frames.VITALS_HR, 10),
        "rr_ms": body.get(frames.VITALS_RR, []),
        "spo2_pct": _scaled(body, frames.VITALS_SPO2, 10),
        "pulse_bpm": _scaled(body, frames.VITALS_PULSE, 10),
        "perfusion_pct": _scaled(body, frames.VITALS_PI, 100),
        "ecg_quality": body.get(frames.VITALS_ECG_QUALITY),
        "ppg_quality": body.get(frames.VITALS_PPG_QUALITY),
        "flags": [name for bit, name in VITALS_FLAG_NAMES.items() if flags & bit],
        "source": SOURCE_NAMES.get(body.get(frames.SOURCE), "unknown"),
        "ppg_source": SOURCE_NAMES.get(body.get(frames.SOURCE_PPG), "unknown"),
    }


def status(body: Body) -> dict[str, Any]:
    """A status frame."""
    told: dict[str, Any] = {name: body[key] for key, name in STATUS_NAMES.items()}
    told["battery_pct"] = body.get(frames.STATUS_BATTERY)
    told["charging"] = bool(body[frames.STATUS_CHARGING]) if frames.STATUS_CHARGING in body else None
    return told | {"reset_cause": RESET_NAMES.get(body[frames.STATUS_RESET_CAUSE], "unknown")}


def about(body: Body) -> dict[str, Any]:
    """A boot frame."""
    return {
        "firmware": body[frames.BOOT_FIRMWARE],
        "board": body[frames.BOOT_BOARD],
        "input": body.get(frames.BOOT_INPUT),
        "reset_cause": RESET_NAMES.get(body[frames.BOOT_RESET_CAUSE], "unknown"),
        "parts": sorted({channel[1] for channel in body[frames.BOOT_CHANNELS]}),
        "weak_entropy": body[frames.BOOT_ENTROPY] != frames.ENTROPY_STRONG,
    }


def blood_pressure(body: Body) -> dict[str, Any]:
    """A bp frame."""
    flags = body.get(frames.BP_FLAGS, 0)
    return {
        "result": named(BP_RESULT_NAMES, body[frames.BP_RESULT], "result"),
        "systolic_mmhg": _scaled(body, frames.BP_SYSTOLIC, 10),
        "diastolic_mmhg": _scaled(body, frames.BP_DIASTOLIC, 10),
        "mean_mmhg": _scaled(body, frames.BP_MEAN, 10),
        "pulse_bpm": _scaled(body, frames.BP_PULSE, 10),
        "confidence": body.get(frames.BP_CONFIDENCE),
        "highest_cuff_mmhg": _scaled(body, frames.BP_PEAK, 10),
        "cuff": named(CUFF_NAMES, body.get(frames.BP_CUFF_SIZE), "size"),
        "reason": named(REASON_NAMES, body[frames.BP_REASON], "reason"),
        "number": body[frames.BP_NUMBER],
        "flags": [name for bit, name in BP_FLAG_NAMES.items() if flags & bit],
        "source": SOURCE_NAMES.get(body.get(frames.SOURCE), "unknown"),
    }


def event(body: Body, past: bool) -> dict[str, Any]:
    """An event frame. `past`: it was over, or made before the connection on which it came: an old alarm."""
    priority = body[frames.EVENT_PRIORITY]
    return {
        "event": named(EVENT_NAMES, body[frames.EVENT_CODE], "event"),
        "code": body[frames.EVENT_CODE],
        "priority": PRIORITY_NAMES.get(priority, str(priority)),
        "alarm": priority > frames.PRIORITY_INFO,
        "physiological": body[frames.EVENT_CODE] in PHYSIOLOGICAL,
        "past": past or bool(body.get(frames.EVENT_PAST)),
        "state": named(STATE_NAMES, body.get(frames.EVENT_STATE, frames.STATE_HAPPENED), "state"),
        "number": body.get(frames.EVENT_ALARM),
        "value": body.get(frames.EVENT_VALUE),
        "limit": body.get(frames.EVENT_LIMIT),
        "began_us": body.get(frames.EVENT_BEGAN_US),
        "evidence": body.get(frames.EVENT_EVIDENCE, []),
        "text": body.get(frames.EVENT_TEXT),
    }


def crash(body: Body, boot: bytes) -> dict[str, Any]:
    """A log frame of level crash; `boot` made it."""
    of = body.get(frames.LOG_BOOT, boot)
    return {
        "boot": int.from_bytes(of[:4], "big"),
        "reset_cause": named(RESET_NAMES, body.get(frames.LOG_RESET_CAUSE), "cause"),
        "uptime_s": body.get(frames.LOG_UPTIME_S),
        "text": body[frames.LOG_TEXT],
    }

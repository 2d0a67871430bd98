"""What the body of each known kind of frame must hold, as tables (docs/wire-protocol.md §8).

frame_schema.py checks by them. A node never loads either: it makes these frames and has no memory to spare
for checking them. Numbers whose list of meanings may grow (reset cause, event code, source, …) are only held
to a size; the meanings known so far are in `MEANINGS`.
"""

from protocol import frame_names as names
from protocol import frames as f

TYPE_CHECKING = False
if TYPE_CHECKING:
    Rule = tuple[str, bool, str, int, int]

U8 = 0xFF
U16 = 0xFFFF
U32 = 0xFFFFFFFF
U53 = (1 << 53) - 1
I63 = (1 << 63) - 1

MAX_RR = 64
MAX_CHANNELS = 16
MAX_EARLIER = 64
MAX_EVIDENCE = 8
# So many fit into one signed message, whatever their numbers.
MAX_LIMITS = 5
MAX_PRESSURE = 4000

_COUNTERS = (
    (f.STATUS_HEAP_FREE, "heap free"),
    (f.STATUS_HEAP_LOW, "heap free low-water"),
    (f.STATUS_LATE, "late samples"),
    (f.STATUS_MISSED, "missed samples"),
    (f.STATUS_JITTER_US, "worst jitter"),
    (f.STATUS_RESET_CAUSE, "reset cause"),
    (f.STATUS_UPTIME_S, "uptime"),
    (f.STATUS_OUTBOX_FRAMES, "outbox frames"),
    (f.STATUS_OUTBOX_BYTES, "outbox bytes"),
    (f.STATUS_EVICTED, "frames evicted"),
    (f.STATUS_REJECTED, "downlink messages rejected"),
    (f.STATUS_RESENT, "frames sent again"),
    (f.STATUS_BUS_ERRORS, "bus errors"),
    (f.STATUS_NEXT_SEQ, "next sequence number"),
)


def _order(what: str, kind_of: str, least: int, most: int) -> "dict[int, Rule]":
    return {
        f.ORDER_ID: ("id", True, "bytes", 8, 8),
        f.ORDER_WHAT: (what, True, kind_of, least, most),
        f.ORDER_ARGS: ("arguments", False, "map", 0, 0),
        f.ORDER_EXPIRES_US: ("expires at", True, "int", 0, U53),
        f.ORDER_AUTHORITY: ("authority", False, "bytes", 8, 8),
        f.ORDER_SIGNATURE: ("signature", False, "bytes", 64, 64),
        f.ORDER_REASON: ("reason", False, "text", 0, 32),
        f.ORDER_MS: ("ordered at", True, "int", 0, U53),
    }


# key: (name, required, type, least, most); the bounds of bytes and text are of the length in bytes, of lists
# of the number of items
BODIES: "dict[int, dict[int, Rule]]" = {
    f.KIND_BOOT: {
        f.BOOT_FIRMWARE: ("firmware", True, "text", 0, 64),
        f.BOOT_BOARD: ("board", True, "text", 0, 64),
        f.BOOT_RESET_CAUSE: ("reset cause", True, "int", 0, U8),
        f.BOOT_KEYS: ("public keys", True, "keys", 2, 2),
        f.BOOT_INPUT: ("input label", False, "text", 0, 200),
        f.BOOT_PREVIOUS: ("previous boot", False, "previous", 4, 4),
        f.BOOT_CHANNELS: ("channels", True, "channels", 0, MAX_CHANNELS),
        f.BOOT_ENTROPY: ("entropy", True, "int", 0, 1),
        f.BOOT_EARLIER: ("earlier boots", False, "earlier", 1, MAX_EARLIER),
        f.BOOT_READ_BY: ("read by", False, "bytes", 8, 8),
    },
    f.KIND_WAVE: {
        f.WAVE_CHANNEL: ("channel", True, "int", 0, U8),
        f.WAVE_COUNT: ("number of samples", True, "int", 1, U16),
        f.WAVE_PERIOD_NS: ("period", True, "int", 1, U32),
        f.WAVE_LSB: ("LSB", True, "int", 1, U32),
        f.WAVE_CODEC: ("codec", True, "int", 1, U8),
        f.WAVE_DATA: ("data", True, "bytes", 1, f.MAX_PLAINTEXT),
        f.WAVE_FLAGS: ("flags", False, "int", 0, U16),
        f.WAVE_LATE: ("late samples", False, "int", 0, U32),
        f.WAVE_MISSED: ("missed samples", False, "int", 0, U32),
        f.WAVE_MEASUREMENT: ("measurement", False, "int", 1, U32),
        f.SOURCE: ("source", False, "int", 1, U8),
    },
    f.KIND_VITALS: {
        f.VITALS_HR: ("heart rate", False, "int", 0, U16),
        f.VITALS_RR: ("RR intervals", False, "rr", 0, MAX_RR),
        f.VITALS_SPO2: ("SpO2", False, "int", 0, 1000),
        f.VITALS_PULSE: ("pulse rate", False, "int", 0, U16),
        f.VITALS_PI: ("perfusion index", False, "int", 0, U16),
        f.VITALS_ECG_QUALITY: ("ECG quality", False, "int", 0, 100),
        f.VITALS_PPG_QUALITY: ("PPG quality", False, "int", 0, 100),
        f.VITALS_FLAGS: ("flags", False, "int", 0, U16),
        f.SOURCE: ("source of the ECG values", False, "int", 1, U8),
        f.SOURCE_PPG: ("source of the PPG values", False, "int", 1, U8),
    },
    f.KIND_BP: {
        f.BP_RESULT: ("result", True, "int", 0, U8),
        f.BP_SYSTOLIC: ("systolic", False, "int", 0, MAX_PRESSURE),
        f.BP_DIASTOLIC: ("diastolic", False, "int", 0, MAX_PRESSURE),
        f.BP_MEAN: ("mean arterial pressure", False, "int", 0, MAX_PRESSURE),
        f.BP_PULSE: ("pulse rate", False, "int", 0, U16),
        f.BP_CONFIDENCE: ("confidence", False, "int", 0, 100),
        f.BP_BEGAN_US: ("inflation began at", True, "int", 0, U53),
        f.BP_PEAK: ("highest cuff pressure", True, "int", 0, MAX_PRESSURE),
        f.BP_CUFF_SIZE: ("cuff size", False, "int", 0, U8),
        f.BP_REASON: ("reason", True, "int", 1, U8),
        f.BP_NUMBER: ("measurement number", True, "int", 1, U32),
        f.BP_COMMAND: ("command", False, "bytes", 8, 8),
        f.BP_FLAGS: ("flags", False, "int", 0, U16),
        f.SOURCE: ("source", False, "int", 1, U8),
    },
    f.KIND_EVENT: {
        f.EVENT_CODE: ("code", True, "int", 0, U16),
        f.EVENT_PRIORITY: ("priority", True, "int", 0, 3),
        f.EVENT_VALUE: ("value", False, "int", -I63 - 1, I63),
        f.EVENT_TEXT: ("text", False, "text", 0, 64),
        f.EVENT_PAST: ("past", False, "bool", 0, 1),
        f.EVENT_STATE: ("state", False, "int", 0, U8),
        f.EVENT_ALARM: ("alarm number", False, "int", 0, U16),
        f.EVENT_LIMIT: ("limit", False, "int", -I63 - 1, I63),
        f.EVENT_EVIDENCE: ("evidence", False, "ranges", 0, MAX_EVIDENCE),
        f.EVENT_BEGAN_US: ("began at", False, "int", 0, U53),
    },
    f.KIND_STATUS: {key: (name, True, "int", 0, U32) for key, name in _COUNTERS},
    f.KIND_LOSS: {f.LOSS_RANGES: ("ranges", True, "losses", 1, f.MAX_PLAINTEXT)},
    f.KIND_LOST_BEFORE: {f.LOST_BEFORE: ("ranges of earlier boots", True, "boot losses", 1, MAX_EARLIER)},
    f.KIND_ATTEST: {
        f.ATTEST_FIRST: ("first", True, "int", 0, U32),
        f.ATTEST_COUNT: ("count", True, "int", 1, U32),
        f.ATTEST_ROOT: ("root", True, "bytes", 32, 32),
        f.ATTEST_SIGNATURE: ("signature", True, "bytes", 64, 64),
    },
    f.KIND_TIME: {
        f.TIME_TOKEN: ("token", True, "int", 0, I63),
        f.TIME_RECEIVED_US: ("time of receipt", True, "int", 0, U53),
    },
    f.KIND_LOG: {
        f.LOG_LEVEL: ("level", True, "int", 0, U8),
        f.LOG_TEXT: ("text", True, "text", 0, 1024),
        f.LOG_BOOT: ("boot", False, "bytes", 12, 12),
        f.LOG_RESET_CAUSE: ("reset cause", False, "int", 0, U8),
        f.LOG_UPTIME_S: ("uptime", False, "int", 0, U32),
    },
    f.KIND_ANSWER: {
        f.ANSWER_ID: ("id", True, "bytes", 8, 8),
        f.ANSWER_RESULT: ("result", True, "int", 0, U8),
        f.ANSWER_DETAIL: ("detail", False, "text", 0, 64),
        f.ANSWER_VALUE: ("value", False, "int", -I63 - 1, I63),
        f.ANSWER_DIGEST: ("order digest", False, "bytes", 8, 8),
    },
    f.KIND_TIME_DOWN: {f.TIME_TOKEN: ("token", True, "int", 0, I63)},
    f.KIND_COMMAND: _order("operation", "int", 0, U16),
    f.KIND_CONFIG: _order("settings", "settings", 0, 0),
    f.KIND_UPDATE: {
        f.UPDATE_ID: ("id", True, "bytes", 8, 8),
        f.UPDATE_STEP: ("step", True, "int", 1, U8),
        f.UPDATE_SIZE: ("size", False, "int", 1, U32),
        f.UPDATE_OBJECT: ("object", False, "int", 0, U16),
        f.UPDATE_OFFSET: ("offset", False, "int", 0, U32),
        f.UPDATE_DATA: ("data", False, "bytes", 1, 128),
        f.UPDATE_FIRMWARE: ("firmware", False, "text", 0, 64),
    },
    f.KIND_FLOW: {
        f.FLOW_WAVES: ("waveforms", False, "bool", 0, 1),
        f.FLOW_BYTES_S: ("bytes a second", False, "int", 1, U32),
        f.FLOW_WINDOW: ("frames in flight", False, "int", 1, 16),
    },
    f.KIND_UNPAIR: {f.UNPAIR_ID: ("id", True, "bytes", 8, 8)},
}
# MicroPython takes no map apart within another.
BODIES[f.KIND_STATUS][f.STATUS_BATTERY] = ("battery", False, "int", 0, 100)
BODIES[f.KIND_STATUS][f.STATUS_CHARGING] = ("charging", False, "int", 0, 1)

SETTINGS: "dict[int, Rule]" = {
    f.SET_MAINS_HZ: ("mains frequency", False, "int", 1, U8),
    f.SET_MODE: ("mode", False, "int", 0, U8),
    f.SET_LIMITS: ("alarm limits", False, "limits", 0, MAX_LIMITS),
    f.SET_NOT_SENT: ("channels not to be sent", False, "channel numbers", 0, MAX_CHANNELS),
    f.SET_CUFF_SIZE: ("cuff size", False, "int", 0, U8),
}

_PRESSURES = (f.BP_SYSTOLIC, f.BP_DIASTOLIC, f.BP_MEAN)

# kind: (key, value, the keys that this value makes necessary), …
NEEDED: "dict[int, tuple[tuple[int, int, tuple[int, ...]], ...]]" = {
    f.KIND_BP: ((f.BP_RESULT, f.BP_MEASURED, _PRESSURES),),
    f.KIND_UPDATE: (
        (f.UPDATE_STEP, f.STEP_OFFER, (f.UPDATE_SIZE, f.UPDATE_FIRMWARE)),
        (f.UPDATE_STEP, f.STEP_DATA, (f.UPDATE_OBJECT, f.UPDATE_OFFSET, f.UPDATE_DATA)),
    ),
}

# kind: the key and the only value with which these keys may be there
ONLY_WITH = {f.KIND_BP: (f.BP_RESULT, f.BP_MEASURED, _PRESSURES)}

# (kind, key): the numbers that have a meaning in this version
MEANINGS: "dict[tuple[int, int], frozenset[int]]" = {
    (f.KIND_BOOT, f.BOOT_RESET_CAUSE): frozenset(names.RESET_NAMES),
    (f.KIND_WAVE, f.WAVE_CHANNEL): frozenset(names.CHANNEL_NAMES),
    (f.KIND_WAVE, f.WAVE_CODEC): frozenset((2,)),
    (f.KIND_WAVE, f.SOURCE): frozenset(names.SOURCE_NAMES),
    (f.KIND_VITALS, f.SOURCE): frozenset(names.SOURCE_NAMES),
    (f.KIND_VITALS, f.SOURCE_PPG): frozenset(names.SOURCE_NAMES),
    (f.KIND_BP, f.BP_RESULT): frozenset(names.BP_RESULT_NAMES),
    (f.KIND_BP, f.BP_CUFF_SIZE): frozenset(names.CUFF_NAMES),
    (f.KIND_BP, f.BP_REASON): frozenset(names.REASON_NAMES),
    (f.KIND_BP, f.SOURCE): frozenset(names.SOURCE_NAMES),
    (f.KIND_EVENT, f.EVENT_CODE): frozenset(names.EVENT_NAMES),
    (f.KIND_EVENT, f.EVENT_STATE): frozenset(names.STATE_NAMES),
    (f.KIND_STATUS, f.STATUS_RESET_CAUSE): frozenset(names.RESET_NAMES),
    (f.KIND_LOG, f.LOG_LEVEL): frozenset(names.LEVEL_NAMES),
    (f.KIND_LOG, f.LOG_RESET_CAUSE): frozenset(names.RESET_NAMES),
    (f.KIND_ANSWER, f.ANSWER_RESULT): frozenset(names.RESULT_NAMES),
    (f.KIND_COMMAND, f.ORDER_WHAT): frozenset(names.OPERATION_NAMES),
    (f.KIND_UPDATE, f.UPDATE_STEP): frozenset(names.STEP_NAMES),
}

# (kind, key): the mask of the bits that have one
FLAGS = {
    (f.KIND_WAVE, f.WAVE_FLAGS): sum(names.WAVE_FLAG_NAMES),
    (f.KIND_VITALS, f.VITALS_FLAGS): sum(names.VITALS_FLAG_NAMES),
    (f.KIND_BP, f.BP_FLAGS): sum(names.BP_FLAG_NAMES),
}

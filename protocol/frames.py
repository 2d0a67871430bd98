"""Frames: what is inside a seal. `[kind, t_us, body]` in CBOR, and the names of every number in it.

Source: docs/wire-protocol.md §8; the same as a schema: protocol/vitalwire.cddl. Kinds and keys that are not
known are carried, not refused. What each known kind must hold is checked by frame_schema.py, which a node
never loads: it reads what came down with `unpack_down`.
"""

from protocol import cbor
from protocol.checks import is_list, is_map, is_ranges, is_uint
from protocol.errors import CborError, FrameError, LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KIND_BOOT = 1
KIND_WAVE = 2
KIND_VITALS = 3
KIND_BP = 4
KIND_EVENT = 5
KIND_STATUS = 6
KIND_LOSS = 7
KIND_ATTEST = 8
KIND_LOG = 9
KIND_TIME = 10
KIND_ANSWER = 11
KIND_LOST_BEFORE = 12
KIND_ACK = 32
KIND_TIME_DOWN = 33
KIND_COMMAND = 34
KIND_CONFIG = 35
KIND_UPDATE = 36
KIND_FLOW = 37
KIND_UNPAIR = 38

# Body keys, kind by kind

BOOT_FIRMWARE = 1
BOOT_BOARD = 2
BOOT_RESET_CAUSE = 3
BOOT_KEYS = 4
BOOT_INPUT = 5
BOOT_PREVIOUS = 6
BOOT_CHANNELS = 7
BOOT_ENTROPY = 8
BOOT_EARLIER = 9
BOOT_READ_BY = 10

RESET_UNKNOWN = 0
RESET_POWER_ON = 1
RESET_HARD = 2
RESET_WATCHDOG = 3
RESET_DEEP_SLEEP = 4
RESET_SOFT = 5
RESET_BROWN_OUT = 6

ENTROPY_WEAK = 0
ENTROPY_STRONG = 1

WAVE_CHANNEL = 1
WAVE_COUNT = 2
WAVE_PERIOD_NS = 3
WAVE_LSB = 4
WAVE_CODEC = 5
WAVE_DATA = 6
WAVE_FLAGS = 7
WAVE_LATE = 8
WAVE_MISSED = 9
WAVE_MEASUREMENT = 10

CH_ECG = 0
CH_PPG_RED = 1
CH_PPG_IR = 2
CH_CUFF = 3

WAVE_SATURATED = 1
WAVE_OFF = 2
WAVE_OVERFLOWED = 4

VITALS_HR = 1
VITALS_RR = 2
VITALS_SPO2 = 3
VITALS_PULSE = 4
VITALS_PI = 5
VITALS_ECG_QUALITY = 6
VITALS_PPG_QUALITY = 7
VITALS_FLAGS = 8

VITALS_LEAD_OFF = 1
VITALS_NO_FINGER = 2
VITALS_UNCALIBRATED = 4
VITALS_ECG_SETTLING = 8
VITALS_PPG_SETTLING = 16
VITALS_CANNOT_ANALYSE = 32
VITALS_PPG_BAD = 64
VITALS_IRREGULAR = 128
VITALS_RATES_DIFFER = 256

BP_RESULT = 1
BP_SYSTOLIC = 2
BP_DIASTOLIC = 3
BP_MEAN = 4
BP_PULSE = 5
BP_CONFIDENCE = 6
BP_BEGAN_US = 7
BP_PEAK = 8
BP_CUFF_SIZE = 9
BP_REASON = 10
BP_NUMBER = 11
BP_COMMAND = 12
BP_FLAGS = 13

BP_MEASURED = 0
BP_LEAK = 1
BP_NO_CUFF = 2
BP_MOTION = 3
BP_IRREGULAR = 4
BP_TIMEOUT = 5
BP_NO_CUFF_SIZE = 6
BP_OVER_PRESSURE = 7
BP_CANCELLED = 8
BP_SENSOR_FAULT = 9
BP_NO_PULSE = 10
BP_INTERLOCK = 11

BP_PULSE_IRREGULAR = 1
BP_RETRIED = 2
BP_MOTION_LEFT_OUT = 4
BP_MEAN_RECKONED = 8

CUFF_UNKNOWN = 0
CUFF_SMALL = 1
CUFF_MEDIUM = 2
CUFF_LARGE = 3
CUFF_EXTRA_LARGE = 4

REASON_BUTTON = 1
REASON_SCHEDULE = 2
REASON_COMMAND = 3
REASON_REPEAT = 4
REASON_DEVICE = 5

EVENT_CODE = 1
EVENT_PRIORITY = 2
EVENT_VALUE = 3
EVENT_TEXT = 4
EVENT_PAST = 5
EVENT_STATE = 6
EVENT_ALARM = 7
EVENT_LIMIT = 8
EVENT_EVIDENCE = 9
EVENT_BEGAN_US = 10

EVENT_LEAD_OFF = 1
EVENT_LEAD_ON = 2
EVENT_FINGER_OFF = 3
EVENT_FINGER_ON = 4
EVENT_ECG_OVERFLOW = 5
EVENT_PPG_OVERFLOW = 6
EVENT_SENSOR_FAULT = 7
EVENT_SENSOR_RECOVERED = 8
EVENT_STOP = 9
EVENT_INTERNAL_ERROR = 10
EVENT_PAIRED = 11
EVENT_UNPAIRED = 12
EVENT_IDENTIFY = 13
EVENT_MARK = 14
EVENT_AUTHORITIES = 15
EVENT_NETWORK = 16
EVENT_UPDATED = 17
EVENT_ROLLED_BACK = 18
EVENT_ASYSTOLE = 32
EVENT_HR_HIGH = 33
EVENT_HR_LOW = 34
EVENT_SPO2_LOW = 35
EVENT_BP_HIGH = 36
EVENT_BP_LOW = 37
EVENT_IRREGULAR = 38
EVENT_OVER_PRESSURE = 48
EVENT_NOT_DEFLATING = 49
EVENT_BATTERY_LOW = 50
EVENT_CANNOT_ANALYSE = 51
EVENT_SIGNAL_BAD = 52

PRIORITY_INFO = 0
PRIORITY_LOW = 1
PRIORITY_MEDIUM = 2
PRIORITY_HIGH = 3

STATE_HAPPENED = 0
STATE_BEGAN = 1
STATE_ENDED = 2
STATE_LATCHED = 3

STATUS_HEAP_FREE = 1
STATUS_HEAP_LOW = 2
STATUS_LATE = 3
STATUS_MISSED = 4
STATUS_JITTER_US = 5
STATUS_RESET_CAUSE = 6
STATUS_UPTIME_S = 7
STATUS_OUTBOX_FRAMES = 8
STATUS_OUTBOX_BYTES = 9
STATUS_EVICTED = 10
STATUS_REJECTED = 11
STATUS_RESENT = 12
STATUS_BUS_ERRORS = 13
STATUS_NEXT_SEQ = 14
STATUS_BATTERY = 15
STATUS_CHARGING = 16

LOSS_RANGES = 1
LOST_BEFORE = 1
LOSS_OUTBOX_FULL = 1
LOSS_ELSEWHERE = 2

ATTEST_FIRST = 1
ATTEST_COUNT = 2
ATTEST_ROOT = 3
ATTEST_SIGNATURE = 4

TIME_TOKEN = 1
TIME_RECEIVED_US = 2

LOG_LEVEL = 1
LOG_TEXT = 2
LOG_BOOT = 3
LOG_RESET_CAUSE = 4
LOG_UPTIME_S = 5

LOG_DEBUG = 0
LOG_INFO = 1
LOG_WARNING = 2
LOG_ERROR = 3
LOG_CRASH = 4

ANSWER_ID = 1
ANSWER_RESULT = 2
ANSWER_DETAIL = 3
ANSWER_VALUE = 4
ANSWER_DIGEST = 5

RESULT_DONE = 0
RESULT_BEGUN = 1
RESULT_UNSUPPORTED = 2
RESULT_UNAUTHORISED = 3
RESULT_EXPIRED = 4
RESULT_INTERLOCK = 5
RESULT_NO_CONSENT = 6
RESULT_MALFORMED = 7
RESULT_FAILED = 8

ORDER_ID = 1
ORDER_WHAT = 2
ORDER_ARGS = 3
ORDER_EXPIRES_US = 4
ORDER_AUTHORITY = 5
ORDER_SIGNATURE = 6
ORDER_REASON = 7
ORDER_MS = 8

OP_IDENTIFY = 1
OP_MEASURE_BP = 2
OP_STRIP = 3
OP_MARK = 4
OP_RESTART = 5
OP_CUFF_LEAK = 6
OP_CUFF_STATIC = 7
OP_ACKNOWLEDGE = 8
OP_JOIN = 9
OP_LEAVE = 10

# Arguments of OP_JOIN.
JOIN_SSID = 1
JOIN_PASSWORD = 2

SET_MAINS_HZ = 1
SET_MODE = 2
SET_LIMITS = 3
SET_NOT_SENT = 4
SET_CUFF_SIZE = 5

MODE_SPOT_CHECK = 0
MODE_WATCH = 1

UPDATE_ID = 1
UPDATE_STEP = 2
UPDATE_SIZE = 3
UPDATE_OBJECT = 4
UPDATE_OFFSET = 5
UPDATE_DATA = 6
UPDATE_FIRMWARE = 7

STEP_OFFER = 1
STEP_DATA = 2
STEP_APPLY = 3
STEP_CANCEL = 4

FLOW_WAVES = 1
FLOW_BYTES_S = 2
FLOW_WINDOW = 3

UNPAIR_ID = 1

SOURCE = 15
SOURCE_PPG = 16
SRC_REPLAY = 1
SRC_SYNTHETIC = 2
SRC_DEVICE = 3

# Lanes, most urgent first

LANE_ALARM = 0
LANE_VITALS = 1
LANE_WAVE = 2

T_END = 1 << 53
"""`t_us` is below this."""

# In a frame for a node; an ack that fills a message has 138.
MAX_DOWN_ITEMS = 160
MAX_PLAINTEXT = 3800
"""Bytes of plaintext that still fit, sealed and framed, into 4096 encoded bytes."""


def pack(kind: int, t_us: int, body: "Any") -> bytes:
    """The plaintext of a frame; LocalError when the time or the size cannot be carried."""
    if not 0 <= t_us < T_END:
        raise LocalError(f"t_us {t_us} is outside 0 … 2^53 - 1")
    plaintext = cbor.dumps((kind, t_us, body))
    if len(plaintext) > MAX_PLAINTEXT:
        raise LocalError(f"a frame of {len(plaintext)} bytes; {MAX_PLAINTEXT} is the limit")
    return plaintext


def unpack(plaintext: bytes) -> "tuple[int, int, Any]":
    """(kind, t_us, body) of a plaintext. FrameError: which key is missing, or wrong in type or range, and at
    which offset."""
    from protocol import frame_schema, places

    try:
        kind, t_us, body = unpack_down(plaintext, None)
        frame_schema.check(kind, body)
    except FrameError as e:
        if e.path is not None:
            e.offset = places.place(plaintext, places.body_of(plaintext), e.path)
        raise
    return kind, t_us, body


def unpack_down(plaintext: bytes, most: "int | None" = MAX_DOWN_ITEMS) -> "tuple[int, int, Any]":
    """(kind, t_us, body) of a plaintext, as a node reads it: of command, config, update, flow and unpair no
    more is known than that the body is a map, and of what comes up nothing. `most`: items, at any depth."""
    try:
        frame = cbor.loads(plaintext, None, most)
    except CborError as e:
        raise FrameError(f"not CBOR: {e.detail}", e.offset) from None
    if not is_list(frame) or len(frame) != 3:
        raise FrameError("not an array of kind, t_us and body", 0)
    kind, t_us, body = frame
    if not is_uint(kind):
        raise FrameError("the kind is not an unsigned integer", 1)
    if not is_uint(t_us) or t_us >= T_END:
        raise FrameError("t_us is not an unsigned integer below 2^53", 1 + len(cbor.head(0, kind)))
    if kind == KIND_ACK:
        _check_ack(body)
    elif KIND_TIME_DOWN <= kind <= KIND_UNPAIR and not is_map(body):
        raise FrameError("the body is not a map", path=())
    elif kind == KIND_TIME_DOWN and not is_uint(body.get(TIME_TOKEN)):
        raise FrameError("time_down: key 1 (token) is not an unsigned integer", path=(TIME_TOKEN,))
    return kind, t_us, body


def _check_ack(body: "Any") -> None:
    if not is_list(body) or len(body) != 2 or not is_uint(body[0]):
        raise FrameError("ack: not an array of boot index and ranges", path=())
    if not is_ranges(body[1], 2):
        raise FrameError("ack: the ranges are not ascending [first, count] within 32 bits", path=())


def lane(kind: int, body: "Any") -> int:
    """The sending lane of a frame: an event of any alarm priority that is not past, a waveform, or everything
    else."""
    if kind == KIND_WAVE:
        return LANE_WAVE
    if kind == KIND_EVENT and body[EVENT_PRIORITY] != PRIORITY_INFO and not body.get(EVENT_PAST):
        return LANE_ALARM
    return LANE_VITALS

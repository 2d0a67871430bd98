"""Frames: what is inside a seal. `[kind, t_us, body]` in CBOR, and the names of every number in it.

Source: docs/wire-protocol.md §8; the same as a schema: protocol/vitalwire.cddl. Kinds and keys that are not
known are carried, not refused. What each known kind must hold is checked by frame_schema.py, which a node
never needs to load.
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
KIND_ACK = 32
KIND_TIME_DOWN = 33
KIND_COMMAND = 34
KIND_CONFIG = 35
KIND_UPDATE = 36

KIND_NAMES = {
    KIND_BOOT: "boot",
    KIND_WAVE: "wave",
    KIND_VITALS: "vitals",
    KIND_BP: "bp",
    KIND_EVENT: "event",
    KIND_STATUS: "status",
    KIND_LOSS: "loss",
    KIND_ATTEST: "attest",
    KIND_LOG: "log",
    KIND_TIME: "time",
    KIND_ACK: "ack",
    KIND_TIME_DOWN: "time_down",
    KIND_COMMAND: "command",
    KIND_CONFIG: "config",
    KIND_UPDATE: "update",
}

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

CH_ECG = 0
CH_PPG_RED = 1
CH_PPG_IR = 2

CHANNEL_NAMES = {CH_ECG: "ECG lead I", CH_PPG_RED: "PPG red", CH_PPG_IR: "PPG infrared"}

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

EVENT_CODE = 1
EVENT_PRIORITY = 2
EVENT_VALUE = 3
EVENT_TEXT = 4

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

EVENT_NAMES = {
    EVENT_LEAD_OFF: "lead off",
    EVENT_LEAD_ON: "lead on",
    EVENT_FINGER_OFF: "finger off",
    EVENT_FINGER_ON: "finger on",
    EVENT_ECG_OVERFLOW: "ECG FIFO overflow",
    EVENT_PPG_OVERFLOW: "PPG FIFO overflow",
    EVENT_SENSOR_FAULT: "sensor fault",
    EVENT_SENSOR_RECOVERED: "sensor recovered",
    EVENT_STOP: "orderly stop",
    EVENT_INTERNAL_ERROR: "internal error",
}

PRIORITY_INFO = 0
PRIORITY_LOW = 1
PRIORITY_MEDIUM = 2
PRIORITY_HIGH = 3

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

LOSS_RANGES = 1
LOSS_OUTBOX_FULL = 1

ATTEST_FIRST = 1
ATTEST_COUNT = 2
ATTEST_ROOT = 3
ATTEST_SIGNATURE = 4

TIME_TOKEN = 1
TIME_RECEIVED_US = 2

SOURCE = 15
SOURCE_PPG = 16
SRC_REPLAY = 1
SRC_SYNTHETIC = 2

# Lanes, most urgent first

LANE_ALARM = 0
LANE_VITALS = 1
LANE_WAVE = 2

T_END = 1 << 53
"""`t_us` is below this."""

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
    """(kind, t_us, body) of a plaintext. FrameError: which key is missing, or wrong in type or range."""
    try:
        frame = cbor.loads(plaintext)
    except CborError as e:
        raise FrameError(f"not CBOR: {e.detail}", e.offset) from None
    if not is_list(frame) or len(frame) != 3:
        raise FrameError("not an array of kind, t_us and body", 0)
    kind, t_us, body = frame
    if not is_uint(kind):
        raise FrameError("the kind is not an unsigned integer", 1)
    if not is_uint(t_us) or t_us >= T_END:
        raise FrameError("t_us is not an unsigned integer below 2^53")
    if kind == KIND_ACK:
        _check_ack(body)
    elif kind == KIND_TIME_DOWN:
        if not is_map(body) or not is_uint(body.get(TIME_TOKEN)):
            raise FrameError("time_down: key 1 (token) is not an unsigned integer")
    elif kind in KIND_NAMES:
        from protocol import frame_schema

        frame_schema.check(kind, body)
    return kind, t_us, body


def _check_ack(body: "Any") -> None:
    if not is_list(body) or len(body) != 2 or not is_uint(body[0]):
        raise FrameError("ack: not an array of boot index and ranges")
    if not is_ranges(body[1], 2):
        raise FrameError("ack: the ranges are not ascending [first, count] within 32 bits")


def lane(kind: int, body: "Any") -> int:
    """The sending lane of a frame: an event of any alarm priority, a waveform, or everything else."""
    if kind == KIND_WAVE:
        return LANE_WAVE
    if kind == KIND_EVENT and body[EVENT_PRIORITY] != PRIORITY_INFO:
        return LANE_ALARM
    return LANE_VITALS

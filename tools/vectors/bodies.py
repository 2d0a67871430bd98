"""Bodies of the frames that tell of blood pressure, alarms, crashes and orders, and those that come down."""

from typing import Any

from protocol import cbor, cose, crypto, frames, waveform
from tools.vectors.keys import AUTHORITY, MAKER, OLD_BOOT_ID, secret

COMMAND_ID = secret("command id", 8)
CONFIG_ID = secret("config id", 8)
UNPAIR_ID = secret("unpair id", 8)
ORDERED_MS = 1_700_000_000_000
EXPIRES_US = 700_000_000

FILES = [["firmware/app.mpy", 9120, secret("app.mpy")], ["start.py", 310, secret("main.py")]]
MANIFEST = cose.sign1(MAKER, cbor.dumps({1: 1, 2: "update", 3: "0.2.0", 4: "esp32_devkit", 5: FILES}))
UPDATE_ID = crypto.sha256(MANIFEST)[:8]

CUFF_SAMPLES = [20_000 - 12 * i + (9, 60, 140, 40, -20)[i % 5] for i in range(50)]
CUFF_WAVE = {
    frames.WAVE_CHANNEL: frames.CH_CUFF,
    frames.WAVE_COUNT: len(CUFF_SAMPLES),
    frames.WAVE_PERIOD_NS: 20_000_000,
    frames.WAVE_LSB: 1,
    frames.WAVE_CODEC: waveform.CODEC,
    frames.WAVE_DATA: waveform.encode(CUFF_SAMPLES, len(CUFF_SAMPLES), 18),
    frames.WAVE_MEASUREMENT: 3,
}
BP_MEASURED = {
    frames.BP_RESULT: frames.BP_MEASURED,
    frames.BP_SYSTOLIC: 1274,
    frames.BP_DIASTOLIC: 812,
    frames.BP_MEAN: 961,
    frames.BP_PULSE: 684,
    frames.BP_CONFIDENCE: 91,
    frames.BP_BEGAN_US: 600_000_000,
    frames.BP_PEAK: 1680,
    frames.BP_CUFF_SIZE: frames.CUFF_MEDIUM,
    frames.BP_REASON: frames.REASON_COMMAND,
    frames.BP_NUMBER: 3,
    frames.BP_COMMAND: COMMAND_ID,
    frames.BP_FLAGS: frames.BP_RETRIED,
}
BP_LEAK = {
    frames.BP_RESULT: frames.BP_LEAK,
    frames.BP_BEGAN_US: 600_000_000,
    frames.BP_PEAK: 312,
    frames.BP_REASON: frames.REASON_BUTTON,
    frames.BP_NUMBER: 1,
}
ALARM = {
    frames.EVENT_CODE: frames.EVENT_SPO2_LOW,
    frames.EVENT_PRIORITY: frames.PRIORITY_HIGH,
    frames.EVENT_VALUE: 861,
    frames.EVENT_STATE: frames.STATE_BEGAN,
    frames.EVENT_ALARM: 17,
    frames.EVENT_LIMIT: 880,
    frames.EVENT_EVIDENCE: [[4711, 12], [4730, 2]],
    frames.EVENT_BEGAN_US: 690_000_000,
}
PAST_ALARM = {**ALARM, frames.EVENT_PAST: True, frames.EVENT_STATE: frames.STATE_ENDED}
LOG = {frames.LOG_LEVEL: frames.LOG_WARNING, frames.LOG_TEXT: "flash: 812 µs for a sector"}
CRASH = {
    frames.LOG_LEVEL: frames.LOG_CRASH,
    frames.LOG_TEXT: 'File "app.py", line 12, in run\nOSError: [Errno 19] ENODEV',
    frames.LOG_BOOT: OLD_BOOT_ID,
    frames.LOG_RESET_CAUSE: frames.RESET_WATCHDOG,
    frames.LOG_UPTIME_S: 86_400,
}
ANSWERS = (
    ("answer, done", {frames.ANSWER_ID: COMMAND_ID, frames.ANSWER_RESULT: frames.RESULT_DONE}),
    (
        "answer, interlock",
        {
            frames.ANSWER_ID: COMMAND_ID,
            frames.ANSWER_RESULT: frames.RESULT_INTERLOCK,
            frames.ANSWER_DETAIL: "charging",
            frames.ANSWER_VALUE: -1,
        },
    ),
    (
        "answer to a signed order",
        {
            frames.ANSWER_ID: COMMAND_ID,
            frames.ANSWER_RESULT: frames.RESULT_UNSUPPORTED,
            frames.ANSWER_DIGEST: bytes(range(8)),
        },
    ),
)

MARK: "dict[int, Any]" = {
    frames.ORDER_ID: COMMAND_ID,
    frames.ORDER_WHAT: frames.OP_MARK,
    frames.ORDER_EXPIRES_US: EXPIRES_US,
    frames.ORDER_REASON: "dizzy",
    frames.ORDER_MS: ORDERED_MS,
}
# Without the authority's signature, which orders.py puts in.
MEASURE: "dict[int, Any]" = {
    frames.ORDER_ID: COMMAND_ID,
    frames.ORDER_WHAT: frames.OP_MEASURE_BP,
    frames.ORDER_ARGS: {1: 2},
    frames.ORDER_EXPIRES_US: EXPIRES_US,
    frames.ORDER_AUTHORITY: AUTHORITY.id,
    frames.ORDER_REASON: "weekly check",
    frames.ORDER_MS: ORDERED_MS,
}
WATCH: "dict[int, Any]" = {
    frames.ORDER_ID: CONFIG_ID,
    frames.ORDER_WHAT: {
        frames.SET_MODE: frames.MODE_WATCH,
        frames.SET_LIMITS: [[frames.EVENT_HR_HIGH, 1300, 10], [frames.EVENT_SPO2_LOW, 880, 10]],
    },
    frames.ORDER_EXPIRES_US: EXPIRES_US,
    frames.ORDER_AUTHORITY: AUTHORITY.id,
    frames.ORDER_MS: ORDERED_MS,
}
MAINS: "dict[int, Any]" = {
    frames.ORDER_ID: CONFIG_ID,
    frames.ORDER_WHAT: {
        frames.SET_MAINS_HZ: 50,
        frames.SET_NOT_SENT: [frames.CH_PPG_RED],
        frames.SET_CUFF_SIZE: frames.CUFF_LARGE,
    },
    frames.ORDER_EXPIRES_US: (1 << 53) - 1,
    frames.ORDER_MS: ORDERED_MS,
}
UPDATES = (
    (
        "update, offer",
        {
            frames.UPDATE_ID: UPDATE_ID,
            frames.UPDATE_STEP: frames.STEP_OFFER,
            frames.UPDATE_SIZE: len(MANIFEST),
            frames.UPDATE_FIRMWARE: "0.2.0",
        },
    ),
    (
        "update, data",
        {
            frames.UPDATE_ID: UPDATE_ID,
            frames.UPDATE_STEP: frames.STEP_DATA,
            frames.UPDATE_OBJECT: 0,
            frames.UPDATE_OFFSET: 128,
            frames.UPDATE_DATA: MANIFEST[128:],
        },
    ),
    ("update, apply", {frames.UPDATE_ID: UPDATE_ID, frames.UPDATE_STEP: frames.STEP_APPLY}),
    ("update, cancel", {frames.UPDATE_ID: UPDATE_ID, frames.UPDATE_STEP: frames.STEP_CANCEL}),
)

UP: "list[tuple[str, str, int, int, Any]]" = [
    ("wave, cuff pressure", "wave-frame", frames.KIND_WAVE, 605_000_000, CUFF_WAVE),
    ("bp, measured", "bp-frame", frames.KIND_BP, 640_000_000, BP_MEASURED),
    ("bp, a leak", "bp-frame", frames.KIND_BP, 612_000_000, BP_LEAK),
    ("event, an alarm begins", "event-frame", frames.KIND_EVENT, 700_000_000, ALARM),
    ("event, an alarm that is past", "event-frame", frames.KIND_EVENT, 900_000_000, PAST_ALARM),
    (
        "event of an unknown code, with a key that is not known",
        "event-frame",
        frames.KIND_EVENT,
        1,
        {frames.EVENT_CODE: 999, frames.EVENT_PRIORITY: frames.PRIORITY_INFO, 99: [1, {"later": None}]},
    ),
    (
        "loss, acknowledged elsewhere",
        "loss-frame",
        frames.KIND_LOSS,
        9,
        {frames.LOSS_RANGES: [[0, 41, frames.LOSS_ELSEWHERE]]},
    ),
    (
        "losses of earlier boots",
        "lost-before-frame",
        frames.KIND_LOST_BEFORE,
        5_000_000,
        {frames.LOST_BEFORE: [[bytes(3) + b"\x03" + bytes(8), 17, 300, frames.LOSS_OUTBOX_FULL]]},
    ),
    ("log", "log-frame", frames.KIND_LOG, 3_000_000, LOG),
    ("log, a crash", "log-frame", frames.KIND_LOG, 2_000_000, CRASH),
    *((name, "answer-frame", frames.KIND_ANSWER, 690_000_000, body) for name, body in ANSWERS),
]
DOWN: "list[tuple[str, str, int, int, Any]]" = [
    ("command, mark", "command-frame", frames.KIND_COMMAND, 13, MARK),
    ("config, mains", "config-frame", frames.KIND_CONFIG, 14, MAINS),
    *((name, "update-frame", frames.KIND_UPDATE, 15, body) for name, body in UPDATES),
    (
        "flow, no waveforms",
        "flow-frame",
        frames.KIND_FLOW,
        16,
        {frames.FLOW_WAVES: False, frames.FLOW_BYTES_S: 500, frames.FLOW_WINDOW: 4},
    ),
    ("flow, no limits", "flow-frame", frames.KIND_FLOW, 17, {}),
    ("flow with a key that is not known", "flow-frame", frames.KIND_FLOW, 17, {9: "later"}),
    ("unpair", "unpair-frame", frames.KIND_UNPAIR, 18, {frames.UNPAIR_ID: UNPAIR_ID}),
]


def without(body: "dict[int, Any]", *keys: int) -> "dict[int, Any]":
    """`body` without these keys."""
    return {key: body[key] for key in body if key not in keys}


BAD: "list[tuple[str, int, Any]]" = [
    ("bp, measured without a mean", frames.KIND_BP, without(BP_MEASURED, frames.BP_MEAN)),
    ("bp, a leak with a systolic", frames.KIND_BP, {**BP_LEAK, frames.BP_SYSTOLIC: 1200}),
    ("bp, number 0", frames.KIND_BP, {**BP_LEAK, frames.BP_NUMBER: 0}),
    ("bp, a short command id", frames.KIND_BP, {**BP_LEAK, frames.BP_COMMAND: bytes(7)}),
    ("wave of measurement 0", frames.KIND_WAVE, {**CUFF_WAVE, frames.WAVE_MEASUREMENT: 0}),
    ("event, past as a number", frames.KIND_EVENT, {**ALARM, frames.EVENT_PAST: 1}),
    ("event, nine ranges of evidence", frames.KIND_EVENT, {**ALARM, 9: [[2 * i, 1] for i in range(9)]}),
    ("log, 1025 bytes", frames.KIND_LOG, {**LOG, frames.LOG_TEXT: "x" * 1025}),
    ("log of a short boot id", frames.KIND_LOG, {**CRASH, frames.LOG_BOOT: bytes(11)}),
    ("answer without a result", frames.KIND_ANSWER, {frames.ANSWER_ID: COMMAND_ID}),
    ("answer, a whole hash for the order digest", frames.KIND_ANSWER, {**ANSWERS[0][1], 5: bytes(32)}),
    ("command without an expiry", frames.KIND_COMMAND, without(MARK, frames.ORDER_EXPIRES_US)),
    ("command, a text for the operation", frames.KIND_COMMAND, {**MARK, frames.ORDER_WHAT: "mark"}),
    ("command, arguments with a text key", frames.KIND_COMMAND, {**MARK, frames.ORDER_ARGS: {"a": 1}}),
    ("command, a long reason", frames.KIND_COMMAND, {**MARK, frames.ORDER_REASON: "x" * 33}),
    ("config, a number for the settings", frames.KIND_CONFIG, {**MAINS, frames.ORDER_WHAT: 50}),
    ("config, a limit without a delay", frames.KIND_CONFIG, {**MAINS, 2: {frames.SET_LIMITS: [[33, 1300]]}}),
    ("config, six limits", frames.KIND_CONFIG, {**MAINS, 2: {frames.SET_LIMITS: [[33, 1300, 10]] * 6}}),
    ("config, a limit of 65536", frames.KIND_CONFIG, {**MAINS, 2: {frames.SET_LIMITS: [[33, 1 << 16, 10]]}}),
    ("config, mains at 0 Hz", frames.KIND_CONFIG, {**MAINS, frames.ORDER_WHAT: {frames.SET_MAINS_HZ: 0}}),
    ("update, offer without a size", frames.KIND_UPDATE, without(UPDATES[0][1], frames.UPDATE_SIZE)),
    ("update, data without an offset", frames.KIND_UPDATE, without(UPDATES[1][1], frames.UPDATE_OFFSET)),
    ("update, 129 bytes", frames.KIND_UPDATE, {**UPDATES[1][1], frames.UPDATE_DATA: bytes(129)}),
    ("flow, 17 frames in flight", frames.KIND_FLOW, {frames.FLOW_WINDOW: 17}),
    ("flow, a number for waveforms", frames.KIND_FLOW, {frames.FLOW_WAVES: 0}),
    ("unpair without an id", frames.KIND_UNPAIR, {}),
]

"""What the numbers in frames mean, in words for people (docs/wire-protocol.md §8). No node loads it."""

from protocol import frames as f

KIND_NAMES = {
    f.KIND_BOOT: "boot",
    f.KIND_WAVE: "wave",
    f.KIND_VITALS: "vitals",
    f.KIND_BP: "bp",
    f.KIND_EVENT: "event",
    f.KIND_STATUS: "status",
    f.KIND_LOSS: "loss",
    f.KIND_ATTEST: "attest",
    f.KIND_LOG: "log",
    f.KIND_TIME: "time",
    f.KIND_ANSWER: "answer",
    f.KIND_LOST_BEFORE: "lost_before",
    f.KIND_ACK: "ack",
    f.KIND_TIME_DOWN: "time_down",
    f.KIND_COMMAND: "command",
    f.KIND_CONFIG: "config",
    f.KIND_UPDATE: "update",
    f.KIND_FLOW: "flow",
    f.KIND_UNPAIR: "unpair",
}

RESET_NAMES = {
    f.RESET_UNKNOWN: "unknown",
    f.RESET_POWER_ON: "power on",
    f.RESET_HARD: "hard",
    f.RESET_WATCHDOG: "watchdog",
    f.RESET_DEEP_SLEEP: "deep sleep",
    f.RESET_SOFT: "soft",
    f.RESET_BROWN_OUT: "brown-out",
}

CHANNEL_NAMES = {
    f.CH_ECG: "ECG lead I",
    f.CH_PPG_RED: "PPG red",
    f.CH_PPG_IR: "PPG infrared",
    f.CH_CUFF: "cuff pressure",
}

BP_RESULT_NAMES = {
    f.BP_MEASURED: "measured",
    f.BP_LEAK: "leak",
    f.BP_NO_CUFF: "no cuff",
    f.BP_MOTION: "motion",
    f.BP_IRREGULAR: "irregular pulse",
    f.BP_TIMEOUT: "timeout",
    f.BP_NO_CUFF_SIZE: "cuff size not entered",
    f.BP_OVER_PRESSURE: "over-pressure",
    f.BP_CANCELLED: "cancelled",
    f.BP_SENSOR_FAULT: "sensor fault",
    f.BP_NO_PULSE: "no pulse found",
    f.BP_INTERLOCK: "interlock",
}

CUFF_NAMES = {
    f.CUFF_UNKNOWN: "unknown",
    f.CUFF_SMALL: "small",
    f.CUFF_MEDIUM: "medium",
    f.CUFF_LARGE: "large",
    f.CUFF_EXTRA_LARGE: "extra large",
}

REASON_NAMES = {
    f.REASON_BUTTON: "button",
    f.REASON_SCHEDULE: "schedule agreed at the kit",
    f.REASON_COMMAND: "command",
    f.REASON_REPEAT: "repeat to confirm",
    f.REASON_DEVICE: "begun at a device of its own",
}

PRIORITY_NAMES = {
    f.PRIORITY_INFO: "information",
    f.PRIORITY_LOW: "low",
    f.PRIORITY_MEDIUM: "medium",
    f.PRIORITY_HIGH: "high",
}

EVENT_NAMES = {
    f.EVENT_LEAD_OFF: "lead off",
    f.EVENT_LEAD_ON: "lead on",
    f.EVENT_FINGER_OFF: "finger off",
    f.EVENT_FINGER_ON: "finger on",
    f.EVENT_ECG_OVERFLOW: "ECG FIFO overflow",
    f.EVENT_PPG_OVERFLOW: "PPG FIFO overflow",
    f.EVENT_SENSOR_FAULT: "sensor fault",
    f.EVENT_SENSOR_RECOVERED: "sensor recovered",
    f.EVENT_STOP: "orderly stop",
    f.EVENT_INTERNAL_ERROR: "internal error",
    f.EVENT_PAIRED: "paired with an agent",
    f.EVENT_UNPAIRED: "unpaired from an agent",
    f.EVENT_IDENTIFY: "identify",
    f.EVENT_MARK: "mark",
    f.EVENT_AUTHORITIES: "authorities changed at the kit",
    f.EVENT_NETWORK: "network",
    f.EVENT_UPDATED: "update confirmed",
    f.EVENT_ROLLED_BACK: "update rolled back",
    f.EVENT_ASYSTOLE: "asystole",
    f.EVENT_HR_HIGH: "heart rate high",
    f.EVENT_HR_LOW: "heart rate low",
    f.EVENT_SPO2_LOW: "SpO2 low",
    f.EVENT_BP_HIGH: "blood pressure high",
    f.EVENT_BP_LOW: "blood pressure low",
    f.EVENT_IRREGULAR: "irregular rhythm",
    f.EVENT_OVER_PRESSURE: "cuff over-pressure",
    f.EVENT_NOT_DEFLATING: "cuff does not deflate",
    f.EVENT_BATTERY_LOW: "battery low",
    f.EVENT_CANNOT_ANALYSE: "cannot analyse",
    f.EVENT_SIGNAL_BAD: "signal bad",
}

RESULT_NAMES = {
    f.RESULT_DONE: "done",
    f.RESULT_BEGUN: "begun",
    f.RESULT_UNSUPPORTED: "not supported",
    f.RESULT_UNAUTHORISED: "not authorised",
    f.RESULT_EXPIRED: "expired",
    f.RESULT_INTERLOCK: "interlock",
    f.RESULT_NO_CONSENT: "consent refused",
    f.RESULT_MALFORMED: "malformed",
    f.RESULT_FAILED: "failed",
}

SOURCE_NAMES = {
    f.SRC_REPLAY: "replay of a recording",
    f.SRC_SYNTHETIC: "synthetic",
    f.SRC_DEVICE: "standard device, read by an agent",
}

LOSS_NAMES = {
    f.LOSS_OUTBOX_FULL: "outbox full",
    f.LOSS_ELSEWHERE: "acknowledged by another agent",
}

LEVEL_NAMES = {
    f.LOG_DEBUG: "debug",
    f.LOG_INFO: "information",
    f.LOG_WARNING: "warning",
    f.LOG_ERROR: "error",
    f.LOG_CRASH: "crash",
}

STATE_NAMES = {
    f.STATE_HAPPENED: "happened",
    f.STATE_BEGAN: "began",
    f.STATE_ENDED: "ended",
    f.STATE_LATCHED: "latched",
}

OPERATION_NAMES = {
    f.OP_IDENTIFY: "identify",
    f.OP_MEASURE_BP: "measure blood pressure",
    f.OP_STRIP: "send a strip",
    f.OP_MARK: "mark",
    f.OP_RESTART: "restart in order",
    f.OP_CUFF_LEAK: "test the cuff for leaks",
    f.OP_CUFF_STATIC: "show the cuff pressure",
    f.OP_ACKNOWLEDGE: "acknowledge alarms",
    f.OP_JOIN: "join a network",
    f.OP_LEAVE: "leave the network",
}

MODE_NAMES = {f.MODE_SPOT_CHECK: "spot check", f.MODE_WATCH: "watch"}

STEP_NAMES = {f.STEP_OFFER: "offer", f.STEP_DATA: "data", f.STEP_APPLY: "apply", f.STEP_CANCEL: "cancel"}

# Of flags, by the value of their bit

WAVE_FLAG_NAMES = {
    f.WAVE_SATURATED: "saturated",
    f.WAVE_OFF: "lead or finger off",
    f.WAVE_OVERFLOWED: "FIFO overflowed before",
}

VITALS_FLAG_NAMES = {
    f.VITALS_LEAD_OFF: "lead off",
    f.VITALS_NO_FINGER: "no finger",
    f.VITALS_UNCALIBRATED: "SpO2 uncalibrated",
    f.VITALS_ECG_SETTLING: "ECG settling",
    f.VITALS_PPG_SETTLING: "PPG settling",
    f.VITALS_CANNOT_ANALYSE: "ECG cannot be analysed",
    f.VITALS_PPG_BAD: "PPG too bad to read",
    f.VITALS_IRREGULAR: "irregular rhythm",
    f.VITALS_RATES_DIFFER: "heart and pulse rate differ",
}

BP_FLAG_NAMES = {
    f.BP_PULSE_IRREGULAR: "irregular pulse",
    f.BP_RETRIED: "retried once",
    f.BP_MOTION_LEFT_OUT: "motion was left out",
    f.BP_MEAN_RECKONED: "mean reckoned from systolic and diastolic",
}

UNBOUNDED = 0xFFFFFFFF
"""In a boot frame, in the place of a sum or a bound: at least so much, nobody knows how much."""

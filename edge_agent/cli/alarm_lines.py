"""A node's alarms as lines for a person: how urgent, what it is about, since when, and what to do.

What to do is who to look at and what to put right at the kit, nothing of treatment (docs/alarms.md).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from protocol import frames as f
from protocol.frame_names import PRIORITY_NAMES, STATE_NAMES

URGENCY = tuple(PRIORITY_NAMES[priority] for priority in sorted(PRIORITY_NAMES, reverse=True))
# What value and limit of an alarm are divided by, and their unit (docs/alarms.md).
UNITS = {
    f.EVENT_ASYSTOLE: (1000, " s without a beat"),
    f.EVENT_HR_HIGH: (10, " /min"),
    f.EVENT_HR_LOW: (10, " /min"),
    f.EVENT_SPO2_LOW: (10, " %"),
    f.EVENT_BP_HIGH: (10, " mmHg"),
    f.EVENT_BP_LOW: (10, " mmHg"),
    f.EVENT_BATTERY_LOW: (1, " %"),
}
NOT_ANALYSED = {1: "as in fibrillation", 2: "beyond the converter's range", 3: "noise"}
PERSON = "look at the person; unwell, call for help"
CUFF = "take the cuff off, then press the button at the kit"
ADVICE = {
    f.EVENT_ASYSTOLE: "look at the person now; no answer, call for help",
    f.EVENT_HR_HIGH: PERSON,
    f.EVENT_HR_LOW: PERSON,
    f.EVENT_SPO2_LOW: PERSON,
    f.EVENT_BP_HIGH: PERSON,
    f.EVENT_BP_LOW: PERSON,
    f.EVENT_OVER_PRESSURE: CUFF,
    f.EVENT_NOT_DEFLATING: CUFF,
    f.EVENT_LEAD_OFF: "put the electrodes on again",
    f.EVENT_FINGER_OFF: "put the finger into the sensor again",
    f.EVENT_SENSOR_FAULT: "switch the kit off and on; if it comes again, have it repaired",
    f.EVENT_CANNOT_ANALYSE: "press the electrodes on, lie still",
    f.EVENT_SIGNAL_BAD: "hold the finger still, warm it",
    f.EVENT_BATTERY_LOW: "charge the kit",
}
# A high one of these stands for an alarm about the person that it hides.
HIDES = (
    f.EVENT_CANNOT_ANALYSE,
    f.EVENT_SIGNAL_BAD,
    f.EVENT_LEAD_OFF,
    f.EVENT_FINGER_OFF,
    f.EVENT_SENSOR_FAULT,
)
# An event that began no alarm is shown for so long.
TOLD_MS = 600_000


def alarm_lines(node: Mapping[str, Any], now_ms: int) -> Iterator[str]:
    """Of a node of status.json: its alarms, the most urgent first, then what else it told of late. Of a node
    that is not heard nobody knows whether they last.
    """
    alarms = sorted(node.get("alarms", ()), key=_urgency)
    for alarm in alarms:
        line = alarm_line(alarm, now_ms)
        yield f"ALARM {line}" if node["live"] else f"when last heard: {line}"
    for event in node.get("events", ()):
        urgent = event["priority"] in URGENCY[: URGENCY.index(PRIORITY_NAMES[f.PRIORITY_MEDIUM]) + 1]
        ago_ms = now_ms - event.get("received_ms", 0)
        once = event["state"] == STATE_NAMES[f.STATE_HAPPENED] and not event["past"]
        if urgent and once and 0 <= ago_ms < TOLD_MS:
            yield f"told {_span(ago_ms // 1000)} ago ({event['priority']}): {event['event']}{_text(event)}"


def alarm_line(alarm: Mapping[str, Any], now_ms: int) -> str:
    """One alarm: priority, what it is about, value and limit, since when, what to do."""
    about = "" if alarm["physiological"] else ", technical"
    said = f"({alarm['priority']}{about}): {alarm['event']}{_text(alarm)}"
    value, limit = alarm["value"], alarm["limit"]
    if alarm["code"] == f.EVENT_CANNOT_ANALYSE:
        said += f": {NOT_ANALYSED[value]}" if value in NOT_ANALYSED else ""
    elif value is not None:
        divisor, unit = UNITS.get(alarm["code"], (1, ""))
        said += f" at {value / divisor:g}{unit}"
        said += f", limit {limit / divisor:g}" if limit is not None else ""
    if alarm.get("began_us") and alarm.get("t_us") and alarm.get("received_ms"):
        lasted_ms = (alarm["t_us"] - alarm["began_us"]) // 1000
        said += f", for {_span(max(0, now_ms - alarm['received_ms'] + lasted_ms) // 1000)}"
    if alarm["state"] == STATE_NAMES[f.STATE_LATCHED]:
        return f"{said}; it is over: look at the person, then acknowledge it at the kit"
    advice = ADVICE.get(alarm["code"], "")
    if alarm["code"] in HIDES and alarm["priority"] == PRIORITY_NAMES[f.PRIORITY_HIGH]:
        advice = f"look at the person first; then {advice}"
    return f"{said}; {advice}" if advice else said


def _urgency(alarm: Mapping[str, Any]) -> int:
    """The most urgent first, the oldest first among equals."""
    return URGENCY.index(alarm["priority"]) if alarm["priority"] in URGENCY else len(URGENCY)


def _text(event: Mapping[str, Any]) -> str:
    return f" ({event['text']})" if event["text"] else ""


def _span(seconds: int) -> str:
    """A time for people: 40 s, 3 min, 2 h 5 min."""
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min" if minutes else f"{seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"

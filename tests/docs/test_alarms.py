"""docs/alarms.md says what firmware/alarm_rules.py, alarms.py and annunciator.py hold."""

import re
from pathlib import Path

from firmware import alarm_rules as ar
from firmware import alarms, annunciator, orders
from protocol.frame_names import EVENT_NAMES, PRIORITY_NAMES
from protocol.frames import EVENT_BATTERY_LOW, EVENT_BP_HIGH, EVENT_BP_LOW, EVENT_SPO2_LOW

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "alarms.md").read_text("utf-8")
SIGNS = {ar.ABOVE: ">", ar.BELOW: "<", ar.REACHES: "≥", ar.AT_MOST: "≤"}
WHICH = {ar.ECG_FAULT: ", ECG", ar.PPG_FAULT: ", PPG"}


def unit(code: int) -> "tuple[int, str]":
    if code == EVENT_BATTERY_LOW:
        return 1, "%"
    return 10, {EVENT_SPO2_LOW: "%", EVENT_BP_HIGH: "mmHg", EVENT_BP_LOW: "mmHg"}.get(code, "/min")


def row(i: int) -> str:
    """The table's row of a rule."""
    cause, priority, sense, limit, delay_s, hysteresis, watch, lowest, highest = ar.RULES[i]
    code = ar.CAUSES[cause]
    divisor, name = unit(code)
    which = ""
    if code in (EVENT_BP_HIGH, EVENT_BP_LOW):
        which = ", not confirmed" if sense == ar.IS else ", diastolic" if i in ar.DIASTOLIC else ", systolic"
    if sense == ar.EQUALS:
        which = ", fibrillation-like"
    passed = f"{SIGNS[sense]} {limit / divisor:g} {name}" if sense in SIGNS else "–"
    if cause == ar.ASYSTOLE:
        passed = f"≥ {limit // 1000} s without QRS"
    back = f"{hysteresis / divisor:g}" if hysteresis else "–"
    bounds = f"{lowest / divisor:g}–{highest / divisor:g}" if highest else "–"
    kept = "latched" if cause in ar.LATCHED else "–"
    mode = "watch" if watch else "both"
    words = (
        f"{code}",
        EVENT_NAMES[code] + WHICH.get(cause, "") + which,
        PRIORITY_NAMES[priority],
        passed,
        f"{delay_s}",
        back,
        bounds,
        kept,
        mode,
    )
    return "| " + " | ".join(words) + " |"


def test_every_rule_is_in_the_table_and_nothing_else() -> None:
    table = [line for line in TEXT.splitlines() if re.match(r"\| \d+ \|", line)]
    assert table == [row(i) for i in range(len(ar.RULES))]


def test_the_numbers_in_the_text() -> None:
    for said in (
        f"gone for {alarms.CLEAR_S} s in a row before its alarm ends, a bad signal for "
        f"{alarms.CLEAR_BLIND_S} s",
        f"(a quality below {alarms.GOOD_QUALITY},",
        f"after {alarms.HOLD_S} s",
        f"{alarms.PAUSE_S // 60} min",
        f"newer than {alarms.PULSE_MS // 1000} s",
        f"{orders.MAX_DELAY_S[3]} s for a high, {orders.MAX_DELAY_S[2]} s for a medium",
    ):
        assert said in TEXT, said


def test_light_and_sound() -> None:
    rows = {
        line.split(" | ")[0][2:]: line
        for line in TEXT.splitlines()
        if re.match(r"\| (high|medium|low) \|", line)
    }
    for priority, name in ((3, "high"), (2, "medium"), (1, "low")):
        half = annunciator.FLASH_MS[priority]
        gaps = annunciator.GAPS_MS[priority]
        said = rows[name]
        assert f"{len(gaps)} × {annunciator.PULSE_MS[priority]} ms" in said
        assert f"again after {gaps[-1] / 1000:g} s" in said
        assert (f"{500 / half:g} Hz" if half else "constant") in said

"""The alarm rules of an adult at home, as data; docs/alarms.md shows them as a table.

An alarm has one cause and one number from beginning to end. A cause has rules, the most urgent first: the
first that holds gives the alarm its priority. Limits and delays may be changed by a config order within the
bounds given here (firmware/orders.py); what is changed is kept in firmware/settings.py.
"""

from protocol.frames import (
    EVENT_ASYSTOLE,
    EVENT_BATTERY_LOW,
    EVENT_BP_HIGH,
    EVENT_BP_LOW,
    EVENT_CANNOT_ANALYSE,
    EVENT_FINGER_OFF,
    EVENT_HR_HIGH,
    EVENT_HR_LOW,
    EVENT_LEAD_OFF,
    EVENT_NOT_DEFLATING,
    EVENT_OVER_PRESSURE,
    EVENT_SENSOR_FAULT,
    EVENT_SIGNAL_BAD,
    EVENT_SPO2_LOW,
    PRIORITY_HIGH,
    PRIORITY_LOW,
    PRIORITY_MEDIUM,
)

# Positions in CAUSES
ASYSTOLE = 0
HR_HIGH = 1
HR_LOW = 2
SPO2_LOW = 3
BP_HIGH = 4
BP_LOW = 5
OVER_PRESSURE = 6
NOT_DEFLATING = 7
LEAD_OFF = 8
FINGER_OFF = 9
ECG_FAULT = 10
PPG_FAULT = 11
ECG_BLIND = 12
PPG_BLIND = 13
BATTERY = 14

CAUSES = (
    EVENT_ASYSTOLE,
    EVENT_HR_HIGH,
    EVENT_HR_LOW,
    EVENT_SPO2_LOW,
    EVENT_BP_HIGH,
    EVENT_BP_LOW,
    EVENT_OVER_PRESSURE,
    EVENT_NOT_DEFLATING,
    EVENT_LEAD_OFF,
    EVENT_FINGER_OFF,
    EVENT_SENSOR_FAULT,
    EVENT_SENSOR_FAULT,
    EVENT_CANNOT_ANALYSE,
    EVENT_SIGNAL_BAD,
    EVENT_BATTERY_LOW,
)
"""The event code of each cause; those below BINDING are about the person or the cuff."""
BINDING = 8
LATCHED = (ASYSTOLE,)
"""Causes whose alarm stays, once it has begun, until a person acknowledges it."""
KEPT = (ASYSTOLE, OVER_PRESSURE, NOT_DEFLATING)
"""Causes that another boot has to know of: those, and what the cuff itself latches."""

# Sense of a limit: the value is above it, below it, at it or above, at it or below, at it. IS: a condition.
IS = 0
ABOVE = 1
BELOW = 2
REACHES = 3
AT_MOST = 4
EQUALS = 5

# Positions in a rule
CAUSE = 0
PRIORITY = 1
SENSE = 2
LIMIT = 3
DELAY_S = 4
HYSTERESIS = 5
WATCH = 6
LOWEST = 7
HIGHEST = 8

RULES = (
    # cause, priority, sense, limit, delay s, hysteresis, in watch mode only, lowest and highest limit
    (ASYSTOLE, PRIORITY_HIGH, IS, 4000, 0, 0, 0, 0, 0),
    (HR_HIGH, PRIORITY_HIGH, ABOVE, 1500, 10, 30, 0, 1410, 2000),
    (HR_HIGH, PRIORITY_MEDIUM, ABOVE, 1300, 30, 30, 0, 900, 1400),
    (HR_LOW, PRIORITY_HIGH, BELOW, 400, 10, 20, 0, 300, 410),
    (HR_LOW, PRIORITY_MEDIUM, BELOW, 450, 30, 20, 0, 420, 650),
    (SPO2_LOW, PRIORITY_HIGH, BELOW, 850, 15, 10, 0, 750, 860),
    (SPO2_LOW, PRIORITY_MEDIUM, BELOW, 900, 30, 10, 0, 870, 950),
    (BP_HIGH, PRIORITY_MEDIUM, REACHES, 1800, 0, 0, 0, 1350, 2200),
    (BP_HIGH, PRIORITY_MEDIUM, REACHES, 1100, 0, 0, 0, 850, 1300),
    (BP_HIGH, PRIORITY_LOW, IS, 0, 300, 0, 0, 0, 0),
    (BP_LOW, PRIORITY_MEDIUM, BELOW, 900, 0, 0, 0, 700, 1100),
    (BP_LOW, PRIORITY_MEDIUM, BELOW, 500, 0, 0, 0, 350, 650),
    (BP_LOW, PRIORITY_LOW, IS, 0, 300, 0, 0, 0, 0),
    (OVER_PRESSURE, PRIORITY_HIGH, IS, 0, 0, 0, 0, 0, 0),
    (NOT_DEFLATING, PRIORITY_HIGH, IS, 0, 0, 0, 0, 0, 0),
    (LEAD_OFF, PRIORITY_MEDIUM, IS, 0, 300, 0, 1, 0, 0),
    (LEAD_OFF, PRIORITY_LOW, IS, 0, 30, 0, 1, 0, 0),
    (FINGER_OFF, PRIORITY_MEDIUM, IS, 0, 300, 0, 1, 0, 0),
    (FINGER_OFF, PRIORITY_LOW, IS, 0, 30, 0, 1, 0, 0),
    (ECG_FAULT, PRIORITY_MEDIUM, IS, 0, 10, 0, 0, 0, 0),
    (PPG_FAULT, PRIORITY_MEDIUM, IS, 0, 10, 0, 0, 0, 0),
    (ECG_BLIND, PRIORITY_HIGH, EQUALS, 1, 8, 0, 0, 0, 0),
    (ECG_BLIND, PRIORITY_MEDIUM, IS, 0, 60, 0, 1, 0, 0),
    (ECG_BLIND, PRIORITY_LOW, IS, 0, 15, 0, 0, 0, 0),
    (PPG_BLIND, PRIORITY_MEDIUM, IS, 0, 60, 0, 1, 0, 0),
    (PPG_BLIND, PRIORITY_LOW, IS, 0, 15, 0, 0, 0, 0),
    (BATTERY, PRIORITY_MEDIUM, AT_MOST, 5, 0, 2, 0, 3, 10),
    (BATTERY, PRIORITY_LOW, AT_MOST, 20, 0, 2, 0, 11, 50),
)
FIBRILLATION = 21
DIASTOLIC = (8, 11)
"""Rules of the diastolic pressure. Those of BP_HIGH, BP_LOW without a limit: a repeat has not come."""


def rule_of(code, limit):
    """The rule of an event code within whose bounds `limit` lies, or -1: no two of a code share a limit."""
    for i in range(len(RULES)):
        rule = RULES[i]
        if rule[HIGHEST] and CAUSES[rule[CAUSE]] == code and rule[LOWEST] <= limit <= rule[HIGHEST]:
            return i
    return -1

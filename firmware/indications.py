"""What a kit says of itself with its light while there is no alarm: the states, and the pattern of each.

A pattern is some flashes of a colour, then a pause. Where there is one light of one colour, long flashes stand
for the colour: none green, one blue, two violet, three white; then come the short ones. Red, yellow and cyan
are an alarm's alone (firmware/annunciator.py). docs/signals.md is made from this.
"""

OK = 0
MEASURING = 1
SEARCHING = 2
UNPAIRED = 3
STORING = 4
CHARGE = 5
HELP = 6
WIFI_PASSWORD = 7
WIFI_NOT_FOUND = 8
WIFI_5GHZ = 9
WIFI_PORTAL = 10
WIFI_DHCP = 11
NO_AGENT = 12
PROVISIONING = 13
UPDATING = 14
IDENTIFY = 15
WIFI_HIDDEN = 16
PAIRED = 17

GREEN = 4
BLUE = 5
VIOLET = 6
WHITE = 7

PATTERNS = b"\x41\x42\x51\x71\x43\x62\x61\x52\x53\x54\x56\x57\x63\x72\x73\x75\x55\x74"
"""A byte a state: its colour, and the number of short flashes. OK is constant where there are colours."""
URGENCY = b"\x0f\x11\x0d\x0e\x06\x05\x07\x0b\x0a\x09\x10\x08\x03\x0c\x04\x02\x01\x00"
"""The states, the most urgent first."""


def most_urgent(states):
    """Of some states the one to show; OK of none."""
    for state in URGENCY:
        if state in states:
            return state
    return OK

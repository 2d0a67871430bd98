"""What a kit says of itself with its light while there is no alarm: the states, and the pattern of each.

A pattern is some flashes of a colour, then a pause. Where there is one light of one colour, long flashes
stand for the colour: none green, one blue, two violet, three white; then come the short ones. Red, yellow and
cyan are an alarm's alone (firmware/annunciator.py). docs/signals.md is made from this.
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

PATTERNS = bytes(
    (
        GREEN << 4 | 1,  # OK, constant where there are colours
        GREEN << 4 | 2,  # MEASURING
        BLUE << 4 | 1,  # SEARCHING
        WHITE << 4 | 1,  # UNPAIRED
        GREEN << 4 | 3,  # STORING
        VIOLET << 4 | 2,  # CHARGE
        VIOLET << 4 | 1,  # HELP
        BLUE << 4 | 2,  # WIFI_PASSWORD
        BLUE << 4 | 3,  # WIFI_NOT_FOUND
        BLUE << 4 | 4,  # WIFI_5GHZ
        BLUE << 4 | 6,  # WIFI_PORTAL
        BLUE << 4 | 7,  # WIFI_DHCP
        VIOLET << 4 | 3,  # NO_AGENT
        WHITE << 4 | 2,  # PROVISIONING
        WHITE << 4 | 3,  # UPDATING
        WHITE << 4 | 5,  # IDENTIFY
        BLUE << 4 | 5,  # WIFI_HIDDEN
        WHITE << 4 | 4,  # PAIRED
    )
)
"""A byte a state: its colour, and the number of short flashes."""

URGENCY = (
    IDENTIFY,
    PAIRED,
    PROVISIONING,
    UPDATING,
    HELP,
    CHARGE,
    WIFI_PASSWORD,
    WIFI_DHCP,
    WIFI_PORTAL,
    WIFI_5GHZ,
    WIFI_HIDDEN,
    WIFI_NOT_FOUND,
    UNPAIRED,
    NO_AGENT,
    STORING,
    SEARCHING,
    MEASURING,
    OK,
)
"""The states, the most urgent first."""


def most_urgent(states):
    """Of some states the one to show; OK of none."""
    for state in URGENCY:
        if state in states:
            return state
    return OK

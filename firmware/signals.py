"""What the light says while there is no alarm: decided once a second, the most urgent of what the node and
its features have to say (docs/signals.md).
"""

from firmware.indications import (
    CHARGE,
    HELP,
    IDENTIFY,
    MEASURING,
    OK,
    PAIRED,
    SEARCHING,
    STORING,
    UNPAIRED,
    most_urgent,
)
from protocol.session_states import STREAMING

# Until a link that comes back is no longer worth waiting for.
SEARCH_S = 60
PAIRED_S = 8
IDENTIFY_S = 10
# Flash that refused, since the last time.
TROUBLE_S = 300
# Below 20 % it is an alarm, which the light shows instead.
LOW_PCT = 30
# What is under way while all goes well: the frames of some ten seconds.
UNDER_WAY = 32


class Signals:
    """`node`: its agents, session and outbox."""

    def __init__(self, node):
        self._node = node
        self._paired = bool(node.start.agents)
        self._away_s = 0
        self._said = {}
        # How many seconds more.
        self._brief = {}

    def indicate(self, source, state):
        """What `source` has to say until it says something else; 0: nothing."""
        self._said[source] = state

    def identify(self):
        """Show which node this is."""
        self._brief[IDENTIFY] = IDENTIFY_S

    def trouble(self):
        """Something does not work that a reading does not show."""
        self._brief[HELP] = TROUBLE_S

    def second(self, readings):
        """The state to show in this second."""
        node = self._node
        paired = bool(node.start.agents)
        if paired and not self._paired:
            self._brief[PAIRED] = PAIRED_S
        self._paired = paired
        streams = node.session.state == STREAMING
        self._away_s = 0 if streams else self._away_s + 1
        states = list(self._said.values())
        if (readings.ecg_fault and not readings.ecg_held) or readings.ppg_fault or readings.cuff_fault:
            states.append(HELP)
        if 0 <= readings.battery_pct < LOW_PCT and not readings.charging:
            states.append(CHARGE)
        if not paired:
            states.append(UNPAIRED)
        elif streams:
            states.append(MEASURING if len(node.sealer.box) > UNDER_WAY else OK)
        else:
            states.append(SEARCHING if self._away_s < SEARCH_S else STORING)
        brief = self._brief
        for state in list(brief):
            states.append(state)
            brief[state] -= 1
            if brief[state] <= 0:
                del brief[state]
        return most_urgent(states)

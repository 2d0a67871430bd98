"""An Improv client over BLE: its commands, the node's answers. Loaded when one writes a command."""

from firmware import improv
from protocol import improv as wire

# Where a command's length is, and what comes around its data.
LENGTH_AT = 1
AROUND = 3


class BleClient:
    """`feature`: the node's Ble."""

    def __init__(self, feature):
        self._feature = feature
        self._wifi = feature.node.features["wifi"]
        self._improv = improv.Improv(self._wifi, False)
        self._state = 0

    def look(self):
        """Carry out a command that is complete, say a state that is new; whether anything goes on."""
        feature = self._feature
        command = feature.command
        complete = len(command) > LENGTH_AT and len(command) >= command[LENGTH_AT] + AROUND
        if complete:
            feature.command = b""
            self._improv.command(command, self._say)
        state = self._improv.state
        if state != self._state:
            self._say(wire.TYPE_STATE, bytes((state,)))
        return complete or self._wifi.joining

    def _say(self, kind, data):
        # State, error, command and result come in the order of their types, after the pipe's two.
        if kind == wire.TYPE_STATE:
            self._state = data[0]
        self._feature.ble.gatts_write(self._feature.handles[1 + kind], data, True)

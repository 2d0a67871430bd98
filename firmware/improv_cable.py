"""An Improv client at the serial cable, which shares it with the session. Loaded when one says something."""

from firmware import improv
from protocol import improv as wire

# What has begun to look like a packet and does not go on is none.
PART_MS = 500
GONE_MS = 120000


class Client:
    """`wifi`: the node's Wifi feature."""

    def __init__(self, wifi):
        self._wifi = wifi
        self._finder = wire.Finder()
        self._improv = improv.Improv(wifi, True)
        self._heard_ms = self._spoke_ms = wifi.node.clock.now_ms()
        self._spoke = False

    def take(self, data):
        """The session's part of `data`."""
        now_ms = self._wifi.node.clock.now_ms()
        before = b""
        if self._finder.waiting and now_ms - self._heard_ms > PART_MS:
            before = self._finder.give_up()
        self._heard_ms = now_ms
        packets, rest = self._finder.feed(data)
        for kind, body in packets:
            self._spoke = True
            self._spoke_ms = now_ms
            if kind == wire.TYPE_COMMAND:
                self._improv.command(body, self._say)
        if not self._spoke and not self._finder.waiting:
            self._wifi.forget_client()
        return before + rest

    def look(self):
        """Whether the client still is one."""
        if self._wifi.joining or self._wifi.node.clock.now_ms() - self._spoke_ms < GONE_MS:
            return
        if not self._finder.waiting:
            self._wifi.forget_client()

    def _say(self, kind, data):
        # A client looks for packets after a line feed; a zero ends the noise that they are to an agent.
        self._wifi.node.link.say(b"\n" + wire.packet(kind, data) + b"\n\0")

"""paho's client, which keeps no more of a packet than anything has that is meant for us.

Whoever may publish on our topics could otherwise fill our memory with one message (MQTT: 256 MB). The rest of
it is read and dropped; what is left is refused like any other message that nobody has signed. The broker is
not told of the limit (MQTT 5, Maximum Packet Size): each message that Mosquitto 2.0 drops for it keeps a
place among those that are on their way, and after twenty nothing comes any more.
"""

from typing import Any

from paho.mqtt import client as paho

READ_BYTES = 64 * 1024
# DISCONNECT reason code (MQTT 5.0 §3.14.2.1): another connection has our client id.
SESSION_TAKEN_OVER = 0x8E
TAKEN_OVER = "another client took this agent's place at the broker: does a copy of it run somewhere?"


class _Cut(bytes):
    """What is kept of `size` bytes that were read; its len() is `size`, which is what paho subtracts."""

    size = 0

    def __len__(self) -> int:
        return self.size


class Client(paho.Client):
    """`most`: so many bytes of a packet are kept; other arguments as paho has them. `taken_over`: the broker
    ended the connection because another client came with our id.
    """

    def __init__(self, most: int, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._most = most
        self.taken_over = False
        self.on_disconnect = self._ended

    def _ended(self, client: paho.Client, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        # It is called again when the socket is closed.
        self.taken_over |= flags.is_disconnect_packet_from_server and reason.value == SESSION_TAKEN_OVER

    def _sock_recv(self, bufsize: int) -> bytes:
        data = super()._sock_recv(min(bufsize, READ_BYTES))
        room = max(0, self._most - len(self._in_packet["packet"]))
        if len(data) <= room:
            return data
        cut = _Cut(data[:room])
        cut.size = len(data)
        return cut

"""paho's client, which takes no packet that is longer than anything that is meant for an agent.

Whoever may publish on an agent's topics could otherwise fill its memory with one message (MQTT: 256 MB).
"""

from paho.mqtt import client as paho

# A receipt with all hand-overs that there may be has a third of it; a command, a sixteenth.
MAX_PACKET = 64 * 1024


class PacketTooLong(Exception):
    """The broker sends more than was agreed (MQTT 5), or than anybody has to say to us (3.1.1)."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"the broker sent a packet of {size} bytes, and the limit is {MAX_PACKET}: let nobody but the"
            " collector publish on this agent's topics"
        )
        self.size = size


class Client(paho.Client):
    """PacketTooLong out of loop_read() ends the connection before any of the packet is read."""

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > MAX_PACKET:
            raise PacketTooLong(bufsize)
        return super()._sock_recv(bufsize)

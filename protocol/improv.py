"""Improv Wi-Fi without I/O: how a phone or a browser gives a device its network.

Source: improv-wifi.com/serial and improv-wifi.com/ble (service revision 2.2). Over both transports a client
sends RPC commands, and hears the device's state, its last error and results. Over BLE each of the four is a
characteristic of its own, and a command and a result end with a checksum; over a serial cable each is a
packet with a checksum, what is in it has none, and command 2 asks for the state.
"""

from protocol.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

STATE_AUTHORIZATION_REQUIRED = 1
STATE_AUTHORIZED = 2
STATE_PROVISIONING = 3
STATE_PROVISIONED = 4

ERROR_NONE = 0
ERROR_INVALID_RPC = 1
ERROR_UNKNOWN_RPC = 2
ERROR_UNABLE_TO_CONNECT = 3
ERROR_NOT_AUTHORIZED = 4
ERROR_UNKNOWN = 0xFF

COMMAND_SETTINGS = 1
COMMAND_IDENTIFY = 2  # over BLE
COMMAND_STATE = 2  # over a serial cable
COMMAND_DEVICE = 3
COMMAND_SCAN = 4

CAPABLE_IDENTIFY = 1
CAPABLE_DEVICE = 2
CAPABLE_SCAN = 4

# The types of serial packets; over BLE, which characteristic.
TYPE_STATE = 1
TYPE_ERROR = 2
TYPE_COMMAND = 3
TYPE_RESULT = 4

HEADER = b"IMPROV"
VERSION = 1
OVERHEAD = 10
MAX_PACKET = OVERHEAD + 255
MAX_SSID = 32
MAX_PASSWORD = 64
# Of what one result may hold: its length is one byte.
MAX_RESULT = 255


class ImprovError(ProtocolError):
    """A command that cannot be carried out; `error`: the error state that says so."""

    cause = "malformed_improv"
    layer = "improv"

    def __init__(self, detail: str, error: int):
        ProtocolError.__init__(self, detail)
        self.error = error


def checksum(data: bytes) -> int:
    """The low byte of the sum of all bytes."""
    return sum(data) & 0xFF


def read_command(data: bytes, summed: bool) -> "tuple[int, bytes]":
    """(command, its data) of an RPC command; `summed`: with its checksum, as over BLE. ImprovError."""
    end = len(data) - (1 if summed else 0)
    if end < 2 or data[1] != end - 2:
        raise ImprovError("a command of another length than it says", ERROR_INVALID_RPC)
    if summed and checksum(data[:end]) != data[end]:
        raise ImprovError("a command with a wrong checksum", ERROR_INVALID_RPC)
    return data[0], bytes(data[2:end])


def strings(data: bytes) -> "list[bytes]":
    """Byte strings that each have their length before them. ImprovError."""
    found: "list[bytes]" = []
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        if end > len(data):
            raise ImprovError("a string longer than its data", ERROR_INVALID_RPC)
        found.append(bytes(data[at + 1 : end]))
        at = end
    return found


def read_settings(data: bytes) -> "tuple[str, str]":
    """(name of the network, password or "") of COMMAND_SETTINGS. ImprovError: not both, not as long as
    IEEE 802.11 has them, or with a NUL, at which a radio's driver would cut them off.
    """
    found = strings(data)
    if len(found) != 2 or not 0 < len(found[0]) <= MAX_SSID or len(found[1]) > MAX_PASSWORD:
        raise ImprovError("no network and password", ERROR_INVALID_RPC)
    if b"\0" in found[0] or b"\0" in found[1]:
        raise ImprovError("a network or a password with a NUL", ERROR_INVALID_RPC)
    try:
        return found[0].decode(), found[1].decode()
    except UnicodeError:
        raise ImprovError("a network or a password that is no UTF-8", ERROR_INVALID_RPC)


def result(command: int, texts: "Sequence[bytes]", summed: bool) -> bytes:
    """The result of a command: a list of strings, which may be empty. ValueError: longer than MAX_RESULT."""
    data = bytearray((command, 0))
    for text in texts:
        data.append(len(text))
        data.extend(text)
    if len(data) - 2 > MAX_RESULT:
        raise ValueError("a result that is too long")
    data[1] = len(data) - 2
    if summed:
        data.append(checksum(bytes(data)))
    return bytes(data)


def packet(kind: int, data: bytes) -> bytes:
    """A serial packet of that type."""
    head = HEADER + bytes((VERSION, kind, len(data))) + data
    return head + bytes((checksum(head),))


class Finder:
    """Finds packets in what comes over a serial line, in pieces of any size, among anything else.

    Keeps MAX_PACKET bytes at most.
    """

    def __init__(self) -> None:
        self._kept = b""
        self._line_feed = False

    @property
    def waiting(self) -> bool:
        """Whether what may be a packet has begun."""
        return bool(self._kept)

    def feed(self, data: bytes) -> "tuple[list[tuple[int, bytes]], bytes]":
        """([(type, data), …] of the packets that are complete, everything that belongs to none)."""
        if self._line_feed and data:
            # Clients end a packet with one, which may come by itself.
            self._line_feed = False
            if data[0] == 10:
                data = data[1:]
        data = self._kept + data
        found: "list[tuple[int, bytes]]" = []
        rest = b""
        while True:
            at = data.find(HEADER)
            if at < 0:
                at = len(data) - _begun(data)
                break
            size = _size(data, at)
            if size < 0:
                rest += data[: at + len(HEADER)]
                data = data[at + len(HEADER) :]
            elif len(data) - at < max(size, OVERHEAD):
                break
            else:
                end = at + size
                found.append((data[at + 7], data[at + 9 : end - 1]))
                rest += data[:at]
                self._line_feed = end == len(data)
                data = data[end + 1 :] if data[end : end + 1] == b"\n" else data[end:]
        self._kept = data[at:]
        return found, rest + data[:at]

    def give_up(self) -> bytes:
        """What was kept back: it is no packet."""
        kept, self._kept = self._kept, b""
        return kept


def _begun(data: bytes) -> int:
    """How many bytes at the end of `data` may begin a packet."""
    for n in range(min(len(HEADER) - 1, len(data)), 0, -1):
        if data[-n:] == HEADER[:n]:
            return n
    return 0


def _size(data: bytes, at: int) -> int:
    """The size of the packet that begins at `at`, as far as it can be known; 0: not yet, -1: it is none."""
    have = len(data) - at
    if have > 6 and data[at + 6] != VERSION:
        return -1
    if have < 9:
        return 0
    size = OVERHEAD + data[at + 8]
    if have >= size and checksum(data[at : at + size - 1]) != data[at + size - 1]:
        return -1
    return size

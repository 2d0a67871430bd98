"""Consistent Overhead Byte Stuffing: messages in a pipe of bytes, each ended by one 0x00.

Source: S. Cheshire, M. Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Trans. Networking 7(2), 1999.
"""

from protocol.errors import CobsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Buffer = Union[bytes, bytearray, memoryview]

MAX_ENCODED = 4096
"""Bytes between two delimiters; a longer message is dropped as soon as it passes this."""

DELIMITER = b"\x00"


def encode(msg: "Buffer") -> bytes:
    """`msg` as it goes on the wire, with its final 0x00; at most one byte in 254 longer, plus two."""
    if not isinstance(msg, bytes):
        msg = bytes(msg)
    size = len(msg)
    out = bytearray()
    at = 0
    while True:
        zero = msg.find(DELIMITER, at)
        end = size if zero < 0 else zero
        full = False
        while end - at >= 254:
            out.append(255)
            out.extend(msg[at : at + 254])
            at += 254
            full = True
        if zero < 0:
            if end > at or not full:
                out.append(end - at + 1)
                out.extend(msg[at:end])
            out.append(0)
            return bytes(out)
        out.append(end - at + 1)
        out.extend(msg[at:end])
        at = zero + 1


def decode(encoded: "Buffer") -> bytes:
    """The message of which `encoded` is the encoding without its delimiter; CobsError has the wrong block."""
    size = len(encoded)
    out = bytearray()
    at = 0
    while at < size:
        code = encoded[at]
        end = at + code
        if code == 0:
            raise CobsError("a delimiter inside a message", at)
        if end > size:
            raise CobsError(f"a block of {code - 1} bytes where {size - at - 1} are left", at)
        out.extend(encoded[at + 1 : end])
        if code < 255 and end < size:
            out.append(0)
        at = end
    return bytes(out)


class Decoder:
    """Cuts a stream of bytes, fed in pieces of any size, into messages.

    What is too long or not COBS is dropped and counted in `oversize` and `malformed`; `faults` has a
    CobsError for each of them in the newest piece. Memory is bounded by `max_encoded` plus a few such pieces.
    """

    def __init__(self, max_encoded: int = MAX_ENCODED):
        self.max_encoded = max_encoded
        self.oversize = 0
        self.malformed = 0
        self.faults: "list[CobsError]" = []
        self._partial = bytearray()
        self._skipping = False

    def feed(self, data: "Buffer") -> "list[bytes]":
        """The messages that `data` completes, in order; empty ones are left out."""
        if not isinstance(data, bytes):
            data = bytes(data)
        messages: "list[bytes]" = []
        if self.faults:
            self.faults = []
        at = 0
        while True:
            zero = data.find(DELIMITER, at)
            end = len(data) if zero < 0 else zero
            if zero > at and not self._partial and not self._skipping and end - at <= self.max_encoded:
                # A whole message in one piece, as nearly always.
                self._finish(data[at:end], messages)
                at = zero + 1
                continue
            if not self._skipping:
                if len(self._partial) + end - at > self.max_encoded:
                    self.oversize += 1
                    self.faults.append(CobsError("a message that is too long", self.max_encoded, "oversize"))
                    self._skipping = True
                    self._partial = bytearray()
                else:
                    self._partial.extend(data[at:end])
            if zero < 0:
                return messages
            if self._partial:
                encoded = self._partial
                self._partial = bytearray()
                self._finish(encoded, messages)
            self._skipping = False
            at = zero + 1

    def _finish(self, encoded: "Buffer", messages: "list[bytes]") -> None:
        try:
            msg = decode(encoded)
        except CobsError as e:
            self.malformed += 1
            self.faults.append(e)
            return
        if msg:
            messages.append(msg)

"""Looks for the one byte of a captured message that was changed on the way, by the proof that it carries.

A tag says that something was changed, not what. But with the key at hand a message can be tried with one
byte replaced: if it opens, that byte was it (by chance, one trial in 2^64 opens). A changed byte may also
have made a delimiter, or unmade one. Nothing is guessed: what does not open so is left as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from protocol import cobs
from protocol.errors import CobsError
from tools.dissect.link import Link
from tools.dissect.stuffing import codes, places

MAX_TRIALS = 400_000
"""So often a key is tried on a whole capture, some seconds: enough for several messages, not for noise."""


@dataclass
class Mended:
    """A message as it was sent. `at`: the changed byte in the capture; `why`: what was changed, in words."""

    message: bytes
    places: list[int]
    at: int
    why: str


class Mender:
    """Searches on behalf of one link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._left = MAX_TRIALS

    @property
    def tired(self) -> bool:
        """Whether it has stopped looking."""
        return self._left == 0

    def search(self, chunks: "list[bytes]", index: int, at: int) -> "Mended | None":
        """What chunk `index`, which begins at `at` of the capture, was when it was sent; None: not found."""
        if self._link.keys.agent is None or self.tired or len(chunks[index]) > cobs.MAX_ENCODED:
            return None
        chunk = chunks[index]
        after = chunks[index + 1] if index + 1 < len(chunks) else b""
        return (
            self._recounted(chunk, at)
            or (self._joined(chunk, after, at) if after else None)
            or self._parted(chunk, at)
            or self._replaced(chunk, at)
        )

    def _opens(self, message: bytes) -> bool:
        if self.tired:
            return False
        self._left -= 1
        return self._link.opens(message)

    def _proved(self, encoded: bytes) -> "bytes | None":
        try:
            message = cobs.decode(encoded)
        except CobsError:
            return None
        return message if self._opens(message) else None

    def _replaced(self, chunk: bytes, at: int) -> "Mended | None":
        """A byte of the message itself."""
        try:
            message = bytearray(cobs.decode(chunk))
        except CobsError:
            return None
        where = places(chunk, at)
        counting = set(codes(chunk))
        for offset, value in _values(
            message, [i for i in range(len(message)) if where[i] - at not in counting]
        ):
            was = message[offset]
            message[offset] = value
            if self._opens(bytes(message)):
                return Mended(bytes(message), where, where[offset], _changed(was, value))
            message[offset] = was
        return None

    def _recounted(self, chunk: bytes, at: int) -> "Mended | None":
        """A byte that counts a block."""
        trial = bytearray(chunk)
        for offset, value in _values(trial, codes(chunk)):
            was = trial[offset]
            trial[offset] = value
            message = self._proved(bytes(trial))
            if message is not None:
                return Mended(message, places(bytes(trial), at), at + offset, _changed(was, value))
            trial[offset] = was
        return None

    def _joined(self, chunk: bytes, after: bytes, at: int) -> "Mended | None":
        """A byte that has become a delimiter."""
        for value in range(1, 256):
            whole = chunk + bytes((value,)) + after
            message = self._proved(whole)
            if message is not None:
                return Mended(message, places(whole, at), at + len(chunk), _changed(0, value))
        return None

    def _parted(self, chunk: bytes, at: int) -> "Mended | None":
        """A delimiter that has become a byte: two messages, of which the first that opens is shown."""
        for offset in range(1, len(chunk) - 1):
            for encoded, begin in ((chunk[:offset], at), (chunk[offset + 1 :], at + offset + 1)):
                message = self._proved(encoded)
                if message is not None:
                    why = f"{_changed(chunk[offset], 0)}, a delimiter: there are two messages here"
                    return Mended(message, places(encoded, begin), at + offset, why)
        return None


def _values(data: bytearray, offsets: "list[int]") -> "Iterator[tuple[int, int]]":
    """(offset, other value) to try: single bits first, because that is what happens to a line."""
    for offset in offsets:
        for bit in range(8):
            if data[offset] ^ 1 << bit:
                yield offset, data[offset] ^ 1 << bit
    for offset in offsets:
        for value in range(1, 256):
            if (data[offset] ^ value).bit_count() > 1:
                yield offset, value


def _changed(here: int, sent: int) -> str:
    return f"this byte was changed: 0x{here:02x} here, 0x{sent:02x} when it was sent"

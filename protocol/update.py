"""The signed manifest of an update (docs/wire-protocol.md §8.2): read, checked, and gone through.

A node keeps it on flash, and has no room for all of it as objects. So everything here reads it where it lies:
`read(offset, n)` gives up to n bytes from there. A manifest is COSE_Sign1 with Ed25519 by the maker; what it
says counts for nothing before `verify_steps` has said so.
"""

from protocol import cbor, crypto
from protocol.checks import is_bytes, is_list, is_uint
from protocol.errors import CborError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    Read = Callable[[int, int], bytes]

VERSION = 1
MAX_MANIFEST = 12288
MAX_FILES = 128
MAX_PATH = 48
WINDOW = 8
"""Data messages that a node need not have answered before the next is sent."""
OFFSET_BITS = 22
MAX_FILE = (1 << OFFSET_BITS) - 1

# Tag 18, four items, {1: -8} in a byte string, an empty map: the headers in use, and no others.
_HEAD = b"\xd2\x84\x43\xa1\x01\x27\xa0"
# ["Signature1", the same, no external data, …
_SIGNED_HEAD = b"\x84\x6aSignature1\x43\xa1\x01\x27\x40"
_SIGNATURE_HEAD = b"\x58\x40"
_NAME = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
_SUFFIXES = ("py", "mpy")
# The longest item of it but the list of files: an entry with its path, size and hash.
_MOST = MAX_PATH + 48


class UpdateError(ProtocolError):
    """A manifest that is refused, or a bundle. `cause`: malformed_manifest, bad_path, too_large,
    bad_signature, wrong_board, old_version; of a bundle alone, bad_file.
    """

    cause = "malformed_manifest"
    layer = "update"


class Manifest:
    """What a manifest of `size` bytes says: `version`, `board`, `count` of files. UpdateError for one that
    is none; its files are checked by `entries`.
    """

    def __init__(self, read: "Read", size: int):
        if not 0 < size <= MAX_MANIFEST:
            raise UpdateError(f"a manifest of {size} bytes", cause="too_large")
        self._read = read
        try:
            self._open(size)
        except CborError as e:
            raise UpdateError(f"not CBOR: {e.detail}") from None

    def _open(self, size: int) -> None:
        start = self._read(0, len(_HEAD) + 5)
        if start[: len(_HEAD)] != _HEAD:
            raise UpdateError("not a COSE_Sign1 with Ed25519")
        major, n, at = cbor.read_head(start, len(_HEAD))
        if major != 2 or at + n + 66 != size:
            raise UpdateError("not as long as it says")
        self._payload_head = start[len(_HEAD) : at]
        self._at = at
        self._end = at + n
        if self._read(self._end, 2) != _SIGNATURE_HEAD:
            raise UpdateError("no signature")
        major, pairs, at = self._head(at)
        if major != 5 or pairs < 5:
            raise UpdateError("not a map with keys 1 to 5")
        fields: "list[object]" = []
        for key in range(1, 5):
            found, at = self._item(at)
            value, at = self._item(at)
            if found != key:
                raise UpdateError(f"key {key} is missing")
            fields.append(value)
        found, at = self._item(at)
        major, count, at = self._head(at)
        version, board = fields[2], fields[3]
        if found != 5 or major != 4 or not 0 < count <= MAX_FILES:
            raise UpdateError(f"key 5 is not a list of 1 to {MAX_FILES} files")
        if fields[0] != VERSION or fields[1] != "update":
            raise UpdateError("not an update of this version of the protocol")
        if not isinstance(version, str) or not isinstance(board, str):
            raise UpdateError("version or board is no text")
        version_key(version)
        self.version: str = version
        self.board: str = board
        self.count = count
        self._files_at = at
        # What a later version adds stands behind the files.
        self._alone = pairs == 5

    def _head(self, at: int) -> "tuple[int, int, int]":
        major, n, after = cbor.read_head(self._read(at, min(9, self._end - at)), 0)
        return major, n, at + after

    def _item(self, at: int) -> "tuple[object, int]":
        item, after = cbor.loads_prefix(self._read(at, min(_MOST, self._end - at)))
        return item, at + after

    def entries(self) -> "Generator[tuple[str, int, bytes], None, None]":
        """(path, size, SHA-256) of each file, in order; UpdateError for the first that may not be."""
        at = self._files_at
        last = ""
        for _ in range(self.count):
            try:
                item, at = self._item(at)
            except CborError as e:
                raise UpdateError(f"not CBOR: {e.detail}") from None
            if not is_list(item) or len(item) != 3 or not is_uint(item[1]) or not is_bytes(item[2], 32):
                raise UpdateError("not [path, size, SHA-256]")
            path = item[0]
            if not is_path(path):
                raise UpdateError(f"{path!r} is no path for a file of an update", cause="bad_path")
            if path <= last:
                raise UpdateError(f"{path} is not behind {last}", cause="bad_path")
            if item[1] > MAX_FILE:
                raise UpdateError(f"{path} has {item[1]} bytes", cause="too_large")
            last = path
            yield path, item[1], item[2]
        if self._alone and at != self._end:
            raise UpdateError("bytes behind the last file")

    def verify_steps(self, makers: "Sequence[bytes]") -> "Generator[None, None, None]":
        """Slow work: UpdateError unless it is signed by one of these Ed25519 public keys."""
        signature = self._read(self._end + 2, 64)
        n = self._end - self._at
        signed = _SIGNED_HEAD + self._payload_head + self._read(self._at, n)
        for maker in makers:
            if (yield from crypto.ed25519_verify_steps(maker, signed, signature)):
                return
        raise UpdateError("signed by nobody whose updates are taken here", cause="bad_signature")

    def check(self, board: str, running: str, floor: str = "") -> None:
        """UpdateError unless it is for `board`, newer than the version `running`, and not older than the
        version `floor`.
        """
        if self.board != board:
            raise UpdateError(f"for the board {self.board}, and this is {board}", cause="wrong_board")
        mine = version_key(self.version)
        if mine <= version_key(running) or (floor and mine < version_key(floor)):
            raise UpdateError(f"{self.version} is not newer than {floor or running}", cause="old_version")


def is_path(path: "object") -> bool:
    """Whether a file of an update may lie there: names of letters, digits and _ , the last with .py or .mpy,
    in the slot, and none that the slot's chooser could take for its own.
    """
    if not isinstance(path, str) or len(path) > MAX_PATH:
        return False
    folders = path.split("/")
    name, _, suffix = folders.pop().partition(".")
    for part in folders + [name]:
        if not part:
            return False
        for char in part.encode():
            if char not in _NAME:
                return False
    first = folders[0] if folders else name
    return suffix in _SUFFIXES and not (
        first in ("main", "boot", "slots", "state", "spool") or first.startswith("slot_")
    )


def version_key(version: str) -> "list[int]":
    """What versions are compared by: 1 to 4 numbers with dots between, without leading zeros, each below
    65536; a missing one is 0. UpdateError for another text.
    """
    parts = version.split(".")
    numbers: "list[int]" = []
    for part in parts:
        digits = part.encode()
        good = 0 < len(digits) < 6 and (digits[0] != 0x30 or len(digits) == 1)
        for digit in digits:
            good = good and 0x30 <= digit <= 0x39
        if not good or int(part) > 0xFFFF:
            raise UpdateError(f"{version!r} is no version: numbers with dots between")
        numbers.append(int(part))
    if len(numbers) > 4:
        raise UpdateError(f"{version!r} is no version: more than 4 numbers")
    return numbers + [0] * (4 - len(numbers))


def place(item: int, offset: int) -> int:
    """The value of an answer: the next byte that is wanted, of object `item` (0 the manifest; one more than
    there are files: nothing more).
    """
    return item << OFFSET_BITS | offset


def placed(value: int) -> "tuple[int, int]":
    """(object, offset) of such a value."""
    return value >> OFFSET_BITS, value & MAX_FILE

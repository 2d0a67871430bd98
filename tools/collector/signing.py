"""What a collector signs its receipts with: its first key, or the one that this was handed over to.

The id, the X25519 key and the first Ed25519 key stay, and agents go on knowing the collector by its `.pub`;
each receipt carries the hand-overs that lead to the key that signed it (docs/wire-protocol.md §11.2). They
lie beside the key file: `collector.key` is the first, `collector.key.1` the one after the first hand-over.
Collectors that share an identity share these files.
"""

import os
import time
from pathlib import Path

from edge_agent.files import write_atomically
from edge_agent.keys import KeyFileError, check_private
from protocol.cose import Signer
from protocol.errors import ProtocolError
from protocol.handover import SigningKey, make_handover, read_chain
from protocol.identity import Identity

_MAGIC = b"vitalwire signing key 1\n"


class Signing:
    """`identity` and, when its key was handed over, the key that signs now. `path`: of the key file; None:
    never handed over.
    """

    def __init__(self, identity: Identity, path: Path | None = None):
        self.identity = identity
        self._path = path
        self._seen = -1
        self._current: tuple[Signer, list[bytes]] = (identity, [])
        self.reload()

    def reload(self) -> None:
        """Look whether the key was handed over since. KeyFileError: by something that does not fit."""
        if self._path is None:
            return
        handed = _count(self._path)
        if handed == self._seen:
            return
        records: list[bytes] = []
        signer: Signer = self.identity
        for number in range(1, handed + 1):
            signer, record = _read(_file(self._path, number))
            records.append(record)
        try:
            steps = read_chain(self.identity.ed_pub, records, self.identity.id)
        except ProtocolError as e:
            raise KeyFileError(_file(self._path, handed), str(e), "restore it from a backup") from e
        if steps and steps[-1].new_pub != signer.ed_pub:
            raise KeyFileError(_file(self._path, handed), "key and hand-over do not fit", "restore it")
        self._seen, self._current = handed, (signer, records)

    def current(self) -> tuple[Signer, list[bytes]]:
        """(the key that signs now, the hand-overs that lead to it)."""
        return self._current

    def hand_over(self, now_ms: int | None = None) -> int:
        """Make a new key, hand over to it, and keep both on the disk before it is used; its number."""
        assert self._path is not None
        self.reload()
        old, records = self._current
        number = len(records) + 1
        new = SigningKey.from_seed(os.urandom(32))
        made_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        record = make_handover(old, new, self.identity.id, made_ms, number)
        write_atomically(_file(self._path, number), _MAGIC + new.ed_seed + record)
        self.reload()
        return number


def _file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _count(path: Path) -> int:
    number = 0
    while _file(path, number + 1).exists():
        number += 1
    return number


def _read(path: Path) -> tuple[SigningKey, bytes]:
    try:
        data = path.read_bytes()
    except OSError as e:
        raise KeyFileError(path, f"cannot be read: {e.strerror}") from None
    check_private(path)
    body = data[len(_MAGIC) :]
    if not data.startswith(_MAGIC) or len(body) < 33:
        raise KeyFileError(path, "it is no signing key", "restore it from a backup")
    return SigningKey.from_seed(body[:32]), body[32:]

"""Unpredictable bytes for keys, nonces and boot ids, from a pool that never depends on one source alone.

The pool mixes, by SHA-256: the stored seed, `os.urandom` (on an ESP32 a true source only while the radio is
on, so the board also says whether it was) and whatever the board adds (sensor noise, the bench host's random
bytes). The stored seed is replaced *before* anything is drawn, so a power cut never makes two boots draw from
the same seed.
"""

import os

from firmware.flash import FlashError
from protocol.crypto import sha256

SEED_RECORD = "seed"
SEED_BYTES = 32
STRONG = b"\x01"
WEAK = b"\x00"


class EntropyPool:
    """`strong` says whether a true random source ever went in; `fault` is the FlashError that kept the seed
    from being replaced.
    """

    def __init__(self, records, board_bytes, board_strong):
        self.strong = bool(board_strong)
        self.fault = None
        self._state = sha256(b"vitalwire pool")
        self.mix(os.urandom(SEED_BYTES))
        self.mix(board_bytes)
        self._take_seed(records)

    def _take_seed(self, records):
        """Mix the stored seed in and put its successor on flash; without that, it does not count as a strong
        source.
        """
        try:
            stored = records.read(SEED_RECORD)
        except FlashError as error:
            stored = None
            self.fault = error
        was_strong = stored is not None and stored[:1] == STRONG
        if stored:
            self.mix(stored)
        successor = sha256(b"seed" + self._state)
        try:
            records.write(SEED_RECORD, (STRONG if self.strong or was_strong else WEAK) + successor)
            self.strong = self.strong or was_strong
        except FlashError as error:
            self.fault = error
        self._state = sha256(b"after seed" + self._state)

    def mix(self, data):
        """Add `data` to the pool; it can only gain by it."""
        self._state = sha256(b"mix" + self._state + data)

    def random(self, n):
        """n unpredictable bytes; the pool keeps nothing from which they could be computed."""
        out = b""
        while len(out) < n:
            out += sha256(b"out" + self._state)
            self._state = sha256(b"next" + self._state)
        self.mix(os.urandom(8))
        return out[:n]

"""Unpredictable bytes for keys, nonces and boot ids, from a pool that never depends on one source alone.

The pool mixes, by SHA-256: the stored seed, `os.urandom` (on an ESP32 a true source only while the radio is
on, so the board also says whether it was), whatever the board adds (the chip's id, the bench host's random
bytes), and at each draw the processor's clock. So what is drawn after a write to flash depends on how long
that took, to the cycle: by this two copies of one flash differ on one chip whose generator is no good, and by
no more than a few bits a write. The stored seed is replaced *before* anything is drawn, so a power cut never
makes two boots draw from the same seed. A seed remembers whether a true source ever went into it: one that
did not makes the board go to some length.
"""

import os
import time

from firmware.flash import FlashError
from protocol.crypto import sha256

SEED_RECORD = "seed"
SEED_BYTES = 32
STRONG = b"\x01"
WEAK = b"\x00"


class EntropyPool:
    """`board_entropy(seeded)` gives (bytes, whether they come from a true random source); `seeded`: a strong
    seed was stored. `strong` says whether a true random source ever went in; `first` whether it did so in
    this boot for the first time; `fault` is the FlashError that kept the seed from being replaced.
    """

    def __init__(self, records, board_entropy):
        self.fault = None
        self._state = sha256(b"vitalwire pool")
        self.mix(os.urandom(SEED_BYTES))
        stored = self._stored(records)
        was_strong = stored[:1] == STRONG
        self.mix(stored)
        board_bytes, board_strong = board_entropy(was_strong)
        self.mix(board_bytes)
        self.strong = bool(board_strong)
        self._replace(records, was_strong)
        self.first = self.strong and not was_strong and self.fault is None

    def _stored(self, records):
        try:
            return records.read(SEED_RECORD) or b""
        except FlashError as error:
            self.fault = error
            return b""

    def _replace(self, records, was_strong):
        """Put the seed's successor on flash; without that, the seed does not count as a strong source."""
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
        ticks = time.ticks_cpu()
        self.mix(os.urandom(8) + ticks.to_bytes(8, "big"))  # pyright: ignore[reportAttributeAccessIssue]
        out = b""
        while len(out) < n:
            out += sha256(b"out" + self._state)
            self._state = sha256(b"next" + self._state)
        return out[:n]

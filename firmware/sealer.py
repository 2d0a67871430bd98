"""Every frame of a boot passes here: packed, numbered, sealed once, held for the agent, counted towards the
next attestation.
"""

import gc

from protocol import frames

# A loss frame with this many ranges stays well below the longest message.
MAX_RANGES = 100
MAX_TEXT = 64


class BootBroken(Exception):
    """A frame was sealed but could not be kept and counted: its number is spent, so this boot must end."""


class Sealer:
    """`keys`: the boot's SealingKeys; `box`: its Outbox; `attester`: its Attester; `record`: its BootRecord;
    `clock`: the node's Clock.
    """

    def __init__(self, keys, box, attester, record, clock):
        self._keys = keys
        self._attester = attester
        self._record = record
        self._clock = clock
        self.box = box
        self.broken = False

    def seal(self, kind, body, t_us=None, keep=False):
        """Make the frame (`t_us`: now) and hold it. `keep`: never evicted. Raises BootBroken when that went
        wrong half way.
        """
        if self.broken:
            raise BootBroken()
        if t_us is None:
            t_us = self._clock.now_us()
        seq = self.box.next_seq
        plaintext = frames.pack(kind, t_us, body)
        sealed = self._keys.seal(seq, plaintext)
        self.broken = True
        try:
            self._attester.add(seq, plaintext)
        except MemoryError:
            # The outbox gives way before the boot does; nothing has been added yet.
            self.box.shrink()
            gc.collect()
            self._attester.add(seq, plaintext)
        self.box.add(seq, sealed, frames.lane(kind, body), keep)
        self.broken = False
        self._record.retain(seq + 1)

    def event(self, code, priority, value=None, text=None):
        """An event frame of now; a text is cut to what fits."""
        body = {frames.EVENT_CODE: code, frames.EVENT_PRIORITY: priority}
        if value is not None:
            body[frames.EVENT_VALUE] = value
        if text:
            body[frames.EVENT_TEXT] = cut_text(text)
        self.seal(frames.KIND_EVENT, body)

    def losses(self):
        """State what was evicted, if anything was, in loss frames."""
        ranges = self.box.evictions()
        if not ranges:
            return
        self.box.evictions_sealed()
        for at in range(0, len(ranges), MAX_RANGES):
            body = [[first, count, frames.LOSS_OUTBOX_FULL] for first, count in ranges[at : at + MAX_RANGES]]
            self.seal(frames.KIND_LOSS, {frames.LOSS_RANGES: body}, None, True)


def cut_text(text):
    """`text` within MAX_TEXT bytes of UTF-8."""
    while len(text.encode()) > MAX_TEXT:
        text = text[:-1]
    return text

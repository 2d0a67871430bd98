"""Every frame of a boot passes here: packed, numbered, sealed once, held for the agent, counted towards the
next attestation.
"""

import gc

from protocol import frames
from protocol.errors import LocalError

# A loss frame with this many ranges stays well below the longest message.
MAX_RANGES = 100
MAX_TEXT = 64
# Of the 2^32 numbers of a boot: from here on it should end in order, and the last is left out, since of every
# frame its successor's number is kept in 32 bits.
SOON = 0xFFFFF000
NEVER = 0xFFFFFFFF


class BootBroken(Exception):
    """Nothing more can be sealed in this boot, which must end: a frame was sealed but could not be kept and
    counted, so that its number is spent; or the numbers are used up.
    """


class Sealer:
    """`keys`: the boot's SealingKeys; `box`: its Outbox; `attester`: its Attester; `record`: its BootRecord;
    `clock`: the node's Clock. `spent`: the numbers end soon, this boot should end in order.
    """

    def __init__(self, keys, box, attester, record, clock):
        self._keys = keys
        self._attester = attester
        self._record = record
        self._clock = clock
        self.box = box
        self.broken = False
        self.spent = False
        self._stated = -1

    def seal(self, kind, body, t_us=None, keep=False):
        """Make the frame (`t_us`: now) and hold it. `keep`: never evicted. Raises BootBroken when that went
        wrong half way, or there is no number for it.
        """
        if self.broken:
            raise BootBroken()
        if t_us is None:
            t_us = self._clock.now_us()
        seq = self.box.next_seq
        plaintext = frames.pack(kind, t_us, body)
        if seq >= SOON:
            self.spent = True
        try:
            if seq == NEVER:
                raise LocalError("the boot's numbers are used up", cause="exhausted")
            sealed = self._keys.seal(seq, plaintext)
        except LocalError:
            self.broken = True
            raise BootBroken()
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
        try:
            self._record.retain(seq + 1)
        except MemoryError:
            # The frame is held all the same; the next one's note covers it.
            pass

    def event(self, code, priority, value=None, text=None, more=None):
        """An event frame of now; a text is cut to what fits. `more`: further keys of its body."""
        body = {frames.EVENT_CODE: code, frames.EVENT_PRIORITY: priority}
        if more:
            body.update(more)
        if value is not None:
            body[frames.EVENT_VALUE] = value
        if text:
            body[frames.EVENT_TEXT] = cut_text(text)
        self.seal(frames.KIND_EVENT, body)

    def losses(self, last=False):
        """State what was evicted, if anything was, in a loss frame: the next when the one before is
        acknowledged, or no memory would do for an agent that never does; the `last` ones of a boot at once.
        """
        box = self.box
        ranges = box.evictions()
        if not ranges or (box.holds(self._stated) and not last):
            return
        box.evictions_sealed()
        try:
            while ranges:
                self.state(ranges[:MAX_RANGES], frames.LOSS_OUTBOX_FULL)
                del ranges[:MAX_RANGES]
                self._stated = box.next_seq - 1
                if not last:
                    break
        finally:
            if ranges:
                box.evictions_unsealed(ranges)

    def elsewhere(self, session):
        """State to the agent that is streaming what others have, unless it was told or there is nothing."""
        ranges = session.acked_elsewhere()
        if ranges:
            self.state(ranges, frames.LOSS_ELSEWHERE)
            session.elsewhere.told(session.agent_id, self.box.next_seq - 1)

    def state(self, ranges, reason):
        """State in a loss frame why the agent will not get these ranges, MAX_RANGES at most."""
        body = [[first, count, reason] for first, count in ranges]
        self.seal(frames.KIND_LOSS, {frames.LOSS_RANGES: body}, None, True)


def cut_text(text):
    """`text` within MAX_TEXT bytes of UTF-8."""
    while len(text.encode()) > MAX_TEXT:
        text = text[:-1]
    return text

"""Every frame of a boot passes here: packed, numbered, sealed once, held for the agent, counted towards the
next attestation.
"""

import gc

from protocol import frames
from protocol.errors import LocalError
from protocol.outbox import SPARE

# A loss frame with this many ranges stays well below the longest message.
MAX_RANGES = 100
MAX_TEXT = 64
# Of the 2^32 numbers of a boot: from here on it should end in order, and the last is left out, since of every
# frame its successor's number is kept in 32 bits.
SOON = 0xFFFFF000
NEVER = 0xFFFFFFFF
# So often a frame that is sealed is refused a place by memory before the boot ends for it.
MAX_TRIES = 16


class BootBroken(Exception):
    """Nothing more can be sealed in this boot, which must end: a frame was sealed but could not be kept and
    counted, so that its number is spent; or the numbers are used up.
    """


class Sealer:
    """`keys`: the boot's SealingKeys; `box`: its Outbox; `attester`: its Attester; `record`: its BootRecord;
    `clock`: the node's Clock. `spent`: the numbers end soon, this boot should end in order.
    `vitals_every_s`: how often vitals are made.
    """

    def __init__(self, keys, box, attester, record, clock):
        self._keys = keys
        self._attester = attester
        self._record = record
        self._clock = clock
        self.box = box
        self.broken = False
        self.spent = False
        self.vitals_every_s = 1
        self._stated = -1
        # A frame whose number is spent and that is not held yet; None as plaintext: it is counted.
        self._sealed = self._plaintext = None
        self._lane = self._tries = 0
        self._keep = False

    def seal(self, kind, body, t_us=None, keep=False):
        """Make the frame (`t_us`: now) and hold it; its number. `keep`: never evicted. MemoryError: it was
        not made. Raises BootBroken when there is no number for it, or memory never did for the one before.
        """
        if self.broken:
            raise BootBroken()
        if self._sealed is not None:
            self._hold()
        if t_us is None:
            t_us = self._clock.now_us()
        seq = self.box.next_seq
        plaintext = frames.pack(kind, t_us, body)
        lane = frames.lane(kind, body)
        if lane == frames.LANE_WAVE and frames.CH_PPG_RED <= body[frames.WAVE_CHANNEL] <= frames.CH_PPG_IR:
            # What was read from them is in the vitals.
            keep = SPARE
        if seq >= SOON:
            self.spent = True
        try:
            if seq == NEVER:
                raise LocalError("the boot's numbers are used up", cause="exhausted")
            sealed = self._keys.seal(seq, plaintext)
        except LocalError:
            self.broken = True
            raise BootBroken()
        self._sealed = sealed
        self._plaintext = plaintext
        self._lane = lane
        self._keep = keep
        try:
            self._hold()
        except MemoryError:
            # It is made, and has a place before the next one is.
            pass
        return seq

    def _hold(self):
        """Count and keep the frame that is sealed. MemoryError: another time, the outbox has given way."""
        box = self.box
        seq = box.next_seq
        self.broken = True
        try:
            if self._plaintext is not None:
                self._attester.add(seq, self._plaintext)
                self._plaintext = None
            box.add(seq, self._sealed, self._lane, self._keep)
        except MemoryError:
            box.shrink()
            gc.collect()
            self._tries += 1
            self.broken = self._tries == MAX_TRIES
            raise
        self._sealed = None
        self._tries = 0
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
                self._stated = self.state(ranges[:MAX_RANGES], frames.LOSS_OUTBOX_FULL)
                del ranges[:MAX_RANGES]
                if not last:
                    break
        finally:
            if ranges:
                box.evictions_unsealed(ranges)

    def elsewhere(self, session):
        """State to the agent that is streaming what others have, unless it was told or there is nothing."""
        ranges = session.acked_elsewhere()
        if ranges:
            session.elsewhere.told(session.agent_id, self.state(ranges, frames.LOSS_ELSEWHERE))

    def state(self, ranges, reason):
        """State in a loss frame why the agent will not get these ranges, MAX_RANGES at most; its number."""
        body = [[first, count, reason] for first, count in ranges]
        return self.seal(frames.KIND_LOSS, {frames.LOSS_RANGES: body}, None, True)


def cut_text(text):
    """`text` within MAX_TEXT bytes of UTF-8."""
    while len(text.encode()) > MAX_TEXT:
        text = text[:-1]
    return text

"""The spool as a feature of the node: what memory has no room for while the link is away lies on flash, until
an agent has acknowledged it, over resets and power cuts.

While an agent streams nothing is written, and segments that are empty are removed. What it is made of:
spool_put.py (writing), spool_box.py (reading), spool_past.py (earlier boots), each loaded when it is wanted.
How it works as a whole: docs/spool.md.
"""

import asyncio
import gc

from firmware.boots import RESERVE_BOUND_S
from firmware.flash import FlashError, Records
from firmware.indications import STORING
from firmware.requests import forget
from protocol import frames
from protocol.session_states import IDLE, OPENING, STREAMING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDER = "spool"
# With three quarters of the outbox full, an agent is given up after that much silence.
SILENT_MS = 8000
# So often, what must not be lost goes to flash although memory has room.
URGENT_S = 30
# While it stores: vitals so often, an ECG frame so long, since a frame costs much beside its samples.
SPARING_S = 5
SPARING_SAMPLES = 1000
# Long frames want long pieces of the heap: with less of it than this, they stay as they are.
ROOMY = 65536
# After flash that refused.
AGAIN_S = 60
# While all that is made is acknowledged at once, the boot record is written so often, and not every 30 s: of
# a LittleFS directory each 16 writes erase one block, the same one again and again.
RECORD_EVERY_S = 7200


class Spool:
    """`node`: the Node. `kept`: this boot's frames on flash (a Kept), None: there are none; `past`: earlier
    boots that are in the hello. `used`, `limit`: blocks of flash. `to_state`: evictions of earlier boots are;
    `damaged`: [(boot id, first, count), …] that could not be read of those, to be noted.
    """

    def __init__(self, node, driver_class):
        self.node = node
        self.box = node.sealer.box
        root = node.board.root
        self.folder = root + "/" + FOLDER if root else FOLDER
        self.records = Records(self.folder)
        self.boot_id = node.start.record.boot_id
        self.counter = int.from_bytes(self.boot_id[:4], "big")
        self.kept: "Any" = None
        self.past: "list[Any]" = []
        self.reached = ""
        self.agents = None
        self.used = self.limit = 0
        self.to_state = False
        self.damaged = []
        self._stated: "Any" = -1
        self._away_s = self._samples = self._long = 0
        self._wait_s = 0
        self._fault = ""
        self._made = 0
        self._work = asyncio.Event()

    def begin(self):
        """What earlier boots left is read later, when the heap has what a boot's beginning takes back."""
        if self.node.ecg is not None:
            self._samples = self._long = self.node.ecg.wave.size
            if gc.mem_free() > ROOMY:
                self._long = SPARING_SAMPLES

    def channels(self):
        """No waveform."""
        return ()

    def tasks(self):
        """One that writes and removes."""
        return [("spool", self.run)]

    def stop(self):
        """What is left is put away at the very end (put_away)."""

    def second(self, readings):
        """Whether there is something to do."""
        session = self.node.session
        box = self.box
        state = session.state
        now_ms = self.node.clock.now_ms()
        if box.bytes * 4 > box.max_bytes * 3 and session.silent_ms(now_ms) > SILENT_MS:
            session.begin_anew(now_ms)
        self._away_s = 0 if state == STREAMING else self._away_s + 1
        self._spare(self._away_s > 0 and self.kept is not None)
        self._put_off(now_ms // 1000)
        if self._wait_s:
            self._wait_s -= 1
        elif not self.limit:
            self._work.set()
        elif state == STREAMING:
            if self.kept is not None or self.past or self.to_state or self._stated >= 0 or self.damaged:
                self._work.set()
        elif self._may_store() and (box.bytes * 2 > box.max_bytes or self._away_s % URGENT_S == 0):
            self._work.set()

    def _put_off(self, second):
        """The boot record's next write, while an agent has all that was made before the last second."""
        held = self.box.frames()
        before = self._made
        self._made = self.box.next_seq
        if (
            self.node.session.state == STREAMING
            and second % RECORD_EVERY_S > RESERVE_BOUND_S
            and (not held or held[0][0] >= before)
        ):
            self.node.start.record.put_off(second - 1)

    def _spare(self, storing):
        node = self.node
        node.indicate(FOLDER, STORING if storing else 0)
        node.sealer.vitals_every_s = SPARING_S if storing else 1
        if node.ecg is not None:
            try:
                node.ecg.wave.resize(self._long if storing else self._samples)
            except MemoryError:
                # Short frames are as good, only more of them.
                pass

    def _may_store(self):
        """Away from any agent, and somebody can open what is stored."""
        state = self.node.session.state
        return state != STREAMING and state != IDLE and state != OPENING and bool(self.node.session.headers)

    async def run(self):
        """Task: see second()."""
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                if not self.limit:
                    self.open()
                if self.node.session.state == STREAMING:
                    while self.tidy():
                        await asyncio.sleep_ms(0)
                else:
                    await self._store()
            except (FlashError, OSError) as error:
                self._wait_s = AGAIN_S
                self.report(str(error))

    def open(self):
        """Find what earlier boots left, and have it in the next hello. FlashError."""
        self._do("open_spool", self.node.board.config["spool"].get("max_kib", 0) * 1024)
        if self.past:
            self.node.session.begin_anew(self.node.clock.now_ms())

    async def _store(self):
        box = self.box
        try:
            from firmware import spool_put

            if self._may_store() and self._away_s >= URGENT_S:
                spool_put.store_batch(self, 0)
            while self._may_store() and box.bytes * 4 > box.max_bytes and spool_put.store_batch(self):
                await asyncio.sleep_ms(0)
        finally:
            self._forget()

    def tidy(self):
        """Remove one segment that is empty, or a boot that is; state what is to be stated. Whether to go on.
        FlashError.
        """
        node = self.node
        session = node.session
        for box in [self.kept] + [boot.box for boot in self.past]:
            found = None if box is None else box.emptied()
            if found is not None:
                chain, segment = found
                box.dropped(chain, segment)
                node.drain()
                self._remove_segment(chain.path(segment))
                return True
        if self.kept is not None and not self.kept.waiting():
            self.kept.close()
            self.kept = self.box.spool = self.agents = None
            node.drain()
            self.records.remove("%08x" % self.counter)
            return True
        for boot in self.past:
            if not boot.box.waiting() and not any(
                box.flight for box in session.window.boxes if box is not None
            ):
                self._do("done_with", boot)
                session.begin_anew(node.clock.now_ms())
                return False
        if self.damaged:
            self._do("note_damaged")
        if self._stated >= 0 and not self.box.holds(self._stated):
            self._stated = -1
            self._do("evicted_stated")
        if self.to_state and self._stated < 0:
            self.to_state = False
            self._stated = self._do("state_evicted")
        return False

    def _remove_segment(self, path):
        try:
            from firmware import spool_put

            spool_put.remove_segment(self, path[len(self.folder) + 1 :])
        finally:
            self._forget()

    def _do(self, name, *args):
        try:
            from firmware import spool_past

            if name == "open_spool":
                return spool_past.open_spool(self, *args)
            if name == "done_with":
                return spool_past.done_with(self, *args)
            if name == "note_damaged":
                return spool_past.note_damaged(self)
            if name == "state_evicted":
                return spool_past.state_evicted(self)
            return spool_past.evicted_stated(self)
        finally:
            forget("spool_past")
            self._forget()

    def _forget(self):
        forget("spool_put")
        if self.kept is None and not self.past:
            forget("spool_box")

    # What the others call

    def put_away(self):
        """All that memory holds goes to flash: the boot ends in order. Whatever fails, it ends."""
        self.box.flight = {}
        if not self.node.session.headers or not self.limit:
            return
        try:
            from firmware import spool_put

            while spool_put.store_batch(self):
                self.node.board.feed_watchdog()
        except (FlashError, OSError):
            pass

    def box_of(self, counter):
        """The box of a boot that is loaded, or None."""
        if counter == self.counter:
            return self.kept
        for boot in self.past:
            if int.from_bytes(boot.boot_id[:4], "big") == counter:
                return boot.box
        return None

    def report(self, text):
        """An event, once for each text on end."""
        if text != self._fault:
            self._fault = text
            self.node.report(frames.EVENT_INTERNAL_ERROR, frames.PRIORITY_MEDIUM, None, text)

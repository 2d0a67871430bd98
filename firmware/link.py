"""The session's bytes between it and the board's link, and its slow key work, in tasks that never wait for a
slow wire.

`port` is the board's link: `read() -> bytes` (what is there, maybe none), `write(buf) -> n` (how many bytes
it took, maybe 0), `stream` (what asyncio can wait on for something to read). A message that the wire takes
only in part is finished before the next.
"""

import asyncio
import gc

from protocol import session_events as ev

BUSY_MS = 10
# After a wake-up without a byte (a cable pulled out of a pty, a stray edge): a pause, or the wait would spin.
NOTHING_MS = 100


class Link:
    """`owner` has time_asked(token, rx_us), pair_asked(ed_pub, x_pub, nonce, authority, button),
    ordered(kind, body) and agent_left_out(agent_id, detail).
    `alive_ms`: when the sending task last ran. `cable`: whether the port in use is the cable.
    `stays`: whoever is there waits for an answer that a hand on the button decides.
    """

    cable = True
    stays = False

    def __init__(self, port, session, clock, owner):
        self._port = port
        self._session = session
        self._clock = clock
        self._owner = owner
        self._pending = None
        self._jobs = []
        self._unheard = []
        self._job_waits = asyncio.Event()
        self._beat = asyncio.Event()
        self.alive_ms = 0

    # Receiving

    async def receive(self):
        """Task: whatever the agent says, as soon as it is there."""
        while True:
            await readable(self._port.stream, self._session.box)  # pyright: ignore[reportGeneralTypeIssues]
            data = self._port.read()
            if data:
                self.take(data)
            else:
                await asyncio.sleep_ms(NOTHING_MS)

    def take(self, data):
        """Bytes from the link, stamped with the time of now."""
        now_us = self._clock.now_us()
        try:
            self._session.feed(data, now_us // 1000, now_us)
        except MemoryError:
            # What anybody may say is no reason for the outbox to give way: dropped, like noise on the line.
            gc.collect()
            rejected = self._session.rejected
            rejected["no_memory"] = rejected.get("no_memory", 0) + 1
        self._events()
        self.push(now_us // 1000)

    def _events(self):
        while True:
            if not self._unheard:
                self._unheard = self._session.take_events()
                if not self._unheard:
                    return
            # Where its handler fails, the others are heard the next time.
            event = self._unheard.pop(0)
            if isinstance(event, ev.TimeAsked):
                self._owner.time_asked(event.token, event.stamp)
            elif isinstance(event, ev.PairAsked):
                asked = event.ed_pub, event.x_pub, event.nonce, event.authority, event.button
                self._owner.pair_asked(*asked)
            elif isinstance(event, ev.DownlinkIn):
                self._owner.ordered(event.kind, event.body)
            elif isinstance(event, ev.AgentLeftOut):
                self._owner.agent_left_out(event.agent_id, event.detail)

    # Sending

    def beat(self):
        """There may be something to send, or a timer has run out: to be called at least every 200 ms."""
        self._beat.set()

    async def send(self):
        """Task: the session's timers, and its messages as fast as the wire takes them; woken by beat()."""
        while True:
            now_ms = self.alive_ms = self._clock.now_ms()
            self._session.tick(now_ms)
            self._events()
            job = self._session.steps()
            if job is not None:
                self.add_work(job)
            if self.push(now_ms):
                await asyncio.sleep_ms(BUSY_MS)
            else:
                await self._beat.wait()
                self._beat.clear()

    def push(self, now_ms):
        """Give the wire what it takes now; whether something is left over."""
        while True:
            if self._pending is None:
                message = self._session.pull(now_ms)
                if not message:
                    return False
                self._pending = memoryview(message)
            taken = self._port.write(self._pending)
            if taken < len(self._pending):
                if taken:
                    self._pending = self._pending[taken:]
                return True
            self._pending = None

    # Key work

    def add_work(self, steps):
        """Have a generator of slow work driven to its end, after those before it."""
        self._jobs.append(steps)
        self._job_waits.set()

    async def work(self):
        """Task: boot headers, welcomes, pair signatures and orders, one after the other, in slices."""
        while True:
            await self._job_waits.wait()
            self._job_waits.clear()
            while self._jobs:
                # One that there is no memory to begin stays.
                work = sliced(self._jobs[0], self._clock)
                self._jobs.pop(0)
                try:
                    await work
                except Exception:
                    self._session.work_lost()
                    raise
                self.beat()


def readable(stream, box):
    """Awaitable: until `stream` has something to read. The outbox `box` gives way where that needs memory."""
    queue = asyncio.core._io_queue  # pyright: ignore[reportAttributeAccessIssue]
    try:
        queue.queue_read(stream)
    except MemoryError:
        # Entered by half: the next poll would crash the interpreter, or nobody be woken by it ever again.
        queue.map.pop(id(stream), None)
        box.shrink()
        gc.collect()
        queue.queue_read(stream)
    yield


SLICE_US = 3000


async def sliced(steps, clock):
    """Drive a `*_steps` generator, giving every other task its turn at least every SLICE_US and one step; its
    result.
    """
    begin = clock.ticks_us()
    try:
        while True:
            next(steps)
            if clock.ticks_diff(clock.ticks_us(), begin) > SLICE_US:
                await asyncio.sleep_ms(0)
                begin = clock.ticks_us()
    except StopIteration as end:
        return end.value

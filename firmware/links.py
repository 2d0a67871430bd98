"""The session over the best of several pipes: the serial cable, and what a radio has opened.

A pipe is a *port*: `rank` (0 the cable, 1 TCP, 2 BLE; the least is the best), `cable`, `stream` (what asyncio
can wait on for something to read), `read() -> bytes` (b"": nothing now; None: closed for good),
`write(buf) -> n` (how many bytes it took, maybe 0; it neither waits nor raises) and `close()`.

One port carries the session at a time. It gives way to one that is better, as soon as somebody there asks for
a hello or a pairing; to any other, in turn, when nobody answers on it any more. Each change begins a
connection anew: what was not acknowledged is sent again, and what was is not. Who may only talk on a worse
one cannot keep a better one from a beginning that is answered; a better one on which nobody answers gives the
session back, and has to wait, each time for longer.
"""

import asyncio

from firmware.link import NOTHING_MS, Link, readable
from protocol import cobs, messages
from protocol import session_events as ev
from protocol.session_states import GREETING, OPENING, STREAMING

CABLE = 0
TCP = 1
BLE = 2
# So long may frames wait on the port in use without a word from the agent, while there is another one. An
# agent that cannot acknowledge asks for the time every 10 s.
SILENT_MS = 12000
# A clear message of an agent that begins is no longer than that.
MAX_CLEAR = 256
# So long a hello may wait for its answer before somebody on a worse port is listened to.
ANSWER_MS = 3000
# A better port on which nobody has answered for BACK_MS gives the session back to the one it had it from. As
# long it is not listened to then; each further time for twice as long.
BACK_MS = 10000
MOST_SHUT_MS = 160000
# Of what waits for the cable beside the session's messages: all that is said of a look around for networks.
MAX_SAID = 1024


class Links(Link):
    """A Link with more ports than one. `ports`: those that are open, the best first."""

    def __init__(self, port, session, clock, owner):
        Link.__init__(self, port, session, clock, owner)
        self.ports = [port]
        self._cable = port
        self._decoder = None
        self._decoded = None
        self._conn = 0
        self._used_ms = -ANSWER_MS
        # Whom the port in use has the session from, while nobody has answered on it.
        self._back = None
        # The rank that is not listened to, until when, and for how long in all.
        self._shut = -1
        self._shut_until_ms = self._shut_ms = 0
        # Who hears what comes over the cable before the session, and gives what is the session's; what it
        # says between messages.
        self.heard = None
        self._said = b""

    @property
    def cable(self):
        """Whether the port in use is the cable."""
        return self._port is self._cable

    def carries(self, port):
        """Whether that is the port in use."""
        return self._port is port

    def wanted(self, rank):
        """Whether a pipe of that rank would be of use: none that is as good carries the session."""
        return self._session.state != STREAMING or self._port.rank > rank

    async def serve(self, port):
        """Receive on `port` until it is closed or fails; while it is open it may carry the session."""
        ports = self.ports
        at = 0
        while at < len(ports) and ports[at].rank <= port.rank:
            at += 1
        ports.insert(at, port)
        try:
            if self._free(port.rank):
                self._hand_over(port)
            await self._hear(port)
        finally:
            try:
                ports.remove(port)
                if port is self._decoded:
                    self._decoder = self._decoded = None
                if port is self._back:
                    self._back = None
                if port is self._port:
                    self._use(ports[0])
            finally:
                port.close()

    async def receive(self):
        """Task: whatever comes over the cable."""
        await self._hear(self._cable)

    async def _hear(self, port):
        while True:
            await readable(port.stream, self._session.box)  # pyright: ignore[reportGeneralTypeIssues]
            data = port.read()
            if data is None:
                return
            if data and self.heard is not None and port is self._cable:
                data = self.heard(data)
                if not data:
                    continue
            if not data:
                await asyncio.sleep_ms(NOTHING_MS)
            elif port is self._port or self._asked(port, data):
                self.take(data)

    def take(self, data):
        """As Link.take: a connection that begins with what is heard is none whose hello had no answer."""
        self._conn = 0
        Link.take(self, data)

    def say(self, data):
        """Bytes for the cable that are no message of the session, between two of those; dropped where more
        than MAX_SAID would wait.
        """
        if len(self._said) + len(data) <= MAX_SAID:
            self._said += data
        self.beat()

    def _free(self, rank):
        """Whether a pipe of that rank may have the session: no agent has just answered on one as good."""
        state = self._session.state
        if state == STREAMING and rank == self._shut and self._clock.now_ms() < self._shut_until_ms:
            return False
        return self.wanted(rank) and (state != OPENING or self._port.rank > rank)

    def _asked(self, port, data):
        """Whether the port may have the session now: somebody on it begins one, or pairs."""
        if not self._free(port.rank):
            return False
        if port.rank > self._port.rank and self._clock.now_ms() - self._used_ms < ANSWER_MS:
            return False
        if port is not self._decoded:
            self._decoded = port
            self._decoder = cobs.Decoder(MAX_CLEAR)
        found = self._decoder.feed(data)
        if not any(messages.sort(message) == messages.SORT_CLEAR for message in found):
            return False
        self._hand_over(port)
        return True

    def _hand_over(self, port):
        back = self._port if self._session.state == STREAMING else None
        self._use(port)
        self._back = back

    def _give_back(self, now_ms):
        """Nobody answers here, and there somebody was."""
        rank = self._port.rank
        self._shut_ms = min(2 * self._shut_ms, MOST_SHUT_MS) if rank == self._shut else BACK_MS
        self._shut = rank
        self._shut_until_ms = now_ms + self._shut_ms
        self._use(self._back)

    def _use(self, port):
        if port is self._port:
            return
        self._port = port
        self._back = None
        self._pending = self._decoder = self._decoded = None
        # Who asked to pair on the port before is not to be taken for somebody on this one.
        unheard = self._unheard
        unheard += self._session.take_events()
        for i in range(len(unheard) - 1, -1, -1):
            if isinstance(unheard[i], ev.PairAsked):
                unheard.pop(i)
        self._used_ms = self._clock.now_ms()
        self._session.begin_anew(self._used_ms)
        self._conn = self._session.conn
        self.beat()

    def push(self, now_ms):
        """As Link.push; first the next port's turn, where nobody answers on this one."""
        session = self._session
        if len(self.ports) > 1:
            if session.state == GREETING:
                # A connection that the session itself began: the hellos of the one before had no answer.
                if session.conn != self._conn:
                    if self._conn and not self.stays and not session.paired:
                        self._turn()
                    if session.paired:
                        # Whoever has just paired is about to answer.
                        session.paired = False
                        self._used_ms = now_ms
                    self._conn = session.conn
                if self._back is not None and now_ms - self._used_ms >= BACK_MS and not self.stays:
                    self._give_back(now_ms)
            elif session.state == STREAMING and self._back is not None:
                self._back = None
                if self._shut == self._port.rank:
                    self._shut = -1
            elif session.silent_ms(now_ms) >= SILENT_MS:
                self._turn()
        taken = 0
        if self._said and (self._pending is None or not self.cable):
            taken = self._cable.write(self._said)
            self._said = self._said[taken:]
            if self._said and self.cable:
                return True
        # A cable that nobody takes from is tried again at the next beat.
        return Link.push(self, now_ms) or bool(taken and self._said)

    def _turn(self):
        """The next port, in the order of their ranks."""
        ports = self.ports
        self._use(ports[(ports.index(self._port) + 1) % len(ports)])

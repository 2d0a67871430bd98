"""An agent of the model: the product's session over a store that outlasts a restart, may be put back to an
older state, and acknowledges only what is committed."""

from protocol import frames
from protocol import session_events as ev
from protocol import session_states as st
from protocol.session_agent import BURST_BYTES, AgentSession

PING_MS = 2000
SOLICIT_MS = 5000


class Agent:
    """`durable`: (boot id, number) → plaintext of all that ever was on any agent's disk."""

    def __init__(self, identity, node, random, durable):
        self.identity = identity
        self.node = node
        self.random = random
        self.durable = durable
        self.store = {}
        self.last = {}
        self.restored = False
        self.orders = []
        self.now = 0
        self.start(0)

    def start(self, now):
        """A new process, or a link that was opened again: the store is what is left."""
        self.now = now
        known = {self.node.identity.id: (self.node.identity.ed_pub, self.node.identity.x_pub)}
        self.session = AgentSession(self.identity, known.get, self.last.get, self.random)
        self.pending = []
        self.hello = None
        self.tokens = set()
        self.pinged = self.solicited = now
        self.session.solicit()

    def snapshot(self):
        return dict(self.store), dict(self.last)

    def restore(self, state, now):
        self.store, self.last = dict(state[0]), dict(state[1])
        self.restored = True
        self.start(now)

    def feed(self, data):
        asked_anew = False
        for event in self.session.feed(data, self.now):
            if isinstance(event, ev.HelloAccepted):
                # Two hellos in one piece: what is asked on the first is asked on the second's connection.
                if not asked_anew:
                    self.tokens = set()
                asked_anew = True
                self.hello = (int.from_bytes(event.boots[0][0][:4], "big"), event.conn)
                assert self.hello > self.last.get(self.node.identity.id, (0, 0)), "an old hello again"
                self.pending.append((None, self.hello))
                self.ping()
            elif isinstance(event, ev.FrameIn):
                self._frame(event)
            elif isinstance(event, ev.TimeEcho):
                self._echo(event)

    def _frame(self, event):
        key = (event.boot_id, event.seq)
        boot = next(boot for boot in self.node.boots if boot.id == event.boot_id)
        assert boot.made[event.seq] == event.plaintext, "a frame that nobody made"
        newest = boot.counter == self.hello[0]
        assert event.past == (not newest or event.seq < self.node.next_at_hello[self.hello])
        self.pending.append((key, event.plaintext))

    def _echo(self, event):
        assert event.token in self.tokens, "an echo of another connection"
        assert self.node.asked[event.token] == event.boot_id, "an echo that the node never made"

    def ping(self):
        self.pinged = self.now
        self.tokens.add(self.session.ping())

    def order(self, order_id):
        if self.session.boot_id is None:
            return
        body = {
            frames.ORDER_ID: order_id,
            frames.ORDER_WHAT: frames.OP_IDENTIFY,
            frames.ORDER_EXPIRES_US: 1,
            frames.ORDER_MS: 1,
        }
        self.session.order(frames.KIND_COMMAND, body)
        self.orders.append((frames.KIND_COMMAND, order_id))

    def flow(self, waves, bytes_s, most):
        if self.session.boot_id is not None:
            self.session.flow(waves, bytes_s, most)

    def commit(self):
        """What came since the last commit is on disk now, and acknowledged."""
        for key, value in self.pending:
            if key is None:
                self.last[self.node.identity.id] = value
                continue
            if key in self.store:
                assert self.store[key] == value, "one number with two contents"
            self.store[key] = self.durable[key] = value
            self.session.ack(key[0], [(key[1], 1)])
        self.pending = []

    def tick(self, now):
        """Timers; the bytes to send."""
        self.now = now
        if self.session.state == st.WAITING:
            if now - self.solicited >= SOLICIT_MS:
                self.solicited = now
                self.session.solicit()
        elif now - self.pinged >= PING_MS:
            self.ping()
        data = self.session.pull(now)
        assert len(data) <= BURST_BYTES
        return data

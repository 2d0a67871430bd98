"""A node and an agent with a store, on a clock and over pipes that a test may bend; for both interpreters."""

from protocol import crypto, frames
from protocol import session_events as ev
from protocol.identity import generate_steps
from protocol.outbox import Outbox
from protocol.session_agent import AgentSession
from protocol.session_node import NodeSession
from tests.both.sealing import sealing

NODE = crypto.run(generate_steps(bytes(range(64))))
AGENT = crypto.run(generate_steps(bytes(range(64, 128))))
STRANGER = crypto.run(generate_steps(bytes(range(100, 164))))


class Random:
    """Reproducible; never the same bytes twice."""

    def __init__(self, seed):
        self.seed = seed
        self.n = 0

    def __call__(self, n):
        out = b""
        while len(out) < n:
            self.n += 1
            out += crypto.sha256(b"%d %d" % (self.seed, self.n))
        return out[:n]


class Earlier:
    """What a node keeps of a boot beyond it."""

    def __init__(self, boot_id, headers, box):
        self.boot_id = boot_id
        self.headers = headers
        self.box = box


class World:
    """A node and an agent with a store; `up` and `down` map each chunk of bytes to a list of chunks."""

    def __init__(self, counter=1, paired=True, agent=AGENT, max_bytes=20000):
        self.now = 0
        self.random = Random(counter)
        self.stored = {}
        self.last = {}
        self.events = []
        self.node_events = []
        self.duplicates = 0
        self.up = lambda data: [data]
        self.down = lambda data: [data]
        self.agent_identity = agent
        self.earlier = []
        self.frames_in = {}
        self.boot_node(counter, paired, max_bytes)
        self.start_agent()

    def boot_node(self, counter, paired=True, max_bytes=20000):
        boot_id = counter.to_bytes(4, "big") + self.random(8)
        self.boot = sealing(self.random(16), boot_id)
        self.box = Outbox(max_bytes)
        self.node = NodeSession(NODE, self.boot, self.box, self.random, self.earlier)
        if paired:
            self.node.add_agent(AGENT.ed_pub, AGENT.x_pub)

    def next_boot(self):
        """The node starts anew; what it held of the boot so far it holds as an earlier one."""
        before = Earlier(self.boot.boot_id, self.node.headers, self.box)
        self.earlier = [before] + [boot for boot in self.node.earlier if boot.box.waiting()]
        self.boot_node(int.from_bytes(self.boot.boot_id[:4], "big") + 1)

    def start_agent(self, identity=None):
        if identity is not None:
            self.agent_identity = identity
            self.stored = {}
            self.last = {}
        self.agent = AgentSession(
            self.agent_identity, {NODE.id: (NODE.ed_pub, NODE.x_pub)}.get, self.last.get, self.random
        )

    def make(self, kind=frames.KIND_EVENT, body=None, lane=frames.LANE_VITALS):
        seq = self.box.next_seq
        plaintext = frames.pack(kind, self.now * 1000, {1: 9, 2: 0} if body is None else body)
        self.box.add(seq, self.boot.seal(seq, plaintext), lane)
        return seq

    def step(self, ms=20):
        self.now += ms
        self.node.tick(self.now)
        job = self.node.steps()
        while job is not None:
            crypto.run(job)
            job = self.node.steps()
        while True:
            data = self.node.pull(self.now)
            if not data:
                break
            for chunk in self.up(data):
                self.take(self.agent.feed(chunk, self.now))
        data = self.agent.pull(self.now)
        if data:
            for chunk in self.down(data):
                self.node.feed(chunk, self.now, self.now)
        for event in self.node.take_events():
            self.node_events.append(event)
            if isinstance(event, ev.TimeAsked):
                self.make(frames.KIND_TIME, {1: event.token, 2: event.stamp * 1000})

    def take(self, events):
        for event in events:
            if not isinstance(event, ev.FrameIn):
                self.events.append(event)
            if isinstance(event, ev.HelloAccepted):
                self.last[event.node_id] = (int.from_bytes(event.boots[0][0][:4], "big"), event.conn)
                self.agent.ping()
            elif isinstance(event, ev.FrameIn):
                key = (event.boot_id, event.seq)
                if key in self.stored:
                    self.duplicates += 1
                    assert self.stored[key] == event.plaintext
                self.stored[key] = event.plaintext
                self.frames_in[key] = event
                self.agent.ack(event.boot_id, [(event.seq, 1)])

    def run(self, ms, step=20):
        for _ in range(ms // step):
            self.step(step)

    def got(self, cls):
        return [e for e in self.events if isinstance(e, cls)]

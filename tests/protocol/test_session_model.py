"""The session on a link that does everything to it: a hypothesis state machine (docs/wire-protocol.md §10).

A node (reset, with and without power and flash), two agents (restarted, put back to an older store), a pipe
each way. While it runs: nothing is freed that is not on a disk, no alarm waits behind anything else, the
agent's limits hold, no echo counts that was not asked for, no key seals two messages under one nonce. When
the link is well again: all that can be delivered is, once, and every number is accounted for.

`MODEL_EXAMPLES` says how many runs (`make model`: thousands).
"""

import os
import random

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as hs
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from protocol import crypto, frames
from protocol import session_states as st
from protocol.identity import generate_steps

from .model_agent import Agent
from .model_ledger import check_agent, check_balance
from .model_node import Node
from .model_pipe import FAULTS, Pipe

STEP_MS = 50
SETTLE_MS = 200_000
QUIET_MS = 10_000

IDENTITIES = [crypto.run(generate_steps(bytes(range(n, n + 64)))) for n in (0, 64, 128)]

ccm_seal = crypto.ccm_seal


class SessionMachine(RuleBasedStateMachine):
    """One node, two agents of which one is on the link, a pipe each way, a manual clock."""

    @initialize(
        seed=hs.integers(0, 2**32),
        paired=hs.integers(1, 2),
        room=hs.sampled_from((200, 1500, 20000)),
        outbox=hs.sampled_from((6000, 40000)),
    )
    def begin(self, seed, paired, room, outbox):
        self.dice = random.Random(seed)
        self.now = 0
        self.durable = {}
        self.sealed = set()
        self.counter = 0
        crypto.ccm_seal = self.seal_once
        node, *both = IDENTITIES
        keys = [(agent.ed_pub, agent.x_pub) for agent in both]
        self.up, self.down = Pipe(self.dice, room), Pipe(self.dice, room)
        self.commits = 0.5
        self.node = Node(node, keys[:paired], self.draw, self.durable, outbox)
        self.agents = [Agent(agent, self.node, self.draw, self.durable) for agent in both]
        self.agent = self.agents[0]
        self.snapshots = [[agent.snapshot()] for agent in self.agents]

    def draw(self, n):
        """Bytes that never come again, whatever is put back to an older state."""
        self.counter += 1
        return crypto.sha256(b"%d" % self.counter)[:n] if n <= 32 else self.draw(32) + self.draw(n - 32)

    def seal_once(self, key, nonce, aad, plaintext, tag_bytes):
        assert (key, nonce) not in self.sealed, "a nonce is used again under its key"
        self.sealed.add((key, nonce))
        return ccm_seal(key, nonce, aad, plaintext, tag_bytes)

    def step(self, ms=STEP_MS, well=False):
        self.now += ms
        work = well or self.dice.random() < 0.7
        self.node.tick(self.now, work)
        while self.up.takes():
            message = self.node.session.pull(self.now)
            if not message:
                break
            self.up.write(message)
        for piece in self.up.read():
            self.agent.feed(piece)
        if well or self.dice.random() < self.commits:
            self.agent.commit()
        if self.down.takes():
            data = self.agent.tick(self.now)
            if data:
                self.down.write(data)
        for piece in self.down.read():
            self.node.feed(piece)

    def plug(self, agent):
        self.up.cut()
        self.down.cut()
        self.agent = agent
        agent.start(self.now)

    # What happens

    @rule(steps=hs.integers(1, 40))
    def more_time_passes(self, steps):
        self.time_passes(steps)

    @rule(steps=hs.integers(1, 40))
    def time_passes(self, steps):
        for _ in range(steps):
            self.step()

    @rule()
    def the_link_is_idle_for_long(self):
        for _ in range(200):
            self.step(200)

    @rule(count=hs.integers(1, 25), bulk=hs.integers(0, 900))
    def waveforms(self, count, bulk):
        for _ in range(count):
            body = {
                frames.WAVE_CHANNEL: 0,
                frames.WAVE_COUNT: 1,
                frames.WAVE_PERIOD_NS: 4000000,
                frames.WAVE_LSB: 4000,
                frames.WAVE_CODEC: 2,
                frames.WAVE_DATA: bytes(1 + bulk),
            }
            self.node.seal(frames.KIND_WAVE, body)

    @rule(count=hs.integers(1, 25))
    def vitals(self, count):
        for _ in range(count):
            self.node.seal(frames.KIND_VITALS, {frames.VITALS_HR: 700})

    @rule(count=hs.integers(1, 3), past=hs.booleans())
    def alarms(self, count, past):
        for _ in range(count):
            body = {frames.EVENT_CODE: 33, frames.EVENT_PRIORITY: 3}
            if past:
                body[frames.EVENT_PAST] = True
            self.node.seal(frames.KIND_EVENT, body)

    @rule(steps=hs.integers(1, 90), stall=hs.booleans(), most=hs.integers(1, 40))
    def alarm_in_a_jam(self, steps, stall, most):
        """The wire or the disk stands still under a backlog; then an alarm comes."""
        self.vitals(most)
        self.waveforms(most, 20)
        if stall:
            self.up.stalled = True
        else:
            self.commits = 0
        self.time_passes(steps)
        self.alarms(1, False)
        self.up.stalled = False
        self.time_passes(3)
        self.commits = 0.5

    @rule()
    def memory_is_short(self):
        self.node.shrink()

    @rule(
        up=hs.booleans(),
        fault=hs.sampled_from(FAULTS),
        rate=hs.sampled_from((0, 0.02, 0.1, 0.3, 1)),
    )
    def weather(self, up, fault, rate):
        (self.up if up else self.down).rates[fault] = rate

    @rule(up=hs.booleans())
    def stall(self, up):
        pipe = self.up if up else self.down
        pipe.stalled = not pipe.stalled

    @rule(commits=hs.sampled_from((0, 0.1, 0.5, 1)))
    def disk(self, commits):
        self.commits = commits

    @rule()
    def heal(self):
        self.up.heal()
        self.down.heal()

    @rule(clean=hs.booleans(), power=hs.booleans(), keep=hs.sampled_from((0, 0, 1, 3, 1000)))
    def node_resets(self, clean, power, keep):
        self.node.reset(clean, power, keep)

    @rule()
    def snapshot(self):
        self.snapshots[self.agents.index(self.agent)].append(self.agent.snapshot())

    # One rule, or hardly any connection would live to be tried.
    @rule(what=hs.sampled_from(("cut", "restart", "put back", "pair", "other")), back=hs.integers(0, 3))
    def agent_goes(self, what, back):
        other = self.agents[1 - self.agents.index(self.agent)]
        if what == "cut":
            self.plug(self.agent)
        elif what == "put back":
            states = self.snapshots[self.agents.index(self.agent)]
            self.agent.restore(states[-1 - back % len(states)], self.now)
        elif what == "pair":
            self.node.pair((self.agents[1].identity.ed_pub, self.agents[1].identity.x_pub))
        elif what == "other" and len(self.node.agents) == 2:
            self.plug(other)
        else:
            self.agent.start(self.now)
        self.time_passes(5)

    @rule(waves=hs.booleans(), bytes_s=hs.sampled_from((0, 0, 50, 1000)), most=hs.integers(0, 16))
    def flow(self, waves, bytes_s, most):
        self.agent.flow(waves, bytes_s, most)
        self.time_passes(3)
        self.waveforms(3, 20)

    @rule()
    def order(self):
        self.agent.order(self.draw(8))

    @rule(ping=hs.booleans())
    def agent_solicits(self, ping):
        if ping and self.agent.hello is not None:
            self.agent.ping()
            self.step()
        self.agent.session.solicit()

    @rule(up=hs.booleans(), first=hs.integers(0, 60), count=hs.integers(1, 30), heard=hs.booleans())
    def an_old_recording_is_played(self, up, first, count, heard):
        pipe = self.up if up else self.down
        for chunk in pipe.recorded[first : first + count]:
            pipe.inject(chunk)
            if heard and not pipe.stalled:
                for piece in pipe.read():
                    (self.agent if up else self.node).feed(piece)

    # What must be true in the end

    def teardown(self):
        try:
            if hasattr(self, "node"):
                self.settle()
        finally:
            crypto.ccm_seal = ccm_seal

    def settle(self):
        """On the connection that there is, then on new ones."""
        self.heal()
        self.agent.flow(True, 0, 0)
        self.until_all_is_delivered()
        if len(self.node.agents) == 2:
            for _ in range(2):
                self.plug(self.agents[1 - self.agents.index(self.agent)])
                self.until_all_is_delivered()
        check_balance(self.node, self.durable)
        for agent in self.agents[: len(self.node.agents)]:
            check_agent(agent, self.node)
        sent = {order for agent in self.agents for order in agent.orders}
        assert len(set(self.node.orders)) == len(self.node.orders), "an order arrived twice"
        assert set(self.node.orders) <= sent

    def until_all_is_delivered(self):
        # What was played of old recordings is still on the way, solicits among it.
        for _ in range(QUIET_MS // STEP_MS):
            self.step(well=True)
        for _ in range(SETTLE_MS // STEP_MS):
            self.step(well=True)
            if self.agent.session.state == st.LIVE and not self.held():
                break
        assert self.agent.session.state == st.LIVE, "the session does not come back"
        assert not self.held(), "what could be delivered is not"
        self.agent.told_until = self.node.box.next_seq
        rejected = dict(self.agent.session.rejected), dict(self.node.session.rejected)
        for _ in range(QUIET_MS // STEP_MS):
            self.step(well=True)
        for _ in range(SETTLE_MS // STEP_MS):
            if not self.held():
                break
            self.step(well=True)
        assert not self.held(), "what was made meanwhile is not delivered"
        assert rejected == (self.agent.session.rejected, self.node.session.rejected)

    def held(self):
        """Boxes that hold what the agent on the link can open."""
        mine = self.agent.identity.id
        spools = [spool for spool in self.node.spools if any(head[0] == mine for head in spool.headers)]
        return self.node.box.waiting() or any(spool.waiting() for spool in spools)


EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "100"))

TestSession = SessionMachine.TestCase
TestSession.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)

"""What a node answers to whoever wants to pair: over its cable, over a radio, with and without its button."""

from firmware.authorise import HOLD_MS
from firmware.flash import Records
from firmware.keys import AGENTS_RECORD, AUTHORITIES_RECORD, KeyStore
from firmware.requests import CONTEST_MS, Requests
from protocol import cbor, cobs, crypto, messages
from protocol import session_events as ev
from protocol.identity import pair_message
from tests.both.node_memory import Medium, PowerCut, on
from tests.both.session_world import AGENT, NODE, STRANGER, World


class Node:
    """A node as far as requests go: it is its own link, board, clock and start."""

    def __init__(self, agents=(), records=None):
        self.world = World(paired=False)
        self.session = self.world.node
        self.agents = list(agents)
        for ed_pub, x_pub in agents:
            self.session.add_agent(ed_pub, x_pub)
        self.records = records or on(Medium())
        self.store = KeyStore(self.records)
        self.link = self.board = self.clock = self.start = self.alarms = self
        self.authorities = {}
        self.binding = False
        self.features = {}
        self.cable = True
        self.stays = False
        self.held = False
        self.now = 0
        self.jobs = []
        self.told = []
        self.requests = Requests(self)
        self.world.run(200)
        self.said()

    def now_ms(self):
        return self.now

    def consent(self):
        return self.held

    def add_work(self, steps):
        self.jobs.append(steps)

    def drain(self):
        pass

    def report(self, code, priority, value=None, text=None):
        self.told.append(text)

    def ask(self, who, button=False, nonce=b"n" * 16, authority=None):
        """Give the node a request, and its owner what the session tells."""
        request = messages.pair_request(1, who.ed_pub, who.x_pub, nonce, authority, button)
        self.session.feed(cobs.encode(request), self.now)
        for event in self.session.take_events():
            if isinstance(event, ev.PairAsked):
                self.requests.pair_asked(
                    event.ed_pub, event.x_pub, event.nonce, event.authority, event.button
                )

    def work(self, until_ms=60000, meanwhile=None):
        """Do slow work while time goes on, 50 ms a step."""
        end = self.now + until_ms
        while self.now < end:
            job = self.session.steps()
            if job is not None:
                crypto.run(job)
            if not self.jobs:
                if job is None:
                    return
                continue
            try:
                next(self.jobs[0])
            except StopIteration:
                self.jobs.pop(0)
            self.now += 50
            if meanwhile is not None:
                meanwhile()

    def said(self):
        """Refusal codes, and the replies' signatures, that wait for the wire."""
        found = []
        while True:
            data = self.session.pull(self.now)
            if not data:
                return found
            for message in cobs.Decoder().feed(data):
                kind, fields = messages.parse_clear(message)
                if kind == messages.MSG_REFUSAL:
                    found.append(fields["code"])
                elif kind == messages.MSG_PAIR_REPLY:
                    found.append(fields["signature"])


def signed(who, button, authority=None):
    message = pair_message(who.ed_pub, who.x_pub, NODE.ed_pub, NODE.x_pub, b"n" * 16, authority, button)
    return crypto.run(crypto.ed25519_sign_steps(NODE.ed_seed, NODE.ed_pub, message))


def test_over_the_cable_whoever_asks_first_is_paired():
    node = Node()
    node.ask(AGENT)
    node.work()
    assert node.said() == [signed(AGENT, False)] and node.agents == [AGENT.public()]


def test_who_wants_the_button_gets_it_signed_or_nothing():
    node = Node()
    node.ask(AGENT, True)
    node.work()
    assert node.said() == [messages.REFUSE_CONSENT] and node.agents == []
    node.held = True
    node.ask(AGENT, True)
    node.work(HOLD_MS - 100)
    assert node.said() == [] and node.agents == []
    node.work()
    assert node.said() == [signed(AGENT, True)] and node.agents == [AGENT.public()]
    # Also of an agent that it has: it may want to know who is there.
    node.held = False
    node.ask(AGENT, True)
    node.work()
    assert node.said() == [messages.REFUSE_CONSENT]


def test_who_wants_the_button_and_has_an_authority_gets_both_signed():
    node = Node()
    node.held = True
    believed = list(STRANGER.public())
    node.ask(AGENT, True, authority=believed)
    node.work()
    assert node.said() == [signed(AGENT, True, believed)] and list(node.authorities) == [STRANGER.id]


def test_a_button_that_is_let_go_in_between_is_none():
    node = Node()
    node.held = True

    def let_go():
        node.held = node.now < HOLD_MS // 2

    node.ask(AGENT, True)
    node.work(60000, let_go)
    assert node.said() == [messages.REFUSE_CONSENT] and node.agents == []


def test_over_a_radio_nobody_is_paired_without_the_button():
    for agents in ((), (STRANGER.public(),)):
        node = Node(agents)
        node.cable = False
        node.ask(AGENT)
        node.work()
        assert node.said() == [messages.REFUSE_CONSENT] and node.agents == list(agents)
        node.held = True
        node.ask(AGENT)
        node.work()
        assert node.said() == [signed(AGENT, False)]
        assert node.agents == list(agents) + [AGENT.public()]


def test_an_agent_that_it_has_gets_its_answer_again_over_any_link():
    node = Node((AGENT.public(),))
    node.cable = False
    node.now = 2000
    node.ask(AGENT)
    node.work()
    assert node.said() == [signed(AGENT, False)]


def test_of_two_that_ask_over_a_radio_neither_has_the_button():
    node = Node()
    node.cable = False
    node.held = True
    node.ask(STRANGER)
    # While the button is watched for the first.
    asked = []

    def other():
        if not asked:
            asked.append(1)
            node.ask(AGENT)

    node.work(60000, other)
    assert node.said() == [messages.REFUSE_CONTESTED] and node.agents == []
    node.now += 1000
    node.ask(AGENT)
    node.work()
    assert node.said() == [messages.REFUSE_CONTESTED] and node.agents == []
    # On its cable it is nobody else's.
    node.cable = True
    node.ask(AGENT, True)
    node.work()
    assert node.said() == [signed(AGENT, True)] and node.agents == [AGENT.public()]


def test_of_two_that_ask_over_a_radio_neither_changes_whose_orders_it_believes():
    believed = cbor.dumps([list(NODE.public())])
    for authority in (list(AGENT.public()), []):
        node = Node()
        node.records.write(AUTHORITIES_RECORD, believed)
        node.cable = False
        node.held = True
        node.ask(STRANGER, authority=authority)
        node.ask(AGENT, True)
        node.work()
        assert node.said() == [messages.REFUSE_CONTESTED] and node.agents == []
        assert node.records.read(AUTHORITIES_RECORD) == believed and node.told == []
        # Alone, with the button held, it is heard.
        node.now += CONTEST_MS
        node.ask(STRANGER, authority=authority)
        node.work()
        assert node.told[0] == (AGENT.id.hex() if authority else "none")
        assert node.agents == [STRANGER.public()]


def test_one_that_asks_alone_again_is_heard():
    node = Node()
    node.cable = False
    node.held = True
    node.ask(STRANGER)
    node.requests.pair_asked(AGENT.ed_pub, AGENT.x_pub, b"n" * 16)
    node.work()
    node.said()
    for _ in range(CONTEST_MS // 1000 + 2):
        node.now += 1000
        node.ask(AGENT)
        node.work()
    assert node.said()[-1] == signed(AGENT, False) and node.agents == [AGENT.public()]


def test_a_power_cut_at_any_step_leaves_it_paired_or_not_and_the_second_try_pairs():
    for before in ((), (STRANGER.public(),)):
        steps = 0
        while True:
            medium = Medium()
            records = on(medium)
            if before:
                records.write(AGENTS_RECORD, cbor.dumps([list(pair) for pair in before]))
            node = Node(before, records)
            node.held = True
            node.ask(AGENT, True)
            medium.steps = steps
            try:
                node.work()
                cut = False
            except PowerCut:
                cut = True
            medium.steps = None
            answered = node.said()
            kept = KeyStore(Records("state")).agents()
            assert kept in (list(before), list(before) + [AGENT.public()])
            # Who has the answer is paired for good.
            assert (not answered and cut) or kept == list(before) + [AGENT.public()]
            again = Node(kept, records)
            again.held = True
            again.now = 2000
            again.ask(AGENT, True)
            again.work()
            assert again.said() == [signed(AGENT, True)]
            assert KeyStore(Records("state")).agents() == list(before) + [AGENT.public()]
            if not cut:
                break
            steps += 1
        assert steps > 5

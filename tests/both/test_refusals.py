"""protocol/vectors/refusals.json: what a session counts, by which cause, and that it is usable afterwards."""

import json

from protocol import crypto, frames, identity
from protocol.outbox import Outbox
from protocol.session_agent import AgentSession
from protocol.session_node import NodeSession
from tests.both.sealing import sealing

FOLDER = __file__.rsplit("/", 3)[0] if "/tests/both/" in __file__ else "."
BY_SIZE = {
    "agent": {32: ["downlink_ephemeral"], 6: []},
    "node": {16: ["first_hello_nonce", "second_hello_nonce"], 32: ["header_ephemeral"]},
}


def load(name):
    with open(FOLDER + "/protocol/vectors/" + name) as file:
        return json.load(file)


def party(own):
    return crypto.run(identity.from_seed_steps(bytes.fromhex(own["ed_seed"]), bytes.fromhex(own["x_sk"])))


def drawn(vectors, role):
    waiting = {size: list(BY_SIZE[role][size]) for size in BY_SIZE[role]}

    def draw(n):
        if waiting.get(n):
            return bytes.fromhex(vectors["random"][waiting[n].pop(0)])
        return bytes(range(1, n + 1))

    return draw


class Agent:
    """An agent that is paired with the vectors' node."""

    def __init__(self, vectors):
        node = party(vectors["secrets"]["node"])
        agent = party(vectors["secrets"]["agent"])
        known = {node.id: node.public()}
        self.newest = {}
        self.session = AgentSession(agent, known.get, self.newest.get, drawn(vectors, "agent"))

    def hear(self, data):
        for event in self.session.feed(data, 0):
            if hasattr(event, "conn"):
                counter = int.from_bytes(event.boots[0][0][:4], "big")
                self.newest[event.node_id] = (counter, event.conn)


class Node:
    """A node with its boot frame, that takes whoever asks for its agent."""

    def __init__(self, vectors):
        random = vectors["random"]
        keys = sealing(bytes.fromhex(random["content_key"]), bytes.fromhex(random["boot_id"]))
        box = Outbox(50000)
        node = party(vectors["secrets"]["node"])
        for step in vectors["steps"]:
            if step.get("seq") == 0:
                sealed = keys.seal(0, bytes.fromhex(step["plaintext"]))
                box.add(0, sealed, frames.LANE_VITALS, True)
        self.session = NodeSession(node, keys, box, drawn(vectors, "node"))

    def hear(self, data):
        self.session.feed(data, 0)
        for event in self.session.take_events():
            if hasattr(event, "ed_pub"):
                self.session.accept_pairing(event.ed_pub, event.x_pub, event.nonce)
        self.work()

    def work(self):
        for _ in range(3):  # one thing may make the next one due
            job = self.session.steps()
            while job is not None:
                crypto.run(job)
                job = self.session.steps()
            self.session.tick(0)
            self.session.take_events()
            self.session.pull(0)


def test_each_is_counted_by_its_cause():
    vectors = load("session.json")
    for one in load("refusals.json")["refusals"]:
        side = (Agent if one["role"] == "agent" else Node)(vectors)
        for i in one["after"]:
            side.hear(bytes.fromhex(vectors["steps"][i]["wire"]))
        before = dict(side.session.rejected)
        side.hear(bytes.fromhex(one["wire"]))
        after = dict(side.session.rejected)
        more = {cause: after[cause] - before.get(cause, 0) for cause in after}
        new = {cause: more[cause] for cause in more if more[cause]}
        assert new == {cause: 1 for cause in one["causes"]}, (one["role"], one["what"], new)

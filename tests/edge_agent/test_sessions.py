"""One link's session, without threads: what is written when, and that nothing a peer says is our error."""

import random

import pytest

from edge_agent.config import LinkConfig
from edge_agent.keys import PublicKeys
from edge_agent.links.ports import PortError, named
from edge_agent.links.serial import SerialLink
from edge_agent.nodes.hub import MAX_UNPAIRED, Hub
from edge_agent.nodes.ingest import Ingest
from edge_agent.nodes.peers import Peers, PeersError
from edge_agent.nodes.sessions import SEVERAL, LinkSession
from edge_agent.store.store import Frame, Held, Hello, Outcome
from protocol import cbor, cobs, frames, messages
from protocol.identity import node_id
from tests.edge_agent.fakes import FakeNode, identity

AGENT = identity(7)


class Memory(Ingest):
    """Commits at once, or when told."""

    def __init__(self) -> None:
        self.items: list = []
        self.waiting: list = []
        self.prompt = True
        self.hurried = 0

    def add(self, item, done=None) -> None:
        self.items.append(item)
        if done is not None:
            self.waiting.append(done)
        if self.prompt:
            self.commit()

    def frame(self, item, owner, came_on) -> None:
        self.add(item, lambda outcome: owner.committed(item, outcome, came_on))

    def hurry(self) -> None:
        self.hurried += 1

    def commit(self) -> None:
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(Outcome.STORED)


class Pipe:
    """Nobody's end of a cable."""

    def read(self) -> bytes:
        return b""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Wire(SerialLink):
    """A link that keeps what is written."""

    def __init__(self) -> None:
        self.config = LinkConfig("wire")
        self.ready = True
        self.out: list[bytes] = []
        self.bytes_in = self.bytes_out = 0

    def write(self, data: bytes) -> None:
        self.out.append(data)


class World:
    def __init__(self, tmp_path, paired: bool = True) -> None:
        self.now = 1000.0
        self.unix_us = 1_790_000_000_000_000
        self.node = FakeNode(Pipe(), agent=AGENT)
        self.peers = Peers(tmp_path / "peers.json")
        if paired:
            self.peers.add(PublicKeys(*self.node.identity.public()))
        self.ingest = Memory()
        self.hub = Hub(AGENT, self.peers, self.ingest, {}, {}, lambda: self.now, lambda: self.unix_us)
        self.link = LinkSession(self.hub, "wire")
        self.wire = Wire()
        self.recorded: list[bytes] = []
        self.node.t_us = lambda: int(self.now * 1_000_000)

    def step(self, ms: int = 20) -> None:
        """The node's turn, then ours; asyncio's call_soon is made at once."""
        self.now += ms / 1000
        self.unix_us += ms * 1000
        node, now = self.node, int(self.now * 1000)
        for data in self.wire.out:
            node.session.feed(data, now, now * 1000)
        self.wire.out = []
        node.session.tick(now)
        while (job := node.session.steps()) is not None:
            for _ in job:
                pass
        for event in node.session.take_events():
            if hasattr(event, "token"):
                node.make(frames.KIND_TIME, {1: event.token, 2: event.stamp})
        for _ in range(8):
            data = node.session.pull(now)
            if not data:
                break
            self.recorded.append(data)
            self.hear(data)
        self.link.tick()

    def hear(self, data: bytes) -> None:
        self.link.received(self.wire, data, self.unix_us)

    def run(self, steps: int = 30) -> None:
        for _ in range(steps):
            self.step()

    def kinds(self, kind: type) -> list:
        return [item for item in self.ingest.items if isinstance(item, kind)]


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path)
    # Acknowledgements of one group share a message; outside an event loop they may as well go at once.
    monkeypatch.setattr(Hub, "pump_soon", lambda hub, session: session.pump())
    world.link.opened(world.wire)
    return world


def test_from_solicit_to_live(world):
    world.run()
    assert world.link.session_state == "live"
    assert [h.conn for h in world.kinds(Hello)] == [world.node.session.conn]
    (held,) = world.kinds(Held)
    assert held.node == world.node.identity.id and held.boots[0][0] == world.node.boot.boot_id
    assert world.hub.view(held.node).live and world.node.held == 0
    assert world.hub.rejected == {}


def test_no_acknowledgement_before_the_commit_has_returned(world):
    world.run()
    world.ingest.prompt = False
    world.node.vitals()
    world.run(10)
    assert world.node.held >= 1
    world.ingest.commit()
    world.run(10)
    assert world.node.held == 0


def test_a_node_that_sends_several_has_a_commit_soon_and_one_that_sends_few_shares_it(world):
    # Past the many time echoes of a new connection, which are frames, too.
    world.run(600)
    world.ingest.prompt = False
    world.node.vitals()
    world.run(10)
    world.ingest.commit()
    for _ in range(4):
        hurried = world.ingest.hurried
        for _ in range(SEVERAL - 1):
            world.node.vitals()
        world.run(10)
        assert world.ingest.hurried == hurried
        world.node.vitals()
        world.run(10)
        assert world.ingest.hurried > hurried
        world.ingest.commit()
        world.run(10)
        assert world.node.held == 0


def test_a_lost_ping_is_asked_again_until_the_node_is_live(world):
    whole = world.wire.write
    world.wire.write = lambda data: whole(data.split(b"\0")[0] + b"\0")
    world.run(20)
    assert world.link.session_state == "proving" and not world.kinds(Held)
    world.wire.write = whole
    world.run(150)
    assert world.link.session_state == "live" and len(world.kinds(Held)) == 1


def test_a_closed_port_ends_the_session_and_a_new_one_begins(world):
    world.run()
    error = PortError("wire", "lost", "it is gone", "plug it in")
    world.link.closed(world.wire, error, 1.0)
    assert world.link.state == "waiting" and not world.hub.view(world.node.identity.id).live
    world.node.vitals()
    world.link.tick()
    world.link.opened(world.wire)
    world.run(150)
    assert world.link.session_state == "live" and world.node.held == 0 and world.link.opened_count == 2


def test_the_clock_is_fitted_and_written_down_now_and_then(world):
    world.run(600)
    entries = [item for item in world.ingest.items if type(item).__name__ == "Entry"]
    assert 1 <= len(entries) <= 6
    kind, node, boot, t_us, unix_us, _, bound_us = cbor.loads(entries[-1].data)
    assert (kind, node, boot) == (2, world.node.identity.id, world.node.boot.boot_id)
    assert abs(unix_us - t_us - (world.unix_us - int(world.now * 1e6))) <= bound_us


def test_nothing_a_peer_says_is_our_error(world):
    world.run()
    chance = random.Random(5)
    recorded = list(world.recorded)
    before = {(f.boot, f.seq): f.plaintext for f in world.kinds(Frame)}
    for _ in range(3000):
        data = bytearray(chance.choice(recorded))
        for _ in range(chance.randint(0, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.2:
            data = data[: chance.randrange(len(data))]
        if chance.random() < 0.1:
            data = bytearray(chance.randbytes(chance.randint(1, 60)))
        world.hear(bytes(data))
    assert {(f.boot, f.seq): f.plaintext for f in world.kinds(Frame)} == before
    assert set(world.hub.rejected) >= {"bad_tag", "malformed_cobs"}
    assert len(world.hub.rejected) < 30 and len(world.hub.refused) < 10
    world.hear(b"\0")
    world.node.vitals()
    world.run(300)
    assert world.link.session_state == "live" and world.node.held == 0


def test_a_flood_of_strangers_is_bounded(world):
    for n in range(200):
        boots = [[bytes(12), [], 0, []]]
        keys = identity(n).public()
        body = messages.hello_body(1, node_id(*keys), bytes(16), 1, boots, keys)
        world.hear(cobs.encode(messages.hello(body, bytes(16))))
    assert len(world.hub.unpaired) == MAX_UNPAIRED and world.hub.rejected["unknown_node"] == 200


def test_a_refusal_of_the_node_is_shown(world):
    for code in (2, 99, 100):
        world.hear(cobs.encode(messages.refusal(1, code)))
    assert world.link.last_refused and sum(world.hub.refused.values()) == 3 and len(world.hub.refused) == 2


def test_an_authentic_frame_that_is_malformed_is_kept_and_counted(world):
    world.run()
    node = world.node
    seq = node.box.next_seq
    plaintext = cbor.dumps([frames.KIND_VITALS, 5, {1: "fast"}])
    node.box.add(seq, node.boot.seal(seq, plaintext), frames.LANE_VITALS)
    world.run()
    assert any(f.plaintext == plaintext for f in world.kinds(Frame)) and node.held == 0
    assert world.hub.view(node.identity.id).malformed == 1


def test_a_damaged_file_of_peers_is_told_and_survived(world, tmp_path):
    path = tmp_path / "peers.json"
    path.write_text("{")
    world.run()
    assert world.hub.rejected["peers_unreadable"] >= 1
    with pytest.raises(PeersError, match="damaged"):
        Peers(path)


def test_peers_never_change_their_keys(tmp_path):
    peers = Peers(tmp_path / "peers.json")
    keys = PublicKeys(*identity(1).public())
    assert peers.add(keys) and not peers.add(keys)

    class SameId(PublicKeys):
        @property
        def id(self) -> bytes:
            return keys.id

    with pytest.raises(PeersError, match="never change"):
        peers.add(SameId(*identity(2).public()))
    assert Peers(tmp_path / "peers.json").lookup(keys.id) == keys


@pytest.mark.parametrize("point", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18])
def test_peers_keep_no_key_of_small_order(tmp_path, point):
    keys = PublicKeys(identity(1).ed_pub, point.to_bytes(32, "little"))
    peers = Peers(tmp_path / "peers.json")
    with pytest.raises(PeersError, match="small order"):
        peers.add(keys)
    assert peers.ids() == []


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (FileNotFoundError(2, "No such file"), "missing"),
        (OSError("could not open port x: [Errno 13] Permission denied: 'x'"), "denied"),
        (OSError(16, "Device or resource busy"), "busy"),
        (OSError("Could not exclusively lock port x: [Errno 11] Resource temporarily unavailable"), "busy"),
        (OSError("device reports readiness to read but returned no data"), "lost"),
        (ValueError("Not a valid baudrate: -1"), "failed"),
    ],
)
def test_port_errors_are_told_apart(error, condition):
    found = named("/dev/ttyNone", error)
    assert found.condition == condition and "/dev/ttyNone" in str(found) and found.hint


def test_a_node_whose_boot_count_began_anew_is_explained(world):
    world.hub._hellos[world.node.identity.id] = (7, 3)
    world.run()
    assert (
        "been at boot 7" in world.link.last_rejected and "pair it as a new node" in world.link.last_rejected
    )
    world.hub._hellos.clear()
    world.link.last_refused = "malformed"
    world.run(300)
    assert world.link.session_state == "live"
    assert world.link.last_rejected is None and world.link.last_refused is None


def test_what_a_session_says_after_its_node_was_dropped_is_nothing_to_the_next(world):
    world.run()
    node = world.node
    world.peers.part(node.identity.id, None)
    world.peers.remove(node.identity.id)
    kept, keys = len(world.ingest.items), node.identity.public()
    node.vitals()
    now = int(world.now * 1000)
    after = b"".join(iter(lambda: node.session.pull(now), b""))
    body = messages.hello_body(1, node.identity.id, bytes(16), 9, [[bytes(12), [], 0, []]], keys)
    world.hear(cobs.encode(messages.hello(body, bytes(16))) + after)
    assert after and world.ingest.items[kept:] == [] and world.link.session_state == "waiting"
    assert world.hub.rejected == {"unknown_node": 1} and node.identity.id in world.hub.unpaired

"""A store that is lost takes along whose nodes were, and who had withdrawn: then nothing is given away."""

import os

import pytest

from edge_agent.keys import PublicKeys, write_public
from edge_agent.nodes.peers import Peers
from edge_agent.people import lost
from edge_agent.people.dates import ALWAYS_MS
from edge_agent.people.operators import Operators
from edge_agent.people.records import People
from edge_agent.people.state import NOBODY
from edge_agent.store.opening import open_store
from protocol import crypto, records
from protocol.identity import generate_steps
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.people_kit import ADA, BOB, HOUR, NOW, OPERATOR, assigned, consented
from tests.edge_agent.running import Broker, Collecting, Kit, Running, wait_until
from tests.edge_agent.test_cli import typed, written
from tests.edge_agent.test_people_withheld import OnABody

KEYS = crypto.run(generate_steps(os.urandom(64)))


class Home:
    """An agent's folder with one paired node, whose store can go."""

    def __init__(self, folder) -> None:
        self.folder, self.node = folder, KEYS.id
        (folder / "operators").mkdir(mode=0o700)
        operator = PublicKeys(*OPERATOR.public())
        write_public(folder / "operators" / "home.pub", "operator", operator)
        self.peers = Peers(folder / "peers.json")
        self.peers.add(PublicKeys(*KEYS.public()))

    def opened(self, *made: bytes) -> dict[bytes, int]:
        """What is lost to an agent that takes these records."""
        store, _ = open_store(self.folder / "agent.db", b"agent-id", NOW)
        try:
            operators = Operators(self.folder / "operators")
            people = People(store, operators, peers=Peers(self.folder / "peers.json"))
            for record in made:
                people.put(record, NOW)
            assert people.state.lost == lost.find(self.peers, people.state), "what is noted is what counts"
            return dict(people.state.lost)
        finally:
            store.close()

    def lose(self) -> None:
        for path in self.folder.glob("agent.db*"):
            path.unlink()


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


def test_only_a_node_that_was_somebodys_is_lost_with_the_store(home) -> None:
    assert home.opened() == {}
    home.lose()
    assert home.opened() == {}, "nobody was here"
    assert home.opened(assigned(ADA, node=home.node), consented(ADA, granted=False)) == {}
    home.lose()
    assert home.opened() == {home.node: ALWAYS_MS}
    assert home.opened() == {home.node: ALWAYS_MS}, "and stays so"


def test_a_node_that_was_paired_while_the_agent_runs_is_lost_with_the_store_too(home) -> None:
    keys = [PublicKeys(*crypto.run(generate_steps(os.urandom(64))).public()) for _ in range(2)]
    late, again = keys
    home.peers.add(again)
    store, _ = open_store(home.folder / "agent.db", b"agent-id", NOW)
    people = People(store, Operators(home.folder / "operators"), peers=Peers(home.folder / "peers.json"))
    people.put(assigned(ADA, node=again.id), NOW)
    # Somebody types `vitalwire pair`: one node after it was given to somebody, one before, one once more.
    people.put(assigned(ADA, node=late.id), NOW)
    home.peers.add(late)
    people.rekey(NOW)
    new = PublicKeys(*crypto.run(generate_steps(os.urandom(64))).public())
    home.peers.add(new)
    people.put(assigned(BOB, node=new.id), NOW)
    home.peers.part(again.id, None)
    home.peers.remove(again.id)
    home.peers.add(again)
    people.rekey(NOW)
    store.close()
    home.lose()
    assert home.opened() == dict.fromkeys([late.id, again.id, new.id], ALWAYS_MS)


def test_a_node_that_comes_back_after_the_store_was_lost_is_still_somebodys(home) -> None:
    keys = home.peers.lookup(home.node)

    def parted() -> None:
        home.peers.part(home.node, None)
        assert home.peers.remove(home.node) and home.peers.ids() == [] and home.peers.assigned() == {}

    home.opened(assigned(ADA, node=home.node), consented(ADA, granted=False))
    parted()
    home.lose()
    assert home.opened() == {}, "nothing of it comes"
    assert home.peers.add(keys)
    assert home.opened() == {home.node: ALWAYS_MS}
    parted()
    assert home.opened(assigned(BOB, NOW - HOUR, node=home.node)) == {}
    home.peers.add(keys)
    assert home.opened() == {}, "somebody has said whose it is, before it came back"


def test_a_store_that_was_set_aside_takes_them_along_too(home) -> None:
    home.opened(assigned(ADA, node=home.node))
    path = home.folder / "agent.db"
    path.write_bytes(os.urandom(path.stat().st_size))
    assert home.opened() == {home.node: ALWAYS_MS}


def test_an_older_copy_does_not_know_the_last_change_of_hands(home) -> None:
    hers = assigned(ADA, node=home.node, from_ms=NOW - HOUR)
    home.opened(hers)
    older = {path: path.read_bytes() for path in home.folder.glob("agent.db*")}
    (span,) = [records.read_record(hers)]
    home.opened(assigned(ADA, NOW - HOUR, NOW, home.node, span["record_id"]), assigned(BOB, node=home.node))
    home.lose()
    for path, data in older.items():
        path.write_bytes(data)
    assert home.opened() == {home.node: ALWAYS_MS}


def test_who_gets_the_node_says_nothing_of_before(home) -> None:
    home.opened(assigned(ADA, node=home.node))
    home.lose()
    assert home.opened(assigned(BOB, node=home.node, from_ms=NOW)) == {home.node: NOW}
    assert home.opened() == {home.node: NOW}
    assert home.opened(assigned(NOBODY, NOW - 2, NOW - 2, home.node)) == {}
    assert home.opened() == {}, "and that is noted"


def test_a_span_with_an_end_does_not_settle_what_came_after(home) -> None:
    home.opened(assigned(ADA, node=home.node))
    home.lose()
    assert home.opened(assigned(ADA, NOW - HOUR, NOW - 1, home.node)) == {home.node: ALWAYS_MS}


def test_nothing_of_hers_leaves_after_the_store_was_lost(tmp_path) -> None:
    kit = Kit(tmp_path)
    broker = Broker(tmp_path)
    far = kit.collect(broker.port)
    Operators(tmp_path / "operators").new("home")
    hers, models = OnABody(Pty(), agent=kit.identity), FakeNode(Pty(), seed=11, agent=kit.identity)

    def there(node) -> set[int]:
        return {seq for who, _, seq in list(far.frames) if who == node.identity.id}

    with broker, Collecting(far, broker.port), hers, models:
        kit.pair(hers, models)
        config = written(kit, hers.pipe.name, models.pipe.name)
        node = hers.identity.id.hex()

        def desk(*words) -> str:
            done = typed(*words, "--config", config)
            assert done.exit_code == 0, done.output
            return done.output

        person = desk("person", "new").strip()
        desk("assign", node, person, "--from", "2000-01-01")
        for path in kit.config().state_dir.glob("agent.db*"):
            path.unlink()
        with Running(kit.config(hers.pipe.name, models.pipe.name)):
            wait_until(lambda: len(there(models)) > 20, "the other node's go on")
            wait_until(lambda: hers.box.next_seq > 20, "hers are taken")
            wait_until(lambda: kit.status["forward"]["mqtt"]["withheld"] > 10, "the status counts it")
            assert not there(hers)
            assert kit.status["store"]["whose_unknown"] == [node]
            for words in (("status",), ("person", "list"), ("doctor", "--offline")):
                output = typed(*words, "--config", config).output
                assert f"vitalwire unassign {node}" in output, f"{words}: {output}"
            desk("unassign", node)
            wait_until(lambda: set(range(10)) <= there(hers), "what waited has come")

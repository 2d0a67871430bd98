"""An agent whose state directory is put back to an older state while its nodes live on: nothing is sealed
under the same key and nonce again, by it or by them.
"""

import shutil

import pytest

from protocol import cobs, messages
from protocol.identity import node_id
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import Kit, Running, wait_until
from tests.seal_log import SealLog


@pytest.fixture
def kit(tmp_path):
    (tmp_path / "agent").mkdir()
    return Kit(tmp_path / "agent")


@pytest.fixture
def log(monkeypatch):
    return SealLog().here(monkeypatch)


def stream(kit: Kit, node: FakeNode, more: int = 15) -> None:
    """Run the agent until it holds so many more frames, and stop it."""
    enough = len(node.made) + more
    with Running(kit.config(node.pipe.name)):
        wait_until(lambda: len(node.made) > enough and node.held < 5, "streaming")


def hellos(node: FakeNode) -> set[tuple[tuple[bytes, int], bytes]]:
    """Each hello that the node said: (newest boot, connection number) and what is under its tag."""
    found: set[tuple[tuple[bytes, int], bytes]] = set()
    for message in cobs.Decoder().feed(b"".join(node.sent)):
        if messages.sort(message) == messages.SORT_CLEAR:
            kind, fields = messages.parse_clear(message)
            if kind == messages.MSG_HELLO:
                found.add(((fields["boots"][0][0], fields["conn"]), fields["body"]))
    return found


def test_an_old_state_comes_back_again_and_again(kit, log, tmp_path):
    with FakeNode(Pty(), agent=kit.identity, rate=60) as node:
        kit.pair(node)
        stream(kit, node)
        shutil.copytree(kit.folder, tmp_path / "old")
        keys = 0
        for n in range(4):
            if n == 2:
                node.reset()
            stream(kit, node)
            assert len(log.keys) > keys, "each connection has a downlink key of its own"
            keys = len(log.keys)
            shutil.rmtree(kit.folder)
            shutil.copytree(tmp_path / "old", kit.folder)
    assert not log.repeated
    # A hello is said again as it is; another one has another number, restored agent or not.
    said = hellos(node)
    assert len({number for number, _ in said}) == len(said) >= 5


def test_two_agents_from_one_backup_at_the_same_time(kit, log, tmp_path):
    """The same keys in two places, each with a cable to a node of its own, and to each other's in turn."""
    with (
        FakeNode(Pty(), 1, kit.identity, rate=60) as one,
        FakeNode(Pty(), 2, kit.identity, rate=60) as two,
    ):
        kit.pair(one, two)
        stream(kit, one)
        shutil.copytree(kit.folder, tmp_path / "copy")
        copy = Kit(tmp_path / "copy")
        assert copy.identity.id == kit.identity.id == node_id(*kit.identity.public())
        for here, there in ((one, two), (two, one)):
            with Running(kit.config(here.pipe.name)), Running(copy.config(there.pipe.name)):
                made = [len(node.made) for node in (one, two)]
                wait_until(
                    lambda made=made: all(
                        len(node.made) > n + 15 and node.held < 5
                        for node, n in zip((one, two), made, strict=True)
                    ),
                    "both streaming",
                )
    assert not log.repeated

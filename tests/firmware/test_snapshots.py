"""A whole agent on a whole node: its state directory, the node's flash, or both, put back to what was."""

import shutil
from contextlib import closing

from edge_agent.config import LinkConfig
from edge_agent.nodes.pairing import exchange
from edge_agent.nodes.peers import Peers
from edge_agent.store.database import open_file
from tests.edge_agent.running import Kit, Running, wait_until
from tests.firmware.nonce_rig import rig as rig


def stored(kit: Kit) -> int:
    """How many frames the agent has on its disk."""
    with closing(open_file(kit.folder / "agent.db")) as db:
        return db.execute("SELECT COUNT(*) FROM journal WHERE kind = 0").fetchone()[0]


def stream(kit: Kit, node, more: int = 12) -> None:
    """Run the agent until its disk holds so many more frames."""
    with Running(kit.config(node.port)):
        wait_until(lambda: (kit.folder / "agent.db").exists(), "a store")
        enough = stored(kit) + more
        wait_until(lambda: stored(kit) >= enough, "frames on the disk")


def put_back(old, place) -> None:
    shutil.rmtree(place)
    shutil.copytree(old, place)


def test_nothing_that_is_put_back_brings_a_nonce_back(rig, tmp_path):
    node = rig.node()
    (tmp_path / "agent").mkdir()
    kit = Kit(tmp_path / "agent")
    Peers(kit.folder / "peers.json").add(exchange(LinkConfig(node.port), kit.identity))
    stream(kit, node)
    node.kill()
    shutil.copytree(kit.folder, tmp_path / "old-agent")
    shutil.copytree(node.flash_dir, tmp_path / "old-flash")
    # The agent alone, on a node that lives on; then both; then the node's flash alone.
    node.power_cycle()
    for _ in range(2):
        stream(kit, node)
        put_back(tmp_path / "old-agent", kit.folder)
    for _ in range(2):
        node.kill()
        put_back(tmp_path / "old-flash", node.flash_dir)
        node.power_cycle()
        stream(kit, node)
    rig.check(8)
    assert len(rig.down.keys) >= 5

"""A node whose identity was made without a true random source says so for good."""

from protocol import frames
from tests.firmware.test_app import patched

WEAK_AT_FIRST = """
import os
def entropy(self, seeded):
    try:
        os.stat(self.root + "/state/boot-a")
    except OSError:
        return bytes(64), False
    return self._bridge.random(64), True
Board.entropy = entropy
"""


def test_later_boots_with_a_true_source_do_not_hide_it(make_node, make_agent, virtual_tree, tmp_path):
    node = make_node(tree=patched(virtual_tree, tmp_path, WEAK_AT_FIRST))
    agent = make_agent(node.port)
    for boots in (1, 2):
        agent.until(lambda boots=boots: len(agent.frames) == boots and agent.of(frames.KIND_BOOT))
        assert agent.of(frames.KIND_BOOT)[0][2][frames.BOOT_ENTROPY] == frames.ENTROPY_WEAK
        node.reset(hard=True)

"""A boot whose 32-bit numbers run out ends in order, and another begins."""

from firmware.sealer import SOON
from protocol import frames
from tests.firmware.nonce_rig import rig as rig

ALMOST_SPENT = f"""
from firmware import start
class AlmostSpent(start.Start):
    def __init__(self, board):
        super().__init__(board)
        if self.record.boot_id[3] == 1:
            self.box.next_seq = self.attester._first = {SOON - 20}
from firmware import app
app.Start = AlmostSpent
"""


def test_the_next_boot_has_another_key(rig):
    """A counter near 2^32: the boot ends as it should, and the next has another key."""
    node = rig.node(more=ALMOST_SPENT)
    agent = rig.agent(node)
    agent.until(lambda: len(agent.frames) == 2 and len(agent.of(frames.KIND_VITALS)) > 1)
    first, second = sorted(agent.frames)
    assert (first[:4], second[:4]) == (b"\0\0\0\x01", b"\0\0\0\x02")
    assert max(agent.frames[first]) < 0xFFFFFFFF
    codes = [body[frames.EVENT_CODE] for _, _, body in agent.of(frames.KIND_EVENT, first)]
    assert frames.EVENT_STOP in codes
    statement = agent.of(frames.KIND_BOOT)[0][2][frames.BOOT_PREVIOUS]
    assert statement == [first, max(agent.frames[first]) + 1, True, 0]
    rig.check(4)

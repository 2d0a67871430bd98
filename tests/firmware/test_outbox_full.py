"""An outbox without room, or without memory: every frame is either here or told to be lost."""

from protocol import frames
from tests.firmware.test_app import patched

SPEED = 8
# On a slow host the world is, too.
LONG_S = 240.0
# Leaves 150000 bytes to a node of sources that needs two thirds of them, and lets it think that its outbox
# may take a megabyte.
HUNGRY = """
from firmware import app
gc.collect()
app.hog = [bytearray(1000) for _ in range((gc.mem_free() - 150000) // 1024)]
CONFIG["node"]["outbox_bytes"] = 1 << 20
"""


def test_an_outbox_gives_way_when_memory_is_short(make_node, make_agent, virtual_tree, tmp_path):
    node = make_node(tree=patched(virtual_tree, tmp_path, HUNGRY), speed=SPEED)
    agent = make_agent(node.port)
    agent.until(lambda: agent.of(frames.KIND_BOOT))
    node.unplug()
    begun_s = node.world_s()
    agent.until(lambda: node.world_s() > begun_s + 120, LONG_S)
    node.replug()
    agent.until(lambda: agent.of(frames.KIND_LOSS))
    statuses = len(agent.of(frames.KIND_STATUS))
    agent.until(lambda: len(agent.of(frames.KIND_STATUS)) > statuses + 1)
    agent.during(node.stop)
    (held,) = agent.frames.values()

    def told_lost():
        ranges = [r for _, _, body in agent.of(frames.KIND_LOSS) for r in body[frames.LOSS_RANGES]]
        return [seq for first, count, _ in ranges for seq in range(first, first + count)]

    agent.until(lambda: set(held) | set(told_lost()) == set(range(max(held) + 1)))
    assert len(told_lost()) > 30


def test_an_outbox_that_runs_over_accounts_for_every_frame(make_node, make_agent, virtual_tree, tmp_path):
    tree = patched(virtual_tree, tmp_path, 'CONFIG["node"]["outbox_bytes"] = 6000')
    node = make_node(tree=tree, speed=SPEED)
    agent = make_agent(node.port)
    agent.until(lambda: agent.of(frames.KIND_BOOT))
    node.unplug()
    begun_s = node.world_s()
    agent.until(lambda: node.world_s() > begun_s + 30, LONG_S)
    before = set(agent.frames[max(agent.frames)])
    node.replug()
    agent.until(lambda: agent.of(frames.KIND_LOSS))
    statuses = len(agent.of(frames.KIND_STATUS))
    agent.until(lambda: len(agent.of(frames.KIND_STATUS)) > statuses)
    agent.during(node.stop)
    held = agent.frames[max(agent.frames)]

    def told_lost():
        ranges = [r for _, _, body in agent.of(frames.KIND_LOSS) for r in body[frames.LOSS_RANGES]]
        assert all(reason == frames.LOSS_OUTBOX_FULL for _, _, reason in ranges)
        return [seq for first, count, _ in ranges for seq in range(first, first + count)]

    agent.until(lambda: set(held) | set(told_lost()) == set(range(max(held) + 1)))
    lost = told_lost()
    assert set(lost) - set(held) and len(lost) == len(set(lost))
    # Evicted, though it had arrived: its acknowledgement was on the cable that was pulled.
    assert set(lost) & set(held) <= before
    assert len(lost) >= agent.of(frames.KIND_STATUS)[-1][2][frames.STATUS_EVICTED]

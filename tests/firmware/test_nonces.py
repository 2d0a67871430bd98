"""No (key, nonce) seals twice, whatever becomes of a node: resets at any moment, flash put back, a copy of
its flash that runs beside it, and a generator that gives zeros.

The firmware on its VM writes down everything that it seals; the agent's seals are taken down here.
"""

import random
import shutil

import pytest

from protocol import frames
from tests.firmware.nonce_rig import rig as rig
from tests.firmware.nonce_rig import vitals

# Nothing random at all: neither the interpreter nor the board's true source.
NO_RANDOM = """
from firmware import entropy
class Zeros:
    urandom = staticmethod(lambda n: bytes(n))
entropy.os = Zeros
Board.entropy = lambda self, seeded: (bytes(64), False)
"""
# … and a clock that stands still whenever something is drawn: an ESP32 without a single good source.
NO_CLOCK = """
class Still:
    ticks_cpu = staticmethod(lambda: 0)
entropy.time = Still
"""


@pytest.mark.parametrize("weak", ["", NO_RANDOM, NO_RANDOM + NO_CLOCK], ids=["random", "zeros", "still"])
def test_resets_at_any_moment(rig, weak):
    node = rig.node(more=weak)
    agent = rig.agent(node)
    vitals(agent)
    chance = random.Random(7)
    for n in range(8):
        agent.run(chance.choice((0.02, 0.1, 0.3, 0.6, 1.2)))
        if n % 3 == 2:
            node.power_cycle()
        elif n % 3 == 1:
            node.kill()
            node.reset(hard=True)
        else:
            agent.during(lambda: node.reset(hard=False))
    vitals(agent)
    # A content key and a wrap key for each of at least the boots that delivered.
    rig.check(2 * len(agent.frames))
    assert rig.down.keys and not agent.session.rejected.get("conflict")


@pytest.mark.parametrize("weak", ["", NO_RANDOM], ids=["random", "zeros"])
def test_flash_put_back_to_an_earlier_state(rig, weak, tmp_path):
    node = rig.node(more=weak)
    agent = rig.agent(node)
    vitals(agent)
    node.kill()
    shutil.copytree(node.flash_dir, tmp_path / "image")
    for _ in range(3):
        # The same counter, from the same seed, three times; an agent that was restored, too, takes each.
        agent.last.clear()
        node.power_cycle()
        vitals(agent)
        node.kill()
        shutil.rmtree(node.flash_dir)
        shutil.copytree(tmp_path / "image", node.flash_dir)
    assert {boot[:4] for boot in agent.frames} == {b"\0\0\0\x01", b"\0\0\0\x02"} and len(agent.frames) == 4
    rig.check(8)


@pytest.mark.parametrize("weak", ["", NO_RANDOM], ids=["random", "zeros"])
def test_two_nodes_from_one_flash_at_the_same_time(rig, weak):
    node = rig.node(more=weak)
    agent = rig.agent(node)
    vitals(agent)
    agent.during(node.stop)
    shutil.copytree(node.flash_dir, node.flash_dir.with_name("copy"))
    copy = rig.node("copy", weak)
    node.reset(hard=True)
    other = rig.agent(copy, agent.identity)
    other.known.update(agent.known)
    agents = (agent, other)

    def both() -> bool:
        for one in agents:
            one.step()
        return all(len(one.of(frames.KIND_VITALS)) > 3 for one in agents)

    before = agent.frames.copy()
    agent.until(lambda: both() and len(agent.frames) > len(before))
    assert max(agent.frames)[:4] == max(other.frames)[:4] == b"\0\0\0\x02"
    rig.check(6)


def test_what_an_identical_copy_repeats_where_nothing_at_all_differs(rig, tmp_path):
    """The limit that the threat model names: the same flash, no randomness, no memory, not even a clock."""
    node = rig.node(more=NO_RANDOM + NO_CLOCK)
    agent = rig.agent(node)
    vitals(agent)
    agent.during(node.stop)
    shutil.copytree(node.flash_dir, tmp_path / "image")
    for _ in range(2):
        enough = rig.seals() + 10
        node.power_cycle()
        agent.until(lambda enough=enough: rig.seals() >= enough)
        node.kill()
        shutil.rmtree(node.flash_dir)
        shutil.copytree(tmp_path / "image", node.flash_dir)
    assert rig.sealed().repeated, "no longer a limit: say so in docs/threat-model.md"

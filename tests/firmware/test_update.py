"""Updates of a node on the real VM: a good version stays, and each that does not do what it should is gone
again, by itself.
"""

import pytest

from protocol import frames
from tests.firmware.update_agent import Updater, running, signed, tree
from tools import build

# Faster than elsewhere: most of it is waiting for watchdogs and the ends of trials.
SPEED = 16.0

RAISES = 'raise RuntimeError("no such thing")\n'
# Without a turn for anybody else, and without heat.
HANGS = """import time

while True:
    time.sleep_ms(100)
"""
# Once a second it looks away for longer than the ECG's FIFO has room.
SLOW = """import time

from firmware.sampling import Sensor

_poll = Sensor._poll
_looked = [time.ticks_ms()]


def slowly(self):
    if time.ticks_diff(time.ticks_ms(), _looked[0]) > 1000:
        time.sleep_ms(300)
        _looked[0] = time.ticks_ms()
    _poll(self)


Sensor._poll = slowly
"""


@pytest.fixture(scope="module")
def old_and_new():
    """The files of two versions."""
    with pytest.MonkeyPatch.context() as patch:
        old = tree(patch, "0.1.0")
    # The number stands wherever it is used.
    return old, {path: data.replace(b"0.1.0", b"0.2.0") for path, data in old.items()}


@pytest.fixture
def node(make_node, old_and_new, tmp_path):
    folder = tmp_path / "tree"
    build.write(build.Build("virtual", "source", "0.1.0", old_and_new[0]), folder)
    return make_node(tree=folder, speed=SPEED)


@pytest.fixture
def agent(node, make_agent):
    made = make_agent(node.port)
    made.until(lambda: len(made.of(frames.KIND_VITALS)) > 1)
    return made


def test_a_good_version_is_sent_over_resets_tried_and_confirmed(node, agent, old_and_new):
    updater = Updater(agent, signed(old_and_new[1], "0.2.0"))
    half = updater.send(most=24)
    assert half[frames.ANSWER_RESULT] == frames.RESULT_BEGUN
    boots = len(agent.frames)
    node.power_cycle()
    agent.until(lambda: len(agent.frames) > boots and agent.of(frames.KIND_VITALS))
    # It goes on not far from where it was.
    again = updater.offer()
    assert again[frames.ANSWER_RESULT] == frames.RESULT_BEGUN and again[frames.ANSWER_VALUE] > 0
    assert updater.send()[frames.ANSWER_RESULT] == frames.RESULT_DONE
    # Most of it is in both versions.
    assert updater.sent * 128 < len(updater.bundle.encoded()) // 3
    assert updater.ended() == (frames.EVENT_UPDATED, "0.2.0")
    assert running(agent) == "0.2.0"
    node.power_cycle()
    boots = len(agent.frames)
    agent.until(lambda: len(agent.frames) > boots and agent.of(frames.KIND_VITALS))
    assert running(agent) == "0.2.0"
    assert Updater(agent, updater.bundle).offer()[frames.ANSWER_RESULT] == frames.RESULT_DONE
    assert (node.flash_dir / "slot_a" / "start.py").is_file(), "the version before stays"


@pytest.mark.parametrize(
    "text, why",
    [
        pytest.param(RAISES, "RuntimeError: no such thing", id="raises"),
        pytest.param(HANGS, "did not last", id="hangs"),
        pytest.param(SLOW, "samples late", id="samples too slowly"),
    ],
)
def test_a_version_that_does_not_do_what_it_should_is_gone_again(agent, old_and_new, text, why):
    updater = Updater(agent, signed(old_and_new[1], "0.2.0", start=text))
    assert updater.send()[frames.ANSWER_RESULT] == frames.RESULT_DONE
    assert updater.ended() == (frames.EVENT_ROLLED_BACK, f"0.2.0: {why}")
    assert running(agent) == "0.1.0"


def test_a_version_that_reaches_no_agent_is_gone_again(node, agent, old_and_new):
    updater = Updater(agent, signed(old_and_new[1], "0.2.0"))
    assert updater.send()[frames.ANSWER_RESULT] == frames.RESULT_DONE
    agent.acking = False
    agent.until(lambda: running(agent) == "0.2.0")
    agent.until(lambda: running(agent) == "0.1.0")
    agent.acking = True
    assert updater.ended() == (frames.EVENT_ROLLED_BACK, "0.2.0: no agent")

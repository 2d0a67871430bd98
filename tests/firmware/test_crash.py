"""A boot that ends in a fault leaves its traceback on flash, the next tells it until it has arrived."""

import time

from firmware.boots import RETAINED_BOUND_S
from protocol import frames
from tests.firmware.conftest import PATIENCE_S
from tests.firmware.test_app import events, patched

# The first boot ends by an error out of the vitals, half-way through sealing a frame.
BROKEN = """
import os
from firmware.app import Node
from firmware.sealer import Sealer
def give_up(seq, plaintext):
    raise ValueError("the tree is on fire")
each_second = Node._each_second
def once(self, second):
    # Not before an agent has something of this boot.
    heard = not self.sealer.box.holds(0)
    if second >= 3 and heard and not os.getenv("VITALWIRE_RESET_CAUSE") == "2":
        self.start.attester.add = give_up
    each_second(self, second)
Node._each_second = once
"""
# Every boot ends so, before anything can have arrived.
LOOPING = """
from firmware.app import Node
begin = Node.begin
def broken(self):
    begin(self)
    raise RuntimeError("x" * 1500 + " at the end")
Node.begin = broken
"""


def logs(agent):
    return [body for _, _, body in agent.of(frames.KIND_LOG)]


def test_a_traceback_is_told_once_with_the_cause_of_the_reset(make_node, make_agent, virtual_tree, tmp_path):
    node = make_node(tree=patched(virtual_tree, tmp_path, BROKEN))
    agent = make_agent(node.port)
    agent.until(lambda: len(agent.frames) == 2 and logs(agent))
    first, _ = sorted(agent.frames)
    (log,) = logs(agent)
    assert log[frames.LOG_LEVEL] == frames.LOG_CRASH
    assert log[frames.LOG_BOOT] == first and log[frames.LOG_RESET_CAUSE] == frames.RESET_HARD
    assert log[frames.LOG_UPTIME_S] in range(3, 120)
    assert log[frames.LOG_TEXT].startswith("Traceback") and "sealer.py" in log[frames.LOG_TEXT]
    assert log[frames.LOG_TEXT].endswith("ValueError: the tree is on fire")
    # Once it is acknowledged the record goes, and the boot after that has nothing to tell.
    record = node.flash_dir / "state" / "crash"
    agent.until(lambda: not record.exists())
    node.reset(hard=True)
    agent.until(lambda: len(agent.frames) == 3 and len(agent.of(frames.KIND_VITALS)) > 2)
    agent.whole()
    assert logs(agent) == []


def test_a_crash_is_told_again_until_it_has_arrived_and_the_untold_are_counted(
    make_node, make_agent, virtual_tree, tmp_path
):
    node = make_node(tree=patched(virtual_tree, tmp_path, LOOPING))
    end = time.monotonic() + PATIENCE_S
    while node.resets < 3:
        assert time.monotonic() < end
        time.sleep(0.1)
    node.kill()
    (node.build_dir / "main.py").write_text((virtual_tree / "main.py").read_text())
    agent = make_agent(node.port)
    agent.acking = False
    node.reset(hard=True)
    agent.until(lambda: logs(agent))
    text = logs(agent)[0][frames.LOG_TEXT]
    assert len(text.encode()) <= 1024 and text.endswith(" at the end") and text.startswith("after ")
    assert int(text.split(" ")[1]) >= 2 and " not told:\n... xxx" in text
    node.reset(hard=True)
    agent.acking = True
    agent.until(lambda: len(agent.frames) == 2 and logs(agent))
    assert logs(agent)[0][frames.LOG_TEXT] == text, "nobody had acknowledged it"
    # It tells of another boot than the one that was just reset: why that ended is not known any more.
    assert frames.LOG_RESET_CAUSE not in logs(agent)[0]
    agent.until(lambda: not (node.flash_dir / "state" / "crash").exists())


def test_a_watchdogs_reset_is_told_without_a_traceback(make_node, make_agent):
    node = make_node()
    agent = make_agent(node.port)
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 1)
    first = max(agent.frames)

    def bitten() -> bool:
        # The node feeds it, too. Locked: the next boot's is not to bite.
        with node._lock:
            if not node.resets:
                node.bench.watchdog.feed(1)
            return node.resets > 0

    agent.until(bitten)
    agent.until(lambda: len(agent.frames) == 2 and logs(agent))
    (log,) = logs(agent)
    assert log[frames.LOG_BOOT] == first and log[frames.LOG_RESET_CAUSE] == frames.RESET_WATCHDOG
    made = int(log[frames.LOG_TEXT].split("at least ")[1].split(" ")[0])
    assert log[frames.LOG_TEXT].startswith("watchdog") and made >= len(agent.frames[first])
    assert agent.of(frames.KIND_BOOT)[0][2][frames.BOOT_PREVIOUS] == [first, made, False, RETAINED_BOUND_S]
    assert not events(agent, frames.EVENT_INTERNAL_ERROR)

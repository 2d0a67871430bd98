"""The light of a whole node: unpaired, paired, delivering, asked which one it is, away from its agent, its
battery low.
"""

import threading
import time

from firmware import indications
from firmware.annunciator import PAUSE_MS
from firmware.signals import LOW_PCT
from protocol import frames
from tests.firmware.conftest import PATIENCE_S
from tests.firmware.test_orders import order, result

LIGHTS = {
    indications.GREEN: "LED_GREEN",
    indications.BLUE: "LED_BLUE",
    indications.VIOLET: "LED_VIOLET",
    indications.WHITE: "LED_WHITE",
}


class Watched:
    """Reads the light of a node as a person does: by the flashes between two pauses."""

    def __init__(self, node) -> None:
        self._bench = node.bench
        self._before = node.bench.pins.watch
        self._lock = threading.Lock()
        self._changes: list[tuple[int, str, int]] = []
        node.bench.pins.watch = self._changing

    def _changing(self, name: str, level: int) -> None:
        if name in LIGHTS.values():
            with self._lock:
                self._changes.append((self._bench.now_us, name, level))
        self._before(name, level)

    def shows(self, state: int) -> bool:
        """Whether the pattern of `state` was seen, whole."""
        pattern = indications.PATTERNS[state]
        wanted = [LIGHTS[pattern >> 4]] * (pattern & 15)
        return wanted in self._groups()

    def _groups(self) -> list[list[str]]:
        groups: list[list[str]] = []
        dark_us = 0
        with self._lock:
            for at_us, name, level in self._changes:
                if level:
                    if not groups or name not in groups[-1] or at_us - dark_us >= PAUSE_MS * 1000:
                        groups.append([])
                    groups[-1].append(name)
                else:
                    dark_us = at_us
        # The first may have begun before, the last not be over.
        return groups[1:-1]


def within(wanted) -> None:
    """Wait for that while no agent answers; fails the test when it does not come."""
    end = time.monotonic() + PATIENCE_S
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_from_unpaired_to_delivered_and_away_again(make_node, make_agent):
    node = make_node(speed=8.0)
    light, agent = Watched(node), make_agent(node.port)
    agent.pairing = False
    agent.until(lambda: light.shows(indications.UNPAIRED))
    agent.pairing = True
    agent.until(lambda: light.shows(indications.PAIRED))
    agent.until(lambda: node.bench.pins["LED_GREEN"])
    assert result(agent, frames.KIND_COMMAND, order(frames.OP_IDENTIFY)) == frames.RESULT_DONE
    agent.until(lambda: light.shows(indications.IDENTIFY))
    agent.until(lambda: node.bench.pins["LED_GREEN"])
    with node.bench.moment():
        node.bench.charge_pct = LOW_PCT - 3
    agent.until(lambda: light.shows(indications.CHARGE))
    with node.bench.moment():
        node.bench.charge_pct = 90
    agent.until(lambda: node.bench.pins["LED_GREEN"])
    agent.close()
    within(lambda: light.shows(indications.SEARCHING))
    within(lambda: light.shows(indications.STORING))

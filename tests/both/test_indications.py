"""What the light says without an alarm: each state a pattern of its own, on three colours and on one light,
that no alarm has; and which state a node is in.
"""

import asyncio

from firmware import annunciator, indications
from firmware.annunciator import CALM_MS, GAP_MS, LONG_MS, LOOK_MS, OFF, PAUSE_MS, SHORT_MS, Annunciator
from firmware.indications import GREEN, OK, PATTERNS, URGENCY, WHITE, most_urgent
from firmware.readings import Readings
from firmware.signals import IDENTIFY_S, LOW_PCT, PAIRED_S, SEARCH_S, TROUBLE_S, UNDER_WAY, Signals
from protocol.session_states import STREAMING

STATES = range(len(PATTERNS))


class Asyncio:
    """In the place of asyncio: time passes only in sleep_ms, and then at once."""

    def __init__(self, world):
        self.world = world
        self.Event = asyncio.Event

    async def sleep_ms(self, ms):
        assert 0 < ms <= LOOK_MS
        self.world.ms += ms
        if self.world.ms in self.world.script:
            self.world.script[self.world.ms](self.world.annunciator)
        await asyncio.sleep(0)


class World:
    """A board with so many lights; `seen`: (colour, from ms) of each change in the time that the state is
    shown. `script`: what happens at a ms.
    """

    def __init__(self, state, lights, ms=20000, script=None):
        self.ms = 0
        self.seen = []
        self.lights = lights
        self.script = script or {}
        self.annunciator = Annunciator(self)
        self.annunciator.indicate(state)
        annunciator.asyncio = Asyncio(self)
        try:
            asyncio.run(self._live(ms))
        finally:
            annunciator.asyncio = asyncio

    def signal(self, light, sound):
        assert not sound or self.annunciator.priority
        if not self.seen or self.seen[-1][0] != light:
            self.seen.append((light, self.ms))

    async def _live(self, ms):
        task = asyncio.create_task(self.annunciator.run())
        idle = 0
        while self.ms < ms and idle < 10:
            before = self.ms
            await asyncio.sleep(0)
            idle = idle + 1 if self.ms == before else 0
        self.last = len(self.seen)
        task.cancel()
        await asyncio.sleep(0)

    def lit_and_dark(self):
        """Lengths of what was lit, and of the dark behind each, of the whole ones, behind the first pause."""
        assert self.seen[:2] == [(OFF, 0), (self.seen[1][0], PAUSE_MS)]
        seen = self.seen[1 : self.last]
        lengths = [(seen[i][0], seen[i + 1][1] - seen[i][1]) for i in range(len(seen) - 1)]
        return [ms for light, ms in lengths if light], [ms for light, ms in lengths if not light]


def test_every_state_has_a_pattern_and_an_urgency_and_no_two_the_same():
    states = [getattr(indications, name) for name in dir(indications) if name.upper() == name]
    states = sorted([state for state in states if isinstance(state, int)])
    colours = list(range(GREEN, WHITE + 1))
    for colour in colours:
        states.remove(colour)
    assert states == list(STATES) == sorted(URGENCY)
    assert len(set(PATTERNS)) == len(PATTERNS)
    for pattern in PATTERNS:
        assert pattern >> 4 in colours and 1 <= pattern & 15 <= 7
    assert most_urgent([]) == OK
    for i in range(len(URGENCY)):
        assert most_urgent(list(URGENCY)[i:][::-1]) == URGENCY[i]


def test_in_colour_the_flashes_are_counted_and_only_that_all_is_well_is_constant():
    for state in STATES:
        world = World(state, 3)
        colour, n = PATTERNS[state] >> 4, PATTERNS[state] & 15
        assert {light for light, _ in world.seen[: world.last]} <= {colour, OFF}
        if state == OK:
            assert world.seen[0] == (GREEN, 0) and world.ms == 0
            continue
        lit, dark = world.lit_and_dark()
        assert set(lit) == {SHORT_MS}
        assert dark[:n] == [GAP_MS] * (n - 1) + [GAP_MS + PAUSE_MS] == dark[n : 2 * n]


def test_on_one_light_no_two_states_look_alike_and_none_like_an_alarm():
    shown = set()
    for state in STATES:
        lit, dark = World(state, 1).lit_and_dark()
        n = 0
        while dark[n] == GAP_MS:
            n += 1
        assert max(lit) <= LONG_MS and dark[n] >= PAUSE_MS
        pattern = tuple(lit[: n + 1])
        assert pattern == tuple(lit[n + 1 : 2 * n + 2])
        assert pattern == (LONG_MS,) * pattern.count(LONG_MS) + (SHORT_MS,) * pattern.count(SHORT_MS)
        shown.add(pattern)
    assert len(shown) == len(PATTERNS)
    assert World(OK, 1).lit_and_dark()[1][0] == GAP_MS + CALM_MS
    # An alarm is constant, or goes on in even flashes without a pause as long as an indication's.
    assert max(annunciator.FLASH_MS) < PAUSE_MS


def test_without_a_light_nobody_wakes():
    for state in STATES:
        assert World(state, 0).ms == 0


def test_an_alarm_comes_at_once_and_the_state_after_it():
    for lights in (1, 3):
        for at in range(0, 4000, 50):
            script = Every(at, lambda a: a.show(3, False))
            world = World(indications.WIFI_DHCP, lights, 6000, script)
            red = [ms for light, ms in world.seen if light == annunciator.RED]
            assert red and red[0] == script.called
            last = [light for light, _ in world.seen[: world.last]][-2:]
            assert set(last) <= {annunciator.RED, OFF}
    script = Every(100, lambda a: a.show(2, False), 4000, lambda a: a.show(0, False))
    world = World(indications.UPDATING, 3, 9000, script)
    assert next(light for light, ms in world.seen if light and ms > 5000) == WHITE


class Every:
    """A script: each of some actions at the first look behind its ms."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.called = None

    def __contains__(self, ms):
        return bool(self.steps) and ms >= self.steps[0]

    def __getitem__(self, ms):
        self.called = ms
        self.steps.pop(0)
        return self.steps.pop(0)


class Node:
    """As much of a node as its signals look at."""

    def __init__(self, agents=1):
        self.start = self.session = self.sealer = self
        self.agents = [None] * agents
        self.state = STREAMING
        self.box = []
        self.signals = Signals(self)
        self.readings = Readings()

    def second(self, n=1):
        for _ in range(n):
            shown = self.signals.second(self.readings)
        return shown


def test_paired_measuring_and_all_delivered():
    node = Node(0)
    assert node.second() == indications.UNPAIRED
    node.agents.append(None)
    assert [node.second() for _ in range(PAIRED_S)] == [indications.PAIRED] * PAIRED_S
    assert node.second() == OK
    node.box = [None] * (UNDER_WAY + 1)
    assert node.second() == indications.MEASURING
    # One that was paired before this boot says nothing of it.
    assert Node().second() == OK


def test_searching_then_storing_until_the_agent_is_back():
    node = Node()
    node.state = None
    assert node.second(SEARCH_S - 1) == indications.SEARCHING
    assert node.second() == indications.STORING
    node.state = STREAMING
    assert node.second() == OK
    node.state = None
    assert node.second() == indications.SEARCHING


def test_a_battery_that_runs_low_and_is_charged():
    node = Node()
    for pct, charging, shown in (
        (-1, False, OK),
        (LOW_PCT, False, OK),
        (LOW_PCT - 1, False, indications.CHARGE),
        (0, False, indications.CHARGE),
        (0, True, OK),
    ):
        node.readings.battery_pct = pct
        node.readings.charging = charging
        assert node.second() == shown


def test_what_needs_help():
    for name in ("ecg_fault", "ppg_fault", "cuff_fault"):
        node = Node()
        setattr(node.readings, name, 1)
        node.readings.battery_pct = 3
        assert node.second() == indications.HELP
    node = Node()
    node.readings.ecg_fault = node.readings.ecg_held = True
    assert node.second() == OK
    node.signals.trouble()
    assert node.second(TROUBLE_S) == indications.HELP
    assert node.second() == OK


def test_which_node_it_is_shows_for_a_while_whatever_else_there_is():
    node = Node()
    node.readings.ecg_fault = True
    node.signals.identify()
    assert node.second(IDENTIFY_S) == indications.IDENTIFY
    assert node.second() == indications.HELP


def test_features_say_what_they_have_to_until_they_take_it_back():
    node = Node()
    node.signals.indicate("wifi", indications.WIFI_PASSWORD)
    node.signals.indicate("update", indications.UPDATING)
    assert node.second() == indications.UPDATING
    node.signals.indicate("update", 0)
    assert node.second() == indications.WIFI_PASSWORD
    node.signals.indicate("wifi", 0)
    assert node.second() == OK

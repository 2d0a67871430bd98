"""The node around its alarms: what goes wrong elsewhere keeps none from being decided and shown."""

from firmware.app import Node
from firmware.readings import Readings
from protocol import frames as f
from protocol.session_states import STREAMING
from tests.both.alarm_rig import World


class Feature:
    """A cuff or gauge of a node whose readings are those of a heart that races."""

    fails = False

    def second(self, readings):
        readings.no_ecg = False
        readings.lead_off = False
        readings.hr_x10 = 1600
        if self.fails:
            raise OSError(5)


class Stub:
    """As much of a node as a second takes, until its alarms are shown."""

    _each_second = Node._each_second
    _look_at_button = Node._look_at_button
    careful = Node.careful

    def __init__(self):
        self.world = World()
        self.alarms = self.world.alarms
        self.readings = Readings()
        self.feature = Feature()
        self.features = {"gauge": self.feature}
        self.ecg = self.ppg = None
        self.sealer = self.box = self.board = self._annunciator = self
        self.vitals_every_s = 1
        self.next_seq = 5
        self._evidence = [0, 0]
        self._held = self.held = self._streamed = False
        self.session = self
        self.state = None
        self.no_room = False
        self.shown = (0, False)

    def seal(self, kind, body):
        if self.no_room:
            raise MemoryError
        if kind == f.KIND_VITALS:
            raise EndOfSecond

    def drain(self):
        pass

    def show(self, priority, sound):
        self.shown = (priority, sound)

    def consent(self):
        return self.held

    def seconds(self, n):
        for _ in range(n):
            self.world.clock.seconds += 1
            try:
                self._each_second(self.world.clock.seconds)
            except (EndOfSecond, MemoryError, OSError):
                pass


class EndOfSecond(Exception):
    """What comes behind the alarms is not looked at here."""


def test_a_second_whose_vitals_find_no_memory_has_its_alarms():
    stub = Stub()
    stub.no_room = True
    stub.world.fails = 100
    stub.seconds(10)
    assert stub.shown == (f.PRIORITY_HIGH, True) and stub.world.events == []
    stub.world.fails = 0
    stub.seconds(1)
    assert len(stub.world.events) == 1


def test_a_feature_that_fails_keeps_no_alarm_back():
    stub = Stub()
    stub.feature.fails = True
    stub.seconds(10)
    assert stub.shown == (f.PRIORITY_HIGH, True)


def test_a_button_that_sticks_silences_once():
    stub = Stub()
    stub.seconds(10)
    stub.held = True
    for _ in range(200):
        stub._look_at_button()
        stub.seconds(1)
    assert stub.shown == (f.PRIORITY_HIGH, True)
    stub.held = False
    stub._look_at_button()
    stub.held = True
    stub._look_at_button()
    stub.seconds(1)
    assert stub.shown == (f.PRIORITY_HIGH, False)


def test_an_agent_that_comes_hears_of_what_is_on():
    stub = Stub()
    stub.seconds(10)
    for _ in range(2):
        stub.seconds(5)
        assert len(stub.world.events) == 1
        stub.state = STREAMING
        stub.seconds(5)
        stub.state = None
        assert [body[f.EVENT_ALARM] for _, body in stub.world.events] == [1, 1]
        assert stub.world.events.pop()[1][f.EVENT_STATE] == f.STATE_BEGAN
    stub.world.stand_still(3)
    stub.world.well(5)
    told = len(stub.world.events)
    stub.alarms.again()
    stub.world.fails = 1
    try:
        stub.world.run(1)
    except MemoryError:
        pass
    stub.world.run(1)
    assert stub.world.events[told][1][f.EVENT_STATE] == f.STATE_LATCHED
    assert len(stub.world.events) == told + 1


class Held:
    """An ECG that is held; what there is beyond that a second does not ask of one in fault."""

    driver = None
    off = False
    source = 0
    held = ""

    def hold(self, reason):
        self.held = reason


class Plug:
    """A board with its charger in or out."""

    def __init__(self):
        self.config = {"node": {}}
        self.plugged = False

    def charging(self):
        return self.plugged


def test_on_the_charger_the_ecg_is_held_each_second_and_in_watch_mode_that_is_an_alarm():
    stub = Stub()
    stub.features = {}
    stub.ecg = Held()
    board = stub.board = Plug()
    for plugged in (False, True, False):
        board.plugged = plugged
        stub.seconds(1)
        assert stub.ecg.held == ("charging" if plugged else "")
    board.plugged = True
    stub.seconds(20)
    assert [body[f.EVENT_CODE] for _, body in stub.world.events] == [f.EVENT_SENSOR_FAULT]
    board.config["node"]["isolated"] = True
    stub.seconds(1)
    assert stub.ecg.held == ""

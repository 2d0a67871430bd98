"""Who may read a node by the standard services, and what is said when; the stack and the rest of the node are
fakes. A whole node among phones: hil_tests/test_phones.py.
"""

from firmware import ble_standard as s
from firmware.readings import Readings
from tests.both.node_memory import Medium, on

PIPE = 3
# Of what is to be read or heard: rate, place; oximetry, features; pressure, features.
HANDLES = [12, 14, 17, 19, 22, 24]
AGENT, PHONE = 1, 2
KEY = b"\x01phone!"


class Stack:
    """Takes `buffers` messages; `said`: (connection, handle, value)."""

    def __init__(self):
        self.said = []
        self.indicated = []
        self.parted = []
        self.asked = []
        self.values = {}
        self.bond = False
        self.buffers = 100

    def config(self, bond=False, **_):
        self.bond = bond

    def gatts_write(self, handle, value):
        self.values[handle] = value

    def gatts_notify(self, conn, handle, value):
        if not self.buffers:
            raise OSError(12)
        self.buffers -= 1
        self.said.append((conn, handle, value))

    def gatts_indicate(self, conn, handle, value):
        self.indicated.append((conn, handle, value))

    def gap_disconnect(self, conn):
        self.parted.append(conn)

    def gap_pair(self, conn):
        self.asked.append(conn)


class Chain:
    calibrated = True
    rr_ms = ()


class Sensor:
    def __init__(self):
        self.chain = Chain()
        self.source = 0


class Node:
    """Is its own clock, board, start and signals."""

    def __init__(self, agents=1):
        self.clock = self.board = self.start = self.signals = self
        self.records = on(Medium())
        self.agents = [b"an agent"] * agents
        self.ecg = Sensor()
        self.ppg = Sensor()
        self.features = {"cuff": None}
        self.held = False
        self.ms = 5000
        self.shown = 0
        self.told = []

    def now_ms(self):
        return self.ms

    def consent(self):
        return self.held

    def identify(self):
        self.shown += 1

    def drain(self):
        pass

    def careful(self, action, *args):
        action(*args)

    def report(self, code, priority, value, text):
        self.told.append(text)


class Feature:
    """The node's Ble, as far as a phone concerns it."""

    def __init__(self, node):
        self.node = node
        self.ble = Stack()
        self.handles = [PIPE]
        self.conn = None
        self.since_ms = self.faults = 0
        self.port = self.advertises = None
        self.opens = False
        self.size = 100
        self.standard = s.Standard(node, None)
        self.standard.started(self.ble, self.standard.serve(self), HANDLES)

    def interrupt(self, event, data):
        if event == s.CENTRAL_CONNECT and self.conn is None:
            self.conn = data[0]
            self.size = 20
            self.since_ms = self.node.ms
        elif event == s.GATTS_WRITE and data == (self.conn, PIPE):
            self.port = self
        elif event == s.CENTRAL_DISCONNECT and data[0] == self.conn:
            self.conn = None
            self.port = None

    # What happens to it

    def event(self, event, *data):
        return self.standard.interrupt(event, data)

    def connected(self, conn):
        self.event(s.CENTRAL_CONNECT, conn, 0, b"")

    def encrypted(self, conn, bonded=True, key_bytes=16):
        self.event(s.ENCRYPTION_UPDATE, conn, True, False, bonded, key_bytes)

    def agent_came(self):
        self.connected(AGENT)
        self.event(s.GATTS_WRITE, AGENT, PIPE)

    def passes(self, ms):
        """Time, in which the task looks; the phone, if there is one, confirms."""
        until = self.node.ms + ms
        while self.node.ms < until:
            self.node.ms += 250
            self.standard.look(self.node.ms)

    def reads(self, conn, handle=HANDLES[1]):
        return self.event(s.GATTS_READ_REQUEST, conn, handle) == 0


def _holds(feature, ms):
    feature.node.held = True
    feature.passes(ms)
    feature.node.held = False
    feature.passes(250)


def _readings(**values):
    readings = Readings()
    for name in values:
        setattr(readings, name, values[name])
    return readings


def _bonded(feature=None):
    feature = feature or Feature(Node())
    _holds(feature, s.HOLD_MS + 500)
    feature.agent_came()
    feature.connected(PHONE)
    for kind in (2, 1):
        feature.event(s.SET_SECRET, kind, KEY, b"secret")
    feature.encrypted(PHONE)
    return feature


def test_only_a_bond_reads_and_hears():
    feature = Feature(Node())
    standard = feature.standard
    assert not standard.wanted() and not feature.ble.bond
    readings = _readings(hr_x10=720, spo2_x10=970, pulse_x10=720)
    feature.agent_came()
    feature.connected(PHONE)
    for bonded, key_bytes in ((False, 16), (True, 7)):
        feature.encrypted(PHONE, bonded, key_bytes)
        standard.second(readings)
        assert not feature.reads(PHONE) and not feature.reads(AGENT) and not feature.ble.said
    # What is not of these services is not theirs to refuse.
    assert feature.reads(PHONE, PIPE) and feature.reads(AGENT, PIPE)
    feature.encrypted(PHONE)
    standard.second(readings)
    assert feature.reads(PHONE) and not feature.reads(AGENT)
    assert [said[:2] for said in feature.ble.said] == [(PHONE, HANDLES[0]), (PHONE, HANDLES[2])]
    feature.event(s.CENTRAL_DISCONNECT, PHONE, 0, b"")
    standard.second(readings)
    assert not feature.reads(PHONE) and len(feature.ble.said) == 2 and feature.conn == AGENT


def test_the_button_lets_phones_in_for_a_while_and_forgets_them():
    feature = Feature(Node())
    standard, ble = feature.standard, feature.ble
    # A press that is a measurement's, an acknowledgement's or Wi-Fi's.
    _holds(feature, 1500)
    assert not ble.bond and not standard.wanted()
    _holds(feature, s.HOLD_MS + 500)
    assert ble.bond and standard.wanted() and feature.node.shown == 1
    feature.passes(s.WINDOW_MS)
    assert not ble.bond and not standard.wanted()
    # Nobody is let in now: nothing is kept.
    feature.connected(PHONE)
    assert feature.event(s.SET_SECRET, 1, KEY, b"secret") and feature.event(s.GET_SECRET, 1, 0, KEY) is None
    feature.event(s.CENTRAL_DISCONNECT, PHONE, 0, b"")
    _bonded(feature)
    feature.passes(250)
    assert feature.node.records.holds("phones") and feature.event(s.GET_SECRET, 1, 0, KEY) == b"secret"
    _holds(feature, s.FORGET_MS + 500)
    assert not feature.node.records.holds("phones") and feature.event(s.GET_SECRET, 1, 0, KEY) is None
    assert ble.parted == [PHONE] and not ble.bond and not feature.reads(PHONE)
    # One that sticks lets nobody in.
    feature.node.held = True
    feature.passes(s.FORGET_MS + 2 * s.WINDOW_MS)
    assert not ble.bond and len(feature.node.told) == 2


def test_a_pairing_is_on_flash_whole_or_not_at_all():
    feature = Feature(Node())
    _holds(feature, s.HOLD_MS + 500)
    feature.agent_came()
    feature.connected(PHONE)
    feature.event(s.SET_SECRET, 2, KEY, b"secret")
    feature.passes(1000)
    assert not feature.node.records.holds("phones")
    feature.event(s.SET_SECRET, 1, KEY, b"secret")
    feature.encrypted(PHONE)
    feature.passes(1000)
    assert feature.node.records.holds("phones") and len(feature.node.told) == 1


def test_a_node_that_is_nobodys_has_no_phones():
    mine = _bonded()
    mine.passes(250)
    node = Node(agents=0)
    node.records = mine.node.records
    feature = Feature(node)
    assert not node.records.holds("phones") and feature.event(s.GET_SECRET, 1, 0, KEY) is None
    _holds(feature, s.HOLD_MS + 500)
    assert not feature.ble.bond and not feature.standard.wanted()


def test_a_measurement_is_said_until_it_is_confirmed_or_old():
    feature = _bonded()
    standard, ble = feature.standard, feature.ble
    first = _readings(bp=(1215, 792, 4, 0))
    standard.second(first)
    standard.second(first)
    assert ble.indicated == [(PHONE, HANDLES[4], b"\0\xbf\xf4\x18\xf3\xff\x07")], "not before the answer"
    feature.event(s.GATTS_INDICATE_DONE, PHONE, HANDLES[4], 1)
    standard.second(first)
    assert len(ble.indicated) == 2
    feature.event(s.GATTS_INDICATE_DONE, PHONE, HANDLES[4], 0)
    standard.second(first)
    assert len(ble.indicated) == 2
    # One that was away meanwhile would date it by its arrival.
    feature.event(s.CENTRAL_DISCONNECT, PHONE, 0, b"")
    second = _readings(bp=(1300, 800, 5, 0))
    standard.second(second)
    feature.passes(s.FRESH_MS + 1000)
    feature.connected(PHONE)
    feature.encrypted(PHONE)
    standard.second(second)
    assert len(ble.indicated) == 2


def test_what_is_held_back_is_not_said_and_a_stack_without_buffers_is_no_fault():
    feature = _bonded()
    feature.standard.second(_readings())
    assert not feature.ble.said
    feature.ble.buffers = 1
    feature.standard.second(_readings(hr_x10=720, spo2_x10=970, pulse_x10=720))
    feature.standard.second(_readings(hr_x10=730))
    assert [said[1] for said in feature.ble.said] == [HANDLES[0]] and feature.faults == 0


def test_who_does_not_bond_makes_room_and_is_asked_to_while_somebody_wants_it():
    feature = Feature(Node())
    feature.agent_came()
    feature.connected(PHONE)
    feature.passes(s.ASK_MS + 500)
    assert not feature.ble.asked
    _holds(feature, s.HOLD_MS + 500)
    feature.passes(1000)
    assert feature.ble.asked == [PHONE]
    feature.passes(s.IDLE_MS)
    assert PHONE in feature.ble.parted and AGENT not in feature.ble.parted


def test_an_agent_whose_machine_is_bonded_has_its_pipe_all_the_same():
    feature = Feature(Node())
    feature.connected(AGENT)
    feature.size = 100
    feature.encrypted(AGENT)
    assert feature.conn is None and feature.standard.conn == AGENT, "it is taken for a phone"
    feature.event(s.GATTS_WRITE, AGENT, PIPE)
    assert feature.port and feature.size == 100 and feature.conn == AGENT and feature.reads(AGENT)
    feature.event(s.CENTRAL_DISCONNECT, AGENT, 0, b"")
    assert feature.conn is None and feature.standard.conn is None

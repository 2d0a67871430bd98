"""Which radio a boot uses."""

from firmware import radio
from firmware.flash import FlashError
from firmware.wifi import Wifi
from protocol.session_states import GREETING, STREAMING

TWO = {"wifi": {}, "ble": {}}


class Records:
    def __init__(self, **kept):
        self.kept = kept
        self.broken = False

    def read(self, name):
        if self.broken:
            raise FlashError("state/" + name, "damaged")
        return self.kept.get(name)

    def holds(self, name):
        return name in self.kept

    def write(self, name, payload):
        self.kept[name] = payload


class Session:
    state = GREETING


class Node:
    def __init__(self, records):
        self.start = self
        self.records = records
        self.session = Session()
        self.restarts = 0

    def restart(self):
        self.restarts += 1

    def careful(self, action, *args):
        action(*args)


def test_by_what_the_board_has():
    assert radio.mode({"wifi": {}}, Records()) == radio.WIFI
    assert radio.mode({"ble": {}}, Records(wifi=b"x")) == radio.BLE
    assert radio.mode({"radio": {"at_once": 2}, "wifi": {}, "ble": {}}, Records()) == radio.BOTH


def test_one_at_a_time():
    assert radio.mode(TWO, Records()) == radio.BLE
    assert radio.mode(TWO, Records(wifi=b"x")) == radio.WIFI
    assert radio.mode(TWO, Records(wifi=b"x", radio=b"ble")) == radio.BLE
    assert radio.mode(TWO, Records(radio=b"wifi")) == radio.WIFI
    damaged = Records(wifi=b"x")
    damaged.broken = True
    assert radio.mode(TWO, damaged) == radio.WIFI


def test_why_the_turn_was_given_away():
    records = Records()
    assert radio.cause(records) == 0
    radio.switch(Node(records), radio.BLE, 7)
    assert radio.cause(records) == 7 and radio.mode(TWO, records) == radio.BLE
    radio.switch(Node(records), radio.WIFI)
    assert radio.cause(records) == 0 and radio.mode(TWO, records) == radio.WIFI


def test_a_turn_ends_when_it_leads_to_nobody():
    node = Node(Records(wifi=b"x"))
    turn = radio.Turn(node, radio.WIFI)
    for _ in range(radio.WIFI_TURN_S - 1):
        turn.second()
    node.session.state = STREAMING
    turn.second()
    node.session.state = GREETING
    for _ in range(radio.WIFI_TURN_S - 1):
        turn.second()
    assert not node.restarts
    turn.second()
    assert node.restarts == 1 and node.records.kept["radio"] == b"ble"


def test_a_board_without_ble_stays_with_wifi():
    for config, restarts in (({"wifi": {}}, 0), (TWO, 1)):
        node = Node(Records(radio=b"wifi"))
        node.board = node
        node.config = config
        wifi = Wifi(node, None)
        assert wifi.mode == radio.WIFI
        for _ in range(radio.WIFI_TURN_S):
            wifi.second(None)
        assert node.restarts == restarts


def test_without_a_network_there_is_nothing_but_ble():
    node = Node(Records())
    turn = radio.Turn(node, radio.BLE)
    for _ in range(3 * radio.BLE_TURN_S):
        turn.second()
    assert not node.restarts
    node.records.kept["wifi"] = b"x"
    for _ in range(radio.BLE_TURN_S):
        turn.second()
    assert node.restarts == 1 and node.records.kept["radio"] == b"wifi"

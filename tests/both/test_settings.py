"""Settings that config orders change: all or nothing, within bounds, and whole after a power cut."""

from firmware import interlocks
from firmware.alarm_rules import CAUSE, CAUSES, HIGHEST, LIMIT, LOWEST, RULES, rule_of
from firmware.orders import _carry_out
from firmware.settings import RECORDS, Settings
from protocol import cbor
from protocol import frames as f
from tests.both.alarm_rig import World
from tests.both.node_memory import Medium, PowerCut, on


class Board:
    plugged = False

    def __init__(self):
        self.config = {"node": {}}

    def charging(self):
        return self.plugged


class Cuff:
    inflated = False
    fault = 0

    def __init__(self):
        self.asked = []

    def request(self, reason, command_id=None, cuff_size=None):
        self.asked.append((reason, command_id, cuff_size))
        return f.RESULT_BEGUN


class Node:
    """As much of a node as configuring it needs."""

    def __init__(self, medium=None):
        self.settings = Settings(on(medium or Medium()))
        self.alarms = World().alarms
        self.board = Board()
        self.features = {}
        self.drained = 0

    def drain(self):
        self.drained += 1

    def restart(self):
        pass

    def config(self, settings):
        return _carry_out(self, f.KIND_CONFIG, {f.ORDER_WHAT: settings}, bytes(8))[0]

    def command(self, operation, arguments=None):
        body = {f.ORDER_ID: bytes(8), f.ORDER_WHAT: operation}
        if arguments is not None:
            body[f.ORDER_ARGS] = arguments
        return _carry_out(self, f.KIND_COMMAND, body, bytes(8))[0]


ALL = {
    f.SET_MAINS_HZ: 60,
    f.SET_MODE: f.MODE_WATCH,
    f.SET_LIMITS: [[f.EVENT_SPO2_LOW, 880, 30], [f.EVENT_HR_HIGH, 1600, 5], [f.EVENT_BP_HIGH, 1050, 0]],
    f.SET_NOT_SENT: [f.CH_PPG_RED],
    f.SET_CUFF_SIZE: f.CUFF_LARGE,
}


def state(settings):
    return (settings.mains_hz, settings.mode, settings.levels, settings.not_sent, settings.cuff_size)


def test_all_settings_hold_at_once_and_after_the_next_start():
    medium = Medium()
    node = Node(medium)
    assert state(node.settings) == (50, f.MODE_SPOT_CHECK, {}, [], f.CUFF_UNKNOWN)
    assert node.config(ALL) == f.RESULT_DONE and node.drained == 1
    expected = (60, f.MODE_WATCH, {6: (880, 30), 1: (1600, 5), 8: (1050, 0)}, [1], f.CUFF_LARGE)
    assert state(node.settings) == expected
    assert state(Settings(on(medium))) == expected
    # What is not named stays, of limits also the other rule of the same code.
    assert node.config({f.SET_LIMITS: [[f.EVENT_HR_HIGH, 1200, 20]]}) == f.RESULT_DONE
    levels = Settings(on(medium)).levels
    assert levels[1] == (1600, 5) and levels[2] == (1200, 20) and levels[6] == (880, 30)


def test_of_one_setting_that_is_not_known_none_is_changed():
    node = Node()
    before = state(node.settings)
    for settings in (
        {f.SET_MAINS_HZ: 55},
        {f.SET_MAINS_HZ: "fifty"},
        {f.SET_MAINS_HZ: True},
        {f.SET_MODE: 2},
        {f.SET_CUFF_SIZE: 5},
        {f.SET_NOT_SENT: 1},
        {f.SET_NOT_SENT: ["red"]},
        {f.SET_LIMITS: {}},
        {f.SET_LIMITS: [[f.EVENT_HR_HIGH, 1200]]},
        {f.SET_LIMITS: [[f.EVENT_HR_HIGH, 1200, None]]},
        {f.SET_LIMITS: [[f.EVENT_HR_HIGH, 120, 10]]},
        {f.SET_LIMITS: [[f.EVENT_HR_HIGH, 1200, 121]]},
        {f.SET_LIMITS: [[f.EVENT_HR_HIGH, 1600, 31]]},
        {f.SET_LIMITS: [[f.EVENT_ASYSTOLE, 0, 0]]},
        {f.SET_LIMITS: [[f.EVENT_LEAD_OFF, 0, 0]]},
        {99: 1},
    ):
        both = {f.SET_MAINS_HZ: 60}
        both.update(settings)
        assert node.config(both) == f.RESULT_UNSUPPORTED, settings
        assert state(node.settings) == before, settings


def test_a_limit_belongs_to_one_rule_at_most_and_every_default_lies_within_its_bounds():
    for i in range(len(RULES)):
        rule = RULES[i]
        if rule[HIGHEST]:
            for limit in (rule[LOWEST], rule[LIMIT], rule[HIGHEST]):
                assert rule_of(CAUSES[rule[CAUSE]], limit) == i


def test_a_power_cut_leaves_the_old_settings_or_the_new():
    steps = 0
    seen = set()
    while True:
        medium = Medium()
        node = Node(medium)
        assert node.config({f.SET_MAINS_HZ: 60}) == f.RESULT_DONE
        medium.steps = steps
        try:
            assert node.config(ALL) in (f.RESULT_DONE, f.RESULT_FAILED)
            finished = True
        except PowerCut:
            finished = False
        medium.steps = None
        after = Settings(on(medium))
        assert after.fault is None and after.mains_hz == 60
        seen.add((after.mode, after.cuff_size, len(after.levels)))
        if finished:
            break
        steps += 1
    assert seen == {(0, 0, 0), (1, 3, 3)} and steps > 3


def test_of_two_copies_one_may_be_damaged_and_is_mended():
    for name in ("state/settings", "state/settings-b"):
        medium = Medium()
        node = Node(medium)
        node.config({f.SET_MAINS_HZ: 60})
        node.config(ALL)
        medium.files[name] = b"VWR1rubbish"
        settings = Settings(on(medium))
        assert "settings" in settings.fault and "copy" in settings.fault
        assert state(settings) == state(node.settings)
        assert Settings(on(medium)).fault is None
        assert medium.files["state/settings"] == medium.files["state/settings-b"]


def test_a_copy_that_a_cut_left_behind_is_brought_up():
    medium = Medium()
    node = Node(medium)
    node.config({f.SET_MAINS_HZ: 60})
    old = medium.files["state/settings-b"]
    node.config(ALL)
    medium.files["state/settings-b"] = old
    assert state(Settings(on(medium))) == state(node.settings)
    assert medium.files["state/settings"] == medium.files["state/settings-b"] != old


def test_where_both_copies_are_damaged_the_node_watches_and_says_so_at_each_start():
    medium = Medium()
    node = Node(medium)
    node.config(ALL)
    for name in ("state/settings", "state/settings-b"):
        medium.files[name] = b"VWR1rubbish"
    for _ in range(2):
        settings = Settings(on(medium))
        assert settings.mode == f.MODE_WATCH and settings.levels == {}
        assert "watch mode, default limits" in settings.fault and len(settings.fault.encode()) <= 64
    # Until an order has written them anew.
    node = Node(medium)
    assert node.config({f.SET_MODE: f.MODE_SPOT_CHECK}) == f.RESULT_DONE
    settings = Settings(on(medium))
    assert settings.fault is None and settings.mode == f.MODE_SPOT_CHECK


def test_what_is_whole_but_no_settings_is_damaged():
    limits = {f.SET_LIMITS: [[f.EVENT_SPO2_LOW, 88, 30], [1, 2]]}
    for kept in (7, [1], {f.SET_LIMITS: 5}, limits, {f.SET_MODE: 99}):
        medium = Medium()
        for name in RECORDS:
            on(medium).write(name, cbor.dumps(kept))
        settings = Settings(on(medium))
        assert settings.mode == f.MODE_WATCH and settings.levels == {} and "watch mode" in settings.fault


def test_nothing_is_configured_or_restarted_in_an_alarm_or_while_the_cuff_is_inflated():
    node = Node()
    cuff = node.features["cuff"] = Cuff()
    for what in (interlocks.CONFIG, interlocks.RESTART, interlocks.UPDATE, interlocks.SLEEP):
        assert interlocks.refused(node, what) == ""
    cuff.inflated = True
    assert node.config(ALL) == node.command(f.OP_RESTART) == f.RESULT_INTERLOCK
    assert state(node.settings)[0] == 50
    cuff.inflated = False
    cuff.fault = f.EVENT_SENSOR_FAULT
    assert node.command(f.OP_RESTART) == f.RESULT_INTERLOCK
    cuff.fault = 0
    world = World()
    node.alarms = world.alarms
    world.run(10, hr_x10=1600)
    assert interlocks.refused(node, interlocks.UPDATE) and node.config(ALL) == f.RESULT_INTERLOCK
    world.well(5)
    # An electrode that is off is no reason: the mode may be what is to be changed.
    world.run(300, lead_off=True, hr_x10=0)
    assert world.alarms.active and node.config(ALL) == f.RESULT_DONE
    assert node.command(f.OP_RESTART) == f.RESULT_BEGUN


def test_a_person_is_not_measured_on_the_charger_unless_the_board_is_isolated():
    node = Node()
    node.features["cuff"] = Cuff()
    node.board.plugged = True
    assert interlocks.refused(node, interlocks.ECG) and interlocks.refused(node, interlocks.CUFF)
    assert node.command(f.OP_MEASURE_BP) == f.RESULT_INTERLOCK
    node.board.config["node"]["isolated"] = True
    assert not interlocks.refused(node, interlocks.ECG)
    assert node.command(f.OP_MEASURE_BP) == f.RESULT_BEGUN


def test_a_measurement_is_asked_of_the_cuff():
    node = Node()
    assert node.command(f.OP_MEASURE_BP) == f.RESULT_UNSUPPORTED
    cuff = node.features["cuff"] = Cuff()
    assert node.command(f.OP_MEASURE_BP, {1: f.CUFF_SMALL}) == f.RESULT_BEGUN
    assert cuff.asked == [(f.REASON_COMMAND, bytes(8), f.CUFF_SMALL)]
    assert node.command(f.OP_MEASURE_BP, {1: 9}) == f.RESULT_MALFORMED


def test_an_order_acknowledges_alarms():
    node = Node()
    world = World()
    node.alarms = world.alarms
    world.stand_still(3)
    world.well(10)
    assert world.alarms.active and node.command(f.OP_ACKNOWLEDGE) == f.RESULT_DONE
    world.run(1)
    assert not world.alarms.active


def test_a_node_does_not_forget_its_alarm_because_an_agent_leaves_it():
    node = Node()
    world = World()
    node.alarms = world.alarms
    world.stand_still(3)
    assert _carry_out(node, f.KIND_UNPAIR, {f.UNPAIR_ID: bytes(8)}, bytes(8)) == (f.RESULT_INTERLOCK, None)

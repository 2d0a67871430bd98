"""What nobody has seen yet outlives the boot: a watchdog, a brown-out, a power cut at any step."""

from firmware.alarms import BEFORE, LATCHED_RECORD
from firmware.beginning import restore_latched
from firmware.flash import FlashError
from protocol import frames as f
from tests.both.alarm_rig import World
from tests.both.node_memory import Medium, PowerCut, on, raises


class Cuff:
    fault = 0


class Node:
    """One boot with the flash of the one before: as much as latched alarms take."""

    def __init__(self, medium):
        self.world = World()
        self.alarms = self.world.alarms
        self.start = self
        self.faults = []
        self.records = self.world.settings.records = on(medium)
        self.features = {"cuff": Cuff()}
        self.drained = 0
        restore_latched(self)

    def careful(self, action, *args):
        action(*args)

    def drain(self):
        self.drained += 1

    def run(self, seconds, **readings):
        told = []
        for _ in range(seconds):
            told += self.world.run(1, **readings)
            self.alarms.keep(self.drain)
        return told

    def standstill_that_is_over(self):
        self.run(3, asystole=True, hr_x10=0, pulse_x10=0, since_beat_ms=4000, since_pulse_ms=4000)
        self.run(6, asystole=False, hr_x10=720, pulse_x10=720, since_beat_ms=500, since_pulse_ms=500)


def test_a_standstill_that_nobody_saw_is_there_after_the_reset():
    medium = Medium()
    Node(medium).standstill_that_is_over()
    after = Node(medium)
    assert after.run(1) == [(1, f.EVENT_ASYSTOLE, f.STATE_LATCHED, f.PRIORITY_HIGH)]
    body = after.world.events[-1][1]
    assert body[f.EVENT_TEXT] == BEFORE and body[f.EVENT_BEGAN_US] == 0
    assert f.EVENT_VALUE not in body and f.EVENT_LIMIT not in body
    assert after.alarms.active == f.PRIORITY_HIGH and after.alarms.sounding and after.alarms.binding
    # Seen, it is over: in this boot, and for the next.
    assert after.alarms.silence()
    assert after.run(1)[0][1:3] == (f.EVENT_ASYSTOLE, f.STATE_ENDED) and not after.alarms.active
    assert Node(medium).run(5) == []


def test_one_that_lasts_through_the_reset_is_the_same_alarm_and_latched_again():
    medium = Medium()
    Node(medium).run(3, asystole=True, hr_x10=0, pulse_x10=0, since_beat_ms=4000, since_pulse_ms=4000)
    after = Node(medium)
    after.run(2)
    after.standstill_that_is_over()
    states = [(body[f.EVENT_ALARM], body[f.EVENT_STATE]) for _, body in after.world.events]
    assert states == [(1, f.STATE_LATCHED), (1, f.STATE_BEGAN), (1, f.STATE_LATCHED)]
    last = after.world.events[-1][1]
    assert last[f.EVENT_BEGAN_US] and f.EVENT_TEXT not in last


def test_what_was_seen_while_it_lasted_is_not_there_again():
    medium = Medium()
    node = Node(medium)
    node.run(3, asystole=True, hr_x10=0, pulse_x10=0, since_beat_ms=4000, since_pulse_ms=4000)
    node.alarms.silence()
    node.run(1)
    assert Node(medium).run(5) == []


def test_a_fault_of_the_cuff_is_one_until_the_button_was_pressed():
    medium = Medium()
    node = Node(medium)
    node.run(2, cuff_fault=f.EVENT_NOT_DEFLATING)
    # An order that silences is no hand at the kit: the cuff is as it was.
    node.alarms.silence()
    node.run(2)
    after = Node(medium)
    assert after.features["cuff"].fault == f.EVENT_NOT_DEFLATING
    told = after.run(5, cuff_fault=after.features["cuff"].fault)
    assert told == [(1, f.EVENT_NOT_DEFLATING, f.STATE_BEGAN, f.PRIORITY_HIGH)] and after.alarms.sounding
    after.run(5, cuff_fault=0)
    again = Node(medium)
    assert again.features["cuff"].fault == 0 and again.run(5) == []


def test_flash_is_written_as_it_begins_and_as_it_was_seen_and_drained_around():
    medium = Medium()
    node = Node(medium)
    writes = []
    real = node.records.write
    node.records.write = lambda name, payload: (writes.append(bytes(payload)), real(name, payload))
    for _ in range(4):
        node.standstill_that_is_over()
    assert writes == [bytes((f.EVENT_ASYSTOLE,))] and node.drained == 2
    node.alarms.silence()
    node.run(60)
    assert writes == [bytes((f.EVENT_ASYSTOLE,)), b""]


def test_a_cut_at_any_step_leaves_it_told_or_not_told_and_flash_that_can_be_written():
    for seen in (False, True):
        steps = 0
        states = set()
        finished = False
        while not finished:
            medium = Medium()
            node = Node(medium)
            if seen:
                node.standstill_that_is_over()
                node.alarms.silence()
            else:
                # The record has been there before.
                node.records.write(LATCHED_RECORD, b"")
            medium.steps = steps
            try:
                if seen:
                    node.run(1)
                else:
                    node.run(1, asystole=True, hr_x10=0, pulse_x10=0, since_pulse_ms=4000)
                finished = True
            except PowerCut:
                pass
            medium.steps = None
            after = Node(medium)
            assert after.faults == []
            states.add(len(after.run(1)))
            after.standstill_that_is_over()
            assert len(Node(medium).run(1)) == 1
            steps += 1
        assert steps > 5 and states == {0, 1}


def test_flash_that_refuses_is_told_once_and_memory_that_lacks_is_tried_again():
    medium = Medium()
    node = Node(medium)
    medium.broken = True
    assert raises(FlashError, node.standstill_that_is_over)
    assert len(node.run(5)) == 0 and node.alarms.active
    medium = Medium()
    node = Node(medium)
    real = node.records.write

    def none(name, payload):
        node.records.write = real
        raise MemoryError

    node.records.write = none
    node.standstill_that_is_over()
    assert len(Node(medium).run(1)) == 1


def test_a_damaged_record_is_told_and_set_aside():
    medium = Medium()
    Node(medium).standstill_that_is_over()
    medium.files["state/latched"] = b"VWR1rubbish"
    node = Node(medium)
    assert node.faults == ["latched: damaged"]
    # It may have held a fault of the cuff.
    assert node.features["cuff"].fault == f.EVENT_NOT_DEFLATING
    told = node.run(3, cuff_fault=f.EVENT_NOT_DEFLATING)
    assert [one[1:] for one in told] == [(f.EVENT_NOT_DEFLATING, f.STATE_BEGAN, f.PRIORITY_HIGH)]
    assert "state/latched.bad" in medium.files
    again = Node(medium)
    assert again.faults == [] and again.features["cuff"].fault == f.EVENT_NOT_DEFLATING


def test_codes_that_are_none_of_its_own_block_no_cuff():
    medium = Medium()
    on(medium).write(LATCHED_RECORD, bytes((7, f.EVENT_OVER_PRESSURE, f.EVENT_ASYSTOLE, 255)))
    assert Node(medium).features["cuff"].fault == f.EVENT_OVER_PRESSURE
    on(medium).write(LATCHED_RECORD, bytes((7, 255)))
    assert Node(medium).features["cuff"].fault == 0

"""Which alarms are current: by the node's order and its clock, whatever comes late, twice or out of turn."""

from itertools import permutations
from typing import Any

import pytest

from edge_agent.nodes.alarms import MAX_ALARMS, Events
from edge_agent.nodes.views import OLD_US, NodeView
from protocol import frames
from protocol import session_events as ev

OLDER, BOOT, NEWER = (bytes((0, 0, 0, n)) + bytes(8) for n in (4, 5, 6))
BOOT_BODY = {1: "0.1.0", 2: "board", 3: 1, 4: [bytes(32)] * 2, 7: [[0, "part", 1, 1]], 8: 1}
BEGAN, ENDED, LATCHED = frames.STATE_BEGAN, frames.STATE_ENDED, frames.STATE_LATCHED
# The moment that the node's clock called 0.
EPOCH = 1_790_000_000_000_000
S = 1_000_000


def alarm(state: int, number: int | None = 1, code: int = frames.EVENT_ASYSTOLE) -> dict[int, Any]:
    body = {frames.EVENT_CODE: code, frames.EVENT_PRIORITY: 3, frames.EVENT_STATE: state}
    return body if number is None else body | {frames.EVENT_ALARM: number}


class View(NodeView):
    def __init__(self) -> None:
        super().__init__(b"node-one")

    def event(
        self, seq: int, body: dict[int, Any], boot: bytes = BOOT, past: bool = False, after_us: int = 0
    ) -> None:
        t_us = seq * S
        self.said(boot, seq, (frames.KIND_EVENT, t_us, body), EPOCH + t_us + after_us, past)

    def other(self, kind: int, body: Any, boot: bytes, seq: int = 0, past: bool = False) -> None:
        self.said(boot, seq, (kind, seq * S, body), EPOCH + seq * S, past)

    def echoed(self, second: int, stepped_us: int = 0, boot: bytes = BOOT) -> None:
        at = EPOCH + second * S + stepped_us
        self.echo(ev.TimeEcho(boot, 1, second * S, second * S + 500), at - 1000, at + 1000)

    @property
    def current(self) -> list[tuple[int, str]]:
        return [(told["t_us"] // S, told["state"]) for told in self.told.alarms]


def test_what_has_ended_stays_ended_when_its_beginning_is_sent_again():
    view = View()
    for seq, state in ((1, BEGAN), (2, ENDED), (1, BEGAN)):
        view.event(seq, alarm(state))
    assert view.current == []
    assert [told["state"] for told in view.told.events] == ["began", "ended"]


@pytest.mark.parametrize("number", [1, None])
def test_no_order_of_arrival_changes_what_is_shown(number: int | None):
    said = [(1, BEGAN), (2, ENDED), (3, BEGAN), (4, LATCHED)]
    for upto, wanted in ((2, []), (3, [(3, "began")]), (4, [(4, "latched")])):
        for order in permutations(said[:upto]):
            view = View()
            for seq, state in order + order:
                view.event(seq, alarm(state, number))
            assert view.current == wanted
            assert [told["t_us"] // S for told in view.told.events] == list(range(1, upto + 1))


def test_alarms_are_told_apart_by_number_or_else_by_code():
    view = View()
    view.event(1, alarm(BEGAN, 1))
    view.event(2, alarm(BEGAN, 2))
    view.event(3, alarm(BEGAN, None, 1))
    view.event(4, alarm(ENDED, 2))
    assert view.current == [(1, "began"), (3, "began")]


def test_a_past_word_of_it_neither_begins_nor_ends_an_alarm():
    view = View()
    view.event(1, alarm(BEGAN))
    view.event(3, alarm(LATCHED), past=True)
    assert view.current == [(1, "began")]
    view.event(4, alarm(ENDED), past=True)
    assert view.current == []
    view.event(5, alarm(BEGAN), past=True)
    assert view.current == []


def test_its_own_boot_frame_clears_nothing_however_late_it_comes():
    view = View()
    view.event(3, alarm(BEGAN))
    view.other(frames.KIND_BOOT, BOOT_BODY, BOOT, past=True)
    assert view.current == [(3, "began")]
    view.other(frames.KIND_BOOT, BOOT_BODY, OLDER, past=True)
    assert view.current == [(3, "began")]


@pytest.mark.parametrize("kind", [frames.KIND_BOOT, frames.KIND_VITALS])
def test_any_frame_of_a_newer_boot_ends_the_alarms_of_those_before(kind: int):
    view = View()
    view.event(3, alarm(BEGAN))
    view.other(kind, BOOT_BODY if kind == frames.KIND_BOOT else {1: 700}, NEWER)
    assert view.current == []
    view.event(9, alarm(BEGAN))
    assert view.current == []
    view.event(1, alarm(BEGAN), NEWER)
    assert view.current == [(1, "began")]


def test_a_frame_that_is_malformed_ends_them_too():
    view = View()
    view.event(3, alarm(BEGAN))
    view.said(NEWER, 0, None, EPOCH)
    assert view.current == [] and view.malformed == 1


def test_a_second_boot_of_one_counter_is_the_one_that_speaks_now():
    again = BOOT[:4] + bytes(7) + b"\1"
    for first, second in ((BOOT, again), (again, BOOT)):
        view = View()
        view.event(3, alarm(BEGAN), first)
        view.event(1, alarm(BEGAN), second)
        view.event(4, alarm(BEGAN), first, past=True)
        assert view.current == [(1, "began")]


def test_what_was_held_back_for_long_is_past():
    view = View()
    view.echoed(1)
    view.echoed(2)
    view.event(6, alarm(BEGAN, 1), after_us=OLD_US - S)
    view.event(7, alarm(BEGAN, 2), after_us=OLD_US + S)
    assert view.current == [(6, "began")]
    assert [told["past"] for told in view.told.events] == [False, True]
    body = {1: frames.BP_LEAK, 7: 1, 8: 900, 10: 3, 11: 2}
    view.said(BOOT, 8, (frames.KIND_BP, 8 * S, body), EPOCH + 3600 * S)
    assert view.blood_pressure is not None and view.blood_pressure["past"]


def test_an_end_counts_however_old_it_is():
    view = View()
    view.echoed(1)
    view.event(6, alarm(BEGAN))
    view.event(7, alarm(ENDED), after_us=3600 * S)
    assert view.current == []


def test_without_a_fit_of_that_boot_s_clock_the_session_s_word_counts():
    view = View()
    view.echoed(1, boot=OLDER)
    view.event(6, alarm(BEGAN), after_us=3600 * S)
    assert view.current == [(6, "began")]


def test_an_alarm_that_only_seemed_old_because_the_host_s_clock_was_set_is_shown_after_all():
    view = View()
    view.echoed(1)
    view.echoed(2)
    view.event(6, alarm(BEGAN), after_us=3600 * S)
    assert view.current == []
    view.echoed(10, stepped_us=3600 * S)
    assert view.current == [(6, "began")]
    assert [told["past"] for told in view.told.events] == [False]


def test_setting_the_host_s_clock_back_hides_nothing():
    view = View()
    view.echoed(1)
    view.event(6, alarm(BEGAN))
    view.echoed(10, stepped_us=-3600 * S)
    assert view.current == [(6, "began")]


def test_alarms_without_end_fill_no_memory_and_forget_the_oldest_for_good():
    events = Events(lambda boot, t_us, received_us: False)
    events.heard(BOOT, False)
    for n in range(MAX_ALARMS + 10):
        events.take(BOOT, n, n, alarm(BEGAN, n), EPOCH, False)
    events.take(BOOT, 3, 3, alarm(BEGAN, 3), EPOCH, False)
    assert [told["number"] for told in events.alarms] == list(range(10, MAX_ALARMS + 10))


def test_an_alarm_of_a_node_is_one_with_its_newest_priority_and_state():
    """As firmware/alarms.py makes them: began, rises, falls, latched, ended, under one number."""
    view = View()
    for seq, (state, priority) in enumerate([(BEGAN, 2), (BEGAN, 3), (BEGAN, 2), (LATCHED, 2)], 1):
        body = alarm(state) | {frames.EVENT_PRIORITY: priority, frames.EVENT_BEGAN_US: S}
        view.event(seq, body | {frames.EVENT_EVIDENCE: [[3, 2]]})
        assert [(one["priority"], one["began_us"], one["evidence"]) for one in view.told.alarms] == [
            ({2: "medium", 3: "high"}[priority], S, [[3, 2]])
        ]
        assert view.current == [(seq, {BEGAN: "began", LATCHED: "latched"}[state])]
        assert view.told.alarms[0]["physiological"]
    view.event(5, alarm(ENDED))
    assert view.current == []


def test_what_hides_a_reading_and_the_alarm_that_it_inherits_are_never_both_gone():
    view = View()
    technical = alarm(BEGAN, 2, frames.EVENT_CANNOT_ANALYSE)
    for seq, body in enumerate([alarm(BEGAN, 1, frames.EVENT_HR_HIGH), technical], 1):
        view.event(seq, body)
    view.event(3, alarm(ENDED, 1, frames.EVENT_HR_HIGH))
    assert [one["code"] for one in view.told.alarms] == [frames.EVENT_CANNOT_ANALYSE]
    assert not view.told.alarms[0]["physiological"]

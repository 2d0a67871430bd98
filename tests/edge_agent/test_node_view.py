"""What the agent shows of a node: its newest values, its events with the old ones marked, how it crashed."""

import pickle
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from edge_agent.agent import Agent
from edge_agent.cli.shown import status_lines
from edge_agent.nodes.alarms import EVENTS
from edge_agent.nodes.views import NodeView
from edge_agent.people.state import PeopleState
from protocol import cbor, frames
from tests.edge_agent.people_kit import ADA, BOB, NOW, OTHER_NODE, assigned, erased, fields
from tests.edge_agent.people_kit import NODE as PERSONS_NODE
from tests.edge_agent.test_shown import NODE, STATUS

BOOT, NEXT = b"\0\0\0\1" + bytes(8), b"\0\0\0\2" + bytes(8)
EVENT, BP, LOG = frames.KIND_EVENT, frames.KIND_BP, frames.KIND_LOG


class View(NodeView):
    """Takes frames with a time and a number that go on."""

    t_us = 0

    def __init__(self) -> None:
        super().__init__(b"node-one")

    def take(self, kind: int, body: dict[int, Any], past: bool = False, boot: bytes = BOOT) -> None:
        self.t_us += 1000
        self.said(boot, self.t_us // 1000, (kind, self.t_us, body), 5000, past)

    def text(self) -> str:
        node = {**NODE, "live": True, "silent_s": None, "alarms": self.told.alarms}
        node |= {"blood_pressure": self.blood_pressure, "crash": self.crash}
        return "\n".join(status_lines({**STATUS, "nodes": [node]}, 11_000))


def alarm(state: int, number: int = 7, **more: Any) -> dict[int, Any]:
    body = {1: frames.EVENT_HR_HIGH, 2: frames.PRIORITY_HIGH, frames.EVENT_STATE: state}
    names = {"value": frames.EVENT_VALUE, "past": frames.EVENT_PAST}
    return body | {frames.EVENT_ALARM: number} | {names[name]: value for name, value in more.items()}


def test_an_alarm_is_current_from_its_beginning_to_its_end():
    view = View()
    view.take(EVENT, alarm(frames.STATE_BEGAN, value=1310))
    assert "ALARM (high): heart rate high at 131 /min" in view.text()
    view.take(EVENT, alarm(frames.STATE_LATCHED))
    assert "ALARM (high): heart rate high" in view.text()
    view.take(EVENT, alarm(frames.STATE_ENDED))
    assert "ALARM" not in view.text()
    assert [told["state"] for told in view.told.events] == ["began", "latched", "ended"]
    assert all(told["alarm"] and not told["past"] for told in view.told.events)


def test_an_old_alarm_is_shown_as_past_and_rings_nowhere():
    view = View()
    view.take(EVENT, alarm(frames.STATE_BEGAN), past=True)
    view.take(EVENT, alarm(frames.STATE_BEGAN, past=True))
    assert [told["past"] for told in view.told.events] == [True, True]
    assert view.told.alarms == [] and "ALARM" not in view.text()


def test_a_new_boot_ends_what_the_last_one_did_not():
    view = View()
    view.take(EVENT, alarm(frames.STATE_BEGAN))
    body = {1: "0.1.0", 2: "board", 3: 1, 4: [bytes(32)] * 2, 7: [[0, "part", 1, 1]], 8: 1}
    view.take(frames.KIND_BOOT, body, boot=NEXT)
    assert view.told.alarms == [] and len(view.told.events) == 1


def test_the_newest_events_are_kept_whatever_their_order_and_numbers():
    view = View()
    for n in reversed(range(EVENTS + 5)):
        for _ in range(2):
            view.said(BOOT, n, (EVENT, n, {1: 200 + n, 2: 9}), n)
    assert [told["t_us"] for told in view.told.events] == list(range(5, EVENTS + 5))
    assert (view.told.events[-1]["event"], view.told.events[-1]["priority"]) == (f"event {EVENTS + 204}", "9")


def test_blood_pressure_with_and_without_a_result():
    view = View()
    view.take(BP, {1: 0, 2: 1204, 3: 803, 4: 951, 5: 722, 7: 1, 8: 1800, 10: 1, 11: 1, 13: 3, 15: 2})
    assert view.blood_pressure is not None
    assert view.blood_pressure["flags"] == ["irregular pulse", "retried once"]
    assert "blood pressure: 120/80 mmHg, mean 95 [synthetic]" in view.text()
    view.take(BP, {1: frames.BP_LEAK, 7: 1, 8: 900, 10: 3, 11: 2})
    assert (view.blood_pressure["result"], view.blood_pressure["reason"]) == ("leak", "command")
    assert "blood pressure: no result: leak" in view.text()
    view.take(BP, {1: 99, 7: 1, 8: 900, 10: 3, 11: 3})
    assert view.blood_pressure["result"] == "result 99"


def test_a_crash_is_one_line():
    view = View()
    view.take(LOG, {1: frames.LOG_INFO, 2: "hello"})
    assert view.crash is None
    text = "Traceback (most recent call last):\n  File x\nValueError: fire"
    view.take(LOG, {1: frames.LOG_CRASH, 2: text, 3: BOOT, 4: 3, 5: 12}, boot=NEXT)
    assert "last crash: boot 1 after 12 s (reset: watchdog): ValueError: fire" in view.text()


@pytest.mark.parametrize("text", ["", "\n\n", " \r\n\x85"])
def test_a_crash_without_words_is_shown_all_the_same(text: str):
    view = View()
    view.take(LOG, {1: frames.LOG_CRASH, 2: text})
    assert "last crash: boot 1: without words" in view.text()


def test_the_last_line_of_a_crash_that_says_something_is_shown():
    view = View()
    view.take(LOG, {1: frames.LOG_CRASH, 2: "Traceback\nValueError: \x1b[2J\n\n"})
    assert "  last crash: boot 1: ValueError: \\x1b[2J" in view.text().splitlines()


def test_a_later_line_of_the_log_does_not_hide_a_crash_that_comes_after_it():
    view = View()
    view.said(BOOT, 9, (LOG, 9000, {1: frames.LOG_INFO, 2: "hello"}), 5000)
    view.said(BOOT, 3, (LOG, 3000, {1: frames.LOG_CRASH, 2: "ValueError"}), 5000)
    assert "ValueError" in view.text()


def test_kinds_that_are_not_shown_leave_nothing_behind():
    def size(view: NodeView) -> int:
        return len(pickle.dumps(vars(view) | {"told": None}))

    view = View()
    view.take(frames.KIND_EVENT, {1: 200, 2: 0})
    before = size(view)
    for kind in range(1000, 3000):
        view.take(kind, {1: 1})
    assert size(view) - before < 100


def test_nothing_that_was_erased_is_shown_any_more() -> None:
    """Of a node that is nobody's since; what is shown of another's node is theirs."""
    state = PeopleState()
    view, other = View(), View()
    for record in (assigned(ADA, made_ms=NOW), assigned(BOB, node=OTHER_NODE), erased(ADA)):
        state.take(fields(record))
    for one in (view, other):
        one.take(EVENT, alarm(frames.STATE_BEGAN, value=1310))
        one.blood_pressure = {"systolic": 120}
    hub = SimpleNamespace(views={PERSONS_NODE: view, OTHER_NODE: other})
    people: Any = SimpleNamespace(hub=hub, people=SimpleNamespace(state=state))
    Agent._forget_shown(people)
    assert (view.vitals, view.blood_pressure, view.told.events, view.told.alarms) == ({}, None, [], [])
    assert other.blood_pressure and other.told.alarms


@pytest.mark.parametrize("step_s", [-86_400, -3600, -2, 2, 3600, 86_400])
def test_a_step_of_the_agents_clock_is_written_down_with_the_next_echo(step_s):
    """What is signed dates the frames: they stay dated by the old clock only until then."""
    view, fits = NodeView(b"n" * 8), []
    for second in range(0, 600, 10):
        sent_us = 1_795_000_000_000_000 + (second + (step_s if second >= 100 else 0)) * 1_000_000
        echo = SimpleNamespace(boot_id=BOOT, rx_us=second * 1_000_000 + 500, tx_us=second * 1_000_000 + 600)
        entry = view.echo(echo, sent_us, sent_us + 1200)
        if entry is not None:
            _, _, _, t_us, unix_us, _, bound_us = cbor.loads(entry.data)
            assert abs(unix_us - sent_us) < 1000 and bound_us < 1000
            fits.append(t_us // 1_000_000)
    after = [second for second in fits if second >= 100]
    assert after[0] == 100 and after == sorted(after)
    assert max(b - a for a, b in pairwise(after)) <= 60, "and once a minute from then on"
    assert len(after) < 20

"""What a person reads."""

import logging
from typing import Any

import click
import pytest

from edge_agent.cli.commanding import fail
from edge_agent.cli.shown import ledger_lines, status_lines
from edge_agent.ledger.hearsay import Statement, Summary
from edge_agent.ledger.ledger import Ledger, account
from edge_agent.nodes.seen import event
from edge_agent.readable import LineFormatter, printable
from tests.edge_agent.test_ledger import boot

NODE: dict[str, Any] = {
    "node": "aa",
    "live": True,
    "heard_ms": 9000,
    "vitals": {"hr_bpm": 71.5, "spo2_pct": None, "pulse_bpm": None},
    "sources": ["replay", "sensor"],
    "clock": {"bound_us": 1500, "rate_ppb": -12_000},
}
STATUS: dict[str, Any] = {
    "agent": "bb",
    "state": "running",
    "written_ms": 10_000,
    "links": [
        {
            "port": "/dev/ttyUSB0",
            "state": "waiting",
            "session": None,
            "node": None,
            "problem": "port /dev/ttyUSB0: there is no such port (plug the node in)",
            "retry_s": 1.5,
            "last_rejected": "bad_tag: seal",
            "last_refused": "already paired",
        }
    ],
    "unpaired": [{"node": "cc", "link": "/dev/ttyUSB1", "heard_ms": 1}],
    "nodes": [NODE],
    "totals": dict.fromkeys(
        ("produced", "delivered", "pending", "evicted", "lost_at_reset", "lost_at_agent"), 3
    )
    | dict.fromkeys(("unexplained", "duplicates", "resent", "conflicts"), 0),
    "frames_per_s": 4.2,
    "balanced": True,
    "custody": {"batches": 4, "receipts": 3, "asking_collector": True, "forks": 1},
    "forward": {
        "mqtt": {
            "url": "mqtt://x:1883",
            "protocol": "5",
            "connected": False,
            "problem": "refused",
            "rejected": {"bad_signature": 2},
            "last_refusal": None,
        }
    },
    "store": {"path": "agent.db", "bytes": 10, "frames": 5, "problem": "disk is full", "opening": None},
    "rejected": {"bad_tag": 7},
}


def shown(now_ms: int = 11_000, **changes: Any) -> str:
    return "\n".join(status_lines({**STATUS, **changes}, now_ms))


def test_what_is_wrong_is_in_sight():
    text = shown()
    for said in (
        "agent bb: running",
        "plug the node in",
        "again in 1.5 s",
        "bad_tag: seal",
        "already paired",
        "vitalwire pair --port /dev/ttyUSB1",
        "HR 71.5 /min",
        "[replay]",
        "within 1.5 ms",
        "-12.0 ppm",
        "waiting for the collector's head",
        "FORKS, 1 of them",
        "not connected: refused",
        "bad_signature 2",
        "disk is full",
        "refused: bad_tag 7",
        "the ledger balances",
    ):
        assert said in text, said


def test_an_agent_without_news_is_not_called_running():
    late = "\n".join(status_lines(STATUS, 60_000))
    assert "NO NEWS" in late and "(vitalwire doctor)" in late
    assert "NOT RUNNING" in shown(state="stopped") and "vitalwire agent run" in shown(state="stopped")
    assert "DOES NOT BALANCE" in shown(balanced=False)
    assert "3 boots of which nothing has arrived" in shown(unheard_boots=3)
    custody = {**STATUS["custody"], "clones": 2, "clone_ms": 1_790_000_000_000}
    assert "CLONE, seen 2 times, last 2026-09-21" in shown(custody=custody) and "CLONE" not in shown()
    mqtt = {**STATUS["forward"]["mqtt"], "taken_over": 3, "withheld": 1}
    assert "1 entry is withheld from it for want of consent" in shown(forward={"mqtt": mqtt})
    assert "3 times another client took this agent's place" in shown(forward={"mqtt": mqtt})
    assert "CONTRADICTIONS about boots, 2 of them" in shown(contradictions=2)
    full = {**STATUS["store"], "room": {"problem": "no room is left", "evicted": 3}}
    assert "3 frames given up BEFORE" in shown(store=full) and "no room is left" in shown(store=full)


def test_the_ledger_in_words():
    lost = account([boot(1, next_seq=9, stored=[(0, 5)]), boot(2, stored=[(0, 1)])])
    text = "\n".join(ledger_lines(Ledger(lost, (("frames_lost", {"node": b"\x01"}, 5),))))
    assert "4 frames are not here: lost at the reset, or with another agent; how many more" in text
    assert "statement frames_lost: {'node': '01'}" in text and "The ledger balances." in text
    riddle = account([boot(1, next_seq=9, stored=[(3, 90)], live_ms=0, heard_ms=10**6)])
    assert "DOES NOT BALANCE" in "\n".join(ledger_lines(Ledger(riddle)))


def test_an_unclean_reset_shows_its_bound_even_when_no_frame_is_known_lost():
    told = Statement(5, False, 30)
    rows = account([boot(1, next_seq=5, stored=[(0, 5)], said=[told]), boot(2, stored=[(0, 1)])])
    text = "\n".join(ledger_lines(Ledger(rows)))
    assert "no frame is known to be missing; up to 30 s of further frames may have gone with its RAM" in text


def test_of_a_boot_that_ended_in_order_nothing_is_said_to_be_lost():
    told = Statement(558, True, 0)
    for stored, said in ((5, "553 frames are not here"), (557, "1 frame is not here")):
        rows = account([boot(1, stored=[(0, stored)], said=[told]), boot(2, stored=[(0, 1)])])
        text = "\n".join(ledger_lines(Ledger(rows)))
        assert f"{said}: with another agent, or not sent yet when it stopped" in text
        assert "RAM" not in text and "lost at the reset" not in text and "there were no more" in text


def test_boots_without_rows_of_their_own_in_words():
    rows = account([boot(12, stored=[(0, 5)])], {boot(1).node: [Summary(1, 7, 9, 70), Summary(9, 9, 0, 0)]})
    text = "\n".join(ledger_lines(Ledger(rows)))
    assert "boots 1–7 of node" in text and "9 frames are not here: lost at the reset, or" in text
    assert "; up to 70 s of further frames may have gone" in text
    assert "boot 8 of node" in text and "nothing has arrived here, not even a word of it" in text
    assert "boots 10–11 of node" in text and "not even a word of them" in text
    assert "boot 9 of node" in text and "no frame is known to be missing; there were no more" in text
    twice = account([boot(1, said=[Statement(5, True, 0), Statement(6, True, 0)]), boot(2, stored=[(0, 1)])])
    assert "CONTRADICTION: later boots contradict" in "\n".join(ledger_lines(Ledger(twice)))


def test_a_silent_node_is_not_called_live():
    link = {**STATUS["links"][0], "state": "open", "session": "live", "node": "aa", "problem": None}
    text = shown(nodes=[{**NODE, "live": False, "silent_s": 40}], links=[link])
    assert "session live but silent for 40 s" in text and "node aa: silent for 40 s" in text
    assert "node aa: live" not in text


def test_a_listener_in_words():
    tcp = {"listen": "127.0.0.1:7117", "listening": True, "problem": None, "connections": 3}
    assert "tcp 127.0.0.1:7117: 3 connections" in shown(tcp=tcp)
    assert "3 connections, 2 not proved yet" in shown(tcp=tcp | {"waiting": 2, "proving": 0})
    tcp |= {"listening": False, "problem": "in use"}
    assert "NOT LISTENING: in use" in shown(tcp=tcp)


def test_a_far_end_that_lags_refuses_or_has_a_problem_while_it_is_there():
    there = {"connected": True, "problem": None, "lag_s": 60.0, "dead_letters": 0}
    assert "receipt is" not in shown(forward={"fhir": there})
    text = shown(forward={"fhir": there | {"lag_s": 600.0, "dead_letters": 2, "problem": "too large"}})
    assert "10 min old" in text and "2 items will never be taken" in text and "  too large" in text


def test_a_medium_is_named():
    there = {"out": "/media/usb/out", "connected": True, "problem": None}
    assert "file /media/usb/out: connected" in shown(forward={"file": there})


def test_what_is_gone_is_counted():
    store = STATUS["store"] | {"gone": {"quota": 7}}
    assert "of which the data is gone: quota 7" in shown(store=store)


def test_one_item_waits_and_two_wait():
    for waiting, said in ((1, "(1 item waits for the disk)"), (2, "(2 items wait for the disk)")):
        assert said in shown(flow={"level": "slow down", "waiting_items": waiting})


def test_a_virtual_clock_is_not_shown_in_parts_per_million():
    text = shown(nodes=[{**NODE, "clock": {"bound_us": 1500, "rate_ppb": 1_841_809_000}}])
    assert "2.84 times as fast" in text and "ppm" not in text


NOW_MS = 2_000_000


def told(code: int = 33, state: int = 1, priority: int = 3, **more: Any) -> dict[str, Any]:
    names = {"value": 3, "text": 4, "limit": 8}
    return event({1: code, 2: priority, 6: state, 7: 5} | {names[name]: more[name] for name in more}, False)


def test_alarms_are_one_line_each_the_most_urgent_first_with_units_and_what_they_are_about():
    alarms = [
        told(1, priority=1),
        told(33, value=1623, limit=1500),
        told(7, priority=2, text="ECG"),
        told(32, 3, value=4120, limit=4000),
        told(36, priority=2, value=1850, limit=1800),
    ]
    text = shown(nodes=[{**NODE, "alarms": alarms}])
    assert [line.strip() for line in text.splitlines() if "ALARM" in line] == [
        "ALARM (high): heart rate high at 162.3 /min, limit 150; look at the person; unwell, call for help",
        "ALARM (high): asystole at 4.12 s without a beat, limit 4; it is over: look at the person, "
        "then acknowledge it at the kit",
        "ALARM (medium, technical): sensor fault (ECG); switch the kit off and on; if it comes again, "
        "have it repaired",
        "ALARM (medium): blood pressure high at 185 mmHg, limit 180; look at the person; "
        "unwell, call for help",
        "ALARM (low, technical): lead off; put the electrodes on again",
    ]


def test_an_alarm_of_a_node_that_is_not_heard_is_neither_hidden_nor_said_to_last():
    text = shown(nodes=[{**NODE, "live": False, "alarms": [told(33, value=1623, limit=1500)]}])
    assert "ALARM" not in text and "when last heard: (high): heart rate high at 162.3 /min" in text


def test_every_alarm_of_the_rules_says_what_to_do_and_why_a_rhythm_cannot_be_told():
    from edge_agent.cli.alarm_lines import ADVICE
    from firmware.alarm_rules import CAUSES

    assert set(CAUSES) == set(ADVICE)
    text = shown(nodes=[{**NODE, "alarms": [told(51, value=1), told(51, priority=1, value=3)]}])
    first, second = [line.strip() for line in text.splitlines() if "ALARM" in line]
    assert "cannot analyse: as in fibrillation; look at the person first; then press" in first
    assert "cannot analyse: noise; press the electrodes on" in second


def test_since_when_an_alarm_is_on_also_where_it_was_told_again():
    alarm = told() | {"began_us": 10_000_000, "t_us": 130_000_000, "received_ms": NOW_MS - 65_000}
    assert "heart rate high, for 3 min;" in shown(NOW_MS, nodes=[{**NODE, "alarms": [alarm]}])
    before = alarm | {"began_us": 0, "text": "since before this start"}
    assert "(since before this start); look" in shown(NOW_MS, nodes=[{**NODE, "alarms": [before]}])


def test_what_happened_and_began_no_alarm_is_shown_for_a_while():
    fault = told(10, state=0, priority=2, text="settings: damaged") | {"received_ms": NOW_MS - 40_000}
    late = fault | {"received_ms": NOW_MS - 700_000}
    past, low = fault | {"past": True}, fault | {"priority": "low"}
    text = shown(NOW_MS, nodes=[{**NODE, "events": [fault, late, past, low]}])
    assert text.count("internal error") == 1
    assert "told 40 s ago (medium): internal error (settings: damaged)" in text


CLEAR = "\x1b[2J\x9b1A\u202e\n\x07"
"""Clears a terminal, moves its cursor, turns its writing round, rings its bell."""


def unprintable(value: Any) -> Any:
    """The same with every text followed by what a terminal acts on."""
    if isinstance(value, dict):
        return {key: unprintable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [unprintable(one) for one in value]
    return value + CLEAR if isinstance(value, str) else value


def test_nothing_that_was_said_moves_the_cursor():
    alarm = told(value=1) | {"event": "x", "priority": "high"}
    crash = {"boot": 1, "reset_cause": "watchdog", "uptime_s": 5, "text": "no line end"}
    lost = {"systolic_mmhg": None, "result": "leak", "source": "sensor"}
    node = {**NODE, "alarms": [alarm], "crash": crash, "blood_pressure": lost}
    status = unprintable({**STATUS, "nodes": [node], "carried": {"kind": 1}})
    status["custody"]["collector_said"] = CLEAR
    status["forward"]["mqtt"]["last_refusal"] = "broken" + CLEAR
    rows = account([boot(1, stored=[(0, 5)])])
    said = Ledger(rows, (("words" + CLEAR, {"reason": CLEAR}, 5), ("ordered", {"name": CLEAR}, 6)))
    lines = [*status_lines(status, 11_000), *ledger_lines(said)]
    assert all(line.isprintable() for line in lines)
    assert "the collector refuses: broken\\x1b[2J\\x9b1A\\u202e\\n\\x07" in "\n".join(lines)


def test_what_can_be_printed_stays_as_it_is():
    assert printable("Ünïcode – µV, 心電図") == "Ünïcode – µV, 心電図"
    assert printable("a\tb\udc80") == "a\\tb\\udc80"


def test_a_log_line_is_one_and_moves_no_cursor():
    said = logging.LogRecord("x", logging.WARNING, "", 0, "refused: %s", ("no\n\x1b[2Jroom",), None)
    assert LineFormatter("%(levelname)s %(message)s").format(said) == r"WARNING refused: no\n\x1b[2Jroom"


def test_an_error_for_a_person_is_one_line_that_moves_no_cursor():
    with pytest.raises(click.ClickException) as caught:
        fail("node 12 answers: failed (\x1b]0;title\x07)")
    assert caught.value.message == r"node 12 answers: failed (\x1b]0;title\x07)"


def test_of_a_thousand_nodes_those_that_matter_are_shown():
    many = [NODE | {"node": f"{n:04x}"} for n in range(1000)]
    many[7] = many[7] | {"silent_s": 20, "live": False, "boot": 1}
    said = shown(nodes=many)
    assert "0007" in said and "0008" not in said and len(said.splitlines()) < 30
    assert "nodes: 1000, 999 live; 999 are not shown: status --json has all" in said

"""What the collector's log says of its far ends: once, why, and when they are there again."""

import json
import logging
import time

import pytest

from tools.collector.saying import Alarms, FarEnd, Trusted
from tools.demo.processes import Child

PATIENCE_S = 60.0
LOG = logging.getLogger("test.saying")


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "test.saying")
    return lambda: [(one.levelname, one.getMessage()) for one in caplog.records]


def test_a_far_end_that_stays_away_is_told_ever_less_often_and_when_it_is_back(lines) -> None:
    now = [0.0]
    far = FarEnd(LOG, "broker b", lambda: now[0])
    far.there()
    for _ in range(100):
        now[0] += 1
        far.lost("cannot connect: refused")
    far.lost("it refuses us: Not authorized")
    far.there()
    told = lines()
    assert told[0] == ("INFO", "broker b: connected")
    assert told[1][1] == "broker b: cannot connect: refused; trying again until it works"
    assert [text.split("(")[1] for _, text in told[2:8]] == [
        f"{n} failures in a row)" for n in (2, 4, 8, 16, 32, 64)
    ]
    assert "Not authorized" in told[8][1]
    assert told[9] == ("INFO", "broker b: connected again, after 99 s and 101 failures")
    assert len(told) == 10 and {level for level, _ in told[1:9]} == {"WARNING"}


def test_alarms_are_lines_when_they_come_and_when_they_go(lines) -> None:
    alarms = Alarms(LOG)
    old, new = (1, "conflict", "frame 3"), (2, "gap", "4 is here, 3 is not")
    alarms.look([old])
    alarms.look([old, new])
    alarms.look([old, new])
    alarms.look([old])
    assert [text for _, text in lines()] == [
        "1 alarm from before: vitalwire collector status shows the newest",
        "alarm gap: 4 is here, 3 is not",
        "no longer an alarm: gap: 4 is here, 3 is not",
    ]


def test_who_is_trusted_from_now_on_and_no_longer_is_a_line(lines) -> None:
    old, new = b"agent-01", b"agent-02"
    trusted = Trusted(LOG, [old])
    trusted.look([old], {})
    trusted.look([old, new], {})
    trusted.look([old, new], {"x.pub": "it is no public file"})
    trusted.look([new], {"x.pub": "it is no public file"})
    assert lines() == [
        ("INFO", f"agent {new.hex()} is trusted from now on"),
        ("WARNING", "x.pub makes nobody trusted: it is no public file"),
        ("WARNING", f"agent {old.hex()} is no longer trusted: what it sends is refused"),
    ]


def test_the_process_says_in_json_that_its_broker_is_dead_and_why(tmp_path) -> None:
    arguments = ["collector", "run", "--state", str(tmp_path), "--broker", "mqtt://127.0.0.1:9"]
    collector = Child("collector", arguments, tmp_path / "log")
    try:
        deadline = time.monotonic() + PATIENCE_S
        while "cannot connect" not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
            collector.check()
            time.sleep(0.05)
    finally:
        assert collector.stop() == 0
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    lost = next(one for one in told if "cannot connect" in one["msg"])
    assert lost["level"] == "warning" and lost["time"] and "mqtt://127.0.0.1:9" in lost["msg"]
    assert "refused" in lost["msg"]

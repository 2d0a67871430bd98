"""The log: lines on a terminal, JSON elsewhere, and neither secrets nor what others said to a terminal."""

import io
import json
import logging
import os
import sys

import pytest

from edge_agent.ops import logs
from edge_agent.ops.logs import MAX_CHARACTERS, Cleared, JournalFormatter, JsonFormatter, about, formatter


@pytest.fixture
def log():
    stream = io.StringIO()
    found = logging.Logger("vitalwire.test")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(Cleared())
    found.addHandler(handler)
    found.lines = lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    return found


def test_a_record_is_an_object(log):
    about(log, node="00ff", link="ttyUSB0").warning("it is %s", "late")
    about(log, forwarder="mqtt").error("gone")
    log.info("plain")
    late, gone, plain = log.lines()
    assert late["msg"] == "it is late" and late["level"] == "warning" and late["logger"] == "vitalwire.test"
    assert late["node"] == "00ff" and late["link"] == "ttyUSB0" and "forwarder" not in late
    assert gone["forwarder"] == "mqtt" and not {"node", "link", "forwarder"} & plain.keys()
    assert late["time"].endswith("+00:00")


def test_a_traceback_is_a_field(log):
    try:
        raise ValueError("mqtts://kit:hunter2@broker")
    except ValueError:
        log.exception("went wrong")
    assert "ValueError" in log.lines()[0]["trace"] and "hunter2" not in log.lines()[0]["trace"]


def test_no_password_of_a_url_leaves(log):
    log.error("cannot reach %s", "mqtts://kit:hunter2@broker.example:8883")
    assert log.lines()[0]["msg"] == "cannot reach mqtts://…@broker.example:8883"


def test_what_others_said_is_escaped_and_cut(log):
    log.warning("node said %s", "\x1b[2J\n{" + "a" * 10_000)
    line = log.lines()[0]["msg"]
    assert "\x1b" not in line and "\\x1b" in line and len(line) < MAX_CHARACTERS + 50


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_which_way_it_is_written(monkeypatch, tmp_path):
    assert not isinstance(formatter("auto", Terminal()), JsonFormatter)
    assert isinstance(formatter("auto", io.StringIO()), JsonFormatter)
    assert isinstance(formatter("json", Terminal()), JsonFormatter)
    assert not isinstance(formatter("text", io.StringIO()), JsonFormatter)
    with (tmp_path / "journal").open("w") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert isinstance(formatter("auto", stream), JournalFormatter)
        assert not isinstance(formatter("auto", io.StringIO()), JournalFormatter)


def test_the_journal_is_told_the_priority():
    record = logging.LogRecord("vitalwire", logging.WARNING, "", 0, "x", None, None)
    assert JournalFormatter().format(record).startswith("<4>{")


def test_one_place_sets_it_up(monkeypatch):
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    try:
        logs.begin("auto", verbose=False)
        logging.getLogger("vitalwire.links").info("here")
        logging.getLogger("vitalwire.links").debug("not here")
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    assert [json.loads(line)["msg"] for line in stream.getvalue().splitlines()] == ["here"]

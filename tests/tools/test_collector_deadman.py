"""An agent that falls silent: judged by an injected clock, and told by `collector status`."""

import json
import time

import pytest
from click.testing import CliRunner

from tests.tools.collector_rig import AGENT, NOW, Chain, Rig, frame
from tools.collector import status
from tools.collector.commands import command
from tools.collector.deadman import DeadMan

MINUTE = 60_000


@pytest.fixture
def said():
    return []


def test_silence_begins_and_ends(said):
    dead_man = DeadMan(600, said.append)
    heard = {AGENT.id: NOW}
    assert dead_man.look(NOW, True, [AGENT.id], heard) == []
    assert dead_man.look(NOW + 10 * MINUTE - 1, True, [AGENT.id], heard) == []
    (silent,) = dead_man.look(NOW + 10 * MINUTE, True, [AGENT.id], heard)
    assert (silent.agent, silent.heard_ms) == (AGENT.id, NOW)
    assert len(dead_man.look(NOW + 30 * MINUTE, True, [AGENT.id], heard)) == 1
    assert len(said) == 1 and "silent for 10 minutes" in said[0]
    heard[AGENT.id] = NOW + 31 * MINUTE
    assert dead_man.look(NOW + 31 * MINUTE, True, [AGENT.id], heard) == []
    assert said[1:] == [f"agent {AGENT.id.hex()} speaks again"]
    assert len(dead_man.look(NOW + 41 * MINUTE, True, [AGENT.id], heard)) == 1


def test_an_agent_that_was_never_heard(said):
    dead_man = DeadMan(600, said.append)
    dead_man.look(NOW, True, [AGENT.id], {})
    assert len(dead_man.look(NOW + 10 * MINUTE, True, [AGENT.id], {})) == 1
    assert "has never been heard" in said[0]
    # One that is no longer enrolled is nobody's trouble.
    assert dead_man.look(NOW + 11 * MINUTE, True, [], {}) == []


def test_a_clock_that_was_put_back_hides_no_silence(said):
    """The agent was heard while the collector's clock was a day ahead, and never again."""
    dead_man, ahead = DeadMan(600, said.append), 24 * 60 * MINUTE
    heard = {AGENT.id: NOW + ahead}
    assert dead_man.look(NOW + ahead, True, [AGENT.id], heard) == []
    assert dead_man.look(NOW, True, [AGENT.id], heard) == []
    assert dead_man.look(NOW + 10 * MINUTE - 1, True, [AGENT.id], heard) == []
    (silent,) = dead_man.look(NOW + 10 * MINUTE, True, [AGENT.id], heard)
    assert silent.heard_ms == NOW and "silent for 10 minutes" in said[0]
    heard[AGENT.id] = NOW + 11 * MINUTE
    assert dead_man.look(NOW + 11 * MINUTE, True, [AGENT.id], heard) == []
    assert said[1:] == [f"agent {AGENT.id.hex()} speaks again"]


def test_who_was_away_itself_judges_nobody(said):
    dead_man = DeadMan(600, said.append)
    heard = {AGENT.id: NOW}
    assert dead_man.look(NOW + 60 * MINUTE, False, [AGENT.id], heard) == []
    assert dead_man.look(NOW + 61 * MINUTE, True, [AGENT.id], heard) == []
    assert dead_man.look(NOW + 70 * MINUTE, True, [AGENT.id], heard) == []
    assert len(dead_man.look(NOW + 71 * MINUTE, True, [AGENT.id], heard)) == 1


def test_a_batch_and_a_question_are_heard(tmp_path, place):
    rig = Rig(tmp_path, place)
    assert rig.store.heard() == {}
    rig.refusal(b"nonsense")
    assert rig.store.heard() == {}
    rig.ask()
    assert rig.store.heard() == {AGENT.id: NOW + 5}
    rig.intake._now_ms = lambda: NOW + 9
    rig.receipt(Chain().make([frame(0)]))
    assert rig.store.heard() == {AGENT.id: NOW + 9}
    rig.intake._now_ms = lambda: NOW
    rig.ask()
    assert rig.store.heard() == {AGENT.id: NOW + 9}
    rig.store.close()


def test_status_says_it_and_its_exit_status_too(tmp_path):
    rig = Rig(tmp_path)
    dead_man = DeadMan(600, lambda _: None)
    now = time.time_ns() // 1_000_000
    silent: list = []
    for at in (now - 10 * MINUTE, now):
        silent = dead_man.look(at, True, [AGENT.id], {AGENT.id: now - 20 * MINUTE})

    def asked(facts, state="running", written_ms=now):
        written = {"state": state, "written_ms": written_ms, **facts}
        (tmp_path / "status.json").write_text(json.dumps(written))
        return CliRunner().invoke(command, ["status", "--state", str(tmp_path)])

    well, ill = status.summary(rig.store, now), status.summary(rig.store, now, silent)
    rig.store.close()
    assert asked(well).exit_code == 0
    result = asked(ill)
    assert result.exit_code == 1
    assert f"agent {AGENT.id.hex()} is silent for 20 minutes" in result.output
    assert '"code": "silent"' in result.output
    result = asked(well, written_ms=now - 2 * MINUTE)
    assert result.exit_code == 1 and "start it again" in result.output
    assert asked(well, state="stopped", written_ms=now - 2 * MINUTE).exit_code == 0

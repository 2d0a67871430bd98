"""Whom a collector takes for an agent: only who is one, by the first line of the file."""

import time

import pytest
from click.testing import CliRunner

from edge_agent import keys
from edge_agent.keys import PublicKeys
from tests.tools.collector_rig import AGENT, OPERATOR
from tools.collector.commands import command
from tools.collector.import_command import command as import_command
from tools.collector.trust import Trust
from tools.demo.processes import Child

PATIENCE_S = 60.0
NOBODY = "mqtt://127.0.0.1:9"


def enrol(tmp_path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(command, [*words[:-1], "--state", str(tmp_path / "state"), words[-1]])
    return done.exit_code, done.output


@pytest.mark.parametrize("role", ["operator", "collector", "authority"])
def test_who_is_no_agent_is_not_enrolled_as_one_and_no_operator_is_made_of_an_agent(tmp_path, role) -> None:
    public, agent = tmp_path / "home.pub", tmp_path / "agent.pub"
    keys.write_public(public, role, PublicKeys(*OPERATOR.public()))
    keys.write_public(agent, "agent", PublicKeys(*AGENT.public()))
    code, told = enrol(tmp_path, "trust", str(public))
    assert code == 1 and "the key of an agent" in told and "agent.pub" in told
    assert not (tmp_path / "state").exists()
    assert enrol(tmp_path, "trust", str(agent))[0] == 0
    code, told = enrol(tmp_path, "operator", "add", "ward", str(agent))
    assert code == 1 and "the key of an operator" in told


def test_a_file_that_was_put_there_by_hand_is_named_when_it_is_no_agents(tmp_path) -> None:
    keys.write_public(tmp_path / "home.pub", "operator", PublicKeys(*OPERATOR.public()))
    keys.write_public(tmp_path / "agent.pub", "agent", PublicKeys(*AGENT.public()))
    trust = Trust(tmp_path)
    assert trust.ids() == [AGENT.id]
    assert list(trust.problems) == ["home.pub"]


def test_a_file_that_is_removed_while_the_folder_is_read_is_not_there(tmp_path) -> None:
    keys.write_public(tmp_path / "agent.pub", "agent", PublicKeys(*AGENT.public()))
    (tmp_path / "gone.pub").symlink_to(tmp_path / "nowhere")
    assert Trust(tmp_path).ids() == [AGENT.id]


def test_a_running_collector_says_whom_it_trusts_from_now_on_and_whom_no_longer(tmp_path) -> None:
    state, log = tmp_path / "state", tmp_path / "log"
    keys.write_public(tmp_path / "agent.pub", "agent", PublicKeys(*AGENT.public()))
    collector = Child("collector", ["collector", "run", "--state", str(state), "--broker", NOBODY], log)

    def said(words: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while words not in log.read_text():
            assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {words}"
            collector.check()
            time.sleep(0.05)

    try:
        said("0 agents known")
        assert enrol(tmp_path, "trust", str(tmp_path / "agent.pub"))[0] == 0
        said(f"agent {AGENT.id.hex()} is trusted from now on")
        (state / "agents" / f"{AGENT.id.hex()}.pub").unlink()
        said(f"agent {AGENT.id.hex()} is no longer trusted")
    finally:
        collector.stop()


def test_a_batch_of_an_agent_that_is_not_known_comes_with_the_command_that_makes_it_known(tmp_path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / f"{AGENT.id.hex()}-{b'chain--1'.hex()}-0.batch").write_bytes(b"sealed to somebody")
    done = CliRunner().invoke(import_command, ["--state", str(tmp_path / "state"), str(stick)])
    assert done.exit_code == 1
    assert "refused (unknown_agent)" in done.output and "vitalwire collector trust AGENT.pub" in done.output


def test_a_store_that_lies_elsewhere_is_asked_for_and_not_called_damaged(tmp_path) -> None:
    keys.create(tmp_path / "collector.key", "collector")
    done = CliRunner().invoke(command, ["verify", "--state", str(tmp_path)])
    assert done.exit_code == 1 and "--database" in done.output and "backup" not in done.output

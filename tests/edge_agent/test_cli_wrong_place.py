"""Commands in the wrong place, without a key, or for a file that is there: what they say, and leave alone."""

import errno
import io
import sys

import pytest

from edge_agent.cli.waiting import busy
from edge_agent.lock import hold
from edge_agent.nodes.errands import Errands
from edge_agent.ops.doctor import BAD, GOOD
from tests.edge_agent.running import Kit
from tests.edge_agent.test_cli import typed, written
from tests.edge_agent.test_cli_people import Desk
from tests.edge_agent.test_doctor import found, has, patient


@pytest.fixture
def kit(tmp_path):
    made = Kit(tmp_path)
    tmp_path.chmod(0o700)
    return made


WHICH = ("--node", "12", "--boot", "1", "--seq", "0")


@pytest.mark.parametrize(
    "words", [("verify",), ("prove", *WHICH), ("store", "check"), ("keys", "rotate", "--wait", "5")]
)
def test_where_no_agent_ran_that_is_said_and_nothing_is_made(tmp_path, words) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'[agent]\nstate_dir = "{tmp_path / "state"}"\n')
    done = typed(*words, "--config", str(config))
    assert done.exit_code == 1 and "has not run with this state directory" in done.output, done.output
    assert not (tmp_path / "state").exists()


def test_a_key_is_not_rotated_beside_a_store_whose_key_is_gone(kit) -> None:
    desk = Desk(kit)
    desk("operator", "new", "home")
    (kit.folder / "agent.key").unlink()
    assert "no agent's key and store" in desk("keys", "rotate", "--wait", "5", good=False)
    assert not (kit.folder / "agent.key").exists()


def test_a_proof_goes_over_no_file_and_makes_no_folder(kit) -> None:
    desk = Desk(kit)
    desk("operator", "new", "home")
    there = kit.folder / "proof.cbor"
    there.write_text("another's")
    assert "--force" in desk("prove", *WHICH, "-o", str(there), good=False)
    assert there.read_text() == "another's"
    assert "is no folder" in desk("prove", *WHICH, "-o", str(kit.folder / "no" / "p.cbor"), good=False)
    assert not (kit.folder / "no").exists()
    assert "no node" in desk("prove", *WHICH, "-o", str(there), "--force", good=False)


def test_the_doctor_finds_an_agents_key_that_is_gone(kit) -> None:
    assert has(found(patient(kit), "secrets"), GOOD, "agent.key")
    (kit.folder / "agent.key").rename(kit.folder / "elsewhere")
    (kit.folder / "agent.pub").touch()
    assert has(found(patient(kit), "secrets"), BAD, "this agent had one")
    (kit.folder / "agent.pub").unlink()
    assert has(found(patient(kit), "secrets"), GOOD, "will be made at the first start")


def test_the_doctor_finds_a_signing_key_that_is_gone(kit) -> None:
    config = written(kit, "/dev/no-such-port")
    Desk(kit)("operator", "new", "home")
    assert typed("keys", "rotate", "--config", config, "--wait", "20").exit_code == 0
    assert not [what for state, what in found(patient(kit), "store") if state == BAD]
    (kit.folder / "agent-signing.key").unlink()
    assert has(found(patient(kit), "store"), BAD, "agent-signing.key: the key that signs since hand-over 1")


def test_compacting_on_a_disk_without_any_room_says_how_it_goes_without(kit, monkeypatch) -> None:
    desk = Desk(kit)
    desk("operator", "new", "home")

    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Errands, "put", full)
    with hold(kit.folder / "agent.lock"):
        assert "with the agent stopped no room is needed" in desk("store", "compact", good=False)
    assert "unused" in desk("store", "compact")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_wait_moves_on_a_terminal_and_writes_nothing_elsewhere(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with busy("reading the store through"):
        pass
    assert "reading the store through" in terminal.getvalue()
    monkeypatch.setattr(sys, "stderr", elsewhere := io.StringIO())
    with busy("reading the store through"):
        pass
    assert elsewhere.getvalue() == ""

"""An update through a whole agent: commands, a real session on a pty, the chain, restarts of either side."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge_agent.config import UpdatesConfig
from edge_agent.updates.bundle import BundleError, read
from edge_agent.updates.shelf import Shelf
from protocol import frames
from tests.edge_agent.fakes import FakeNode, Pty, identity
from tests.edge_agent.running import Kit, Running, wait_until
from tests.edge_agent.update_world import MAKER, ModelNode, bundle, some_files, write_maker
from tools.cli import main

BOARD = "fake"


class UpdatingNode(FakeNode):
    """A node that takes updates as `model` does, and tries them."""

    def __init__(self, pipe: Any, model: ModelNode, **options: Any) -> None:
        self.model = model
        super().__init__(pipe, **options)

    def _ordered(self, event: Any) -> None:
        if event.kind != frames.KIND_UPDATE:
            return super()._ordered(event)
        self.orders.append((event.kind, event.body))
        answer = self.model.take(event.body)
        if answer is not None:
            self.make(frames.KIND_ANSWER, answer)
        if event.body[frames.UPDATE_STEP] == frames.STEP_APPLY and self.model.applied:
            good = self.model.outcome == "confirmed"
            text = self.model.new_version
            if good:
                self.firmware = text
            self.reset()
            code = frames.EVENT_UPDATED if good else frames.EVENT_ROLLED_BACK
            text += "" if good else ": no agent"
            self.make(
                frames.KIND_EVENT,
                {frames.EVENT_CODE: code, frames.EVENT_PRIORITY: 0, frames.EVENT_TEXT: text},
            )


class Clinic:
    """An agent's folder with a maker's key, a bundle and a configuration for commands."""

    def __init__(
        self, folder: Path, outcome: str = "confirmed", files: dict[str, bytes] | None = None
    ) -> None:
        self.kit = Kit(folder)
        self.model = ModelNode(outcome)
        self.pty = Pty()
        self.node = UpdatingNode(self.pty, self.model, agent=self.kit.identity)
        self.kit.pair(self.node)
        self.kit.options["updates"] = UpdatesConfig(share_percent=50, soak_min=0, absent_min=0, trial_min=1)
        (folder / "makers").mkdir()
        write_maker(folder / "makers" / "maker.pub", MAKER.ed_pub)
        self.bundle = folder / "new.bundle"
        self.bundle.write_bytes(bundle("0.2.0", files or some_files(), BOARD))
        self.toml = folder / "agent.toml"
        self.toml.write_text(f'[agent]\nstate_dir = "{folder}"\n')

    def config(self):
        config = self.kit.config(self.pty.name)
        (link,) = config.links
        object.__setattr__(link, "baud", 921_600)
        return config

    def do(self, *words: str, ok: bool = True) -> str:
        done = CliRunner().invoke(main, ["update", words[0], "--config", str(self.toml), *words[1:]])
        assert (done.exit_code == 0) is ok, done.output
        return done.output

    def state(self) -> str:
        return (self.kit.status["nodes"][0]["update"] or {"state": ""})["state"]


@pytest.fixture
def clinic(tmp_path):
    return Clinic(tmp_path)


def test_a_version_goes_to_a_node_by_commands_and_the_chain_says_so(clinic):
    with Running(clinic.config()), clinic.node as node:
        assert "added 0.2.0  fake" in clinic.do("add", str(clinic.bundle))
        assert "is here already" in clinic.do("add", str(clinic.bundle))
        assert "0.2.0  fake  update" in clinic.do("list")
        assert "1 of 1 node" in clinic.do("start", "0.2.0", "--percent", "100")
        wait_until(lambda: clinic.state() == "confirmed", "the node has confirmed")
        wait_until(lambda: clinic.kit.status["updates"]["rollout"]["state"] == "finished", "finished")
        share = clinic.kit.status["updates"]["share"]
        print(f"share of the link: {share} of 0.5")
        assert 0 < share <= 0.5
        assert "confirmed: 1 node" in clinic.do("status")
        told = clinic.do("node", node.identity.id.hex()[:6])
        assert all(state in told for state in ("sending", "verifying", "confirmed"))
        assert not clinic.kit.status["nodes"][0]["alarms"]
    codes = [code for code, detail, _ in clinic.kit.ledger.statements]
    wanted = [
        "rollout_started",
        "rollout_wave",
        "update_offered",
        "update_ended",
        "rollout_finished",
    ]
    assert [code for code in codes if code in wanted] == wanted
    assert clinic.kit.ledger.balanced
    audit = CliRunner().invoke(main, ["audit", "--config", str(clinic.toml)])
    assert "update_added" in audit.output and "uid" in audit.output


def test_a_rolled_back_node_halts_it_and_says_why(tmp_path):
    clinic = Clinic(tmp_path, "rolled back")
    with Running(clinic.config()), clinic.node:
        clinic.do("add", str(clinic.bundle))
        clinic.do("start", "0.2.0", "--percent", "100")
        wait_until(lambda: clinic.state() == "rolled back", "the node is back")
        wait_until(lambda: clinic.kit.status["updates"]["rollout"]["state"] == "halted", "halted")
        told = clinic.do("status", ok=False)
        assert "halted: 1 rolled back, of 1 at their end" in told and "no agent" in told
        found = CliRunner().invoke(main, ["doctor", "--offline", "--config", str(clinic.toml)])
        assert "the roll-out of 0.2.0 has halted" in found.output
        assert "is running now; it had halted" in clinic.do("resume", "--reason", "seen")
    assert "no agent" not in str(clinic.kit.ledger.statements), "what a node says in words stays here"


@pytest.mark.parametrize("who", ["agent", "node"])
def test_a_restart_in_the_middle_goes_on_where_it_was(tmp_path, who):
    clinic = Clinic(tmp_path, files=some_files((3_000,)))
    clinic.kit.options["updates"] = UpdatesConfig(share_percent=20, soak_min=0, absent_min=0)
    with ExitStack() as stack:
        agent = stack.enter_context(Running(clinic.config()))
        node = stack.enter_context(clinic.node)
        clinic.do("add", str(clinic.bundle))
        clinic.do("start", "0.2.0", "--percent", "100")
        wait_until(lambda: len(clinic.model.took) > 8, "it is on its way")
        if who == "agent":
            agent.stop()
            stack.enter_context(Running(clinic.config()))
        else:
            node.reset()
        wait_until(lambda: clinic.state() == "confirmed", "the node has confirmed")
    sent = sum(size for number, size in clinic.model.took if number == 1)
    assert 3_000 <= sent < 3_000 + 1500, "all of it went again"


def test_a_word_that_came_when_nobody_could_note_it_is_found_again(clinic, monkeypatch):
    """The agent is killed after the event is in the store and before rollouts.json says so."""
    with Running(clinic.config()) as running, clinic.node:
        clinic.do("add", str(clinic.bundle))
        clinic.do("start", "0.2.0", "--percent", "100")
        wait_until(lambda: clinic.state() == "confirmed", "the node has confirmed")
        path = clinic.kit.folder / "updates" / "rollouts.json"
        running.stop()
        document = json.loads(path.read_bytes())
        (node,) = document["rollouts"][0]["nodes"].values()
        node["state"], node["history"] = "trial", []
        document["rollouts"][0]["state"] = "running"
        path.write_text(json.dumps(document))
        with Running(clinic.config()):
            wait_until(lambda: clinic.state() == "confirmed", "its word is remembered")


def test_what_a_node_kept_while_it_was_away_comes_first(tmp_path):
    clinic = Clinic(tmp_path, files=some_files((3_000,)))
    with ExitStack() as stack:
        agent = stack.enter_context(Running(clinic.config()))
        node = stack.enter_context(clinic.node)
        clinic.do("add", str(clinic.bundle))
        clinic.do("start", "0.2.0", "--percent", "100")
        wait_until(lambda: clinic.model.took, "it is on its way")
        agent.stop()
        wait_until(lambda: node.held > 20, "frames are kept")
        stack.enter_context(Running(clinic.config()))
        why = "what it kept while it was away comes first"
        wait_until(lambda: clinic.kit.status["nodes"][0]["update"].get("held") == why, "it waits")
        wait_until(lambda: clinic.state() == "confirmed", "it goes on")


def test_a_damaged_file_of_roll_outs_is_named_and_left_alone(clinic):
    folder = clinic.kit.folder / "updates"
    folder.mkdir()
    (folder / "rollouts.json").write_text("{")
    with Running(clinic.config()), clinic.node:
        wait_until(lambda: "damaged" in str(clinic.kit.status["updates"]["problem"]), "it is said")
        clinic.do("add", str(clinic.bundle))
        assert "cannot be kept" in clinic.do("start", "0.2.0", ok=False)
    assert (folder / "rollouts.json").read_text() == "{"


def test_commands_work_without_an_agent_too(clinic):
    clinic.pty.close()
    clinic.do("add", str(clinic.bundle))
    assert "no roll-out yet" in clinic.do("status")
    clinic.do("start", "0.2.0", "--percent", "10", "--then", "50,100")
    assert "paused" in clinic.do("pause", "--reason", "night")
    assert "paused" in clinic.do("status") and "running" in clinic.do("resume")
    assert "halted" in clinic.do("halt") and "10 %, 50 %, 100 %" in clinic.do("status", ok=False)
    assert "wave 1): waiting" in clinic.do("node", clinic.node.identity.id.hex())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data[:-1], "not a bundle"),
        (lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], ""),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "is not what the manifest says"),
        (lambda data: b"", "not a bundle"),
        (lambda data: b"PK" + data, "not a bundle"),
    ],
    ids=["short", "manifest", "file", "empty", "other"],
)
def test_a_bundle_that_is_not_as_signed_is_not_taken(clinic, change, says):
    clinic.bundle.write_bytes(change(clinic.bundle.read_bytes()))
    assert says in clinic.do("add", str(clinic.bundle), ok=False)
    assert Shelf(clinic.kit.folder / "updates", clinic.kit.folder / "makers").all() == []


def test_every_byte_of_a_bundle_counts(tmp_path):
    data, path = bundle("0.2.0", some_files((40, 9)), BOARD), tmp_path / "one.vwu"
    for at in range(len(data)):
        for other in (data[:at], data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]):
            path.write_bytes(other)
            with pytest.raises(BundleError):
                read(path, [MAKER.ed_pub])


def test_another_makers_bundle_is_not_taken(clinic):
    clinic.bundle.write_bytes(bundle("0.2.0", some_files(), BOARD, identity(902)))
    assert "signed by nobody whose updates are taken here" in clinic.do("add", str(clinic.bundle), ok=False)
    (clinic.kit.folder / "makers" / "maker.pub").unlink()
    assert "no maker's public key is here" in clinic.do("add", str(clinic.bundle), ok=False)


def test_a_reason_in_another_encoding_is_refused_in_one_line(clinic):
    assert "encoding of this terminal" in clinic.do("halt", "--reason", "\udcff", ok=False)


def test_a_version_is_made_once(clinic):
    clinic.do("add", str(clinic.bundle))
    for again in ("0.2.0", "0.2"):
        clinic.bundle.write_bytes(bundle(again, some_files((7,)), BOARD))
        assert "another bundle is 0.2.0 for fake already" in clinic.do("add", str(clinic.bundle), ok=False)

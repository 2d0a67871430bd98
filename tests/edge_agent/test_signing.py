"""Handing the signing key over: every step durable, each crash made good, and what stays valid."""

import os

import pytest
from click.testing import CliRunner

from edge_agent import config
from edge_agent.custody import signing
from edge_agent.custody.custody import Custody
from edge_agent.custody.verify import verify
from edge_agent.keys import KeyFileError, PublicKeys
from edge_agent.store.errors import StoreUnwritable
from protocol import batch as wire
from protocol import handover, receipts
from protocol.errors import BatchError
from tests.edge_agent.custody_kit import AGENT, Kit
from tests.edge_agent.running import Running
from tools.cli import main


class Rotating(Kit):
    """A kit whose agent has a key file to keep signing keys beside."""

    def open(self):
        super().open()
        self.key = self.path.with_name("agent.key")
        far = PublicKeys(*self.far.identity.public())
        held = signing.load(self.store, AGENT, self.key, self.clock())
        self.custody = Custody(self.store, AGENT, far, 20_000, self.clock, signing=held, key=self.key)
        self.custody.chain.decide(frozenset({"mqtt"}), frozenset({"mqtt"}))
        return self

    @property
    def file(self):
        return signing.signing_path(self.key)

    def signed(self) -> list[int]:
        """By which key each batch that the collector has was signed."""
        return [len(batch.handovers) for batch in self.far.batches.values()]

    def work(self, n: int = 2) -> None:
        if self.custody.asking:
            self.ask()
        self.frames(n)
        assert all(v.what == "receipt" for v in self.deliver(*self.make()))


@pytest.fixture
def kit(tmp_path):
    kit = Rotating(tmp_path / "agent.db")
    yield kit
    kit.store.close()


def sound(kit) -> bool:
    far = PublicKeys(*kit.far.identity.public())
    return all(one.good for one in verify(kit.path, PublicKeys(*AGENT.public()), far))


def test_the_chain_goes_on_with_the_new_key_and_stays_verifiable(kit):
    kit.work()
    for keys_so_far in (1, 2, 3):
        before = kit.custody.signing.ed_pub
        kit.custody.rotate()
        assert kit.custody.signing.ed_pub != before
        kit.work()
        assert kit.signed()[-1] == keys_so_far
    assert kit.signed() == [0, 1, 2, 3] and len({c for c, _ in kit.far.batches}) == 1
    kinds = [entry[0] for batch in kit.far.batches.values() for entry in batch.parsed if entry]
    assert kinds.count(wire.ENTRY_HANDOVER) == 3 and sound(kit)
    steps = handover.read_chain(AGENT.ed_pub, kit.custody.signing.handovers, AGENT.id)
    assert [step.last[1] for step in steps if step.last] == [0, 1, 2]
    # an old batch that goes out again carries the hand-overs of its time
    again = wire.open_batch(kit.custody.message("mqtt", 2), kit.far.identity)[1]
    assert len(wire.parse_batch(again, AGENT.ed_pub, AGENT.id, steps).handovers) == 1


def test_a_restart_signs_with_the_same_key(kit):
    kit.work()
    kit.custody.rotate()
    now = kit.custody.signing.ed_pub
    kit.reopen()
    assert kit.custody.signing.ed_pub == now and kit.custody.problem is None
    kit.work()
    assert kit.signed() == [0, 1] and sound(kit)


def test_a_retired_key_is_destroyed_and_the_first_one_kept(kit):
    kit.custody.rotate()
    first = kit.file.read_bytes()
    kit.custody.rotate()
    second = kit.file.read_bytes()
    secret = first.split(b"PRIVATE KEY-----")[1]
    assert secret not in second and not kit.file.with_name(kit.file.name + ".new").exists()
    assert kit.file.stat().st_mode & 0o777 == 0o600
    assert repr(kit.custody.signing.signer).count(kit.custody.signing.signer.ed_seed.hex()) == 0


@pytest.mark.parametrize("step", ["write", "keep", "rename"])
def test_a_crash_at_each_step_leaves_one_key_that_signs(kit, monkeypatch, step):
    kit.work()

    class Crash(Exception):
        pass

    def crash(*_):
        raise Crash

    where = {"write": (signing, "write_atomically"), "keep": (signing, "_keep"), "rename": (os, "replace")}
    sound_write = signing.write_atomically
    monkeypatch.setattr(*where[step], crash)
    if step == "rename":
        monkeypatch.setattr(signing, "write_atomically", lambda path, text: path.write_bytes(text))
    with pytest.raises(Crash):
        kit.custody.rotate()
    monkeypatch.undo()
    assert signing.write_atomically is sound_write
    if step == "rename":
        kit.file.with_name(kit.file.name + ".new").chmod(0o600)
    kit.reopen()
    assert kit.custody.problem is None
    assert len(kit.custody.signing.handovers) == (1 if step == "rename" else 0)
    assert not kit.file.with_name(kit.file.name + ".new").exists()
    kit.work()
    kit.custody.rotate()
    kit.work()
    assert sound(kit)
    assert {len(step.handovers) for step in kit.far.batches.values()} <= {0, 1, 2}


def test_a_disk_that_refuses_changes_nothing(kit, monkeypatch):
    kit.work()
    now = kit.custody.signing.ed_pub

    def full(*_):
        raise StoreUnwritable(kit.path, "database or disk is full")

    monkeypatch.setattr(signing, "_keep", full)
    with pytest.raises(StoreUnwritable):
        kit.custody.rotate()
    monkeypatch.undo()
    kit.work()
    assert kit.custody.signing.ed_pub == now and kit.signed() == [0, 0]
    kit.custody.rotate()
    kit.work()
    assert kit.signed() == [0, 0, 1]


def test_a_store_that_was_set_aside_learns_the_hand_overs_from_the_file(kit):
    kit.work()
    kit.custody.rotate()
    kit.work()
    kit.store.close()
    for path in kit.path.parent.glob("agent.db*"):
        path.unlink()
    kit.next = 0
    kit.open()
    assert len(kit.custody.signing.handovers) == 1 and signing.stored(kit.store)
    kit.work()
    assert kit.signed()[-1] == 1 and sound(kit)


def test_without_its_file_nothing_is_signed_and_everything_is_stored(kit):
    kit.custody.rotate()
    text = kit.file.read_bytes()
    kit.file.unlink()
    kit.reopen()
    assert "restore" in kit.custody.problem and kit.ask().what == "head"
    kit.frames(3)
    assert kit.make() == [] and kit.store.frames == 3
    with pytest.raises(BatchError):
        kit.custody.rotate()
    kit.file.write_bytes(text)
    kit.file.chmod(0o600)
    kit.reopen()
    assert kit.custody.problem is None
    kit.ask()
    assert kit.make()


def test_a_file_that_is_not_this_agents_is_refused(kit, tmp_path):
    other = Rotating(tmp_path / "b" / "agent.db") if (tmp_path / "b").mkdir() is None else None
    kit.custody.rotate()
    other.custody.rotate()
    mine = kit.file.read_bytes()
    theirs = other.file.read_bytes()
    other.store.close()
    head, tail = mine.split(b"-----BEGIN VITALWIRE", 1)
    for text in (
        theirs,
        mine[:-40],
        mine.replace(b"PRIVATE", b"PUBLIC"),
        head,
        b"",
        theirs.split(b"-----BEGIN VITALWIRE", 1)[0] + b"-----BEGIN VITALWIRE" + tail,
    ):
        kit.file.write_bytes(text)
        with pytest.raises(KeyFileError):
            signing.load(kit.store, AGENT, kit.key, 5)
    kit.file.write_bytes(mine)
    kit.file.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        signing.load(kit.store, AGENT, kit.key, 5)
    kit.file.chmod(0o600)
    assert signing.load(kit.store, AGENT, kit.key, 5).problem is None


def test_hand_overs_end_some_day(kit, monkeypatch):
    monkeypatch.setattr(handover, "MAX_HANDOVERS", 1)
    kit.custody.rotate()
    with pytest.raises(BatchError, match="new identity"):
        kit.custody.rotate()


def test_a_collector_that_hands_over_is_followed(kit):
    kit.work()
    new, thief = (handover.SigningKey.from_seed(bytes([i]) * 32) for i in (5, 6))
    collector = kit.far.identity
    step = handover.make_handover(collector, new, collector.id, kit.clock(), 1)
    kit.frames(2)
    kit.make()
    kit.deliver(*kit.make())

    def receipt(signer, steps):
        clear = wire.open_batch(kit.custody.message("mqtt", 2), collector)[1]
        batch = wire.parse_batch(clear, AGENT.ed_pub, AGENT.id)
        said = (AGENT.id, batch.chain_id, batch.number, batch.head_hash, batch.count, 0, 1)
        return kit.custody.take(receipts.make_receipt(signer, *said, handovers=steps), "mqtt")

    assert receipt(new, []).cause == "bad_signature"
    assert receipt(new, [step]).what == "receipt"
    other = handover.make_handover(collector, thief, collector.id, kit.clock(), 1)
    assert receipt(thief, [other]).cause == "bad_handover"
    # what was signed before the hand-over counts; not for a batch made long after it
    assert receipt(collector, []).what == "receipt"
    kit.store.db.execute("UPDATE batches SET made_ms = made_ms + 1000 * 3600 * 24 * 3")
    assert receipt(collector, []).cause == "retired_key"
    kit.reopen()
    assert receipt(thief, [other]).cause == "bad_handover"


def test_the_command_hands_over_with_and_without_an_agent_that_runs(tmp_path):
    file = tmp_path / "agent.toml"
    file.write_text(f'[agent]\nstate_dir = "{tmp_path}"\n[tcp]\nlisten = "127.0.0.1:0"\n')

    def rotate() -> str:
        result = CliRunner().invoke(main, ["keys", "rotate", "--config", str(file), "--wait", "20"])
        assert result.exit_code == 0, result.output
        assert "back up" in result.output
        return result.output

    with Running(config.load(file)):
        pass
    assert "hand-over 1)" in rotate()
    with Running(config.load(file)) as running:
        assert "hand-over 2)" in rotate()
        assert len(running.agent.delivery.custody.signing.handovers) == 2
    checked = CliRunner().invoke(main, ["verify", "--config", str(file)])
    assert checked.exit_code == 0, checked.output

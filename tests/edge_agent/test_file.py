"""The air gap: agent → medium → collector → medium → agent, exactly once, whatever becomes of the medium."""

import asyncio
import errno
import os

import pytest
from click.testing import CliRunner

from edge_agent import keys
from edge_agent.config import FileConfig
from edge_agent.lock import hold
from protocol import batch as wire
from protocol import receipts
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.file_world import World, batch_name, carried
from tests.edge_agent.running import Kit, Running, wait_until
from tests.tools.collector_rig import AGENT, COLLECTOR, NODE_KEYS, Chain, Rig, frame
from tools.collector import stick, verify
from tools.collector.import_command import command as import_command
from tools.collector.trust import Trust


def test_out_and_back_exactly_once(tmp_path):
    world, rig = World(tmp_path), Rig(tmp_path)
    world.turn()
    assert world.names() == [batch_name(n) for n in range(3)]
    assert (world.stick / batch_name(0)).read_bytes() == world.far.messages[1]
    summary = carried(rig, world.stick)
    assert (summary.taken, summary.again, summary.left) == (3, 0, [])
    world.turn()
    assert world.far.receipted == {1, 2, 3}
    world.turn()
    assert world.names() == []
    report = rig.verify()
    assert report.sound and report.batches == 3 and report.frames == 3


def test_two_media_in_turn_are_both_cleared(tmp_path):
    world, rig = World(tmp_path), Rig(tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    world.turn()
    world.stick.rename(first)
    world.turn()
    world.stick.mkdir()
    world.turn()
    assert len(world.names()) == 3
    world.stick.rename(second)
    world.turn()
    for medium in (first, second):
        carried(rig, medium)
        medium.rename(world.stick)
        for _ in range(3):
            world.turn()
        assert world.far.receipted == {1, 2, 3} and world.names() == []
        world.stick.rename(medium)
        world.turn()


def test_receipts_of_no_use_hold_up_none_that_is(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_agent.forward.file.AT_ONCE", 10)
    monkeypatch.setattr("edge_agent.forward.file.AGAIN_S", 0.0)
    world, rig = World(tmp_path), Rig(tmp_path)
    world.turn()
    carried(rig, world.stick)
    for n in range(1000, 1200):
        path = world.stick / batch_name(n).replace(".batch", ".receipt")
        path.write_bytes(b"x" * 50)
    for _ in range(25):
        world.turn()
    assert world.far.receipted == {1, 2, 3}


def test_a_folder_in_a_receipts_place_holds_up_no_other(tmp_path):
    world, rig = World(tmp_path), Rig(tmp_path)
    world.turn()
    (world.stick / batch_name(0).replace(".batch", ".receipt")).mkdir()
    summary = carried(rig, world.stick)
    assert summary.taken == 3 and [one.why for one in summary.left] == [
        "a folder lies where the receipt belongs: remove it"
    ]


def test_a_medium_taken_out_in_the_middle_and_put_in_again(tmp_path, monkeypatch):
    world, rig = World(tmp_path), Rig(tmp_path)
    away, written, replace = tmp_path / "away", [], os.replace

    def yank(partial, path):
        if len(written) == 1:
            # A half-written file stays on the medium, which is gone before the next.
            (world.stick / f".{batch_name(2)}.partial").write_bytes(b"half")
            world.stick.rename(away)
        written.append(path)
        replace(partial, path)

    monkeypatch.setattr("edge_agent.forward.file.os.replace", yank)
    world.turn()
    assert "put the medium in" in world.outlet.problem and not world.outlet.connected
    monkeypatch.undo()
    world.turn()
    assert "put the medium in" in world.outlet.problem and not world.stick.exists()
    # What got as far as the collector is taken, with what is half-written left; all of it comes in the end.
    summary = carried(rig, away)
    assert summary.taken == 1 and any("half-written" in one.why for one in summary.left)
    away.rename(world.stick)
    world.turn()
    assert world.far.receipted == {1} and world.outlet.problem is None
    world.restart()
    world.turn()
    assert carried(rig, world.stick).taken == 2
    world.turn()
    world.turn()
    assert world.far.receipted == {1, 2, 3} and world.names() == []
    assert rig.verify().sound and rig.verify().frames == 3


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_medium_that_refuses_is_told_and_goes_on_when_it_does_not(tmp_path, monkeypatch, code):
    world = World(tmp_path)

    def refuse(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("edge_agent.forward.file.os.fsync", refuse)
    world.turn()
    assert world.names() == [] and not world.outlet.connected
    expected = {errno.ENOSPC: "make room", errno.EIO: "another medium", errno.EROFS: "right to write"}[code]
    assert expected in world.outlet.status()["problem"]
    monkeypatch.undo()
    world.turn()
    assert len(world.names()) == 3 and world.outlet.status()["problem"] is None


def test_every_medium_gets_all_that_has_no_receipt(tmp_path):
    world = World(tmp_path)
    world.turn()
    world.stick.rename(tmp_path / "first")
    world.turn()
    world.stick.mkdir()
    world.turn()
    assert len(world.names()) == 3 and world.far.greeted == 2


def test_new_batches_follow_and_a_medium_has_no_more_than_so_many(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_agent.forward.file.MAX_FILES", 4)
    world, rig = World(tmp_path, 0), Rig(tmp_path)
    chain = Chain()
    world.turn()
    for n in range(6):
        world.far.messages[n + 1] = chain.make([NODE_KEYS, frame(n)])
        world.turn()
        assert len(world.names()) == min(n + 1, 4)
    assert carried(rig, world.stick).taken == 4
    for _ in range(2):
        world.turn()
    assert world.names() == [batch_name(4), batch_name(5)] and world.far.receipted == {1, 2, 3, 4}


def test_what_lies_between_the_oldest_and_the_newest_follows_on_a_medium_that_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_agent.forward.file.MAX_FILES", 4)
    world, rig = World(tmp_path, 9), Rig(tmp_path)
    world.turn()
    assert world.names() == [batch_name(n) for n in (0, 1, 7, 8)]
    for _ in range(4):
        carried(rig, world.stick)
        for _ in range(3):
            world.turn()
    assert world.far.receipted == set(range(1, 10)) and world.names() == []


def test_more_receipts_than_can_be_taken_at_a_time_come_one_after_the_other(tmp_path, monkeypatch):
    """Of a day there are 43,200: neither are all in memory, nor is one that was not taken forgotten."""
    monkeypatch.setattr("edge_agent.forward.file.AT_ONCE", 4)
    world, rig = World(tmp_path, 10), Rig(tmp_path)
    world.turn()
    carried(rig, world.stick)
    take, offered = world.far.received, []
    monkeypatch.setattr(world.far, "received", offered.append)
    for looks in (1, 2, 3, 4):
        world.turn()
        assert len(offered) == min(4 * looks, 10) == len(set(offered))
    monkeypatch.setattr(world.far, "received", take)
    monkeypatch.setattr("edge_agent.forward.file.AGAIN_S", 0.0)
    for _ in range(4):
        world.turn()
    assert world.far.receipted == set(range(1, 11)) and world.names() == []
    assert not world.outlet._seen


def test_a_link_that_lies_on_the_medium_leads_nowhere(tmp_path):
    world, rig = World(tmp_path, 1), Rig(tmp_path)
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    receipt = batch_name(0).replace(".batch", ".receipt")
    asyncio.run(world.outlet.look())
    for name in (f".{batch_name(0)}.partial", f".{receipt}.partial", receipt):
        (world.stick / name).symlink_to(precious)
    world.outlet.write(batch_name(0), world.far.messages[1])
    assert carried(rig, world.stick).taken == 1
    assert precious.read_bytes() == b"precious" and not (world.stick / receipt).is_symlink()


def test_files_that_are_not_ours_or_no_receipts_are_named_and_left(tmp_path):
    world, rig = World(tmp_path), Rig(tmp_path)
    world.turn()
    carried(rig, world.stick)
    own = world.stick / batch_name(0).replace(".batch", ".receipt")
    strange = {
        "0123456789abcdef-6368-0.receipt": own.read_bytes(),
        f"{AGENT.id.hex()}-x-1.receipt": bytes(100_000),
        f"{AGENT.id.hex()}-x-2.receipt": b"",
        "holiday.jpg": b"picture",
        ".hidden.receipt": own.read_bytes(),
    }
    corrupt = world.stick / f"{AGENT.id.hex()}-x-3.receipt"
    corrupt.write_bytes(own.read_bytes()[:-1])
    for name, data in strange.items():
        (world.stick / name).write_bytes(data)
    world.turn()
    world.turn()
    assert world.far.receipted == {1, 2, 3}
    assert world.far.rejected == [corrupt.read_bytes()]
    assert set(world.names()) == {*strange, corrupt.name}
    told = " ".join(world.outlet.ignored)
    assert "another agent's" in told and "100000 bytes" in told and "(0 bytes)" in told


def test_the_collector_names_what_it_does_not_take_and_takes_the_rest(tmp_path):
    world, rig = World(tmp_path), Rig(tmp_path)
    world.turn()
    good = (world.stick / batch_name(0)).read_bytes()
    (world.stick / batch_name(1)).write_bytes(good[: len(good) // 2])
    (world.stick / batch_name(7)).write_bytes(good)
    (world.stick / batch_name(8)).write_bytes(b"")
    (world.stick / f"{'0' * 16}-{'0' * 16}-1.batch").write_bytes(good)
    (world.stick / "copy of 1.batch").write_bytes(good)
    (world.stick / "notes.txt").write_bytes(b"hello")
    summary = carried(rig, world.stick)
    # A copy under another number is the same batch: its receipt is.
    assert summary.taken == 3 and len(summary.left) == 4
    whys = {one.name: one.why for one in summary.left}
    assert "refused" in whys[batch_name(1)] and whys[batch_name(8)] == "empty"
    assert (
        "unknown_agent" in whys[f"{'0' * 16}-{'0' * 16}-1.batch"] and "not named" in whys["copy of 1.batch"]
    )
    assert rig.verify().frames == 2
    again = carried(rig, world.stick)
    assert again.taken == 3 and again.again == 3 and rig.verify().frames == 2
    assert not [name for name in world.names() if name.endswith(".partial")]


def test_what_is_not_answered_costs_nothing_that_was(tmp_path):
    """The collector's store fails in the middle: the receipts written so far are of what is stored."""
    world, rig = World(tmp_path, 70), Rig(tmp_path)
    world.turn()
    files, _ = stick.candidates(world.stick)
    calls = []

    def failing(messages):
        calls.append(len(messages))
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "disk full")
        return rig.intake.handle_all(messages)

    summary = stick.Summary()
    with pytest.raises(OSError, match="disk full"):
        stick.take(files, world.stick, failing, summary)
    assert summary.taken == 32 == rig.verify().frames
    assert carried(rig, world.stick).taken == 70 and rig.verify().frames == 70
    world.turn()
    assert len(world.far.receipted) == 70


def test_an_agent_that_has_only_a_medium(tmp_path, monkeypatch):
    """Node, agent, medium, collector, medium, agent: every frame once, each with its receipt."""
    monkeypatch.setattr("edge_agent.forward.file.POLL_S", 0.1)
    kit = Kit(tmp_path)
    medium = tmp_path / "medium"
    medium.mkdir()
    rig = Rig(tmp_path / "far")
    rig.trust.add(keys.PublicKeys(*kit.identity.public()))
    public = tmp_path / "collector.pub"
    keys.write_public(public, "collector", keys.PublicKeys(*COLLECTOR.public()))
    kit.options["file"] = FileConfig(medium, medium, required=True, public=public)
    with FakeNode(Pty(), agent=kit.identity, rate=40) as node:
        kit.pair(node)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 60, "frames")
            node.making = False
            wait_until(lambda: node.held == 0, "every frame acknowledged")
            assert kit.totals()["delivered"] == 0

            def all_delivered() -> bool:
                totals = kit.totals()
                return totals["produced"] == totals["delivered"] == len(node.made)

            def forward() -> dict:
                return kit.status["forward"]["file"]

            def carry() -> None:
                """To the collector and back."""
                away = tmp_path / "away"
                medium.rename(away)
                wait_until(lambda: "put the medium in" in (forward()["problem"] or ""), "it is gone")
                if not kit.totals()["delivered"]:
                    wait_until(lambda: forward()["lag_s"] > 0, "it is told how far behind it is")
                # It may be taken away while a batch is written to it.
                left = carried(rig, away).left
                assert all(one.why == "half-written: the agent writes it again" for one in left), left
                away.rename(medium)
                wait_until(
                    lambda: forward()["connected"] and not list(medium.glob("*.receipt")), "it is back"
                )

            def written() -> list:
                return list(medium.glob("*.batch"))

            carry()
            # What was signed meanwhile goes with the next.
            while wait_until(lambda: written() or all_delivered(), "batches on the medium") is not True:
                carry()
            said = wait_until(lambda: (m := kit.status["forward"]["file"])["receipts"] and m, "a status")
            assert said["connected"] and said["problem"] is None
            wait_until(lambda: forward()["lag_s"] == 0, "no longer behind")
    report = verify.verify(rig.store, COLLECTOR.ed_pub, lambda agent: kit.identity.ed_pub)
    assert report.sound and report.frames == len(node.made)
    assert rig.store.db.execute("SELECT count(*) FROM frames").fetchone()[0] == len(node.made)


def test_the_command_tells_what_it_took_and_what_it_left(tmp_path):
    state, medium = tmp_path / "collector", tmp_path / "medium"
    medium.mkdir()
    Trust(state / "agents").add(keys.PublicKeys(*AGENT.public()))
    own = keys.load_or_create(state / "collector.key", "collector")

    class Own(Chain):
        def seal(self, clear: bytes) -> bytes:
            return wire.seal_batch(clear, AGENT.id, own.x_pub, own.id)

    (medium / batch_name(0)).write_bytes(Own().make([NODE_KEYS, frame(0)]))
    arguments = [str(medium), "--state", str(state)]
    result = CliRunner().invoke(import_command, arguments)
    assert result.exit_code == 0 and "1 batch taken" in result.stdout, result.output
    receipt = (medium / batch_name(0).replace(".batch", ".receipt")).read_bytes()
    assert receipts.verify_receipt(receipt, own.ed_pub).number == 0
    (medium / "torn.batch").write_bytes(b"?")
    result = CliRunner().invoke(import_command, arguments)
    assert result.exit_code == 1 and "had their receipt already" in result.stdout
    assert "left: torn.batch: not named" in result.stdout
    with hold(state / "collector.lock"):
        result = CliRunner().invoke(import_command, arguments)
        assert result.exit_code == 1 and "stop it first" in result.output

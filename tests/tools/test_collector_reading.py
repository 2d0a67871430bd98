"""What is read back out of the collector's store, and what it says when that cannot be."""

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from protocol import batch, cbor, frames, records, waveform, waveform_compiled
from tests.tools.collector_rig import (
    AGENT,
    BOOT,
    COLLECTOR,
    NODE,
    NODE_KEYS,
    NOW,
    Chain,
    frame,
    vitals,
)
from tools.collector import commands, commands_read, query, verify
from tools.collector.store import Store, StoreError


@pytest.fixture
def place():
    return None


def test_verify_finds_a_changed_store(rig):
    chain = Chain()
    rig.receipt(chain.make([NODE_KEYS, frame(0), frame(1)]))
    rig.receipt(chain.make([frame(2)]))
    assert rig.verify().sound
    rig.store.db.execute("UPDATE frames SET plaintext = ? WHERE seq = 1", (vitals(1, 601),))
    assert "not those that were signed" in rig.verify().problems[0]
    rig.store.db.execute("UPDATE frames SET plaintext = ? WHERE seq = 1", (vitals(1),))
    rig.store.db.execute("DELETE FROM frames WHERE seq = 2")
    assert "0 of 1 entry" in rig.verify().problems[0]


def test_verify_needs_the_agents_key(rig):
    rig.receipt(Chain().make([frame(0)]))
    report = verify.verify(rig.store, COLLECTOR.ed_pub, lambda agent: None)
    assert "not known here" in report.problems[0]


def test_evicted_and_missing_frames_are_told_apart(rig):
    loss = frames.pack(frames.KIND_LOSS, 1, {frames.LOSS_RANGES: [[1, 2, frames.LOSS_OUTBOX_FULL]]})
    rig.receipt(Chain().make([frame(0), frame(4, loss), frame(6)]))
    row = rig.verify().boots[0]
    assert (row.stored, row.highest, row.evicted, row.missing) == (3, 6, 2, 2)


@pytest.mark.parametrize(("reason", "evicted"), [(frames.LOSS_OUTBOX_FULL, 3), (frames.LOSS_ELSEWHERE, 0)])
def test_what_a_later_boot_says_of_an_earlier_one_is_not_missing(rig, reason, evicted):
    later, other = ((n).to_bytes(4, "big") + bytes(8) for n in (2, 3))
    # Of this boot frames 1 to 5, of which 3 has arrived all the same, and some of boots that are not here.
    said = [[BOOT, 1, 5, reason], [later, 0, 4, reason], [other, 1, 9, reason]]
    before = frames.pack(frames.KIND_LOST_BEFORE, 1, {frames.LOST_BEFORE: said})
    told = batch.frame_entry(NODE.id, later, 0, before, NOW)
    rig.receipt(Chain().make([frame(0), frame(3), frame(5), frame(7), told]))
    first, second = rig.verify().boots
    assert (first.stored, first.highest, first.evicted, first.missing) == (4, 7, evicted, 4 - evicted)
    # What it says of itself, or of later ones, is not believed of earlier ones.
    assert (second.stored, second.evicted, second.missing) == (1, 0, 0)


def wave_entry(seq, samples, boot=BOOT, **changed):
    body = {
        "channel": frames.CH_ECG,
        "count": len(samples),
        "period_ns": 4_000_000,
        "lsb": 3052,
        "codec": waveform.CODEC,
        "data": waveform.encode(samples, len(samples)),
    } | changed
    keys = {getattr(frames, f"WAVE_{name.upper()}"): value for name, value in body.items()}
    plaintext = frames.pack(frames.KIND_WAVE, seq * 80_000, keys | {frames.SOURCE: frames.SRC_SYNTHETIC})
    return batch.frame_entry(NODE.id, boot, seq, plaintext, NOW)


def test_waves_are_read_back_in_the_order_of_measurement(rig, monkeypatch):
    later_boot = (2).to_bytes(4, "big") + bytes(8)
    entries = []
    for boot, seq, first in ((later_boot, 1, 40), (BOOT, 2, 20), (BOOT, 1, 0)):
        entries.append(wave_entry(seq, list(range(first, first + 20)), boot))
    rig.receipt(Chain().make(entries))
    found = query.samples(rig.folder / "collector.sqlite3", NODE.id, frames.CH_ECG)
    assert [f[:3] for f in found] == [
        (80_000, 4_000_000, 3052),
        (160_000, 4_000_000, 3052),
        (80_000, 4_000_000, 3052),
    ]
    assert [x for f in found for x in f[3] or ()] == list(range(60))
    (wave, *_) = query.waves(rig.store, NODE.id, frames.CH_ECG)
    assert isinstance(wave, query.Wave) and wave.source == frames.SRC_SYNTHETIC

    sizes = []

    def compiled(data, n):
        sizes.append(n)
        return waveform_compiled.decode(data, n)

    monkeypatch.setattr(query, "waveform_compiled", SimpleNamespace(decode=compiled))
    monkeypatch.setattr(query, "BULK", 1)
    assert query.samples(rig.folder / "collector.sqlite3", NODE.id, frames.CH_ECG) == found
    assert sizes == [20, 20], "all but the first"


def samples_command(rig):
    result = CliRunner().invoke(
        commands.command, ["samples", "--state", str(rig.folder), "--node", NODE.id.hex()]
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return [json.loads(line) for line in result.output.splitlines()], result.exit_code


def test_a_block_of_another_codec_is_shown_without_samples(rig):
    """Also when it would parse: its samples would be made up."""
    good = list(range(20))
    other = [wave_entry(1, good, codec=1), wave_entry(2, good, codec=200, data=b"\xff"), wave_entry(3, good)]
    rig.receipt(Chain().make(other))
    found, status = samples_command(rig)
    assert status == 0
    assert [(one["seq"], one["codec"], one["samples"]) for one in found] == [
        (1, 1, None),
        (2, 200, None),
        (3, waveform.CODEC, good),
    ]
    assert not any("error" in one for one in found)


def test_what_is_damaged_is_told_and_costs_nothing_else(rig):
    good = list(range(20))
    damaged = wave_entry(1, good, data=waveform.encode(good, 20)[:-1])
    rig.receipt(Chain().make([damaged, *(wave_entry(seq, good) for seq in (2, 3, 4, 5))]))
    rig.store.db.execute("UPDATE frames SET plaintext = ? WHERE seq = 3", (b"\xff",))
    rig.store.db.execute("UPDATE frames SET plaintext = ? WHERE seq = 4", (vitals(4),))
    found, status = samples_command(rig)
    assert status == 1
    assert [one.get("samples", "?") for one in found] == [None, good, "?", "?", good]
    assert "the block ends in sample" in found[0]["error"] and found[0]["t_us"] == 80_000
    assert set(found[2]) == {"boot", "seq", "error"} == set(found[3])
    assert "not CBOR" in found[2]["error"] and "a frame of kind 3" in found[3]["error"]


def test_a_report_moves_no_cursor(rig):
    report = rig.verify()
    report.problems.append("said \x1b[2J")
    assert "PROBLEM said \\x1b[2J" in commands_read._as_text(report).splitlines()


def test_a_store_that_is_none_says_what_to_do(tmp_path):
    path = tmp_path / "collector.sqlite3"
    path.write_bytes(b"not a database, but long enough to be taken for the header of one" * 20)
    with pytest.raises(StoreError, match="move it away") as caught:
        Store(path)
    assert caught.value.path == path


def test_what_another_agent_has_is_not_called_evicted(rig):
    loss = frames.pack(frames.KIND_LOSS, 1, {frames.LOSS_RANGES: [[1, 2, frames.LOSS_ELSEWHERE]]})
    rig.receipt(Chain().make([frame(0), frame(3, loss)]))
    row = rig.verify().boots[0]
    assert (row.evicted, row.missing) == (0, 2)


def test_records_of_people_are_kept_with_their_batch(rig):
    assignment = records.make_assignment(AGENT, NODE.id, bytes(16), 1, 2, b"record-1")
    manual = records.make_manual(AGENT, bytes(16), [(1, 720)], 1, 2, b"record-2")
    entries = [batch.assignment_entry(assignment), batch.manual_entry(manual), cbor.dumps([77, "later"])]
    rig.receipt(Chain().make([NODE_KEYS, *entries, frame(0)]))
    report = rig.verify()
    assert report.sound and report.frames == 1, report.problems

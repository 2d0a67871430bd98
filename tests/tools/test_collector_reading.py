"""What is read back out of the collector's store, and what it says when that cannot be."""

from types import SimpleNamespace

import pytest

from protocol import batch, cbor, frames, records, waveform, waveform_compiled
from tests.tools.collector_rig import (
    AGENT,
    BOOT,
    COLLECTOR,
    NODE,
    NODE_KEYS,
    NOW,
    Chain,
    Rig,
    frame,
    vitals,
)
from tools.collector import query, verify
from tools.collector.store import Store, StoreError


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    yield rig
    rig.store.close()


def test_verify_finds_a_changed_store(rig):
    chain = Chain()
    rig.receipt(chain.make([NODE_KEYS, frame(0), frame(1)]))
    rig.receipt(chain.make([frame(2)]))
    assert rig.verify().sound
    rig.store.db.execute("UPDATE frames SET plaintext = ? WHERE seq = 1", (vitals(1, 601),))
    assert "not those that were signed" in rig.verify().problems[0]
    rig.store.db.execute("UPDATE frames SET plaintext = ? WHERE seq = 1", (vitals(1),))
    rig.store.db.execute("DELETE FROM frames WHERE seq = 2")
    assert "0 of 1 entries are here" in rig.verify().problems[0]


def test_verify_needs_the_agents_key(rig):
    rig.receipt(Chain().make([frame(0)]))
    report = verify.verify(rig.store, COLLECTOR.ed_pub, lambda agent: None)
    assert "not known here" in report.problems[0]


def test_evicted_and_missing_frames_are_told_apart(rig):
    loss = frames.pack(frames.KIND_LOSS, 1, {frames.LOSS_RANGES: [[1, 2, frames.LOSS_OUTBOX_FULL]]})
    rig.receipt(Chain().make([frame(0), frame(4, loss), frame(6)]))
    row = rig.verify().boots[0]
    assert (row.stored, row.highest, row.evicted, row.missing) == (3, 6, 2, 2)


def test_waves_are_read_back_in_the_order_of_measurement(rig, monkeypatch):
    later_boot = (2).to_bytes(4, "big") + bytes(8)
    entries = []
    for boot, seq, first in ((later_boot, 1, 40), (BOOT, 2, 20), (BOOT, 1, 0)):
        samples = list(range(first, first + 20))
        body = {
            frames.WAVE_CHANNEL: frames.CH_ECG,
            frames.WAVE_COUNT: 20,
            frames.WAVE_PERIOD_NS: 4_000_000,
            frames.WAVE_LSB: 3052,
            frames.WAVE_CODEC: waveform.CODEC,
            frames.WAVE_DATA: waveform.encode(samples, 20),
            frames.SOURCE: frames.SRC_SYNTHETIC,
        }
        plaintext = frames.pack(frames.KIND_WAVE, seq * 80_000, body)
        entries.append(batch.frame_entry(NODE.id, boot, seq, plaintext, NOW))
    rig.receipt(Chain().make(entries))
    found = query.samples(rig.folder / "collector.sqlite3", NODE.id, frames.CH_ECG)
    assert [f[:3] for f in found] == [
        (80_000, 4_000_000, 3052),
        (160_000, 4_000_000, 3052),
        (80_000, 4_000_000, 3052),
    ]
    assert [x for f in found for x in f[3]] == list(range(60))
    (wave, *_) = query.waves(rig.store, NODE.id, frames.CH_ECG)
    assert wave.source == frames.SRC_SYNTHETIC

    sizes = []

    def compiled(data, n):
        sizes.append(n)
        return waveform_compiled.decode(data, n)

    monkeypatch.setattr(query, "waveform_compiled", SimpleNamespace(decode=compiled))
    monkeypatch.setattr(query, "BULK", 1)
    assert query.samples(rig.folder / "collector.sqlite3", NODE.id, frames.CH_ECG) == found
    assert sizes == [20, 20], "all but the first"


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

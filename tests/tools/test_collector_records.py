"""Records of people reach the collector: stored as they were signed, and proved with their batch."""

from protocol import batch, cbor, records
from tests.tools.collector_rig import NODE_KEYS, Chain, frame
from tools.vectors.keys import AGENT, AUTHORITY
from tools.vectors.records import assignment, manual


def test_records_are_stored_as_they_were_signed(rig):
    later = cbor.dumps([60, "an entry of a later version"])
    entries = [NODE_KEYS, batch.assignment_entry(assignment()), frame(0), batch.manual_entry(manual()), later]
    receipt = rig.receipt(Chain().make(entries))
    assert (receipt.stored, receipt.duplicates) == (5, 0)
    kept = [entry for (entry,) in rig.store.db.execute("SELECT entry FROM statements ORDER BY position")]
    assert kept == [entries[0], entries[1], entries[3], entries[4]]
    assert records.open_record(batch.parse_entry(kept[1])[1], AUTHORITY.ed_pub)["record"] == "assignment"
    assert records.open_record(batch.parse_entry(kept[2])[1], AGENT.ed_pub)["record"] == "manual"
    assert rig.verify().sound


def test_a_changed_record_in_the_store_is_found(rig):
    rig.receipt(Chain().make([batch.assignment_entry(assignment()), frame(0)]))
    rig.store.db.execute(
        "UPDATE statements SET entry = ? WHERE position = 0", (batch.manual_entry(manual()),)
    )
    assert not rig.verify().sound


def test_a_batch_with_something_else_in_a_record_s_place_is_refused(rig):
    assert rig.refusal(Chain().make([batch.assignment_entry(manual())])) == "malformed_batch"
    assert rig.status["batches"] == 0

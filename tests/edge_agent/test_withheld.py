"""Several far ends: whose receipts free a batch, what one of them may not have, and that it goes later."""

import pytest

from edge_agent.cli.shown import ledger_lines
from edge_agent.custody.custody import Custody
from edge_agent.keys import PublicKeys
from edge_agent.ledger.ledger import ledger
from edge_agent.store.schema import ENTRY_FRAME, GONE_ERASED, GONE_RETENTION
from protocol import attest, entries, merkle, receipts
from protocol import batch as wire
from tests.edge_agent.custody_kit import AGENT, BOOT, NODE, Kit
from tests.edge_agent.fakes import StubCollector, missing


class Two(Kit):
    """A kit with a second far end, `file`, and frames that `barred` names kept from a forwarder."""

    required = frozenset({"mqtt", "file"})
    forwarders = required | {"fhir"}

    def open(self):
        super().open()
        if not hasattr(self, "barred"):
            self.second = StubCollector(AGENT, 98)
            self.barred: dict[str, set[int]] = {}
        keys = [PublicKeys(*far.identity.public()) for far in (self.far, self.second)]
        self.custody = Custody(
            self.store, AGENT, keys[0], 20_000, self.clock, {"file": keys[1]}, withhold=self.withholds
        )
        self.custody.chain.decide(self.forwarders, self.required)
        return self

    def withholds(self, forwarder, rows):
        barred = self.barred.get(forwarder, set())
        return {row.id for row in rows if row.kind == ENTRY_FRAME and row.seq in barred}

    def send(self, forwarder: str, *batches: int):
        far = self.far if forwarder == "mqtt" else self.second
        answers = [far.take("batch", self.custody.message(forwarder, batch)) or b"" for batch in batches]
        return [self.custody.take(answer, forwarder) for answer in answers]

    def counted(self) -> tuple[int, int]:
        totals = self.store.ledger().totals
        return totals["delivered"], totals["pending"]

    def take(self, batch: int, seq: int, gone: int) -> None:
        (row,) = [row for row in self.custody.chain.rows(self.custody.chain.batch(batch)) if row.seq == seq]
        leaf = merkle.leaf_hash(entries.frame_entry(NODE.id, BOOT, seq, row.data, row.made_ms))
        seen = merkle.leaf_hash(attest.leaf(BOOT, seq, row.data))
        sql = "UPDATE journal SET data = NULL, gone = ?, leaf = ?, attested = ? WHERE id = ?"
        self.store.db.execute(sql, (gone, leaf, seen, row.id))
        self.custody.forget()

    def noted(self, forwarder="mqtt") -> int:
        return self.store.db.value("SELECT count(*) FROM withheld WHERE forwarder = ?", (forwarder,))

    def freeable(self) -> list[int]:
        rows = self.store.db.execute("SELECT id FROM batches WHERE delivered = 1 ORDER BY id")
        return [batch for (batch,) in rows]


@pytest.fixture
def kit(tmp_path):
    kit = Two(tmp_path / "agent.db")
    kit.ask()
    yield kit
    kit.store.close()


def test_every_required_far_end_has_to_give_its_receipt(kit):
    kit.frames(4)
    (batch,) = kit.make()
    assert kit.send("mqtt", batch)[0].new and kit.freeable() == [] and kit.counted() == (0, 4)
    assert kit.custody.chain.unreceipted("mqtt", 9) == []
    assert kit.custody.chain.unreceipted("file", 9) == [batch] == kit.custody.chain.unreceipted("fhir", 9)
    kit.reopen()
    assert kit.counted() == (0, 4)
    assert kit.send("file", batch)[0].new and kit.freeable() == [batch] and kit.counted() == (4, 0)
    kept = kit.store.db.execute("SELECT forwarder FROM receipts ORDER BY forwarder").fetchall()
    assert kept == [("file",), ("mqtt",)]


def test_a_receipt_of_one_far_end_counts_for_no_other(kit):
    kit.frames(1)
    (batch,) = kit.make()
    answer = kit.far.take("batch", kit.custody.message("mqtt", batch))
    assert kit.custody.take(answer, "file").cause == "bad_signature"
    assert kit.custody.chain.unreceipted("file", 9) == [batch]


def test_where_none_is_required_any_receipt_counts(kit):
    kit.custody.chain.decide(frozenset({"mqtt", "file"}), frozenset())
    kit.frames(2)
    kit.send("file", *kit.make())
    assert kit.freeable() == [1] and kit.counted() == (2, 0)


def test_who_is_no_longer_required_is_not_waited_for(kit):
    kit.frames(3)
    kit.send("mqtt", *kit.make())
    assert kit.counted() == (0, 3)
    kit.custody.chain.decide(frozenset({"mqtt"}), frozenset({"mqtt"}))
    assert kit.freeable() == [1] and kit.counted() == (3, 0)


def test_what_may_not_go_is_left_out_and_stays_pending(kit):
    kit.barred = {"mqtt": {1, 2}}
    kit.frames(5)
    (batch,) = kit.make()
    assert kit.send("mqtt", batch)[0].what == "receipt" and kit.send("file", batch)[0].what == "receipt"
    (there,) = kit.far.batches.values()
    (other,) = kit.second.batches.values()
    assert len(missing(there)) == 2 and missing(other) == [] and there.leaves == other.leaves
    assert {seq for *_, seq in kit.far.frames} == {0, 3, 4}
    assert kit.noted() == 2 and kit.counted() == (3, 2)
    told = kit.store.ledger()
    assert told.withheld == {"mqtt": 2} == ledger(kit.path).withheld == told.as_dict()["withheld"]
    line = "mqtt: 2 entries are withheld from it for want of consent, and pending while it is required"
    assert line in "\n".join(ledger_lines(told))
    kit.reopen()
    assert kit.counted() == (3, 2)


def test_what_was_agreed_to_later_goes_later_and_once(kit):
    kit.barred = {"mqtt": {1, 2, 7}}
    for _ in range(2):
        kit.frames(5)
        (batch,) = kit.make()
        kit.send("mqtt", batch)
        kit.send("file", batch)
    assert kit.custody.released("mqtt", 0, 100)[0] == [] and kit.counted() == (7, 3)
    kit.barred = {"mqtt": {7}}
    kit.reopen()
    batches, after = kit.custody.released("mqtt", 0, 100)
    assert batches == [1] and kit.custody.released("mqtt", after, 100) == ([], None)
    assert kit.send("mqtt", 1)[0].new
    assert kit.counted() == (9, 1) and kit.noted() == 1 and kit.far.duplicates == 0
    assert {seq for *_, seq in kit.far.frames} == set(range(10)) - {7}
    assert kit.custody.released("mqtt", 0, 100)[0] == []
    kept = [kit.custody.chain.receipt(batch, "mqtt") for batch in (1, 2)]
    assert [receipts.verify_receipt(one, kit.far.identity.ed_pub).left_out for one in kept] == [0, 1]


def test_a_piece_at_a_time_all_that_was_released_is_found(kit):
    kit.barred = {"mqtt": set(range(40))}
    for _ in range(10):
        kit.frames(4)
        kit.make()
    kit.send("mqtt", *range(1, 11))
    kit.barred = {}
    found, after = [], 0
    while after is not None:
        batches, after = kit.custody.released("mqtt", after, 7)
        found += batches
    assert sorted(set(found)) == list(range(1, 11))


def test_an_old_receipt_does_not_pass_for_the_new_one(kit):
    """Consent comes between a batch's leaving and its receipt: the receipt is for the batch with holes."""
    kit.barred = {"mqtt": {1}}
    kit.frames(3)
    (batch,) = kit.make()
    answer = kit.far.take("batch", kit.custody.message("mqtt", batch))
    kit.barred = {}
    assert kit.custody.take(answer, "mqtt").cause == "incomplete"
    assert kit.counted() == (0, 3) and kit.custody.chain.unreceipted("mqtt", 9) == [batch]
    assert kit.send("mqtt", batch)[0].what == "receipt" and kit.noted() == 0


def test_a_receipt_that_comes_again_delivers_nothing(kit):
    """A broker, or a medium that is read once more, brings it when other entries are gone as well."""
    kit.barred = {"mqtt": {1}}
    kit.frames(3)
    (batch,) = kit.make()
    answer = kit.far.take("batch", kit.custody.message("mqtt", batch))
    assert kit.custody.take(answer, "mqtt").new and kit.send("file", batch)
    kit.take(batch, 2, GONE_RETENTION)
    for _ in range(2):
        assert kit.custody.take(answer, "mqtt") == ("receipt", batch, "", "", None, False, (), False)
        assert kit.counted() == (2, 1) and kit.noted() == 1
        kit.reopen()
    kit.barred = {}
    assert kit.custody.released("mqtt", 0, 9)[0] == [batch]
    assert kit.send("mqtt", batch)[0].new and kit.noted() == 0 and kit.counted() == (3, 0)
    assert {seq for *_, seq in kit.far.frames} == {0, 1, 2}


@pytest.mark.parametrize("restarted", [False, True])
def test_a_receipt_is_for_what_had_left_and_not_for_what_may_go_by_now(kit, restarted):
    """Carried on a medium it takes days: meanwhile one entry was erased, and another may go."""
    kit.barred = {"mqtt": {1}}
    kit.frames(3)
    (batch,) = kit.make()
    answer = kit.far.take("batch", kit.custody.message("mqtt", batch))
    kit.barred = {}
    kit.take(batch, 2, GONE_ERASED)
    if restarted:
        kit.reopen()
    assert kit.custody.take(answer, "mqtt").new and kit.noted() == 1
    assert kit.custody.released("mqtt", 0, 9)[0] == [batch]
    assert kit.send("mqtt", batch)[0].new and kit.noted() == 0
    assert {seq for *_, seq in kit.far.frames} == {0, 1, 2}


def test_a_collector_that_lacks_what_it_was_given_has_not_received_it(kit):
    kit.frames(3)
    (batch,) = kit.make()
    clear = wire.open_batch(kit.custody.message("mqtt", batch), kit.far.identity)[1]
    told = wire.parse_batch(clear, AGENT.ed_pub, AGENT.id)
    said = (AGENT.id, told.chain_id, told.number, told.head_hash, told.count - 1, 0, 1)
    answer = receipts.make_receipt(kit.far.identity, *said, left_out=1)
    assert kit.custody.take(answer, "mqtt").cause == "incomplete"
    answer = receipts.make_receipt(kit.far.identity, *said, left_out=2)
    assert kit.custody.take(answer, "mqtt").cause == "wrong_count"


def test_what_is_gone_before_it_was_delivered_is_a_hole(kit):
    kit.frames(3)
    (batch,) = kit.make()
    kit.take(batch, 1, GONE_ERASED)
    assert kit.send("mqtt", batch)[0].what == "receipt"
    assert len(missing(kit.far.batches[next(iter(kit.far.batches))])) == 1


def test_a_forwarder_that_reads_entries_confirms_them(kit):
    kit.barred = {"fhir": {0}}
    kit.frames(3)
    (batch,) = kit.make()
    rows, held = kit.custody.rows("fhir", batch)
    assert [row.data is None for row in rows] == [True, False, False] and len(held) == 1
    assert kit.custody.confirm("fhir", batch, b"201 Created", held)
    assert kit.custody.chain.unreceipted("fhir", 9) == [] and kit.custody.chain.cursor("fhir") == batch
    assert kit.noted("fhir") == 1 and not kit.custody.confirm("fhir", batch, b"201 Created", held)
    kit.barred = {}
    assert kit.custody.released("fhir", 0, 9)[0] == [batch]
    rows, held = kit.custody.rows("fhir", batch)
    assert all(row.data for row in rows) and kit.custody.confirm("fhir", batch, b"200 OK", held)
    assert kit.noted("fhir") == 0 and kit.custody.chain.receipt(batch, "fhir") == b"200 OK"
    kit.custody.dead_letter("fhir", batch, "Observation 3", "422: no such code")
    kit.reopen()
    assert kit.custody.chain.counts["dead_letters"] == 1


def test_batches_are_read_and_encoded_once(kit, monkeypatch):
    kit.frames(3)
    read = []
    real = kit.custody.chain.rows
    monkeypatch.setattr(kit.custody.chain, "rows", lambda batch: read.append(batch.id) or real(batch))
    (batch,) = kit.make()
    kit.custody.message("mqtt", batch)
    kit.custody.message("file", batch)
    assert read == []
    kit.custody.forget()
    kit.custody.message("mqtt", batch)
    assert read == [batch]

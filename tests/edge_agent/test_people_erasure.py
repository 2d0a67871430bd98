"""Erasing a person: what was measured on them goes, whenever it came; what is others' stays, proved."""

import shutil

import pytest

from edge_agent.custody import prove
from edge_agent.custody.verify import verify
from edge_agent.keys import PublicKeys
from edge_agent.people.erasure import Erasure
from edge_agent.people.operators import Operators
from edge_agent.people.records import People
from edge_agent.store.database import Database
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.items import Entry, Frame
from edge_agent.store.keys import unlock
from edge_agent.store.rows import SealBroken, frames_of, journal_rows
from protocol import attest, crypto, frames, merkle, proof
from protocol import batch as wire
from tests.edge_agent.custody_kit import AGENT, BOOT, NODE, Kit
from tests.edge_agent.people_kit import ADA, BOB, HOUR, NOW, OPERATOR, assigned, erased, typed

KEYS = PublicKeys(*AGENT.public())
SECOND_US = 1_000_000
HERS, HIS = b"the rhythm of ada", b"the rhythm of bob"


def log_frame(t_s: int, text: bytes) -> bytes:
    return frames.pack(frames.KIND_LOG, t_s * SECOND_US, {1: 1, 2: text.decode()})


class World(Kit):
    """A node that was Ada's for an hour, and then Bob's; half of what was measured on Ada came when it was
    Bob's already. The node signs over all of it.
    """

    def __init__(self, folder) -> None:
        super().__init__(folder / "agent.db", collector=False)
        operators = Operators(folder / "operators")
        operators.add("ward", PublicKeys(*OPERATOR.public()))
        self.people = People(self.store, operators)
        self.people.put(assigned(ADA, NOW, NOW + HOUR, node=NODE.id, made_ms=NOW), NOW)
        attester = attest.Attester(NODE, BOOT)
        # Seconds since boot: of each, of the other, and one that may have been either's.
        moments = [*range(10, 30), *range(3700, 3720), 3600]
        self.plain = [log_frame(second, self.text(seq, second)) for seq, second in enumerate(moments)]
        for seq, plain in enumerate(self.plain):
            attester.add(seq, plain)
        self._put(range(10))
        self.store.commit([Entry(2, wire.clock_entry(NODE.id, BOOT, 0, NOW * 1000, 0, 5000), NOW)])
        self.people.put(typed(ADA, note="typed of ada"), NOW)
        self.make()
        self.people.put(assigned(BOB, NOW + HOUR, node=NODE.id), NOW)
        self.people.rekey(NOW + HOUR + 1)
        self._put(range(10, 41))
        body = crypto.run(attester.sign_steps(0))
        sealed = frames.pack(frames.KIND_ATTEST, 3800 * SECOND_US, body)
        self.store.commit([Frame(NODE.id, BOOT, 41, sealed, NOW + HOUR)])
        self.people.put(typed(BOB, note="typed of bob"), NOW + HOUR + 1)
        self.make()
        self.store.commit([Frame(NODE.id, BOOT, 42, log_frame(40, HERS + b" unsigned"), NOW + HOUR)])

    @staticmethod
    def text(seq: int, second: int) -> bytes:
        return b"between" if second == 3600 else (HERS if second < 3600 else HIS) + b" %d" % seq

    def _put(self, which) -> None:
        self.store.commit([Frame(NODE.id, BOOT, n, self.plain[n], NOW + HOUR) for n in which])

    def in_clear(self) -> bytes:
        """Every entry that is left, opened."""
        rows = journal_rows(self.store.db, 1, self.store.last_journal)
        return b"\n".join(row.data for row in rows if row.data is not None)

    def erase(self, person=ADA, now=NOW + HOUR) -> Erasure:
        self.people.put(erased(person, now), now)
        return Erasure(self.store, self.people.state, person)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.store.close()


def finish(erasure: Erasure) -> int:
    while erasure.step():
        pass
    return erasure.erased


def test_what_was_measured_on_her_goes_whenever_it_came_and_his_stays(world) -> None:
    before = world.in_clear()
    assert before.count(HERS) == 21 and before.count(HIS) == 20 and b"typed of ada" in before
    assert finish(world.erase()) == 20 + 1 + 1 + 1, (
        "frames, one that may be hers, one unsigned, what was typed"
    )
    left = world.in_clear()
    assert HERS not in left and b"between" not in left and b"typed of ada" not in left
    assert left.count(HIS) == 20 and b"typed of bob" in left


def test_no_byte_of_hers_is_left_in_the_file_under_its_key(world) -> None:
    keys = [key for (key,) in world.store.db.execute("SELECT key FROM data_keys WHERE person = ?", (ADA,))]
    sealed = [
        data for (data,) in world.store.db.execute("SELECT data FROM journal WHERE kind = 0 AND seq < 20")
    ]
    finish(world.erase())
    copy = world.path.with_name("copy.db")
    shutil.copy(world.path, copy)
    db = Database(copy, unlock(world.path))
    db.pragma("journal_mode", "delete")
    db.pragma("hexrekey", "")
    db.close()
    found = copy.read_bytes()
    assert len(keys) == 2 and not [key for key in keys if key in found]
    assert len(sealed) == 20 and not [data for data in sealed if data in found]
    assert world.path.with_name("agent.db-wal").stat().st_size == 0


def test_the_chain_and_what_the_node_signed_verify_afterwards(world) -> None:
    finish(world.erase())
    world.make()
    told = verify(world.path, KEYS, None)
    assert all(result.good for result in told), [result.sentence for result in told if not result.good]
    whole = " ".join(result.sentence for result in told)
    assert "1 chain," in whole
    found = list(frames_of(world.store.db, 1, 0, 41))
    leaves = [
        row.attested or merkle.leaf_hash(attest.leaf(BOOT, row.seq, row.data))
        for row in found
        if row.seq < 41
    ]
    body = frames.unpack(found[41].data)[2]
    assert sum(row.data is None for row in found) == 21 and merkle.root(leaves) == body[attest.ROOT]
    message = attest.attested_message(NODE.id, BOOT, 0, 41, body[attest.ROOT])
    assert crypto.run(crypto.ed25519_verify_steps(NODE.ed_pub, message, body[attest.SIGNATURE]))


def test_his_frames_of_the_same_batch_and_range_are_proved_afterwards(world) -> None:
    finish(world.erase())
    made = prove.make(world.store.db, KEYS, NODE.id, "1", 25)
    proved = proof.verify_proof(made, proof.Party(NODE.ed_pub), proof.Party(AGENT.ed_pub, AGENT.id))
    assert HIS in proved.plaintext and proved.attested
    with pytest.raises(prove.ProveError, match="erased"):
        prove.make(world.store.db, KEYS, NODE.id, "1", 5)


def test_an_entry_that_cannot_be_opened_is_named_and_the_rest_goes(world, caplog) -> None:
    world.store.db.execute("UPDATE journal SET data = zeroblob(64) WHERE kind = 0 AND seq = 7")
    with pytest.raises(SealBroken):
        finish(world.erase())
    assert "entry 10: its seal under data key" in caplog.text
    world.store.db.execute("UPDATE journal SET data = NULL WHERE kind = 0 AND seq = 7")
    assert HERS not in world.in_clear() and world.in_clear().count(HIS) == 20


def test_whoever_is_cut_off_begins_again(world, monkeypatch) -> None:
    erasure = world.erase()
    real = world.store.erase
    calls = []

    def failing(ids):
        calls.append(ids)
        if len(calls) == 2:
            raise StoreUnwritable(world.path, "the disk is full")
        return real(ids)

    with monkeypatch.context() as broken:
        broken.setattr(world.store, "erase", failing)
        with pytest.raises(StoreUnwritable):
            finish(erasure)
    assert HERS in world.in_clear() and b"typed of ada" not in world.in_clear()
    world.reopen()
    people = People(world.store, Operators(world.path.parent / "operators"))
    assert finish(Erasure(world.store, people.state, ADA)) == 22
    assert HERS not in world.in_clear()
    assert finish(Erasure(world.store, people.state, ADA)) == 0


def test_what_comes_late_is_erased_too(world) -> None:
    finish(world.erase())
    world.store.commit([Frame(NODE.id, BOOT, 50, log_frame(50, HERS + b" late"), NOW + 2 * HOUR)])
    assert HERS in world.in_clear()
    assert finish(Erasure(world.store, world.people.state, ADA)) == 1
    assert HERS not in world.in_clear() and world.in_clear().count(HIS) == 20


def test_the_record_of_it_is_in_the_chain(world) -> None:
    finish(world.erase())
    kinds = [kind for (kind,) in world.store.db.execute("SELECT kind FROM journal WHERE kind = 8")]
    assert kinds == [8]
    again = People(world.store, Operators(world.path.parent / "operators"))
    assert again.state.erased_at(ADA) == NOW + HOUR and not again.unbelieved


def test_a_second_content_goes_though_the_first_is_gone_already(world) -> None:
    """Room was made, or her first erasure was done, when the number came again with other content."""
    hers, his = log_frame(15, HERS + b" again"), log_frame(3705, HIS + b" again")
    world.store.db.execute("UPDATE journal SET data = NULL, gone = 2, leaf = x'00' WHERE seq IN (5, 25)")
    again = {5: hers, 6: hers, 25: his}
    world.store.commit([Frame(NODE.id, BOOT, seq, plain, NOW + HOUR) for seq, plain in again.items()])
    world.store.db.execute("DELETE FROM journal WHERE seq = 6")
    contents = "SELECT data FROM conflicts ORDER BY data"
    assert len(world.store.db.execute(contents).fetchall()) == 3
    finish(world.erase())
    assert world.store.db.execute(contents).fetchall() == [(his,)]
    world.store.commit([Frame(NODE.id, BOOT, 7, hers, NOW + HOUR)])
    finish(Erasure(world.store, world.people.state, ADA))
    assert world.store.db.execute(contents).fetchall() == [(his,)]


def test_when_she_had_an_alarm_goes_too_and_no_id_of_a_strip_is_given_twice(world) -> None:
    strip = (
        "INSERT INTO strips(command, node, boot, channel, from_us, to_us, frames, made_ms) "
        "VALUES(?, ?, ?, 0, ?, ?, x'80', ?)"
    )
    alarm = (
        "INSERT INTO alarm_windows(node, boot, alarm, priority, seq, at_us, heard_ms) "
        "VALUES(?, ?, ?, 1, 1, ?, ?)"
    )
    db = world.store.db
    # Hers, one that may be either's, his, and hers, which is the newest.
    for n, second in enumerate((20, 3600, 3700, 25)):
        at = second * SECOND_US
        db.execute(strip, (b"%d" % n, NODE.id, BOOT, at, at + SECOND_US, NOW))
        db.execute(alarm, (NODE.id, BOOT, n, at, NOW))
    finish(world.erase())
    assert [row for (row,) in db.execute("SELECT id FROM strips ORDER BY id")] == [3, 4]
    assert [n for (n,) in db.execute("SELECT alarm FROM alarm_windows")] == [2]
    db.execute(strip, (b"later", NODE.id, BOOT, 3800 * SECOND_US, 3801 * SECOND_US, NOW))
    finish(Erasure(world.store, world.people.state, ADA))
    assert [row for (row,) in db.execute("SELECT id FROM strips ORDER BY id")] == [3, 5]

"""Whoever has the store's key changes one value, drops, inserts or reorders a row: `verify` names it.

Every column of every table is changed once, in one row that has a value there. What may change unseen is
listed with the reason; a table or column that is new fails here until it is in one of the two.
"""

import shutil
from contextlib import closing

import pytest

from edge_agent.custody import signing
from edge_agent.custody.custody import Custody
from edge_agent.custody.verify import verify
from edge_agent.keys import PublicKeys
from edge_agent.people.operators import Operators
from edge_agent.people.records import People
from edge_agent.store import details
from edge_agent.store.database import connect
from edge_agent.store.items import Entry, Frame, Hello
from edge_agent.store.keys import unlock
from edge_agent.store.opening import open_store
from protocol import batch as wire
from protocol import cbor, crypto, entries, frames, receipts
from protocol.attest import Attester
from tests.edge_agent.fakes import StubCollector, identity
from tests.edge_agent.people_kit import OPERATOR, assigned, consented

AGENT, NODE, FAR = identity(7), identity(8), identity(99)
BOOT, BEFORE = b"\0\0\0\2" + bytes(8), b"\0\0\0\1" + bytes(8)
NOW = 1_790_000_000_000
KEYS = PublicKeys(*AGENT.public())
FAR_KEYS = PublicKeys(*FAR.public())

CLOCK = "a moment by this machine's clock, that no signature holds"
STATE = "what still has to be done, not what was: a wrong value costs a transfer or a refusal"
COUNT = "counted for the ledger; `vitalwire store check` counts anew"
NOT_EVIDENCE = {
    "meta.value": "of the row that is changed: the store's name, matched with the mark beside it",
    "meta.key": STATE,
    "nodes.counter": STATE,
    "nodes.conn": STATE,
    "boots.next_seq": "what the node said that it holds: nothing signs it",
    "boots.held": "what the node said that it holds: nothing signs it",
    "boots.listed": "what the node said that it holds: nothing signs it",
    "boots.live_ms": CLOCK,
    "boots.heard_ms": CLOCK,
    "boots.resent": COUNT,
    "boots.conflicts": COUNT,
    "boots.examined": STATE,
    "boots.stored": COUNT,
    "boots.delivered": COUNT,
    "boots.evicted": COUNT,
    "data_keys.id": "of a key that seals nothing",
    "data_keys.node": STATE,
    "data_keys.person": STATE,
    "data_keys.begun_ms": CLOCK,
    "data_keys.ended_ms": CLOCK,
    "data_keys.destroyed_ms": CLOCK,
    "stated.id": "its order only",
    "summaries.id": "its order only",
    "conflicts.boot": "what came again with other content is signed by nobody; the first stands",
    "conflicts.seq": "what came again with other content is signed by nobody; the first stands",
    "conflicts.data": "what came again with other content is signed by nobody; the first stands",
    "conflicts.received_ms": CLOCK,
    "chains.id": "its order only",
    "chains.begun_ms": CLOCK,
    "batches.id": "its order only, when the order stays",
    "batches.delivered": "to 0: it is delivered once more; to 1 without a receipt is found",
    "batches.pruned": STATE,
    "batches.freed": STATE,
    "receipts.at_ms": CLOCK,
    "dead_letters.id": "its order only",
    "dead_letters.forwarder": "a note of what a far end refused: nothing signs it",
    "dead_letters.batch": "a note of what a far end refused: nothing signs it",
    "dead_letters.item": "a note of what a far end refused: nothing signs it",
    "dead_letters.reason": "a note of what a far end refused: nothing signs it",
    "dead_letters.at_ms": CLOCK,
    "evictions.id": "its order only",
    "evictions.delivered": COUNT,
    "evictions.journal": "a pointer to the statement, which is signed",
    "details.node": "what an erasure looks for: nobody signs it",
    "details.since_ms": CLOCK,
    "details.made_ms": CLOCK,
    "withheld.journal": "which of a batch's entries: the receipt signs only how many it lacks",
    "signers.id": "its order only, when the order stays",
    "signers.begun_ms": CLOCK,
    "forks.seen_ms": CLOCK,
    "counters.name": COUNT,
    "counters.count": COUNT,
}
# Commands and strips are answered and stated in the chain; these tables are the work at hand.
WORK = ("alarm_windows", "commands", "strips")
# The moment of an entry that is no frame is not signed with it.
UNSIGNED_MOMENT = "kind != 0 AND id NOT IN (SELECT journal FROM records WHERE journal NOTNULL)"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A store in which every table that is evidence has a row, and `verify` finds nothing wrong."""
    folder = tmp_path_factory.mktemp("tamper")
    path = folder / "agent.db"
    store, _ = open_store(path, AGENT.id, 1)
    far = StubCollector(AGENT)
    barred: set[int] = set()

    def withhold(_, rows):
        return {row.id for row in rows if row.seq in barred}

    key = folder / "agent.key"
    custody = Custody(
        store, AGENT, FAR_KEYS, 1500, lambda: NOW + 5, {}, signing.load(store, AGENT, key, NOW), withhold, key
    )
    custody.chain.decide(frozenset({"mqtt", "fhir"}), frozenset({"mqtt"}))
    custody.take(far.take("ask", custody.question()) or b"", "mqtt")
    store.commit([Hello(NODE.id, *NODE.public(), 2, 1)])
    for _ in range(3):
        write(store, custody, far, barred)
    custody.rotate()
    custody.make()
    custody.confirm("fhir", 1, b"201", set())
    custody.dead_letter("fhir", 1, "an item", "a reason")
    people(store, folder)
    store.declare("store_set_aside", {"why": "a test"}, NOW, None)
    chain = custody.chain.tip
    custody.chain.begin(b"chain--2", wire_cited(custody), "a reason", NOW)
    assert chain is not None
    while custody.make() is not None:
        pass
    forked(custody)
    store.close()
    return path


def wire_cited(custody):
    from edge_agent.store.chain import Cited

    return Cited(*custody.chain.tip)


def write(store, custody, far, barred):
    """Attested frames of all sorts, among them what a node says of itself; signed, sent, receipted."""
    if store.frames:
        (start,) = store.db.execute("SELECT max(seq) + 1 FROM journal WHERE kind = 0").fetchone()
        store.commit([Frame(NODE.id, BOOT, start, frames.pack(frames.KIND_EVENT, start, {1: 9, 2: 0}), NOW)])
    else:
        attester = Attester(NODE, BOOT)
        boot = {1: "0.1", 2: "virtual", 3: 1, 4: list(NODE.public()), 6: [BEFORE, 5, True, 1], 7: [], 8: 1}
        boot[6] = [BEFORE, 5, True, 1]
        texts = [frames.pack(frames.KIND_BOOT, 0, boot)]
        texts += [frames.pack(frames.KIND_LOSS, 1, {1: [[20, 2, 1]]})]
        texts += [frames.pack(frames.KIND_EVENT, n, {1: 9, 2: 0, 3: n}) for n in range(2, 9)]
        for seq, text in enumerate(texts):
            attester.add(seq, text)
        texts.append(frames.pack(frames.KIND_ATTEST, 99, crypto.run(attester.sign_steps(0))))
        said = {"previous": (BEFORE, 5, True, 1)}
        items = [Frame(NODE.id, BOOT, 0, texts[0], NOW, **said)]
        items.append(Frame(NODE.id, BOOT, 1, texts[1], NOW, losses=((20, 2, 1),)))
        items += [Frame(NODE.id, BOOT, seq, text, NOW + seq) for seq, text in enumerate(texts) if seq > 1]
        store.commit(items)
        store.commit([Frame(NODE.id, BOOT, 3, b"something else", NOW)])
        store.commit([Entry(entries.ENTRY_CLOCK, entries.clock_entry(NODE.id, BOOT, 1, 2, 3, 4), NOW)])
        barred.add(4)
    while (made := custody.make()) is not None:
        answer = far.take("batch", custody.message("mqtt", made[0])) or b""
        assert custody.take(answer, "mqtt").what == "receipt"


def people(store, folder):
    operators = folder / "operators"
    operators.mkdir()
    from edge_agent.keys import write_public

    write_public(operators / "one.pub", "operator", PublicKeys(*OPERATOR.public()))
    them = People(store, Operators(operators), "required")
    them.put(assigned(bytes(range(16))), NOW, "a test")
    them.put(consented(bytes(range(16))), NOW, "a test")
    told, row = details.withhold({"text": "what somebody typed"}, NOW, NODE.id)
    store.commit([row, Entry(3, cbor.dumps([3, "ordered", {"details": told}]), NOW)])


def forked(custody):
    """A receipt for another batch with our number: kept as a fork."""
    first = custody.chain.batch(1)
    receipt = receipts.make_receipt(FAR, AGENT.id, first.chain, 0, b"\1" * 32, 1, 0, NOW)
    custody.chain.fork(custody_tip(first), b"\1" * 32, receipt, NOW)


def custody_tip(batch):
    from edge_agent.store.chain import Tip

    return Tip(batch.chain, batch.number, batch.hash)


def failures(path) -> list[str]:
    found = [one.sentence for one in verify(path, KEYS, FAR_KEYS) if not one.good]
    return [text for text in found if "somebody else signs" not in text and "came again" not in text]


def copied(sound, folder):
    for file in sound.parent.glob("*"):
        if file.is_file():
            shutil.copy2(file, folder / file.name)
    return folder / sound.name


def columns(sound) -> list[tuple[str, str]]:
    with closing(connect(sound, unlock(sound))) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return [
            (table, column)
            for table in tables
            if table not in WORK and not table.startswith("sqlite_")
            for _, column, *_ in db.execute(f"PRAGMA table_info({table})").fetchall()
        ]


def changed(value):
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    return value[:-1] + bytes([value[-1] ^ 1]) if value else b"\1"


def test_the_store_is_sound_and_every_table_has_a_row(sound):
    assert failures(sound) == []
    with closing(connect(sound, unlock(sound))) as db:
        empty = [t for t in {t for t, _ in columns(sound)} if not db.value(f"SELECT count(*) FROM {t}")]
    assert sorted(empty) == ["agent_losses", "counters", "evictions", "summaries"]


def test_each_column_of_each_table_is_changed_once(sound, tmp_path):
    """In each kind of row: of the journal one a kind."""
    path = copied(sound, tmp_path)
    missed = []
    there = {f"{table}.{column}" for table, column in columns(sound)}
    assert set(NOT_EVIDENCE) <= there, set(NOT_EVIDENCE) - there
    for table, column in columns(sound):
        kinds = [("", ())]
        if table == "receipts":
            kinds = [(" AND forwarder = ?", ("mqtt",))]
        with closing(connect(path, unlock(path))) as db:
            if table == "journal":
                sorts = db.execute("SELECT DISTINCT kind FROM journal ORDER BY kind").fetchall()
                kinds = [(" AND kind = ?", sort) for sort in sorts]
        for where, which in kinds:
            with closing(connect(path, unlock(path))) as db:
                row = db.execute(
                    f"SELECT rowid, {column} FROM {table} WHERE {column} NOTNULL{where} LIMIT 1"
                    if "WITHOUT ROWID" not in schema(db, table)
                    else f"SELECT NULL, {column} FROM {table} WHERE {column} NOTNULL{where} LIMIT 1",
                    which,
                ).fetchone()
                if row is None:
                    continue
                rowid, value = row
                at = "rowid = ?" if rowid is not None else f"{column} = ? {where}"
                db.execute("BEGIN")
                try:
                    db.execute(
                        f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {at}",
                        (changed(value), *((value, *which) if rowid is None else (rowid,))),
                    )
                    done = db.changes()
                    db.execute("COMMIT")
                except Exception:
                    db.execute("ROLLBACK")
                    raise
            if not done:
                continue
            found = failures(path)
            name = f"{table}.{column}"
            excused = name in NOT_EVIDENCE or (name == "journal.made_ms" and which != (0,))
            if not found and not excused:
                missed.append((name, which))
            copied(sound, tmp_path)
    assert missed == [], missed


def schema(db, table) -> str:
    return db.value("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)) or ""


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("DELETE FROM journal WHERE id = 3", "wrong"),
        ("DELETE FROM journal WHERE id = (SELECT max(id) FROM journal)", "gone"),
        ("UPDATE journal SET id = -id WHERE id IN (3, 4)", "wrong"),
        ("INSERT INTO journal(kind, data, made_ms) VALUES(3, x'8303626161A0', 5)", None),
        ("DELETE FROM batches WHERE id = 1", "cover"),
        ("DELETE FROM batches WHERE id = (SELECT max(id) FROM batches)", "had come further"),
        ("DELETE FROM receipts WHERE forwarder = 'mqtt' AND batch = 1", "cursor"),
        ("DELETE FROM withheld", "not withheld"),
        ("INSERT INTO withheld VALUES('mqtt', 99999)", "withheld that there are not"),
        ("DELETE FROM losses", "losses"),
        ("INSERT INTO losses VALUES(1, 50, 2, 1)", "losses"),
        ("DELETE FROM stated", "stated"),
        ("INSERT INTO agent_losses VALUES(1, 100, 5)", "lost at the agent"),
        ("INSERT INTO evictions VALUES(9, 1, 1, 2, 2, 0, 2, 0, NULL)", "went for reason 2; 2 are noted"),
        ("DELETE FROM announced", "announced"),
        ("DELETE FROM signers", "not of this key"),
        ("DELETE FROM chains WHERE reason IS NOT NULL", "does not begin"),
        ("UPDATE records SET to_ms = 5", "record"),
        (
            "INSERT INTO forks VALUES(x'6161616161616161', 1, zeroblob(32), zeroblob(32), x'00', 5)",
            "nobody's",
        ),
        ("UPDATE journal SET data = NULL, gone = 2 WHERE id = 3", "gone"),
        ("UPDATE batches SET delivered = 1 WHERE id = (SELECT max(id) FROM batches)", "without a receipt"),
    ],
)
def test_rows_that_are_dropped_inserted_or_reordered(sound, tmp_path, sql, named):
    path = copied(sound, tmp_path)
    with closing(connect(path, unlock(path))) as db:
        if "-id" in sql:
            db.execute("UPDATE journal SET id = -1 WHERE id = 3")
            db.execute("UPDATE journal SET id = 3 WHERE id = 4")
            db.execute("UPDATE journal SET id = 4 WHERE id = -1")
        else:
            db.execute(sql)
            assert db.changes()
    found = failures(path)
    if named is None:
        assert found == [] or "one of" in str(found), "an entry that waits to be signed is no forgery"
    else:
        assert found, sql
        assert any(word in str(found) for word in named.split("|")), found


def test_a_batch_signed_by_a_retired_key_is_named(sound, tmp_path):
    """Somebody who found the first key goes on with it where the chain ended."""
    path = copied(sound, tmp_path)
    with closing(connect(path, unlock(path))) as db:
        batch, signed = db.execute("SELECT id, signed FROM batches ORDER BY id DESC LIMIT 1").fetchone()
        head = cbor.loads(signed, 18)[2]
        db.execute("UPDATE batches SET signed = ? WHERE id = ?", (wire.sign_head(AGENT, head), batch))
    assert "is signed by key 0, which was handed over before" in str(failures(path))

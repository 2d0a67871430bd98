"""`verify` must find whatever was changed, and name it in one sentence."""

import os
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge_agent.custody.checking import check
from edge_agent.custody.custody import Custody
from edge_agent.custody.prove import ProveError, make
from edge_agent.custody.verify import verify
from edge_agent.keys import PublicKeys
from edge_agent.store.database import connect, open_file
from edge_agent.store.items import Frame, Hello
from edge_agent.store.keys import unlock
from edge_agent.store.opening import open_store
from edge_agent.store.rows import binding, frames_of, seal
from protocol import cbor, crypto, frames
from protocol.attest import Attester
from tests.edge_agent.custody_kit import Kit
from tests.edge_agent.fakes import StubCollector, identity

AGENT, NODE = identity(7), identity(8)
BOOT = b"\0\0\0\1" + bytes(8)


@pytest.fixture
def path(tmp_path):
    """A store with 70 attested frames in several receipted batches of one chain."""
    path = tmp_path / "agent.db"
    store, _ = open_store(path, AGENT.id, 1)
    far = StubCollector(AGENT)
    custody = Custody(store, AGENT, PublicKeys(*far.identity.public()), 1500, lambda: 5)
    custody.take(far.take("ask", custody.question()) or b"", "mqtt")
    store.commit([Hello(NODE.id, NODE.ed_pub, NODE.x_pub, 1, 1)])
    attester = Attester(NODE, BOOT)
    plaintexts = [frames.pack(frames.KIND_EVENT, n, {1: 9, 2: 0, 3: n}) for n in range(70)]
    for seq, plaintext in enumerate(plaintexts):
        attester.add(seq, plaintext)
    body = crypto.run(attester.sign_steps(0))
    plaintexts.append(frames.pack(frames.KIND_ATTEST, 99, body))
    store.commit([Frame(NODE.id, BOOT, seq, text, 9) for seq, text in enumerate(plaintexts)])
    while (made := custody.make()) is not None:
        answer = far.take("batch", custody.message("mqtt", made[0])) or b""
        assert custody.take(answer, "mqtt").what == "receipt"
    store.close()
    return path


def results(path):
    return verify(path, PublicKeys(*AGENT.public()), PublicKeys(*identity(99).public()))


def failures(path):
    return [r.sentence for r in results(path) if not r.good]


def change(path, sql, *values):
    with closing(connect(path, unlock(path))) as db:
        db.execute(sql, values)
        assert db.changes()


def rewrite(path, text):
    """Frame 33 made another by who has the store's keys."""
    with closing(connect(path, unlock(path))) as db:
        sealed = seal(AESGCM(db.value("SELECT key FROM data_keys")), text, binding(BOOT, 33))
        db.execute("UPDATE journal SET data = ? WHERE seq = 33", (sealed,))


def test_a_frame_whose_seal_is_broken_is_named(path):
    with closing(open_file(path)) as db:
        sealed = db.value("SELECT data FROM journal WHERE seq = 33")
    change(path, "UPDATE journal SET data = ? WHERE seq = 34", sealed)
    assert any("seal under data key 1 is broken" in sentence for sentence in failures(path))


def test_a_sound_store_is_one_good_sentence_a_thing(path):
    found = results(path)
    assert all(r.good for r in found) and len(found) == 11
    assert all(r.sentence.endswith(".") and "\n" not in r.sentence for r in found)
    assert any("over 70 of 71 frames" in r.sentence for r in found)


def test_one_changed_byte_of_a_frame_breaks_the_root_and_the_attestation(path):
    with closing(open_file(path)) as db:
        (data,) = (row.data for row in frames_of(db, 1, 33, 33))
    rewrite(path, data[:-1] + bytes([data[-1] ^ 1]))
    said = failures(path)
    assert len(said) == 2 and "root" in said[0] and "frames 0 to 69" in said[1]


def test_a_frame_made_up_by_the_agent_cannot_pass_for_the_nodes(path):
    text = frames.pack(frames.KIND_EVENT, 33, {1: 9, 2: 0, 3: 3333})
    rewrite(path, text)
    assert "not what the node signed" in failures(path)[1]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE journal SET made_ms = 10 WHERE seq = 3", "roots"),
        ("DELETE FROM journal WHERE seq = 5", "count"),
        ("DELETE FROM batches WHERE number = 1", "does not follow"),
        ("UPDATE batches SET hash = zeroblob(32) WHERE number = 1", "does not follow"),
        ("UPDATE batches SET last_id = last_id + 1 WHERE number = 0", "cover"),
        (
            "UPDATE batches SET signed = (SELECT signed FROM batches WHERE number = 2) WHERE number = 1",
            "counts",
        ),
        (
            "UPDATE receipts SET receipt = (SELECT receipt FROM receipts WHERE batch = 3) WHERE batch = 2",
            "another",
        ),
        ("UPDATE receipts SET receipt = x'd2' WHERE batch = 2", "receipt"),
        ("UPDATE batches SET preamble = x'80' WHERE number = 0", "counts"),
        ("UPDATE batches SET preamble = x'01' WHERE number = 0", "wrong"),
        ("UPDATE nodes SET ed_pub = zeroblob(32)", "unknown node"),
        ("INSERT INTO forks VALUES(x'00', 1, x'01', x'02', x'03', 4)", "fork"),
        ("INSERT INTO conflicts VALUES(1, 1, x'01', 4)", "other content"),
    ],
)
def test_every_other_change_is_found(path, sql, said):
    change(path, sql)
    found = failures(path)
    assert found and any(said in sentence for sentence in found), found


def test_a_signature_by_another_key_is_found(path):
    found = verify(path, PublicKeys(*identity(9).public()), None)
    assert not found[1].good and "signature" in found[1].sentence


def test_receipts_without_a_collectors_key_are_not_taken_on_trust(path):
    found = verify(path, PublicKeys(*AGENT.public()), None)
    assert any(not r.good and "no collector" in r.sentence for r in found)


def test_a_missing_frame_leaves_its_range_unproved_and_says_so(tmp_path):
    path = tmp_path / "agent.db"
    store, _ = open_store(path, AGENT.id, 1)
    attester = Attester(NODE, BOOT)
    texts = [frames.pack(frames.KIND_EVENT, n, {1: 9, 2: 0}) for n in range(4)]
    for seq, text in enumerate(texts):
        attester.add(seq, text)
    texts.append(frames.pack(frames.KIND_ATTEST, 9, crypto.run(attester.sign_steps(0))))
    store.commit([Hello(NODE.id, NODE.ed_pub, NODE.x_pub, 1, 1)])
    store.commit([Frame(NODE.id, BOOT, seq, text, 9) for seq, text in enumerate(texts) if seq != 2])
    store.close()
    (sentence,) = [r.sentence for r in results(path) if "attestation" in r.sentence]
    assert "0 of them" in sentence and "1 more cannot be checked" in sentence


def test_a_damaged_or_missing_store(path, tmp_path):
    assert failures(tmp_path / "none.db")[0].startswith("There is no store")
    os.truncate(path, 5000)
    (sentence,) = failures(path)
    assert "damaged" in sentence


def test_cbor_in_the_preamble_that_is_not_a_list(path):
    change(path, "UPDATE batches SET preamble = ?", cbor.dumps({1: 2}))
    assert failures(path)


def test_frames_that_their_node_made_malformed_are_no_damage_and_are_not_proved(tmp_path):
    kit = Kit(tmp_path / "agent.db")
    kit.ask()
    short = [b"", b"\x83", *(bytes((0x83, kind)) for kind in range(12)), b"\xff"]
    kit.store.commit([Frame(NODE.id, BOOT, seq, text, kit.clock()) for seq, text in enumerate(short)])
    assert [verdict.what for verdict in kit.deliver(*kit.make())] == ["receipt"]
    kit.store.close()
    agent, far = PublicKeys(*AGENT.public()), PublicKeys(*kit.far.identity.public())
    found = [*verify(kit.path, agent, far), *check(kit.path, agent)]
    assert [one.sentence for one in found if not one.good] == []
    with closing(open_file(kit.path)) as db:
        for seq in range(len(short)):
            with pytest.raises(ProveError, match="malformed, as its node made it"):
                make(db, agent, NODE.id, "1", seq)

"""Proofs of one frame: made from a store, checked with public keys alone; what each change of one does."""

import shlex
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_agent import keys
from edge_agent.custody import prove
from edge_agent.custody.custody import Custody
from edge_agent.custody.prove import ProveError, sentence
from edge_agent.custody.signing import Signing
from edge_agent.keys import PublicKeys
from edge_agent.nodes.peers import Peers
from edge_agent.store.database import connect, open_file
from edge_agent.store.items import Entry, Frame, Hello
from edge_agent.store.keys import unlock
from edge_agent.store.opening import open_store
from edge_agent.store.rows import frames_of
from protocol import attest, cbor, crypto, entries, frames, handover, merkle, proof
from protocol import batch as wire
from protocol.attest import Attester
from protocol.errors import BatchError
from protocol.proof import Party
from tests.edge_agent.fakes import StubCollector, identity
from tools.cli import main

AGENT, NODE, FAR = identity(7), identity(8), identity(99)
BOOT = b"\0\0\0\1" + bytes(8)
NOW = 1_790_000_000_000
SECOND = handover.SigningKey.from_seed(bytes(range(32)))
STEP = handover.make_handover(AGENT, SECOND, AGENT.id, NOW, 1)


def boot_frame(label: "str | None") -> bytes:
    body = {1: "0.1", 2: "virtual", 3: 1, 4: list(NODE.public()), 7: [], 8: 1}
    if label is not None:
        body[5] = label
    return frames.pack(frames.KIND_BOOT, 0, body)


def make_store(path, label=None, signing=None, receipts=True, clock=NOW - 20_000):
    """A store with a boot of 20 attested frames, and three more that are not yet."""
    path.mkdir(exist_ok=True)
    store, _ = open_store(path / "agent.db", AGENT.id, 1)
    far = StubCollector(AGENT)
    far.now_ms = NOW + 4000
    custody = Custody(store, AGENT, PublicKeys(*FAR.public()), 1500, lambda: NOW + 5, signing=signing)
    custody.chain.decide(frozenset({"mqtt"}), frozenset({"mqtt"}))
    custody.take(far.take("ask", custody.question()) or b"", "mqtt")
    store.commit([Hello(NODE.id, *NODE.public(), 1, 1)])
    attester = Attester(NODE, BOOT)
    made = [boot_frame(label)]
    made += [frames.pack(frames.KIND_EVENT, n * 1_000_000, {1: 9, 2: 0, 3: n}) for n in range(1, 20)]
    for seq, plaintext in enumerate(made):
        attester.add(seq, plaintext)
    made.append(frames.pack(frames.KIND_ATTEST, 20_000_000, crypto.run(attester.sign_steps(0))))
    made += [frames.pack(frames.KIND_EVENT, n * 1_000_000, {1: 9, 2: 0, 3: n}) for n in (21, 22)]
    store.commit([Frame(NODE.id, BOOT, seq, text, NOW + seq) for seq, text in enumerate(made)])
    if clock:
        fit = entries.clock_entry(NODE.id, BOOT, 5_000_000, clock * 1000, 1000, 700)
        store.commit([Entry(entries.ENTRY_CLOCK, fit, NOW)])
    while (batch := custody.make()) is not None:
        if receipts:
            answer = far.take("batch", custody.message("mqtt", batch[0])) or b""
            assert custody.take(answer, "mqtt").what == "receipt"
    store.close()
    return path / "agent.db"


def made(path, seq=7):
    with closing(open_file(path)) as db:
        return prove.make(db, PublicKeys(*AGENT.public()), NODE.id, "1", seq)


def checked(data, node=NODE, agent=AGENT, collector=FAR):
    far = None if collector is None else Party(collector.ed_pub, collector.id)
    return proof.verify_proof(data, Party(node.ed_pub), Party(agent.ed_pub, agent.id), far)


def refused(data, **who) -> str:
    with pytest.raises(BatchError) as caught:
        checked(data, **who)
    return f"{caught.value.cause}: {caught.value.detail}"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("proof"))


def test_what_is_proved_is_said_in_one_sentence(path):
    data = made(path)
    got = checked(data)
    assert (got.node_id, got.boot_id, got.seq, got.t_us) == (NODE.id, BOOT, 7, 7_000_000)
    assert got.attested and got.input == "" and got.input_attested and len(got.receipts) == 1
    low, high = got.time_us
    assert low < NOW * 1000 - 18_000_000 - 2 < high and high - low == 2 * (700 + 399)
    text = sentence(got)
    assert text.count("\n") == 0 and text.startswith(f"Proved: node {NODE.id.hex()} made and signed frame 7")
    assert f"agent {AGENT.id.hex()}" in text and f"collector {FAR.id.hex()} signed" in text
    assert "± 2 ms by the agent's clock" in text and text.endswith("Not proved: whose body it was.")
    assert len(data) < 3000


def test_every_frame_of_the_store_can_be_proved(path):
    for seq in range(23):
        got = checked(made(path, seq))
        assert got.seq == seq and got.attested == (seq < 20)
        assert ("no attestation covers it" in sentence(got)) == (seq >= 20)


def test_what_is_missing_is_said(tmp_path):
    got = checked(made(make_store(tmp_path / "a", receipts=False, clock=None)))
    assert got.receipts == [] and got.time_us is None
    assert "no receipt" in sentence(got) and "no clock fit" in sentence(got)
    got = checked(made(make_store(tmp_path / "b", label="MIT-BIH 119 (replay)")))
    assert "that boot's input was 'MIT-BIH 119 (replay)', no sensor" in sentence(got)
    got = checked(made(make_store(tmp_path / "c")), collector=None)
    assert "1 receipt in it not checked: give the collector's key" in sentence(got)


def test_a_date_that_cannot_be_is_said_not_to_be_proved(tmp_path):
    """The agent's clock was a day ahead for a while, and was set back, or the collector's is wrong."""
    day = 86_400_000
    got = checked(made(make_store(tmp_path / "a", clock=NOW + day)))
    assert "Not proved: when it was measured (that date is 86401.99" in sentence(got)
    assert "after the agent received it: the agent's clock was set in between" in sentence(got)
    got = checked(made(make_store(tmp_path / "b", receipts=False, clock=NOW + day)))
    assert "the agent's clock was set in between" in sentence(got)
    got = checked(made(make_store(tmp_path / "c")))
    got.receipts = [(None, got.time_us[0] // 1000 - 700, 0)]
    assert "0.700 s after the collector's receipt: one of the two clocks is wrong" in sentence(got)


def test_hand_overs_are_followed(tmp_path):
    data = made(make_store(tmp_path / "a", signing=Signing(AGENT, [STEP], SECOND)))
    assert refused(data).startswith("bad_signature")


def test_a_rotated_key(tmp_path):
    path = make_store(tmp_path / "a", signing=Signing(AGENT, [STEP], SECOND))
    with closing(connect(path, unlock(path))) as db:
        db.execute("INSERT INTO signers(ed_pub, handover, begun_ms) VALUES(?, ?, 5)", (SECOND.ed_pub, STEP))
    data = made(path)
    assert checked(data).attested
    fields = cbor.loads(data)
    for part in (5, 6, 7):
        assert fields[part][4] == [STEP]
        other = {**fields, part: [*fields[part][:4], [], fields[part][5]]}
        assert refused(cbor.dumps(other)).startswith("bad_signature")
    assert refused(data, agent=FAR).startswith("bad_proof")


def test_neighbours_that_are_gone_are_known_by_their_hashes(tmp_path):
    path = make_store(tmp_path / "a")
    whole = checked(made(path))
    with closing(connect(path, unlock(path))) as db:
        (boot,) = db.execute("SELECT id FROM boots").fetchone()
        for row in list(frames_of(db, boot, 1, 19)):
            if row.seq == 7:
                continue
            leaf = merkle.leaf_hash(entries.frame_entry(NODE.id, BOOT, row.seq, row.data, row.made_ms))
            attested = merkle.leaf_hash(attest.leaf(BOOT, row.seq, row.data))
            sql = "UPDATE journal SET data = NULL, gone = 2, leaf = ?, attested = ? WHERE id = ?"
            db.execute(sql, (leaf, attested, row.id))
    got = checked(made(path))
    assert got.attested and vars(got) == vars(whole)
    with pytest.raises(ProveError, match="its data is gone"):
        made(path, 8)


@pytest.mark.parametrize("number", [(99, "1"), (7, "2"), (7, "ff" * 12)])
def test_what_is_not_there_is_said(path, number):
    seq, boot = number
    with closing(open_file(path)) as db, pytest.raises(ProveError, match="in this store"):
        prove.make(db, PublicKeys(*AGENT.public()), NODE.id, boot, seq)


def test_a_frame_that_is_not_signed_for_yet(tmp_path):
    path = make_store(tmp_path / "a")
    with closing(connect(path, unlock(path))) as db:
        db.execute("DELETE FROM batches WHERE id = (SELECT max(id) FROM batches)")
    with pytest.raises(ProveError, match="no signed batch yet"):
        made(path, 22)


def test_each_byte_of_a_proof_counts(path):
    """A change is found, or it changes nothing of what is claimed: here, every single one is found."""
    data = made(path)
    for at in range(len(data)):
        for bit in (0x01, 0x80):
            changed = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            refused(changed)
    for end in range(len(data)):
        refused(data[:end])
    refused(data + b"\0")


def test_without_the_collectors_key_a_changed_receipt_claims_nothing(path):
    data = made(path)
    sound = sentence(checked(data, collector=None))
    receipt = cbor.loads(data)[8][0]
    start = data.index(receipt)
    for at in range(start, start + len(receipt)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert sentence(checked(changed, collector=None)) == sound


def test_a_part_of_another_proof_does_not_fit(path, tmp_path):
    mine, other = cbor.loads(made(path)), cbor.loads(made(path, 21))
    strange = cbor.loads(made(make_store(tmp_path / "a", label="x")))
    swaps = {
        "frame": {5: [other[5][0], *mine[5][1:]]},
        "position": {5: [mine[5][0], other[5][1], *mine[5][2:]]},
        "way": {5: [*mine[5][:2], other[5][2], *mine[5][3:]]},
        "head": {5: [*mine[5][:3], strange[5][3], *mine[5][4:]]},
        "attestation": {5: [*mine[5][:5], cbor.loads(made(path, 3))[5][5]]},
        "clock": {6: mine[7]},
        "boot": {7: mine[5]},
        "boot is a clock": {7: mine[6]},
        "receipt": {8: strange[8]},
        "no list": {8: []},
        "twice too many": {8: mine[8] * 9},
        "a part to come": {9: 1},
        "agent": {3: NODE.id},
        "node": {4: AGENT.x_pub},
        "no proof": {2: "prove"},
        "version": {1: 2},
    }
    for name, swap in swaps.items():
        assert {**mine, **swap} != mine, name
        said = refused(cbor.dumps({**mine, **swap}))
        assert len(said) > 20, name
    for key in (3, 4, 5):
        assert refused(cbor.dumps({k: v for k, v in mine.items() if k != key})).startswith("bad_proof")
    assert "does not have this key" in refused(cbor.dumps(mine), node=AGENT)
    assert "another root" in refused(cbor.dumps({**mine, **swaps["frame"]}))
    assert "another batch" in refused(cbor.dumps({**mine, 8: [receipt_of(7)]}))
    assert "bytes; a proof has" in refused(bytes(proof.MAX_PROOF + 1))


def receipt_of(number: int) -> bytes:
    return wire.make_receipt(FAR, AGENT.id, b"chain--1", number, bytes(32), 1, 0, NOW)


def test_an_attestation_by_another_node_or_of_another_range(path):
    mine = cbor.loads(made(path))
    first, count, root, signature, way = mine[5][5]
    for five in (
        [first, count, root, bytes(64), way],
        [first + 1, count, root, signature, way],
        [first, count + 1, root, signature, way],
        [first, count, bytes(32), signature, way],
        [first, count, root, signature, way[:-1]],
        [first, count, root, signature],
        [first, count, root, signature, [b""]],
        [-1, count, root, signature, way],
        5,
    ):
        refused(cbor.dumps({**mine, 5: [*mine[5][:5], five]}))


def one_frame(state: Path) -> Path:
    """An agent's state directory with one frame in its store; the agent's key."""
    state.mkdir(parents=True)
    key = state / "agent.key"
    me = keys.create(key, "agent")
    store, _ = open_store(state / "agent.db", me.id, 1)
    custody = Custody(store, me, None, 9000, lambda: NOW)
    store.commit([Hello(NODE.id, *NODE.public(), 1, 1)])
    store.commit([Frame(NODE.id, BOOT, 0, boot_frame(None), NOW)])
    custody.make()
    store.close()
    return key


def typed(*words):
    return CliRunner().invoke(main, [*words])


def test_the_guide_word_by_word(tmp_path, monkeypatch):
    """What docs/proofs.md has to type, in an empty folder."""
    guide = Path(__file__).parents[2] / "docs" / "proofs.md"
    lines = guide.read_text("utf-8").split("```console\n")[1].split("```")[0].splitlines()
    state = tmp_path / ".local" / "share" / "vitalwire"
    one_frame(state)
    Peers(state / "peers.json").add(PublicKeys(*NODE.public()))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "VITALWIRE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    keys.create(empty / "collector.key", "collector")
    said = ""
    for line in lines:
        line = line.partition("#")[0].replace("487de116", NODE.id.hex()[:8])
        words = shlex.split(line.replace("--boot 12 --seq 345", "--boot 1 --seq 0"))
        if words[0] == "cp":
            shutil.copy(Path(words[1]).expanduser(), words[2])
            continue
        done = typed(*words[1:])
        assert done.exit_code == 0, done.output
        said = done.output
    assert "ok      Proved" in said and "of its boot 1" in said
    again = typed("keys", "node", NODE.id.hex()[:8], "node.pub")
    assert again.exit_code == 1 and "name another file" in again.output


def test_the_commands(tmp_path):
    key = one_frame(tmp_path / "state")
    config, out = tmp_path / "agent.toml", tmp_path / "p.cbor"
    config.write_text(f'[agent]\nstate_dir = "{key.parent}"\n')

    which = ("--node", NODE.id.hex()[:6], "--boot", "1")
    done = typed("prove", "--config", str(config), *which, "--seq", "0", "-o", str(out))
    assert done.exit_code == 0 and "vitalwire verify" in done.output, done.output
    public = str(keys.public_path(key))
    keys.write_public(tmp_path / "node.pub", "agent", PublicKeys(*NODE.public()))
    for node in (NODE.ed_pub.hex(), str(tmp_path / "node.pub")):
        said = typed("verify", str(out), "--node-key", node, "--agent-key", public)
        assert said.exit_code == 0 and "ok      Proved" in said.output, said.output
    wrong = typed("verify", str(out), "--node-key", AGENT.ed_pub.hex(), "--agent-key", public)
    assert wrong.exit_code == 1 and "nothing in" in wrong.output
    assert typed("verify", str(out)).exit_code == 1
    assert typed("verify", str(out), "--node-key", "zz" * 32, "--agent-key", public).exit_code == 1
    assert typed("verify", "--config", str(config)).exit_code == 0
    assert typed("verify", "--config", str(config), "--node-key", NODE.ed_pub.hex()).exit_code == 1
    none = typed("prove", "--config", str(config), *which, "--seq", "5", "-o", str(tmp_path / "q.cbor"))
    assert none.exit_code == 1 and "vitalwire ledger" in none.output

"""Attestation: ranges without gaps, when they are due, and what the signature holds together."""

from protocol import attest, cbor, crypto, merkle
from protocol.crypto import run
from protocol.errors import LocalError
from protocol.identity import generate_steps

BOOT_ID = bytes(range(12))
NODE = run(generate_steps(bytes(range(64))))


def frames(first, count):
    return [b"frame %d" % i for i in range(first, first + count)]


def filled(count):
    attester = attest.Attester(NODE, BOOT_ID)
    for seq, plaintext in enumerate(frames(0, count)):
        attester.add(seq, plaintext)
    return attester


def holds(body, plaintexts, node_id=NODE.id, ed_pub=NODE.ed_pub, boot_id=BOOT_ID):
    return attest.verify(node_id, ed_pub, boot_id, body, plaintexts)


def test_what_is_signed():
    body = run(filled(3).sign_steps(0))
    leaves = [cbor.dumps([BOOT_ID, seq, plaintext]) for seq, plaintext in enumerate(frames(0, 3))]
    root = merkle.root([merkle.leaf_hash(leaf) for leaf in leaves])
    message = cbor.dumps(["vitalwire/1 attest", NODE.id, BOOT_ID, 0, 3, root])
    assert (body[attest.FIRST], body[attest.COUNT], body[attest.ROOT]) == (0, 3, root)
    assert run(crypto.ed25519_verify_steps(NODE.ed_pub, message, body[attest.SIGNATURE]))
    assert sorted(body) == [1, 2, 3, 4]


def test_ranges_are_contiguous():
    attester = filled(5)
    first = run(attester.sign_steps(0))
    for seq, plaintext in enumerate(frames(5, 2)):
        attester.add(5 + seq, plaintext)
    second = run(attester.sign_steps(0))
    assert (first[attest.FIRST], first[attest.COUNT]) == (0, 5)
    assert (second[attest.FIRST], second[attest.COUNT]) == (5, 2)
    assert holds(first, frames(0, 5)) and holds(second, frames(5, 2))
    assert not holds(first, frames(5, 2)) and not holds(second, frames(0, 5))


def test_frames_that_come_while_signing_belong_to_the_next_range():
    attester = filled(4)
    steps = attester.sign_steps(0)
    body = None
    seq = 4
    try:
        while True:
            next(steps)
            attester.add(seq, b"frame %d" % seq)
            seq += 1
    except StopIteration as end:
        body = end.value
    if seq == 4:  # signing took one slice
        attester.add(seq, b"frame %d" % seq)
        seq += 1
    assert (body[attest.FIRST], body[attest.COUNT]) == (0, 4) and holds(body, frames(0, 4))
    rest = run(attester.sign_steps(0))
    assert (rest[attest.FIRST], rest[attest.COUNT]) == (4, seq - 4) and holds(rest, frames(4, seq - 4))


def test_nothing_else_verifies():
    body = run(filled(4).sign_steps(0))
    good = frames(0, 4)
    assert holds(body, good)
    assert not holds(body, good[:3])
    assert not holds(body, good + [b"frame 4"])
    assert not holds(body, [good[1], good[0], good[2], good[3]])
    assert not holds(body, good[:3] + [b"frame x"])
    assert not holds(body, good, boot_id=bytes(12))
    assert not holds(body, good, node_id=bytes(8))
    assert not holds(body, good, ed_pub=NODE.x_pub)
    for key, value in (
        (attest.FIRST, 1),
        (attest.COUNT, 5),
        (attest.ROOT, bytes(32)),
        (attest.SIGNATURE, bytes(64)),
    ):
        changed = dict(body)
        changed[key] = value
        assert not holds(changed, good)


def test_one_frame_is_proved_without_the_others():
    body = run(filled(9).sign_steps(0))
    hashes = [merkle.leaf_hash(attest.leaf(BOOT_ID, seq, one)) for seq, one in enumerate(frames(0, 9))]
    proof = merkle.path(hashes, 6)
    one = merkle.leaf_hash(attest.leaf(BOOT_ID, 6, b"frame 6"))
    assert merkle.verify_path(one, 6, body[attest.COUNT], proof, body[attest.ROOT])


def test_due():
    attester = attest.Attester(NODE, BOOT_ID)
    assert not attester.due(1_000)
    assert not attester.due(100_000)  # nothing to sign
    attester.add(0, b"frame 0")
    assert attester.due(100_000)
    run(attester.sign_steps(100_000))
    attester.add(1, b"frame 1")
    assert not attester.due(129_999)
    assert attester.due(130_000)
    for seq in range(2, 65):
        assert not attester.due(100_001)
        attester.add(seq, b"frame %d" % seq)
    assert attester.due(100_001)


def test_order_is_ours_to_keep():
    attester = filled(2)
    for seq in (0, 1, 3):
        try:
            attester.add(seq, b"")
            raise AssertionError("frame %d taken" % seq)
        except LocalError:
            pass
    try:
        run(attest.Attester(NODE, BOOT_ID).sign_steps(0))
        raise AssertionError("an empty range signed")
    except LocalError:
        pass

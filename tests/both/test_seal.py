"""Sealing: byte-exact envelopes, strict headers; headers and downlinks bound to parties, boot and hello."""

from protocol import cbor, crypto, seal
from protocol.crypto import run
from protocol.errors import LocalError, SealError
from protocol.identity import generate_steps
from tests.both.sealing import Committed, seal_one, sealing

K = bytes(range(16))
BOOT_ID = bytes(range(0x40, 0x4C))
NONCE = bytes(range(0x80, 0x90))
EPH = bytes(range(0x10, 0x30))

_made = {}


def party(name):
    """An identity for `name`, made once."""
    if name not in _made:
        entropy = crypto.sha256(name.encode()) + crypto.sha256(b"2" + name.encode())
        _made[name] = run(generate_steps(entropy))
    return _made[name]


def refusal(call, *arguments):
    """The cause of the SealError that the call must raise."""
    try:
        call(*arguments)
    except SealError as error:
        return error.cause
    raise AssertionError("accepted")


def test_known_answer():
    """Keys, nonce, AAD and envelope put together from their definitions, with nothing of seal.py."""
    keys = sealing(K, BOOT_ID)
    key = crypto.hkdf(K, BOOT_ID, b"vitalwire/1 up key", 16)
    iv = crypto.hkdf(K, BOOT_ID, b"vitalwire/1 up iv", 13)
    aad = cbor.dumps(["Encrypt0", b"\xa1\x01\x0a", cbor.dumps([1, 0, BOOT_ID])])
    for seq, piv in ((0, b"\x00"), (258, b"\x01\x02"), (0xFFFFFFFF, b"\xff\xff\xff\xff")):
        padded = bytes(13 - len(piv)) + piv
        nonce = bytes([iv[i] ^ padded[i] for i in range(13)])
        expected = crypto.ccm_seal(key, nonce, aad, b"frame", 8)
        assert keys.seal(seq, b"frame") == cbor.dumps([b"\xa1\x01\x0a", {6: piv}, expected])


def test_envelope_is_deterministic_cbor_at_every_size():
    for n in (0, 1, 15, 16, 200, 247, 248, 249):
        keys = sealing(K, BOOT_ID)
        for seq in (0, 1, 255, 256, 65535, 65536, 0xFFFFFF, 0x1000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
            plaintext = bytes([i & 255 for i in range(n)])
            sealed = keys.seal(seq, plaintext)
            protected, headers, ciphertext = cbor.loads(sealed)
            assert cbor.dumps([protected, headers, ciphertext]) == sealed
            assert list(headers) == [6] and len(ciphertext) == n + 8
            assert keys.open(sealed) == (seq, plaintext)


def local(call, *arguments):
    """The cause of the LocalError that the call must raise."""
    try:
        call(*arguments)
    except LocalError as error:
        return error.cause
    raise AssertionError("accepted")


def test_nothing_is_sealed_before_the_boot_counter_is_on_flash():
    record = Committed(b"")
    assert local(seal.SealingKeys, K, record) == "local_error"
    record.boot_id = BOOT_ID
    assert seal.SealingKeys(K, record).seal(0, b"frame")


def test_a_number_seals_once_and_numbers_only_grow():
    keys = sealing(K, BOOT_ID)
    assert local(keys.seal, -1, b"") == "repeated_number"
    for seq in (0, 1, 5):
        keys.seal(seq, b"one")
        for again in range(seq + 1):
            assert local(keys.seal, again, b"one") == "repeated_number"
            assert local(keys.seal, again, b"another") == "repeated_number"
    assert seal.BootKeys(K, BOOT_ID).open(keys.seal(6, b"next")) == (6, b"next")


def test_numbers_end_at_32_bits():
    keys = sealing(K, BOOT_ID)
    keys.seal(seal.MAX_COUNTER - 1, b"")
    last = keys.seal(seal.MAX_COUNTER, b"last")
    assert keys.open(last) == (seal.MAX_COUNTER, b"last")
    assert local(keys.seal, seal.MAX_COUNTER + 1, b"") == "exhausted"
    assert local(keys.seal, seal.MAX_COUNTER, b"") == "repeated_number"
    assert local(keys.seal, 0, b"") == "repeated_number"


def test_a_seal_that_failed_leaves_its_number_free():
    """Memory may be short: then nothing came out, and the number is not spent."""
    keys = sealing(K, BOOT_ID)
    real = crypto.ccm_seal

    def fails(*_):
        raise MemoryError()

    crypto.ccm_seal = fails
    try:
        keys.seal(0, b"frame")
        raise AssertionError("sealed without memory")
    except MemoryError:
        pass
    finally:
        crypto.ccm_seal = real
    assert keys.open(keys.seal(0, b"frame")) == (0, b"frame")


def test_an_agent_cannot_seal_as_its_node():
    assert not hasattr(seal.BootKeys(K, BOOT_ID), "seal")


def test_a_downlink_ends_with_its_numbers():
    down, up = downlink()
    down._next = seal.MAX_COUNTER
    assert up.open(down.seal(b"last")) == b"last"
    for _ in range(2):
        assert local(down.seal, b"more") == "exhausted"


def test_no_changed_bit_and_no_truncation_opens():
    keys = sealing(K, BOOT_ID)
    sealed = keys.seal(70000, b"a plaintext of some length")
    for at in range(len(sealed)):
        for bit in (0, 7):
            changed = bytearray(sealed)
            changed[at] ^= 1 << bit
            assert refusal(keys.open, bytes(changed)) in ("bad_tag", "bad_header")
        assert refusal(keys.open, sealed[:at]) in ("bad_tag", "bad_header")
    assert refusal(keys.open, sealed + b"\x00") == "bad_header"


def test_only_the_one_encoding_of_an_envelope_opens():
    keys = sealing(K, BOOT_ID)
    sealed = keys.seal(5, b"0123456789")
    assert sealed[:9] == b"\x83\x43\xa1\x01\x0a\xa1\x06\x41\x05" and sealed[9] == 0x52
    body = sealed[10:]
    head = sealed[:7]
    for other in (
        head + b"\x42\x00\x05\x52" + body,  # Partial IV with a leading zero
        head + b"\x40\x52" + body,  # empty Partial IV
        head + b"\x45\x00\x00\x00\x00\x05\x52" + body,  # five bytes
        head + b"\x58\x01\x05\x52" + body,  # long form of its length
        sealed[:9] + b"\x58\x12" + body,  # long form of the ciphertext's length
        sealed[:9] + b"\x59\x00\x12" + body,
        sealed[:9] + b"\x5a\x00\x00\x00\x12" + body,
        sealed[:9] + b"\x5f\x52" + body + b"\xff",  # indefinite length
        b"\xd0" + sealed,  # tagged
        b"\x83\x40" + sealed[5:],  # no algorithm
        b"",
    ):
        assert refusal(keys.open, other) == "bad_header"
    assert keys.open(sealed) == (5, b"0123456789")


def test_hostile_lengths():
    keys = sealing(K, BOOT_ID)
    head = b"\x83\x43\xa1\x01\x0a\xa1\x06\x41\x05"
    for tail in (
        b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x5a\xff\xff\xff\xff",
        b"\x59\xff\xff",
        b"\x58\xff",
        b"\x57",
    ):
        for extra in (b"", bytes(8), bytes(40)):
            assert refusal(keys.open, head + tail + extra) == "bad_header"


def test_other_boots_and_keys_do_not_open():
    sealed = seal_one(K, BOOT_ID, 1, b"frame")
    assert refusal(seal.BootKeys(K, bytes(12)).open, sealed) == "bad_tag"
    assert refusal(seal.BootKeys(bytes(16), BOOT_ID).open, sealed) == "bad_tag"


def test_hello_tag():
    keys = seal.BootKeys(K, BOOT_ID)
    tag = keys.hello_tag(b"body")
    key = crypto.hkdf(K, BOOT_ID, b"vitalwire/1 hello", 32)
    assert tag == crypto.hmac_sha256(key, b"body")[:16]
    assert tag != keys.hello_tag(b"Body") and tag != seal.BootKeys(K, bytes(12)).hello_tag(b"body")


def test_boot_keys_are_not_shown():
    assert K.hex() not in repr(seal.BootKeys(K, BOOT_ID))
    for key, boot_id in ((K[:15], BOOT_ID), (K, BOOT_ID + b"\x00")):
        try:
            seal.BootKeys(key, boot_id)
            raise AssertionError("keys of other sizes")
        except LocalError:
            pass


def test_boot_header_opens_for_its_agent_only():
    node, agent, other = party("node"), party("agent"), party("other")
    enc, wrapped = run(seal.wrap_header_steps(K, BOOT_ID, node, agent.id, agent.x_pub, EPH))
    assert len(enc) == 32 and len(wrapped) == 32 and K not in wrapped

    def unwrap(enc, wrapped, boot_id, agent, node):
        return run(seal.unwrap_header_steps(enc, wrapped, boot_id, agent, node.id, node.x_pub))

    assert unwrap(enc, wrapped, BOOT_ID, agent, node) == K
    assert refusal(unwrap, enc, wrapped, BOOT_ID, other, node) == "bad_tag"
    assert refusal(unwrap, enc, wrapped, BOOT_ID, agent, other) == "bad_tag"
    assert refusal(unwrap, enc, wrapped, bytes(12), agent, node) == "bad_tag"
    assert refusal(unwrap, enc, wrapped[:-1] + b"\x00", BOOT_ID, agent, node) == "bad_tag"
    assert refusal(unwrap, other.x_pub, wrapped, BOOT_ID, agent, node) == "bad_tag"
    assert refusal(unwrap, bytes(32), wrapped, BOOT_ID, agent, node) == "bad_key"
    for n in range(32):
        assert refusal(unwrap, enc, wrapped[:n], BOOT_ID, agent, node) == "bad_tag"


def downlink(boot_id=BOOT_ID, nonce=NONCE, sender=None, claimed=None):
    """(sender's end, node's end) of one connection, where the two may disagree about what it is bound to."""
    node, agent = party("node"), party("agent")
    sender = sender or agent
    claimed = claimed or sender
    enc, down = run(seal.Downlink.sender_steps(sender, node.id, node.x_pub, boot_id, nonce, EPH))
    up = run(seal.Downlink.receiver_steps(enc, node, claimed.id, claimed.x_pub, BOOT_ID, NONCE))
    return down, up


def test_the_ends_of_a_downlink_have_one_version():
    node, agent = party("node"), party("agent")
    for sent in (1, 2, 255):
        enc, down = run(
            seal.Downlink.sender_steps(agent, node.id, node.x_pub, BOOT_ID, NONCE, EPH, version=sent)
        )
        message = down.seal(b"ack")
        for taken in (1, 2, 255):
            up = run(
                seal.Downlink.receiver_steps(enc, node, agent.id, agent.x_pub, BOOT_ID, NONCE, version=taken)
            )
            if taken == sent:
                assert up.open(message) == b"ack"
            else:
                assert refusal(up.open, message) == "bad_tag"


def test_downlink_counts_and_refuses_what_was():
    down, up = downlink()
    first, second, third, fourth = [down.seal(bytes((i,))) for i in range(4)]
    assert cbor.loads(first)[1] == {6: b"\x00"} and cbor.loads(fourth)[1] == {6: b"\x03"}
    assert up.open(first) == b"\x00"
    assert refusal(up.open, first) == "replayed_downlink"
    assert up.open(third) == b"\x02"
    assert refusal(up.open, second) == "replayed_downlink"
    forged = bytearray(fourth)
    forged[-1] ^= 1
    assert refusal(up.open, bytes(forged)) == "bad_tag"
    assert up.open(fourth) == b"\x03"


def test_a_forged_counter_does_not_block_the_connection():
    down, up = downlink()
    first = down.seal(b"one")
    assert refusal(up.open, first[:7] + b"\x44\xff\xff\xff\xff" + first[9:]) == "bad_tag"
    assert up.open(first) == b"one"


def test_downlink_is_bound_to_boot_hello_and_sender():
    for other in (
        downlink(boot_id=bytes(12)),
        downlink(nonce=bytes(16)),
        downlink(sender=party("other"), claimed=party("agent")),
    ):
        down, up = other
        assert refusal(up.open, down.seal(b"ack")) == "bad_tag"


def test_directions_do_not_mix():
    """A downlink message does not open as a frame, nor the other way, even under one key and IV."""
    down, _ = downlink()
    keys = sealing(K, BOOT_ID)
    assert refusal(keys.open, down.seal(b"x")) == "bad_tag"
    assert refusal(downlink()[1].open, keys.seal(0, b"x")) == "bad_tag"
    up = seal._Channel(K, bytes(13), seal._UP, BOOT_ID)
    same_but_down = seal._Channel(K, bytes(13), seal._DOWN, BOOT_ID)
    assert refusal(same_but_down.open, up.seal(0, b"x")) == "bad_tag"

"""protocol/vectors/*.json, byte for byte, on both interpreters."""

import json
from array import array

from protocol import attest, cbor, cobs, crypto, frames, identity, merkle, messages, orders, seal, waveform
from protocol.errors import CborError, CobsError, CodecError, FrameError, HelloError, SealError
from tests.both.sealing import seal_one

FOLDER = __file__.rsplit("/", 3)[0] if "/tests/both/" in __file__ else "."


def load(name):
    with open(FOLDER + "/protocol/vectors/" + name) as file:
        return json.load(file)


def untagged(value):
    if isinstance(value, dict):
        if "h" in value:
            return bytes.fromhex(value["h"])
        return {untagged(key): untagged(item) for key, item in value["m"]}
    if isinstance(value, list):
        return [untagged(item) for item in value]
    return value


def raw(text):
    return bytes.fromhex(text)


def error_of(kind, call, *args):
    try:
        call(*args)
    except kind as error:
        return error
    return None


def party(sealed, role):
    own = sealed["secrets"][sealed[role]]
    return crypto.run(identity.from_seed_steps(raw(own["ed_seed"]), raw(own["x_sk"]))), own


def test_cbor():
    vectors = load("cbor.json")
    for one in vectors["items"]:
        value, encoded = untagged(one["value"]), raw(one["encoded"])
        assert cbor.dumps(value) == encoded, one
        assert cbor.loads(encoded) == value, one
    assert len(vectors["malformed"]) >= 30
    for one in vectors["malformed"]:
        error = error_of(CborError, cbor.loads, raw(one["encoded"]))
        assert error is not None and error.offset == one["offset"], one["name"]


def test_cobs():
    vectors = load("cobs.json")
    for one in vectors["messages"]:
        message, encoded = raw(one["message"]), raw(one["encoded"])
        assert cobs.encode(message) == encoded, one
        assert cobs.decode(encoded[:-1]) == message, one
    for one in vectors["malformed"]:
        assert error_of(CobsError, cobs.decode, raw(one["encoded"])), one["name"]


def test_waveform():
    vectors = load("waveform.json")
    for one in vectors["blocks"]:
        samples, block = one["samples"], raw(one["block"])
        assert waveform.encode(array("i", samples), len(samples), one["bits"]) == block, one["name"]
        assert list(waveform.decode(block, len(samples))) == samples, one["name"]
    for one in vectors["malformed"]:
        error = error_of(CodecError, waveform.decode, raw(one["block"]), one["n"])
        assert error is not None, one["name"]
        assert (error.offset, error.detail) == (one["offset"], one["detail"]), one["name"]


def test_frames():
    vectors = load("frames.json")
    for one in vectors["frames"]:
        body, plaintext = untagged(one["body"]), raw(one["plaintext"])
        assert frames.pack(one["kind"], one["t_us"], body) == plaintext, one["name"]
        assert frames.unpack(plaintext) == (one["kind"], one["t_us"], body), one["name"]
        assert frames.lane(one["kind"], body) == one["lane"], one["name"]
    for one in vectors["malformed"]:
        error = error_of(FrameError, frames.unpack, raw(one["plaintext"]))
        told = (error.layer, error.cause, error.offset)
        assert told == (one["layer"], one["cause"], one["offset"]), one["name"]


def test_wave_data_decodes():
    for one in load("frames.json")["frames"]:
        if one["kind"] == frames.KIND_WAVE:
            body = untagged(one["body"])
            n = body[frames.WAVE_COUNT]
            assert len(waveform.decode(body[frames.WAVE_DATA], n)) == n


def rebuilt(kind, fields):
    """The message again, from its parsed fields."""
    if kind == messages.MSG_HELLO:
        names = ("version", "node_id", "nonce", "conn", "boots", "keys")
        versions = fields["versions"] if len(fields["versions"]) > 1 else None
        body = messages.hello_body(*[fields[name] for name in names], versions)
        return messages.hello(body, fields["tag"])
    version = fields["version"]
    if kind == messages.MSG_WELCOME:
        return messages.welcome(version, fields["agent_id"], fields["enc"], fields["nonce"])
    if kind == messages.MSG_PAIR_REQUEST:
        keys = (fields["ed_pub"], fields["x_pub"], fields["nonce"], fields["authority"], fields["button"])
        return messages.pair_request(version, *keys)
    if kind == messages.MSG_PAIR_REPLY:
        keys = (fields["ed_pub"], fields["x_pub"], fields["nonce"], fields["signature"])
        return messages.pair_reply(version, *keys)
    if kind == messages.MSG_REFUSAL:
        return messages.refusal(version, fields["code"], fields["versions"])
    return messages.solicit(version)


def test_clear_messages():
    vectors = load("messages.json")
    for one in vectors["clear"]:
        message = raw(one["message"])
        assert messages.sort(message) == messages.SORT_CLEAR
        kind, fields = messages.parse_clear(message)
        assert messages.MSG_NAMES[kind].replace(" ", "-") == one["rule"], one["name"]
        if "not known" not in one["name"]:
            assert rebuilt(kind, fields) == message, one["name"]
    for one in vectors["malformed"]:
        error = error_of(HelloError, messages.parse_clear, raw(one["message"]))
        assert error is not None, one["name"]
        assert (error.cause, error.code) == (one["cause"], one["code"]), one["name"]


def test_identities():
    sealed = load("sealed.json")
    for role in ("node", "agent", "collector"):
        who, own = party(sealed, role)
        assert who.public() == (raw(own["ed_pub"]), raw(own["x_pub"]))
        assert who.fingerprint == raw(own["fingerprint"]) and who.id == raw(sealed[role])


def test_pair_signature():
    sealed, pair = load("sealed.json"), load("messages.json")["pair"]
    node, agent = party(sealed, "node")[0], party(sealed, "agent")[0]
    signed = identity.pair_message(agent.ed_pub, agent.x_pub, node.ed_pub, node.x_pub, raw(pair["nonce"]))
    assert signed == raw(pair["signed"])
    assert crypto.run(crypto.ed25519_sign_steps(node.ed_seed, node.ed_pub, signed)) == raw(pair["signature"])
    assert crypto.run(crypto.ed25519_verify_steps(node.ed_pub, signed, raw(pair["signature"])))
    held = load("messages.json")["pair_with_button"]
    keys = agent.ed_pub, agent.x_pub, node.ed_pub, node.x_pub, raw(pair["nonce"])
    assert identity.pair_message(*keys, None, True) == raw(held["signed"])
    assert crypto.run(crypto.ed25519_verify_steps(node.ed_pub, raw(held["signed"]), raw(held["signature"])))


def test_boot_keys_and_header():
    sealed = load("sealed.json")
    node, agent = party(sealed, "node")[0], party(sealed, "agent")[0]
    key, boot_id, header = raw(sealed["K"]), raw(sealed["boot_id"]), sealed["header"]
    for name in sealed["derived"]:
        expected = raw(sealed["derived"][name])
        assert crypto.hkdf(key, boot_id, b"vitalwire/1 " + name.encode(), len(expected)) == expected
    made = seal.wrap_header_steps(key, boot_id, node, agent.id, agent.x_pub, raw(header["eph_sk"]))
    assert crypto.run(made) == (raw(header["enc"]), raw(header["wrapped"]))
    opened = seal.unwrap_header_steps(
        raw(header["enc"]), raw(header["wrapped"]), boot_id, agent, node.id, node.x_pub
    )
    assert crypto.run(opened) == key


def test_hello_tag():
    sealed = load("sealed.json")
    keys = seal.BootKeys(raw(sealed["K"]), raw(sealed["boot_id"]))
    for one in load("messages.json")["clear"][:2]:
        fields = messages.parse_clear(raw(one["message"]))[1]
        assert keys.hello_tag(fields["body"]) == fields["tag"]


def test_sealed_frames():
    sealed = load("sealed.json")
    keys = seal.BootKeys(raw(sealed["K"]), raw(sealed["boot_id"]))
    for one in sealed["up"]:
        data = raw(one["sealed"])
        assert seal_one(keys.K, keys.boot_id, one["seq"], raw(one["plaintext"])) == data
        assert keys.open(data) == (one["seq"], raw(one["plaintext"]))
        assert cobs.encode(messages.data(0, data)) == raw(one["wire"])
        assert messages.split_data(cobs.decode(raw(one["wire"])[:-1])) == (0, data)
        changed = data[:-1] + bytes((data[-1] ^ 1,))
        assert error_of(SealError, keys.open, changed).cause == "bad_tag"


def test_downlink():
    sealed = load("sealed.json")
    node, agent = party(sealed, "node")[0], party(sealed, "agent")[0]
    boot_id, down = raw(sealed["boot_id"]), sealed["down"]
    nonce = raw(down["hello_nonce"])
    steps = seal.Downlink.sender_steps(agent, node.id, node.x_pub, boot_id, nonce, raw(down["eph_sk"]))
    enc, sender = crypto.run(steps)
    assert enc == raw(down["enc"])
    receiver = crypto.run(seal.Downlink.receiver_steps(enc, node, agent.id, agent.x_pub, boot_id, nonce))
    for one in down["messages"]:
        assert sender.seal(raw(one["plaintext"])) == raw(one["sealed"])
        assert messages.sort(raw(one["sealed"])) == messages.SORT_DOWNLINK
        assert receiver.open(raw(one["sealed"])) == raw(one["plaintext"])
        assert error_of(SealError, receiver.open, raw(one["sealed"])).cause == "replayed_downlink"


def test_attestation():
    sealed = load("sealed.json")
    node, boot_id = party(sealed, "node")[0], raw(sealed["boot_id"])
    body = untagged(sealed["attest"]["body"])
    plaintexts = [raw(one) for one in sealed["attest"]["plaintexts"]]
    for seq, plaintext in enumerate(plaintexts):
        leaf = attest.leaf(boot_id, seq, plaintext)
        assert merkle.leaf_hash(leaf) == raw(sealed["attest"]["leaf_hashes"][seq])
    attester = attest.Attester(node, boot_id)
    for seq, plaintext in enumerate(plaintexts):
        attester.add(seq, plaintext)
    assert crypto.run(attester.sign_steps(0)) == body
    assert attest.verify(node.id, node.ed_pub, boot_id, body, plaintexts)
    assert not attest.verify(node.id, node.ed_pub, boot_id, body, plaintexts[:-1] + [b"\x83\x01\x00\xa0"])


def test_batch_entries():
    for one in load("batch.json")["entries"]:
        assert cbor.dumps(cbor.loads(raw(one))) == raw(one)


def test_signed_orders():
    vectors = load("orders.json")
    node_id, key = raw(vectors["node"]), raw(vectors["authority"]["ed_pub"])
    for one in vectors["signed"]:
        body, boot_id = untagged(one["body"]), raw(one["boot_id"])
        assert frames.pack(one["kind"], 12, body) == raw(one["plaintext"])
        message = orders.order_message(node_id, boot_id, one["kind"], body)
        assert message == raw(one["signed"]) and body[frames.ORDER_SIGNATURE] == raw(one["signature"])
        signing = crypto.ed25519_sign_steps(raw(vectors["authority"]["ed_seed"]), key, message)
        assert crypto.run(signing) == raw(one["signature"])
        assert orders.order_digest(node_id, boot_id, one["kind"], body) == raw(one["digest"])


def test_orders_are_judged():
    vectors = load("orders.json")
    node_id, authority = raw(vectors["node"]), vectors["authority"]
    believed = {raw(authority["id"]): raw(authority["ed_pub"])}
    for one in vectors["checks"]:
        body, boot_id = untagged(one["body"]), raw(one["boot_id"])
        checking = orders.check_steps(node_id, boot_id, one["kind"], body, one["now_us"], believed)
        assert crypto.run(checking) == one["result"], one["name"]


def test_records():
    for one in load("records.json")["records"]:
        protected, unprotected, payload, signature = cbor.loads(raw(one["record"]), 18)
        assert (protected, unprotected) == (cbor.dumps({1: -8}), {}), one["name"]
        signed = cbor.dumps(["Signature1", protected, b"", payload])
        assert crypto.run(crypto.ed25519_verify_steps(raw(one["ed_pub"]), signed, signature)), one["name"]
        assert cbor.loads(payload)[7] == raw(one["by"])


def test_the_manifest_of_an_update():
    one = load("orders.json")["manifest"]
    manifest = raw(one["signed"])
    protected, _, payload, signature = cbor.loads(manifest, 18)
    signed = cbor.dumps(["Signature1", protected, b"", payload])
    assert crypto.run(crypto.ed25519_verify_steps(raw(one["ed_pub"]), signed, signature))
    steps = [
        untagged(one["body"]) for one in load("frames.json")["frames"] if one["kind"] == frames.KIND_UPDATE
    ]
    assert len(steps) == 4
    for body in steps:
        assert body[frames.UPDATE_ID] == crypto.sha256(manifest)[:8]
        if frames.UPDATE_SIZE in body:
            assert body[frames.UPDATE_SIZE] == len(manifest)
            assert body[frames.UPDATE_FIRMWARE] == cbor.loads(payload)[3]
        if frames.UPDATE_DATA in body:
            at, data = body[frames.UPDATE_OFFSET], body[frames.UPDATE_DATA]
            assert manifest[at : at + len(data)] == data


class Connection:
    """The keys of session.json, made again from its secrets and random bytes."""

    def __init__(self, vectors):
        random = vectors["random"]
        self.node = self.party(vectors["secrets"]["node"])
        self.agent = self.party(vectors["secrets"]["agent"])
        self.boot_id, self.key = raw(random["boot_id"]), raw(random["content_key"])
        header = seal.wrap_header_steps(
            self.key,
            self.boot_id,
            self.node,
            self.agent.id,
            self.agent.x_pub,
            raw(random["header_ephemeral"]),
        )
        self.header = crypto.run(header)
        nonce = raw(random["second_hello_nonce"])
        down = seal.Downlink.sender_steps(
            self.agent, self.node.id, self.node.x_pub, self.boot_id, nonce, raw(random["downlink_ephemeral"])
        )
        self.enc, self.down = crypto.run(down)
        opened = seal.Downlink.receiver_steps(
            self.enc, self.node, self.agent.id, self.agent.x_pub, self.boot_id, nonce
        )
        self.opened = crypto.run(opened)

    def party(self, own):
        who = crypto.run(identity.from_seed_steps(raw(own["ed_seed"]), raw(own["x_sk"])))
        assert (who.id, who.ed_pub, who.x_pub) == (raw(own["id"]), raw(own["ed_pub"]), raw(own["x_pub"]))
        return who

    def sealed(self, step):
        """The message of a step that carries a frame; opened again on the way."""
        plaintext = raw(step["plaintext"])
        assert frames.pack(step["kind"], step["t_us"], untagged(step["body"])) == plaintext
        if step["from"] == "agent":
            message = self.down.seal(plaintext)
            assert self.opened.open(message) == plaintext
            return message
        sealed = seal_one(self.key, self.boot_id, step["seq"], plaintext)
        assert seal.BootKeys(self.key, self.boot_id).open(sealed) == (step["seq"], plaintext)
        return messages.data(0, sealed)


def test_a_connection_step_by_step():
    vectors = load("session.json")
    both = Connection(vectors)
    assert both.header == (raw(vectors["header"]["enc"]), raw(vectors["header"]["wrapped"]))
    assert both.enc == raw(vectors["down"]["enc"])
    keys = seal.BootKeys(both.key, both.boot_id)
    for step in vectors["steps"]:
        message = raw(step["message"])
        assert cobs.encode(message) == raw(step["wire"]), step["what"]
        if "plaintext" in step:
            assert both.sealed(step) == message, step["what"]
            continue
        kind, fields = messages.parse_clear(message)
        assert rebuilt(kind, fields) == message, step["what"]
        if kind == messages.MSG_HELLO:
            assert keys.hello_tag(raw(step["body"])) == fields["tag"]


def test_a_connection_s_keys():
    vectors = load("session.json")
    random, down = vectors["random"], vectors["down"]
    for name in vectors["up"]:
        expected = raw(vectors["up"][name])
        info = b"vitalwire/1 " + name.encode()
        assert (
            crypto.hkdf(raw(random["content_key"]), raw(random["boot_id"]), info, len(expected)) == expected
        )
    node, agent = Connection(vectors).node, Connection(vectors).agent
    steps = crypto.hpke_auth_receive_steps(
        raw(down["enc"]), node.x_sk, node.x_pub, raw(down["info"]), agent.x_pub
    )
    exported = crypto.hpke_export(crypto.run(steps), b"vitalwire/1 down", 32)
    assert exported == raw(down["exported"])
    for name in ("down key", "down iv"):
        expected = raw(down[name])
        info = b"vitalwire/1 " + name.encode()
        assert crypto.hkdf(exported, raw(random["second_hello_nonce"]), info, len(expected)) == expected
    header = vectors["header"]
    steps = crypto.hpke_auth_receive_steps(
        raw(header["enc"]), agent.x_sk, agent.x_pub, raw(header["info"]), node.x_pub
    )
    wrap_key = crypto.hpke_export(crypto.run(steps), b"vitalwire/1 wrap", 16)
    assert wrap_key == raw(header["wrap_key"])
    opened = crypto.ccm_open(wrap_key, bytes(13), b"", raw(header["wrapped"]), 16)
    assert opened == raw(random["content_key"])

"""Clear messages, boot headers, sealed frames, the downlink and attestation."""

from typing import Any

from protocol import attest, cbor, cobs, crypto, frames, identity, merkle, messages, seal
from tools.vectors.frames import attestation, plaintexts
from tools.vectors.keys import (
    AGENT,
    AUTHORITY,
    BOOT_ID,
    COLLECTOR,
    HELLO_NONCE,
    KEYS,
    NODE,
    OLD_BOOT_ID,
    UP_LABELS,
    derived,
    party_secrets,
    sealing,
    secret,
    tagged,
)


def _hello_body(keys: "tuple[bytes, bytes] | None", versions: "tuple[int, ...] | None" = None) -> bytes:
    enc, wrapped = crypto.run(
        seal.wrap_header_steps(KEYS.K, BOOT_ID, NODE, AGENT.id, AGENT.x_pub, secret("header ephemeral"))
    )
    headers = [] if keys else [[AGENT.id, enc, wrapped]]
    boots = [[BOOT_ID, headers, 70, [[0, 3], [5, 65]]], [OLD_BOOT_ID, headers, 4711, []]]
    return messages.hello_body(1, NODE.id, HELLO_NONCE, 2, boots[: 1 if keys else 2], keys, versions)


def _hello_of(body: "dict[Any, Any]") -> bytes:
    return messages.hello(cbor.dumps(body), bytes(16))


def message_vectors() -> Any:
    """The content of messages.json."""
    body = _hello_body(None)
    unpaired = _hello_body(NODE.public())
    both = _hello_body(None, (1, 2))
    nonce = secret("pair nonce", 16)
    pair = identity.pair_message(*AGENT.public(), *NODE.public(), nonce)
    signature = crypto.run(crypto.ed25519_sign_steps(NODE.ed_seed, NODE.ed_pub, pair))
    believed = list(AUTHORITY.public())
    with_it = identity.pair_message(*AGENT.public(), *NODE.public(), nonce, believed)
    with_signature = crypto.run(crypto.ed25519_sign_steps(NODE.ed_seed, NODE.ed_pub, with_it))
    held = identity.pair_message(*AGENT.public(), *NODE.public(), nonce, None, True)
    held_signature = crypto.run(crypto.ed25519_sign_steps(NODE.ed_seed, NODE.ed_pub, held))
    enc, _ = _downlink()
    good = [
        ("hello", "hello", messages.hello(body, KEYS.hello_tag(body))),
        ("hello, not paired", "hello", messages.hello(unpaired, KEYS.hello_tag(unpaired))),
        ("welcome", "welcome", messages.welcome(1, AGENT.id, enc, HELLO_NONCE)),
        ("pair request", "pair-request", messages.pair_request(1, AGENT.ed_pub, AGENT.x_pub, nonce)),
        ("pair reply", "pair-reply", messages.pair_reply(1, NODE.ed_pub, NODE.x_pub, nonce, signature)),
        (
            "pair request, with an authority",
            "pair-request",
            messages.pair_request(1, AGENT.ed_pub, AGENT.x_pub, nonce, believed),
        ),
        (
            "pair reply, the authority taken",
            "pair-reply",
            messages.pair_reply(1, NODE.ed_pub, NODE.x_pub, nonce, with_signature),
        ),
        (
            "pair request, no authority any more",
            "pair-request",
            messages.pair_request(1, AGENT.ed_pub, AGENT.x_pub, nonce, []),
        ),
        (
            "pair request, only with the button",
            "pair-request",
            messages.pair_request(1, AGENT.ed_pub, AGENT.x_pub, nonce, None, True),
        ),
        (
            "pair reply, the button held",
            "pair-reply",
            messages.pair_reply(1, NODE.ed_pub, NODE.x_pub, nonce, held_signature),
        ),
        ("hello of a node that speaks two versions", "hello", messages.hello(both, KEYS.hello_tag(both))),
        ("refusal", "refusal", messages.refusal(1, messages.REFUSE_PAIRED)),
        (
            "refusal, with the versions spoken",
            "refusal",
            messages.refusal(1, messages.REFUSE_VERSION, messages.VERSIONS),
        ),
        (
            "refusal by who speaks no version of ours",
            "refusal",
            messages.refusal(2, messages.REFUSE_VERSION, (2, 5)),
        ),
        ("solicit", "solicit", messages.solicit(1)),
        ("solicit with a key that is not known", "solicit", cbor.dumps({0: 6, 1: 1, 9: [True, None]})),
    ]
    bad = [
        ("another version", "unknown_version", 1, messages.solicit(2)),
        ("another version, otherwise unlike", "unknown_version", 1, cbor.dumps({0: 2, 1: 9, 2: "new"})),
        ("a hello without a common version", "unknown_version", 1, _hello_of({1: 2, 7: [2, 3]})),
        (
            "a hello of another version, otherwise unlike",
            "unknown_version",
            1,
            _hello_of({1: 3, "all": "new"}),
        ),
        ("versions that descend", "malformed_message", 6, _hello_of({1: 2, 7: [2, 1]})),
        ("versions that begin elsewhere", "malformed_message", 6, _hello_of({1: 1, 7: [2]})),
        ("no versions", "malformed_message", 6, cbor.dumps({0: 5, 1: 1, 2: 1, 3: []})),
        ("an unknown type", "unknown_message", 6, cbor.dumps({0: 77, 1: 1})),
        ("no type", "malformed_message", 6, cbor.dumps({1: 1})),
        ("no version", "malformed_message", 6, cbor.dumps({0: 6})),
        ("a text key", "malformed_message", 6, cbor.dumps({0: 6, 1: 1, "a": 0})),
        ("a negative key", "malformed_message", 6, cbor.dumps({0: 6, 1: 1, -1: 0})),
        ("a negative key in a hello's body", "malformed_message", 6, _hello_of({-1: 0})),
        ("a short nonce", "malformed_message", 6, messages.welcome(1, AGENT.id, enc, bytes(15))),
        (
            "a text for a key",
            "malformed_message",
            6,
            cbor.dumps({0: 3, 1: 1, 2: "k", 3: bytes(32), 4: bytes(16)}),
        ),
        ("a hello cut off inside its body", "malformed_message", 6, messages.hello(body[:-1], bytes(16))),
        ("a short tag", "malformed_message", 6, messages.hello(body, bytes(15))),
        ("keys out of order", "malformed_message", 6, bytes.fromhex("a201010006")),
        (
            "pair request with one key of an authority",
            "malformed_message",
            6,
            messages.pair_request(1, AGENT.ed_pub, AGENT.x_pub, nonce, believed[:1]),
        ),
        (
            "pair request, without the button",
            "malformed_message",
            6,
            cbor.dumps({0: 3, 1: 1, 2: AGENT.ed_pub, 3: AGENT.x_pub, 4: nonce, 6: False}),
        ),
    ]
    return {
        "clear": [{"name": name, "rule": rule, "message": data.hex()} for name, rule, data in good],
        "malformed": [
            {"name": name, "cause": cause, "code": code, "message": data.hex()}
            for name, cause, code, data in bad
        ],
        "pair": {"nonce": nonce.hex(), "signed": pair.hex(), "signature": signature.hex()},
        "pair_with_authority": {"signed": with_it.hex(), "signature": with_signature.hex()},
        "pair_with_button": {"signed": held.hex(), "signature": held_signature.hex()},
    }


def _downlink() -> "tuple[bytes, seal.Downlink]":
    return crypto.run(
        seal.Downlink.sender_steps(
            AGENT, NODE.id, NODE.x_pub, BOOT_ID, HELLO_NONCE, secret("downlink ephemeral")
        )
    )


def sealed_vectors() -> Any:
    """The content of sealed.json."""
    enc, wrapped = crypto.run(
        seal.wrap_header_steps(KEYS.K, BOOT_ID, NODE, AGENT.id, AGENT.x_pub, secret("header ephemeral"))
    )
    up: list[Any] = []
    keys = sealing(KEYS.K, BOOT_ID)
    for seq, plaintext in zip((0, 1, 255, 256, 65_536, 1 << 24, (1 << 32) - 1), plaintexts(), strict=True):
        sealed = keys.seal(seq, plaintext)
        data = messages.data(0, sealed)
        up.append(
            {
                "seq": seq,
                "plaintext": plaintext.hex(),
                "sealed": sealed.hex(),
                "wire": cobs.encode(data).hex(),
            }
        )
    down_enc, down = _downlink()
    down_plaintexts = [
        frames.pack(frames.KIND_TIME_DOWN, 0, {1: 77}),
        frames.pack(frames.KIND_ACK, 9, [0, [[0, 3]]]),
    ]
    secrets = {who.id.hex(): party_secrets(who) for who in (NODE, AGENT, COLLECTOR)}
    plain = plaintexts()
    leaves = [merkle.leaf_hash(attest.leaf(BOOT_ID, seq, plaintext)) for seq, plaintext in enumerate(plain)]
    return {
        "node": NODE.id.hex(),
        "agent": AGENT.id.hex(),
        "collector": COLLECTOR.id.hex(),
        "secrets": secrets,
        "boot_id": BOOT_ID.hex(),
        "K": KEYS.K.hex(),
        "derived": derived(KEYS.K, BOOT_ID, UP_LABELS),
        "header": {"eph_sk": secret("header ephemeral").hex(), "enc": enc.hex(), "wrapped": wrapped.hex()},
        "up": up,
        "down": {
            "hello_nonce": HELLO_NONCE.hex(),
            "eph_sk": secret("downlink ephemeral").hex(),
            "enc": down_enc.hex(),
            "messages": [{"plaintext": one.hex(), "sealed": down.seal(one).hex()} for one in down_plaintexts],
        },
        "attest": {
            "plaintexts": [one.hex() for one in plain],
            "leaf_hashes": [one.hex() for one in leaves],
            "body": tagged(attestation()),
        },
    }

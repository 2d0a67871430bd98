"""The other end of the interoperability tests, run on the MicroPython VM.

Reads `[["call", argument, …], …]` as JSON from its input and prints the list of results. Bytes travel as hex.
"""

import json
import sys

from protocol import attest, crypto, seal
from protocol.crypto import run
from protocol.identity import from_seed_steps
from tests.both.sealing import seal_one


def _party(ed_seed, x_sk):
    return run(from_seed_steps(ed_seed, x_sk))


def seal_frame(key, boot_id, seq, plaintext):
    return seal_one(key, boot_id, seq, plaintext)


def open_frame(key, boot_id, sealed):
    return seal.BootKeys(key, boot_id).open(sealed)


def hello_tag(key, boot_id, body):
    return seal.BootKeys(key, boot_id).hello_tag(body)


def wrap(key, boot_id, ed_seed, x_sk, agent_id, agent_x_pub, eph_sk):
    return run(seal.wrap_header_steps(key, boot_id, _party(ed_seed, x_sk), agent_id, agent_x_pub, eph_sk))


def unwrap(enc, wrapped, boot_id, ed_seed, x_sk, node_id, node_x_pub):
    return run(seal.unwrap_header_steps(enc, wrapped, boot_id, _party(ed_seed, x_sk), node_id, node_x_pub))


def down_send(ed_seed, x_sk, node_id, node_x_pub, boot_id, nonce, eph_sk, *plaintexts):
    steps = seal.Downlink.sender_steps(_party(ed_seed, x_sk), node_id, node_x_pub, boot_id, nonce, eph_sk)
    enc, down = run(steps)
    return [enc] + [down.seal(one) for one in plaintexts]


def down_receive(enc, ed_seed, x_sk, agent_id, agent_x_pub, boot_id, nonce, *messages):
    steps = seal.Downlink.receiver_steps(enc, _party(ed_seed, x_sk), agent_id, agent_x_pub, boot_id, nonce)
    down = run(steps)
    return [down.open(one) for one in messages]


def attestation(ed_seed, x_sk, boot_id, *plaintexts):
    attester = attest.Attester(_party(ed_seed, x_sk), boot_id)
    for seq, plaintext in enumerate(plaintexts):
        attester.add(seq, plaintext)
    body = run(attester.sign_steps(0))
    return [body[attest.FIRST], body[attest.COUNT], body[attest.ROOT], body[attest.SIGNATURE]]


def verify(pub, message, signature):
    return run(crypto.ed25519_verify_steps(pub, message, signature))


def _plain(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def main(text):
    results = []
    for request in json.loads(text):
        arguments = [bytes.fromhex(one) if isinstance(one, str) else one for one in request[1:]]
        results.append(_plain(globals()[request[0]](*arguments)))
    print(json.dumps(results))


main(sys.stdin.read())

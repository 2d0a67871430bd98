"""What the virtual nodes of the agent's benchmark say: bodies made beforehand, sealed and attested by each.

One ECG wave of a second (250 Hz), one of infrared (100 Hz) and one vitals frame, of the model patient, in
turn. A plaintext is a head with the node's own time and one of these bodies, so every frame differs.
"""

import os
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from protocol import attest, cbor, crypto, frames, merkle, messages, seal, waveform
from protocol.identity import Identity

SECONDS = 30
US = 1_000_000
ECG, PPG, VITALS = range(3)
STREAMS = (ECG, PPG, VITALS)
# The nodes have been up for longer than 2^32 us, so their times have nine bytes.
BOOTED_US = 5_000_000_000


def bodies() -> "list[list[tuple[int, bytes]]]":
    """By stream: (kind, encoded body) of each second."""
    from tools.bench import wave_sources

    ecg = wave_sources.max30003(SECONDS)[0]
    ppg = wave_sources.ppg(SECONDS)[1]
    waves: list[list[tuple[int, bytes]]] = []
    for channel, hz, lsb, samples in ((0, 250, 1526, ecg), (2, 100, 62, ppg)):
        made: list[tuple[int, bytes]] = []
        for second in range(SECONDS):
            block = [int(x) for x in samples[second * hz : (second + 1) * hz]]
            data = waveform.encode(block, hz)
            body = {1: channel, 2: hz, 3: 1_000_000_000 // hz, 4: lsb, 5: waveform.CODEC, 6: data}
            made.append((frames.KIND_WAVE, cbor.dumps({**body, frames.SOURCE: frames.SRC_SYNTHETIC})))
        waves.append(made)
    told: dict[int, Any] = {1: 720, 2: [833], 3: 978, 4: 720, 5: 210, 6: 95, 7: 96, 8: 4, 15: 2, 16: 2}
    return [*waves, [(frames.KIND_VITALS, cbor.dumps({**told, 1: 700 + n})) for n in range(SECONDS)]]


class Sealer:
    """One boot of a node as its agents know it: numbers, seals and attests. Byte for byte what
    seal.SealingKeys and attest.Attester make, at a fraction of their cost, so that the load costs less than
    what is measured.
    """

    def __init__(self, identity: Identity, agent_id: bytes, agent_x_pub: bytes) -> None:
        self.identity = identity
        self.boot = bytes(3) + b"\x01" + os.urandom(8)
        key = os.urandom(seal.KEY_BYTES)
        self.keys = seal.BootKeys(key, self.boot)
        steps = seal.wrap_header_steps(key, self.boot, identity, agent_id, agent_x_pub, os.urandom(32))
        self.header = [agent_id, *crypto.run(steps)]
        iv = crypto.hkdf(key, self.boot, b"vitalwire/1 up iv", 13)
        self._iv_head, self._iv_tail = iv[:9], int.from_bytes(iv[9:], "big")
        self._ccm = AESCCM(crypto.hkdf(key, self.boot, b"vitalwire/1 up key", seal.KEY_BYTES), seal.TAG_BYTES)
        self._aad = b"\x83\x68Encrypt0\x43\xa1\x01\x0a\x50\x83\x01" + bytes((0, 0x4C)) + self.boot
        self._tree = merkle.Tree()
        self._first = 0
        self.next_seq = 0

    def hello(self, conn: int, held: "list[list[int]]") -> "tuple[bytes, bytes]":
        """(the hello of a connection, its nonce)."""
        nonce = os.urandom(16)
        boots = [[self.boot, [self.header], self.next_seq, held]]
        body = messages.hello_body(messages.VERSION, self.identity.id, nonce, conn, boots)
        return messages.hello(body, self.keys.hello_tag(body)), nonce

    def plain(self, kind: int, t_us: int, body: bytes) -> "tuple[int, bytes]":
        """(number, plaintext) of the next frame, around an encoded body."""
        plaintext = b"\x83" + bytes((kind,)) + b"\x1b" + t_us.to_bytes(8, "big") + body
        seq = self.next_seq
        self.next_seq = seq + 1
        head = b"\x83\x4c" + self.boot + cbor.head(0, seq)
        self._tree.append(head + _string_head(len(plaintext)) + plaintext)
        return seq, plaintext

    def frame(self, kind: int, t_us: int, body: bytes) -> "tuple[int, bytes]":
        """(number, data message) of the next frame, around an encoded body."""
        seq, plaintext = self.plain(kind, t_us, body)
        nonce = self._iv_head + (self._iv_tail ^ seq).to_bytes(4, "big")
        sealed = self._ccm.encrypt(nonce, plaintext, self._aad)
        piv = seq.to_bytes((seq.bit_length() + 7) // 8 or 1, "big")
        envelope = b"\x82\x00\x83\x43\xa1\x01\x0a\xa1\x06" + bytes((0x40 | len(piv),)) + piv
        return seq, envelope + _string_head(len(sealed)) + sealed

    @property
    def attests(self) -> bool:
        """Whether the frames so far are due to be signed."""
        return self._tree.count >= attest.MAX_FRAMES

    def attestation(self) -> bytes:
        """The encoded body of an attest frame over them."""
        me, first, count, root = self.identity, self._first, self._tree.count, self._tree.root()
        message = attest.attested_message(me.id, self.boot, first, count, root)
        signature = crypto.run(crypto.ed25519_sign_steps(me.ed_seed, me.ed_pub, message))
        self._first += count
        self._tree.reset()
        body = {attest.FIRST: first, attest.COUNT: count, attest.ROOT: root, attest.SIGNATURE: signature}
        return cbor.dumps(body)


def _string_head(size: int) -> bytes:
    """Of a byte string from 24 bytes on."""
    return bytes((0x58, size)) if size < 256 else b"\x59" + size.to_bytes(2, "big")


def boot_body(identity: Identity) -> bytes:
    """The encoded body of a boot frame."""
    body = {
        frames.BOOT_FIRMWARE: "0.1.0",
        frames.BOOT_BOARD: "load",
        frames.BOOT_RESET_CAUSE: frames.RESET_POWER_ON,
        frames.BOOT_KEYS: list(identity.public()),
        frames.BOOT_INPUT: "model patient",
        frames.BOOT_CHANNELS: [[0, "none", 4_000_000, 1526], [2, "none", 10_000_000, 62]],
        frames.BOOT_ENTROPY: frames.ENTROPY_STRONG,
    }
    return cbor.dumps(body)

"""Who signs the agent's batches: its first key, or the one that it was handed over to; and handing it over.

The agent's key file stays: its id, its X25519 key and the Ed25519 key that nodes pair with never change. A
signing key that took over lies beside it in NAME-signing.key, with all hand-overs that lead to it, so that a
store that was set aside or restored loses none of them. Handing over goes in steps, each durable before the
next: (1) the new key and its hand-over are written to NAME-signing.key.new; (2) the hand-over goes into the
journal and the table of signers, in one transaction; (3) the file is renamed over the old one, which destroys
the key before, if that was not the first. A crash before 2 leaves a file that is removed, after it one that
is renamed, at the next start. A retired key is not kept: it proves nothing that its public half does not, and
whoever found it could sign with old dates.
"""

import base64
import os
import re
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.files import fsync_folder, write_atomically
from edge_agent.keys import KeyFileError, check_private
from edge_agent.store.chain import Chain, Tip
from edge_agent.store.store import Store
from protocol import batch as wire
from protocol import handover
from protocol.cose import Signer, verify1
from protocol.errors import BatchError, ProtocolError
from protocol.identity import Identity

MAX_FILE = 1 << 16
_PRIVATE = re.compile(rb"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----\s*", re.DOTALL)
_HANDOVER = re.compile(rb"-----BEGIN VITALWIRE HANDOVER-----(.*?)-----END VITALWIRE HANDOVER-----", re.DOTALL)


class Signing:
    """The key that signs now, and the hand-overs that lead to it from the agent's first key.

    `signer` is None, and `problem` says why, when that key is not here: nothing can be signed, everything is
    stored all the same.
    """

    def __init__(self, first: Signer, handovers: list[bytes], signer: Signer | None = None) -> None:
        self.handovers = handovers
        self.signer: Signer | None = first if not handovers else signer
        self.problem: str | None = None
        self._keys = [first.ed_pub, *(one.new_pub for one in handover.read_chain(first.ed_pub, handovers))]

    @property
    def ed_pub(self) -> bytes:
        """The public key that signs now."""
        return self._keys[-1]

    def steps_of(self, signed_head: bytes) -> int:
        """How many hand-overs lead to the key that signed this head of ours; ValueError: none of our keys."""
        if len(self._keys) == 1:
            return 0
        for steps in range(len(self._keys) - 1, -1, -1):
            try:
                verify1(signed_head, self._keys[steps], "head")
            except BatchError:
                continue
            return steps
        raise ValueError("a head that none of the agent's keys signed")


def signing_path(key: Path) -> Path:
    """Where the key is kept that the one in the agent's key file handed over to."""
    return key.with_name(f"{key.stem}-signing.key")


def load(store: Store, identity: Identity, key: Path, now_ms: int) -> Signing:
    """Who signs, as the store and the file beside `key` say together, and what a crash left undone, done.

    KeyFileError: the file is there and is none of ours. StoreUnwritable.
    """
    path = signing_path(key)
    new = path.with_name(path.name + ".new")
    known = stored(store)
    if new.exists():
        try:
            made = read_file(new, identity)
        except KeyFileError:
            made = None
        if made is not None and made.handovers == known:
            os.replace(new, path)
            fsync_folder(path.parent)
        else:
            new.unlink()
    found = read_file(path, identity) if path.exists() else Signing(identity, [])
    if found.handovers[: len(known)] == known:
        for record in found.handovers[len(known) :]:
            _keep(store, identity, record, now_ms)
        return found
    if known[: len(found.handovers)] != found.handovers:
        hint = "move that file away, and restore the one that belongs to this store"
        raise KeyFileError(path, "its hand-overs are not those that the store knows", hint)
    lost = Signing(identity, known)
    lost.problem = (
        f"{path}: the key that signs since hand-over {len(known)} is not here, so nothing is signed; restore "
        "that file from a backup, or give this agent a new identity"
    )
    return lost


def rotate(
    store: Store, chain: Chain, signing: Signing, identity: Identity, key: Path, now_ms: int
) -> Signing:
    """Hand over to a new key; what signs from now on. In the store's thread.

    BatchError, StoreUnwritable, OSError: nothing has changed, but for a file that the next start removes.
    """
    if signing.signer is None:
        raise BatchError(signing.problem or "the key that signs is not here")
    number = len(signing.handovers) + 1
    if number > handover.MAX_HANDOVERS:
        raise BatchError(f"{handover.MAX_HANDOVERS} hand-overs were made: give this agent a new identity")
    made = handover.SigningKey.from_seed(os.urandom(32))
    record = handover.make_handover(
        signing.signer, made, identity.id, now_ms, number, last_signed(chain, signing)
    )
    after = Signing(identity, [*signing.handovers, record], made)
    path = signing_path(key)
    new = path.with_name(path.name + ".new")
    write_atomically(new, _text(identity, made, after.handovers))
    _keep(store, identity, record, now_ms)
    os.replace(new, path)
    fsync_folder(path.parent)
    return after


def last_signed(chain: Chain, signing: Signing) -> Tip | None:
    """The newest head that the present key signed, or None."""
    found = chain.newest()
    if found is None or signing.steps_of(found.signed) != len(signing.handovers):
        return None
    return Tip(found.chain, found.number, found.hash)


def stored(store: Store) -> list[bytes]:
    """The hand-overs that the store knows, the first one first."""
    rows = store.db.execute("SELECT handover FROM signers WHERE handover IS NOT NULL ORDER BY id")
    return [record for (record,) in rows]


def _keep(store: Store, identity: Identity, record: bytes, now_ms: int) -> None:
    """A hand-over into the journal and the table of signers, durably, or nothing."""
    new_pub = handover.read_handover(record)[4]
    with store.transaction() as db:
        db.execute(
            "INSERT INTO journal(kind, data, made_ms) VALUES(?, ?, ?)",
            (wire.ENTRY_HANDOVER, wire.handover_entry(record), now_ms),
        )
        journal = db.last_insert_rowid()
        db.execute("INSERT OR IGNORE INTO signers(ed_pub, begun_ms) VALUES(?, ?)", (identity.ed_pub, now_ms))
        db.execute(
            "INSERT INTO signers(ed_pub, handover, journal, begun_ms) VALUES(?, ?, ?, ?)",
            (new_pub, record, journal, now_ms),
        )
    store.last_journal = journal
    store.write_mark()


def read_file(path: Path, identity: Identity) -> Signing:
    """The signing key in a file, with the hand-overs that lead to it. KeyFileError: it is none of this
    agent's, or open to others.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE)
    except OSError as e:
        raise KeyFileError(path, f"cannot be read: {e.strerror}", "see the rights on that file") from None
    check_private(path)
    blocks = _PRIVATE.findall(text)
    hint = "restore it from a backup"
    try:
        key = serialization.load_pem_private_key(blocks[0], None)
        handovers = [base64.b64decode(b"".join(one.split())) for one in _HANDOVER.findall(text)]
        if len(blocks) != 1 or not isinstance(key, Ed25519PrivateKey) or not handovers:
            raise ValueError
        signer = handover.SigningKey.from_seed(key.private_bytes_raw())
        chain = handover.read_chain(identity.ed_pub, handovers, identity.id)
    except (ValueError, TypeError, IndexError):
        raise KeyFileError(path, "not a signing key with its hand-overs", hint) from None
    except ProtocolError as e:
        raise KeyFileError(path, f"its hand-overs are not this agent's: {e.detail}", hint) from None
    if chain[-1].new_pub != signer.ed_pub:
        raise KeyFileError(path, "the key in it is not the one that was handed over to", hint)
    return Signing(identity, handovers, signer)


def _text(identity: Identity, key: handover.SigningKey, handovers: list[bytes]) -> bytes:
    text = f"Vitalwire agent {identity.id.hex()}, the key that signs its batches: secret, keep it here\n"
    text += f"Public: {key.ed_pub.hex()}\n"
    private = Ed25519PrivateKey.from_private_bytes(key.ed_seed).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    parts = [text.encode(), private]
    for record in handovers:
        lines = base64.encodebytes(record)
        parts += [b"-----BEGIN VITALWIRE HANDOVER-----\n", lines, b"-----END VITALWIRE HANDOVER-----\n"]
    return b"".join(parts)

"""From power-on to a boot that may seal: entropy, identity, boot counter, keys, session. Plain code, before
any task runs.

What must be on flash before the first seal is put there here. While flash refuses, the node seals nothing and
says so: a refusal with REFUSE_NO_RECORDS on the link every RETRY_MS, for a person's eyes, and tries again.
"""

import os
import time

from firmware import boots
from firmware.boots import BootRecord, CommitError
from firmware.entropy import EntropyPool
from firmware.flash import FlashError, Records
from firmware.keys import KeyStore
from firmware.requests import forget
from protocol import cobs, crypto, messages
from protocol.attest import Attester
from protocol.identity import Identity
from protocol.node_party import NodeParty
from protocol.outbox import Outbox
from protocol.seal import BootKeys, SealingKeys
from protocol.session_node import NodeSession

STATE_FOLDER = "state"
RETRY_MS = 5000
PAUSE_MS = 100


class Start:
    """Everything that one boot needs, made in the one order that is safe.

    `faults`: texts on what was found wrong on the way, for events. Attributes: records, pool, store,
    identity, record (BootRecord), agents, authorities, keys (SealingKeys), box, attester, session.
    """

    def __init__(self, board):
        faults = self.faults = []
        folder = board.root + "/" + STATE_FOLDER if board.root else STATE_FOLDER
        make_folder(folder)
        records = self.records = Records(folder)
        pool = self.pool = EntropyPool(records, board.entropy)
        # Not secret, but of this boot: flash that was put back to an earlier state does not bring it back.
        pool.mix(board.retained_read() or b"")
        if pool.first:
            board.seeded()
        if pool.fault is not None:
            faults.append(str(pool.fault))
        store = self.store = KeyStore(records)
        identity = self.identity = insist(
            board, faults, lambda: crypto.run(fed(board, store.identity_steps(pool.random, pool.strong)))
        )
        record = self.record = BootRecord(records, board)
        insist(board, faults, lambda: record.commit(pool.random(8)))
        self.agents = store.agents()
        self.authorities = store.authorities()
        faults += [text for text in store.faults if text not in faults]
        if record.fault is not None:
            faults.append(record.fault)
        self.keys = SealingKeys(pool.random(16), record)
        self.box = Outbox(board.config["node"]["outbox_bytes"])
        self.attester = Attester(identity, record.boot_id)
        session = self.session = NodeSession(identity, self.keys, self.box, pool.random)
        for ed_pub, x_pub in self.agents:
            session.add_agent(ed_pub, x_pub)


def fed(board, steps):
    """`steps`, with the watchdog fed on the way."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        board.feed_watchdog()
        yield


def insist(board, faults, action):
    """The result of `action`, however long flash refuses."""
    message = b"\0" + cobs.encode(messages.refusal(messages.VERSION, messages.REFUSE_NO_RECORDS))
    while True:
        try:
            return action()
        except (FlashError, CommitError) as error:
            say(board.link(), message)
            text = str(error)
            if text not in faults:
                faults.append(text)
        for _ in range(RETRY_MS // PAUSE_MS):
            time.sleep_ms(PAUSE_MS)
            board.feed_watchdog()


def say(link, message):
    """Write a message as fast as the link takes it, for a while."""
    view = memoryview(message)
    for _ in range(len(message)):
        view = view[link.write(view) :]
        if not view:
            break
        time.sleep_ms(1)


def make_folder(path):
    """Make the folder unless it is there; whether it can be written to shows at the first record."""
    try:
        os.mkdir(path)
    except OSError:
        pass


def give_back():
    """A boot starts once: what only its start takes is given back to the heap."""
    boots.give_back()
    pool, store = EntropyPool, KeyStore
    pool.__init__ = pool._stored = pool._replace = None  # pyright: ignore
    store.__init__ = store.identity_steps = store.agents = store.authorities = None  # pyright: ignore
    for one in (NodeSession, NodeParty, Outbox, Attester, SealingKeys, BootKeys, Identity, Records):
        one.__init__ = None  # pyright: ignore
    global fed, insist, say, make_folder
    fed = insist = say = make_folder = None  # pyright: ignore[reportAssignmentType]
    Start.__init__ = None  # pyright: ignore[reportAttributeAccessIssue]
    from firmware import beginning

    beginning.forget_start()
    forget("beginning")

"""From power-on to a boot that may seal: entropy, identity, boot counter, keys, session. Plain code, before
any task runs.

What must be on flash before the first seal is put there here. While flash refuses, the node seals nothing and
says so: a refusal with REFUSE_NO_RECORDS on the link every RETRY_MS, for a person's eyes, and tries again.
"""

import os
import time

from firmware.boots import BootRecord, CommitError
from firmware.entropy import EntropyPool
from firmware.flash import FlashError, Records
from firmware.keys import KeyStore
from protocol import cobs, crypto, messages
from protocol.attest import Attester
from protocol.outbox import Outbox
from protocol.seal import SealingKeys
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
        self._board = board
        self.faults = []
        folder = board.root + "/" + STATE_FOLDER if board.root else STATE_FOLDER
        make_folder(folder)
        self.records = Records(folder)
        self.pool = EntropyPool(self.records, board.entropy)
        # Not secret, but of this boot: flash that was put back to an earlier state does not bring it back.
        self.pool.mix(board.retained_read() or b"")
        if self.pool.first:
            board.seeded()
        if self.pool.fault is not None:
            self.faults.append(str(self.pool.fault))
        self.store = KeyStore(self.records)
        self.identity = self._insist(self._identity)
        self.record = BootRecord(self.records, board)
        self._insist(self._commit)
        self.agents = self.store.agents()
        self.authorities = self.store.authorities()
        self.faults += [text for text in self.store.faults if text not in self.faults]
        if self.record.fault is not None:
            self.faults.append(self.record.fault)
        self.keys = SealingKeys(self.pool.random(16), self.record)
        self.box = Outbox(board.config["node"]["outbox_bytes"])
        self.attester = Attester(self.identity, self.record.boot_id)
        self.session = NodeSession(self.identity, self.keys, self.box, self.pool.random)
        for ed_pub, x_pub in self.agents:
            self.session.add_agent(ed_pub, x_pub)

    def _identity(self):
        return crypto.run(self._fed(self.store.identity_steps(self.pool.random, self.pool.strong)))

    def _commit(self):
        self.record.commit(self.pool.random(8))

    def _fed(self, steps):
        """`steps`, with the watchdog fed on the way."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            self._board.feed_watchdog()
            yield

    def _insist(self, action):
        """The result of `action`, however long flash refuses."""
        message = b"\0" + cobs.encode(messages.refusal(messages.VERSION, messages.REFUSE_NO_RECORDS))
        while True:
            try:
                return action()
            except (FlashError, CommitError) as error:
                self._say(message)
                text = str(error)
                if text not in self.faults:
                    self.faults.append(text)
            for _ in range(RETRY_MS // PAUSE_MS):
                time.sleep_ms(PAUSE_MS)
                self._board.feed_watchdog()

    def _say(self, message):
        link = self._board.link()
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

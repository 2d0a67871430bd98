"""Frames on behalf of a device that has no keys: an identity that the agent keeps for it, boots, numbers,
attestations (docs/wire-protocol.md §8.4).

Guarantees: a boot's counter is committed before, or with, its first frame, so no number is ever used twice;
what was said is told durable only after the commit; each boot ends with a signature over all of it. A kill
takes what was not signed yet out of the attestations, and nothing out of the store.
"""

import os
from typing import Any

from edge_agent.keys import PublicKeys
from edge_agent.nodes.hub import Hub
from edge_agent.nodes.ingest import Done
from edge_agent.store.items import Entry, Frame, Hello
from edge_agent.store.schema import ENTRY_CLOCK
from protocol import crypto, frames
from protocol.attest import Attester
from protocol.entries import clock_entry
from protocol.identity import Identity


class Deputy:
    """One device, or one user of it. `identity`: the keys kept for it; `about`: what it is called in its boot
    frames, `firmware` what it says of itself.
    """

    def __init__(self, hub: Hub, identity: Identity, about: str, firmware: str) -> None:
        self.identity = identity
        self._hub = hub
        self._about = (about, firmware)
        self._counter = (hub.last_hello(identity.id) or (0, 0))[0]

    @property
    def node(self) -> bytes:
        """Its id, as a node's."""
        return self.identity.id

    def begin(self, bound_us: int) -> "Boot":
        """A boot whose frames are dated in Unix time, each within `bound_us`."""
        self._counter += 1
        boot_id = self._counter.to_bytes(4, "big") + os.urandom(8)
        hub = self._hub
        now_us = hub.unix_us()
        public = PublicKeys(*self.identity.public())
        hub.ingest.add(Hello(self.node, public.ed_pub, public.x_pub, self._counter, 1))
        hub.ingest.add(
            Entry(ENTRY_CLOCK, clock_entry(self.node, boot_id, now_us, now_us, 0, bound_us), now_us // 1000)
        )
        boot = Boot(hub, self.identity, boot_id)
        name, firmware = self._about
        body = {
            frames.BOOT_FIRMWARE: firmware,
            frames.BOOT_BOARD: name,
            frames.BOOT_RESET_CAUSE: 0,
            frames.BOOT_KEYS: list(self.identity.public()),
            frames.BOOT_CHANNELS: [],
            frames.BOOT_ENTROPY: 1,
            frames.BOOT_READ_BY: hub.identity.id,
        }
        boot.say(frames.KIND_BOOT, body, now_us)
        return boot


class Boot:
    """Frames of one boot of a Deputy, in order."""

    def __init__(self, hub: Hub, identity: Identity, boot_id: bytes) -> None:
        self.boot_id = boot_id
        self.pressures = 0
        self._hub = hub
        self._identity = identity
        self._attester = Attester(identity, boot_id)
        self._next = self._signed = 0

    def say(self, kind: int, body: dict[int, Any], t_us: int, done: Done | None = None) -> None:
        """Make a frame that tells of `t_us` (Unix time in µs); `done` once it is durable. A signature follows
        when one is due.
        """
        self._say(kind, body, t_us, done)
        if self._attester.due(self._hub.now_ms()):
            self._sign()

    def end(self) -> None:
        """Nothing more is said: the last signature covers all but itself."""
        if self._next > self._signed:
            self._sign()

    def _sign(self) -> None:
        body = crypto.run(self._attester.sign_steps(self._hub.now_ms()))
        self._say(frames.KIND_ATTEST, body, self._hub.unix_us(), None)
        self._signed = self._next

    def _say(self, kind: int, body: dict[int, Any], t_us: int, done: Done | None) -> None:
        plaintext = frames.pack(kind, t_us, body)
        hub, node, unix_us = self._hub, self._identity.id, self._hub.unix_us()
        hub.ingest.add(Frame(node, self.boot_id, self._next, plaintext, unix_us // 1000), done)
        self._attester.add(self._next, plaintext)
        hub.view(node).said(self.boot_id, self._next, (kind, t_us, body), unix_us)
        self._next += 1

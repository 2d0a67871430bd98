"""What the node remembers of itself and its agents across boots: its identity, and whom it is paired with.

Records (CBOR, in firmware.flash records): `identity` [ed25519 seed, ed25519 public, x25519 secret, x25519
public, whether it was drawn from a strong pool]; `agents` [[ed25519 public, x25519 public], …];
`authorities`, alike, whose signed orders the node believes: put there at its kit (authorise.py). A
damaged record is set aside, never silently replaced: `faults` tells.
"""

from firmware.flash import FlashError
from firmware.requests import forget
from protocol import cbor, on_demand
from protocol.checks import is_bytes, is_list
from protocol.errors import ProtocolError
from protocol.identity import Identity, generate_steps
from protocol.identity import node_id as party_id

IDENTITY_RECORD = "identity"
AGENTS_RECORD = "agents"
AUTHORITIES_RECORD = "authorities"


class KeyStore:
    """The records by name. `faults` lists what was found damaged and set aside (texts for an event).
    `strong`: the identity was drawn from a strong pool, which no later boot can make up for.
    """

    def __init__(self, records):
        self._records = records
        self.faults = []
        self.strong = False

    def _read(self, name):
        try:
            payload = self._records.read(name)
            return None if payload is None else cbor.loads(payload)
        except (FlashError, ProtocolError) as error:
            if str(error) not in self.faults:
                self.faults.append(str(error))
            self._records.set_aside(name)
            return None

    def identity_steps(self, random, strong):
        """The stored identity, or a new one that is on flash when this returns. `strong`: what the pool is
        that `random` draws from. Raises FlashError when it cannot be kept.
        """
        stored = self._read(IDENTITY_RECORD)
        if stored is not None:
            ed_seed, ed_pub, x_sk, x_pub = stored[:4]
            # Records of development builds end here.
            self.strong = len(stored) == 4 or stored[4]
            return Identity(ed_seed, ed_pub, x_sk, x_pub)
        try:
            me = yield from generate_steps(random(64))
        finally:
            # The first boot of all has the least room, and what comes now stays.
            on_demand.forget(on_demand.ALL)
        self._records.write(IDENTITY_RECORD, cbor.dumps([me.ed_seed, me.ed_pub, me.x_sk, me.x_pub, strong]))
        self.strong = strong
        return me

    def agents(self):
        """Paired agents as a list of (ed public, x public)."""
        return [(ed_pub, x_pub) for ed_pub, x_pub in self._read(AGENTS_RECORD) or []]

    def add_agent(self, ed_pub, x_pub):
        """Remember an agent; False when there are as many already as a hello has headers for. An agent known
        by its keys is no second one. Raises FlashError, also where the record is damaged: the others in it
        are not given up for this one.
        """
        try:
            from firmware import pairs

            return pairs.store_pair(self._records, ed_pub, x_pub)
        finally:
            forget("pairs")

    def remove_agent(self, agent_id):
        """Forget an agent; nothing changes when it is not known. Raises FlashError: it is still there."""
        try:
            from firmware import pairs

            pairs.remove_pair(self._records, agent_id)
        finally:
            forget("pairs")

    def authorities(self):
        """Whose signed orders are believed: id → Ed25519 public key. Entries that are not two keys count as
        none.
        """
        stored = self._read(AUTHORITIES_RECORD)
        found = {}
        for entry in stored if is_list(stored) else ():
            if is_list(entry) and len(entry) == 2 and is_bytes(entry[0], 32) and is_bytes(entry[1], 32):
                found[party_id(entry[0], entry[1])] = entry[0]
        return found

"""The phones that the node is bonded with: their keys, as the Bluetooth stack asks for them, and on flash.

A secret is (type, key, value): NimBLE has two of each phone, both with the phone's address as the key. The
record, `phones`, is CBOR [[type, key, value], …], the phone that was bonded with first in front.
"""

from firmware.flash import FlashError
from protocol import cbor
from protocol.errors import ProtocolError

BONDS_RECORD = "phones"
MOST_PHONES = 4
# Of a phone, those of NimBLE: ours, and the phone's. There are others, of the node alone, which it needs not.
OUR_SECRET = 1
PEER_SECRET = 2


class Bonds:
    """`records`: the node's. `kept`: the secrets that hold now; `changed`: flash has others; `lent`: one was
    taken out for a phone that may not take its place: `load` puts it back.
    """

    def __init__(self, records):
        self._records = records
        self.kept = []
        self.changed = self.lent = False

    def load(self):
        """Those on flash. A damaged record is set aside: nobody is bonded with. Raises FlashError."""
        self.lent = False
        kept = []
        try:
            payload = self._records.read(BONDS_RECORD)
            if payload is not None:
                kept = [(one[0], one[1], one[2]) for one in cbor.loads(payload)]
        except (FlashError, ProtocolError, TypeError, IndexError):
            self._records.set_aside(BONDS_RECORD)
        self.kept = kept

    def save(self):
        """Those that hold now, onto flash. Raises FlashError."""
        self.changed = False
        self._records.write(BONDS_RECORD, cbor.dumps([[one[0], one[1], one[2]] for one in self.kept]))

    def forget(self):
        """All of them, on flash too. Raises FlashError."""
        self.kept = []
        self.changed = self.lent = False
        self._records.remove(BONDS_RECORD)

    def secret(self, kind, index, key):
        """The value of that type and key, or the `index`th of that type where `key` is None; None: there is
        none.
        """
        for one in self.kept:
            if one[0] == kind:
                if key is None:
                    if index == 0:
                        return one[2]
                    index -= 1
                elif one[1] == bytes(key):
                    return one[2]
        return None

    def put(self, kind, key, value, lasting):
        """Keep a secret; without a value: let go of it. Where nobody asked for a phone (`lasting` is false)
        none is added, and one that goes comes back. Whether there was something to do: a stack that hears no
        for a new one makes room for it.
        """
        if kind not in (OUR_SECRET, PEER_SECRET):
            return False
        key = bytes(key)
        others = [one for one in self.kept if one[0] != kind or one[1] != key]
        if value is None:
            if len(others) == len(self.kept):
                return False
            self.lent = not lasting
        elif not lasting:
            return True
        else:
            others.append((kind, key, bytes(value)))
            while len(set([one[1] for one in others])) > MOST_PHONES:
                first = others[0][1]
                others = [one for one in others if one[1] != first]
        self.kept = others
        self.changed = self.changed or lasting
        return True
